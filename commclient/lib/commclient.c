/* SPDX-License-Identifier: Apache-2.0
 * commclient.c - see commclient.h.
 *
 * Messages wait as the lines that they came in, until they are asked for. What
 * was settled waits until the agent says that it has it, and is said again on
 * each new connection; a message that was settled and comes once more, because
 * the agent could not know, is not given again.
 */
#include "cc_compat.h"
#include "commclient.h"
#include "cc_memory.h"
#include "cc_name.h"
#include "cc_paths.h"
#include "cl_event.h"
#include "cl_link.h"
#include "cl_publication.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define ID_MAX     71 /* bytes; of messages 22, of gaps a few more          */
#define REF_MAX    60
#define DELAY_MAX  86400
#define WINDOW_MAX 10000
#define OWN_REF    "cl-"
#define RETRY_MS   1000 /* what the agent could not store is said again       */

/* A line that waits for something. */
typedef struct item {
    struct item *next;
    char *id;       /* settled: of what; else NULL                               */
    int kind;       /* waiting: enum commclient_kind                             */
    cc_slice value; /* waiting: within `line`                               */
    size_t len;
    char line[];
} item;

typedef struct items {
    item *first;
    item *last;
} items;

struct commclient {
    cl_link link;
    char *app;       /* NULL: only publishes                                */
    unsigned window; /* 0: as the agent has it                              */
    items waiting;   /* events that were not asked for yet                  */
    items settled;   /* not answered yet                                    */
    item *given;     /* the last event; its strings are in the two below    */
    cc_buffer memory;
    cl_line given_line;
    commclient_event event;
    cl_line line;      /* what is heard now                                 */
    cc_buffer scratch; /* the same of a message, to look at                 */
    unsigned long refs;      /* of our own, used so far                      */
    char expected[CL_SHORT]; /* ref of what is being published; "": nothing */
    int answer;              /* what was said of it: a status; -1: nothing   */
    int is_refused;          /* to be told by commclient_next()              */
    char error[560];
};

/* ---- texts ------------------------------------------------ */

const char *commclient_text(int status)
{
    static const char *const texts[] = {
        "done",
        "nothing came within the time",
        "the agent refused",
        "the agent has no room now",
        "the connection to the agent was cut",
        "no agent can be reached",
        "a value is missing or out of range",
        "the data is not the JSON that its type promises",
        "the operating system refused",
    };

    return status >= 0 && status < (int)(sizeof(texts) / sizeof(texts[0]))
               ? texts[status]
               : "unknown status";
}

int commclient_version(void)
{
    return COMMCLIENT_VERSION;
}

const char *commclient_error(const commclient *agent)
{
    if (agent == NULL)
        return "";
    return agent->error[0] != '\0' ? agent->error : agent->link.error;
}

int commclient_connected(const commclient *agent)
{
    return agent != NULL && agent->link.socket >= 0 && agent->link.is_greeted;
}

int commclient_descriptor(const commclient *agent)
{
    return agent != NULL ? agent->link.set : -1;
}

/* ---- lists ------------------------------------------------ */

static item *item_make(const char *line, size_t len)
{
    item *made = cc_alloc(sizeof(*made) + len + 1);

    memcpy(made->line, line, len);
    made->line[len] = '\0';
    made->len = len;
    return made;
}

static void item_free(item *old)
{
    if (old != NULL)
        free(old->id);
    free(old);
}

static void append(items *list, item *added)
{
    added->next = NULL;
    if (list->last != NULL)
        list->last->next = added;
    else
        list->first = added;
    list->last = added;
}

static item *shift(items *list)
{
    item *first = list->first;

    if (first != NULL) {
        list->first = first->next;
        if (list->first == NULL)
            list->last = NULL;
    }
    return first;
}

static void clear(items *list)
{
    item *old;

    while ((old = shift(list)) != NULL)
        item_free(old);
}

static item *find(const items *list, const char *id)
{
    item *found = list->first;

    while (found != NULL && (found->id == NULL || strcmp(found->id, id) != 0))
        found = found->next;
    return found;
}

static void take_out(items *list, const item *wanted)
{
    items rest = { NULL, NULL };
    item *each;

    if (wanted == list->first) {
        item_free(shift(list));
        return;
    }
    while ((each = shift(list)) != NULL) {
        if (each == wanted)
            item_free(each);
        else
            append(&rest, each);
    }
    *list = rest;
}

/* ---- opening ------------------------------------------------ */

static char *find_socket(const char *socket)
{
    const char *set = getenv("COMMCLIENT_SOCKET");

    if (socket != NULL)
        return cc_copy(socket);
    return set != NULL && *set != '\0' ? cc_copy(set) : cc_paths_socket();
}

int commclient_open(const char *socket, const char *app, unsigned window,
                    commclient **out_agent)
{
    commclient *agent;
    char *path;

    if (out_agent == NULL)
        return COMMCLIENT_BAD_ARGUMENT;
    *out_agent = NULL;
    if (window > WINDOW_MAX
        || (app != NULL && cc_name_check(app, strlen(app), CC_APP_MAX) != CC_OK))
        return COMMCLIENT_BAD_ARGUMENT;
    path = find_socket(socket);
    if (path == NULL)
        return COMMCLIENT_SYSTEM;
    agent = cc_alloc(sizeof(*agent));
    if (!cl_link_open(&agent->link, path)) {
        free(agent);
        return COMMCLIENT_SYSTEM;
    }
    agent->app = app != NULL ? cc_copy(app) : NULL;
    agent->window = window;
    *out_agent = agent;
    return COMMCLIENT_OK;
}

void commclient_close(commclient *agent)
{
    if (agent == NULL)
        return;
    cl_link_close(&agent->link);
    clear(&agent->waiting);
    clear(&agent->settled);
    item_free(agent->given);
    cc_buffer_clear(&agent->memory);
    cc_buffer_clear(&agent->scratch);
    free(agent->app);
    free(agent);
}

/* ---- what the agent says ------------------------------------------------ */

static void say_text(commclient *agent, const char *line)
{
    cl_link_say(&agent->link, line, strlen(line));
}

static void say_settled(commclient *agent)
{
    item *each;

    for (each = agent->settled.first; each != NULL; each = each->next)
        cl_link_say(&agent->link, each->line, each->len);
}

/* From the start: what was given on the last connection is given again. */
static void greet(commclient *agent)
{
    char line[160];

    cl_link_greeted(&agent->link, agent->line.max_line);
    say_settled(agent);
    if (agent->app == NULL)
        return;
    if (agent->window > 0)
        snprintf(line, sizeof(line), "{\"subscribe\":\"%s\",\"window\":%u}", agent->app,
                 agent->window);
    else
        snprintf(line, sizeof(line), "{\"subscribe\":\"%s\"}", agent->app);
    say_text(agent, line);
}

/* @return 0: it is no line of the protocol. */
static int keep_event(commclient *agent, cc_slice text, int kind)
{
    item *kept = item_make(text.data, text.len);
    commclient_event event;

    kept->kind = kind;
    kept->value.data = kept->line + (agent->line.value.data - text.data);
    kept->value.len = agent->line.value.len;
    if (!cl_event_read(kept->value, kind, &agent->scratch, &event)) {
        item_free(kept);
        return 0;
    }
    kept->id = cc_copy(event.id);
    if (find(&agent->settled, event.id) != NULL)
        item_free(kept);
    else
        append(&agent->waiting, kept);
    return 1;
}

static void keep_publication(commclient *agent, cc_slice text)
{
    item *kept;

    if (agent->line.ref[0] == '\0'
        || strncmp(agent->line.ref, OWN_REF, strlen(OWN_REF)) == 0)
        return;
    kept = item_make(text.data, text.len);
    kept->kind =
        agent->line.kind == CL_LINE_PUBLISHED ? COMMCLIENT_PUBLISHED : COMMCLIENT_FAILED;
    append(&agent->waiting, kept);
}

static void note_error(commclient *agent)
{
    snprintf(agent->error, sizeof(agent->error), "%s", agent->line.text);
}

static int is_expected(const commclient *agent)
{
    return agent->expected[0] != '\0' && agent->answer < 0
           && strcmp(agent->expected, agent->line.ref) == 0;
}

/* It may be one of what was settled, published, or of the subscription. */
static void hear_error(commclient *agent, cc_slice text)
{
    const cl_line *line = &agent->line;

    note_error(agent);
    if (is_expected(agent)) {
        agent->answer = line->has_retry_after ? COMMCLIENT_FULL : COMMCLIENT_REFUSED;
    }
    else if (line->ref[0] != '\0') {
        keep_publication(agent, text);
    }
    else if (line->id[0] != '\0') {
        item *about = find(&agent->settled, line->id);

        if (about != NULL && line->has_retry_after)
            cl_link_wake(&agent->link, RETRY_MS);
        else if (about != NULL)
            take_out(&agent->settled, about);
    }
    else {
        agent->is_refused = 1;
    }
}

static void hear_settled(commclient *agent)
{
    item *about = find(&agent->settled, agent->line.id);

    if (about != NULL)
        take_out(&agent->settled, about);
}

static int hear(commclient *agent, cc_slice text)
{
    if (text.len == 0)
        return 1;
    if (!cl_line_read(text, &agent->line))
        return 0;
    switch (agent->line.kind) {
    case CL_LINE_HELLO:
        greet(agent);
        return 1;
    case CL_LINE_MESSAGE:
        return keep_event(agent, text, COMMCLIENT_MESSAGE);
    case CL_LINE_GAP:
        return keep_event(agent, text, COMMCLIENT_GAP);
    case CL_LINE_SETTLED:
        hear_settled(agent);
        return 1;
    case CL_LINE_SPOOLED:
        if (is_expected(agent))
            agent->answer = COMMCLIENT_OK;
        return 1;
    case CL_LINE_PUBLISHED:
        keep_publication(agent, text);
        return 1;
    case CL_LINE_ERROR:
        hear_error(agent, text);
        return 1;
    default:
        return 1;
    }
}

/* What came on a connection that has ended comes again on the next. */
static void forget_waiting(commclient *agent)
{
    items kept = { NULL, NULL };
    item *each;

    while ((each = shift(&agent->waiting)) != NULL) {
        if (each->kind == COMMCLIENT_PUBLISHED || each->kind == COMMCLIENT_FAILED)
            append(&kept, each);
        else
            item_free(each);
    }
    agent->waiting = kept;
}

static void hear_all(commclient *agent)
{
    cc_slice line;

    while (cl_link_line(&agent->link, &line)) {
        if (!hear(agent, line)) {
            cl_link_drop(&agent->link, "it does not speak the protocol");
            forget_waiting(agent);
        }
    }
}

/* Do what can be done now. */
static void move(commclient *agent)
{
    if (cl_link_is_due(&agent->link)) {
        if (agent->link.socket >= 0 && agent->link.is_greeted)
            say_settled(agent);
        cl_link_connect(&agent->link);
    }
    if (!cl_link_move(&agent->link))
        forget_waiting(agent);
    hear_all(agent);
    /* Nothing more is received: what nobody has heard would wake nobody. */
    if (!cl_link_send(&agent->link))
        forget_waiting(agent);
}

/* ---- waiting ------------------------------------------------ */

static int64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

typedef struct deadline {
    int64_t end; /* -1: never                                               */
} deadline;

static deadline deadline_of(int timeout)
{
    deadline made = { timeout < 0 ? -1 : now_ms() + timeout };

    return made;
}

/* @return COMMCLIENT_OK: look again; _NOTHING: the time is up; _SYSTEM */
static int wait_until(commclient *agent, deadline when)
{
    int64_t left = when.end < 0 ? -1 : when.end - now_ms();
    int woken;

    if (when.end >= 0 && left < 0)
        left = 0;
    woken = cl_link_wait(&agent->link, left > INT32_MAX ? INT32_MAX : (int)left);
    if (woken < 0)
        return COMMCLIENT_SYSTEM;
    return woken ? COMMCLIENT_OK : COMMCLIENT_NOTHING;
}

/* ---- what comes ------------------------------------------------ */

/* Until the next one nothing else that comes touches its strings. */
static const commclient_event *give(commclient *agent, item *next)
{
    cc_slice line = { next->line, next->len };

    item_free(agent->given);
    agent->given = next;
    if (next->kind == COMMCLIENT_MESSAGE || next->kind == COMMCLIENT_GAP) {
        cl_event_read(next->value, next->kind, &agent->memory, &agent->event);
    }
    else {
        cl_line_read(line, &agent->given_line);
        cl_event_of_publication(&agent->given_line, &agent->event);
    }
    return &agent->event;
}

int commclient_next(commclient *agent, int timeout, const commclient_event **out_event)
{
    deadline when = deadline_of(timeout);
    int status = COMMCLIENT_OK;
    item *next;

    if (out_event != NULL)
        *out_event = NULL;
    if (agent == NULL || out_event == NULL || timeout < -1)
        return COMMCLIENT_BAD_ARGUMENT;
    while (status == COMMCLIENT_OK) {
        move(agent);
        next = shift(&agent->waiting);
        if (next != NULL) {
            *out_event = give(agent, next);
            return COMMCLIENT_OK;
        }
        if (agent->is_refused) {
            agent->is_refused = 0;
            return COMMCLIENT_REFUSED;
        }
        status = wait_until(agent, when);
    }
    return status;
}

/* ---- settling ------------------------------------------------ */

static int is_id(const char *id)
{
    return id != NULL && *id != '\0' && strlen(id) <= ID_MAX
           && strpbrk(id, "\"\\\n") == NULL;
}

/* The same twice is said once. */
static int is_settled(const commclient *agent, const char *id, const char *line)
{
    const item *before = find(&agent->settled, id);

    return before != NULL && strcmp(before->line, line) == 0;
}

static int settle(commclient *agent, const char *verb, const char *id, const char *more)
{
    char line[CL_SHORT + 64];
    item *again, *said;
    int len;

    if (agent == NULL || !is_id(id))
        return COMMCLIENT_BAD_ARGUMENT;
    len = snprintf(line, sizeof(line), "{\"%s\":\"%s\"%s}", verb, id, more);
    if (is_settled(agent, id, line))
        return COMMCLIENT_OK;
    said = item_make(line, (size_t)len);
    said->id = cc_copy(id);
    append(&agent->settled, said);
    while ((again = find(&agent->waiting, id)) != NULL)
        take_out(&agent->waiting, again);
    if (agent->link.is_greeted) {
        say_text(agent, line);
        if (!cl_link_send(&agent->link))
            forget_waiting(agent);
    }
    return COMMCLIENT_OK;
}

int commclient_ack(commclient *agent, const char *id)
{
    return settle(agent, "ack", id, "");
}

int commclient_nack(commclient *agent, const char *id, unsigned delay)
{
    char more[32];

    if (delay > DELAY_MAX)
        return COMMCLIENT_BAD_ARGUMENT;
    snprintf(more, sizeof(more), ",\"delay\":%u", delay);
    return settle(agent, "nack", id, delay > 0 ? more : "");
}

int commclient_reject(commclient *agent, const char *id)
{
    return settle(agent, "reject", id, "");
}

int commclient_flush(commclient *agent, int timeout)
{
    deadline when = deadline_of(timeout);
    int status = COMMCLIENT_OK;

    if (agent == NULL || timeout < -1)
        return COMMCLIENT_BAD_ARGUMENT;
    while (status == COMMCLIENT_OK) {
        move(agent);
        if (agent->settled.first == NULL)
            return COMMCLIENT_OK;
        status = wait_until(agent, when);
    }
    return status;
}

/* ---- publishing ------------------------------------------------ */

static int await_agent(commclient *agent, deadline when)
{
    int status = COMMCLIENT_OK;

    while (status == COMMCLIENT_OK) {
        move(agent);
        if (agent->link.is_greeted)
            return COMMCLIENT_OK;
        status = wait_until(agent, when);
    }
    return status == COMMCLIENT_NOTHING ? COMMCLIENT_NO_AGENT : status;
}

static int await_answer(commclient *agent, deadline when)
{
    int status = COMMCLIENT_OK;

    while (status == COMMCLIENT_OK) {
        move(agent);
        if (agent->answer >= 0)
            return agent->answer;
        if (!agent->link.is_greeted)
            return COMMCLIENT_CUT;
        status = wait_until(agent, when);
    }
    return status;
}

static int set_ref(commclient *agent, const char *ref)
{
    if (ref == NULL) {
        snprintf(agent->expected, sizeof(agent->expected), OWN_REF "%lu", ++agent->refs);
        return 1;
    }
    if (*ref == '\0' || strlen(ref) > REF_MAX
        || strncmp(ref, OWN_REF, strlen(OWN_REF)) == 0)
        return 0;
    snprintf(agent->expected, sizeof(agent->expected), "%s", ref);
    return 1;
}

static int send_publication(commclient *agent, const cc_buffer *line, deadline when)
{
    int status = await_agent(agent, when);

    if (status != COMMCLIENT_OK)
        return status;
    if (agent->link.max_line > 0 && line->len >= agent->link.max_line) {
        snprintf(agent->error, sizeof(agent->error),
                 "as a line it is longer than the %llu bytes that the agent takes",
                 (unsigned long long)agent->link.max_line);
        return COMMCLIENT_REFUSED;
    }
    agent->answer = -1;
    cl_link_say(&agent->link, line->data, line->len);
    return await_answer(agent, when);
}

int commclient_publish(commclient *agent, const commclient_publication *publication,
                       int timeout)
{
    deadline when = deadline_of(timeout);
    cc_buffer line = { NULL, 0, 0 };
    int status;

    if (agent == NULL || publication == NULL || timeout < 0
        || publication->size != sizeof(*publication) || !set_ref(agent, publication->ref))
        return COMMCLIENT_BAD_ARGUMENT;
    status = cl_publication_write(publication, agent->app, agent->expected, &line);
    if (status == COMMCLIENT_OK)
        status = send_publication(agent, &line, when);
    agent->expected[0] = '\0';
    cc_buffer_clear(&line);
    return status;
}

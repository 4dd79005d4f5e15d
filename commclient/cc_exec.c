/* SPDX-License-Identifier: Apache-2.0
 * cc_exec.c - applications that are programs: one process for each message.
 *
 * A runner stands for an application, a job for a message that was given to
 * it. Calls from cc_dispatch only take note; all that calls back into it comes
 * from the loop of events.
 */
#include "cc_compat.h"
#include "cc_exec.h"
#include "cc_backoff.h"
#include "cc_exec_input.h"
#include "cc_log.h"
#include "cc_process.h"
#include "cc_random.h"
#include "cc_time.h"
#include "cc_utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>

#define STOP_WAIT      7    /* s for what runs when the agent ends             */
#define SUBSCRIBE_WAIT 1    /* s before the next try, when the inbox fails     */
#define LINE_STEP      1000 /* ms between two lines about one application      */
#define QUOTE_MAX      1000 /* characters of stderr in a line                  */

typedef struct job {
    TAILQ_ENTRY(job) link;
    struct runner *runner;
    cc_process *process; /* NULL: it waits to be started                      */
    struct event *timer; /* until it is started                               */
    char id[CC_ID_MAX + 1];
    cc_exec_input input;
    const char *unusable; /* why no program can be given it; NULL: it can      */
    cc_backoff backoff;
    int64_t expires; /* ms since 1970; 0: never                           */
    int attempt;     /* the next one                                      */
    int failures;
} job;

/* A gap to be acknowledged: nobody can be told of it but the log. */
typedef struct gap {
    TAILQ_ENTRY(gap) link;
    char id[CC_GAP_ID_MAX];
} gap;

typedef struct runner {
    TAILQ_ENTRY(runner) link;
    cc_exec *exec;
    const cc_app_config *config; /* NULL: it ends when its jobs have           */
    cc_client *client;
    struct event *begin; /* until it subscribes, or acknowledges gaps         */
    TAILQ_HEAD(, job) jobs;
    TAILQ_HEAD(, gap) gaps;
    int job_count;
    int cannot_start;  /* said so                                           */
    int64_t last_line; /* ms, monotonic: about a failure                     */
    size_t unsaid;     /* failures since then                               */
    char name[CC_APP_MAX + 1];
} runner;

struct cc_exec {
    const cc_config *config;
    cc_dispatch *dispatch;
    struct event_base *base;
    TAILQ_HEAD(, runner) runners;
    int running; /* processes                                               */
    int stopping;
};

/* ---- what is said ---------------------------------------------------- */

static size_t quote_one(const char *at, const char *end, cc_buffer *out)
{
    size_t len = cc_utf8_length(at, end);
    int is_control = len == 1 ? (unsigned char)*at < 0x20 || *at == 0x7f
                              : len == 2 && *at == '\xc2' && (unsigned char)at[1] < 0xa0;

    if (len > 0 && !is_control) {
        cc_buffer_add(out, at, len);
        return len;
    }
    if (*at == '\n')
        cc_buffer_add_text(out, "\\n");
    else
        cc_buffer_format(out, "\\x%02x", (unsigned char)*at);
    return 1;
}

char *cc_exec_quote(cc_slice bytes)
{
    const char *at = bytes.data, *end = at + bytes.len;
    cc_buffer text = { NULL, 0, 0 };
    char *last;

    while (end > at && (end[-1] == '\n' || end[-1] == ' '))
        end--;
    cc_buffer_add_text(&text, "");
    while (at < end)
        at += quote_one(at, end, &text);
    if (text.len <= QUOTE_MAX)
        return text.data;
    last = text.data + text.len - QUOTE_MAX;
    while ((*last & 0xc0) == 0x80)
        last++;
    last = cc_copy(last);
    cc_buffer_clear(&text);
    return last;
}

/* Why the process did not do it. */
static char *format_failure(const job *j, const cc_process_end *end)
{
    cc_buffer text = { NULL, 0, 0 };

    if (end->timed_out)
        cc_buffer_format(&text, "it ran longer than %d s", j->runner->config->timeout);
    else if (WIFSIGNALED(end->status))
        cc_buffer_format(&text, "signal %d (%s)", WTERMSIG(end->status),
                         strsignal(WTERMSIG(end->status)));
    else
        cc_buffer_format(&text, "exit status %d", WEXITSTATUS(end->status));
    return text.data;
}

/* One line, then at most one a second. */
static void say_failure(const job *j, const char *why, const char *what_next,
                        const cc_process_end *end)
{
    runner *r = j->runner;
    int64_t now = cc_time_monotonic();
    char *errors, others[64] = "";

    if (r->last_line != 0 && now - r->last_line < LINE_STEP) {
        r->unsaid++;
        return;
    }
    if (r->unsaid > 0)
        snprintf(others, sizeof(others), " (and %zu other failures)", r->unsaid);
    r->last_line = now;
    r->unsaid = 0;
    errors = cc_exec_quote(end->errors);
    cc_log(CC_LOG_WARNING,
           "[app %s] exec failed for message %s: %s, attempt %d; %s%s%s%s", r->name,
           j->id, why, j->attempt, what_next, others,
           *errors != '\0' ? "; it wrote: " : "", errors);
    free(errors);
}

/* Once, until it has been started again. */
static void say_cannot_start(runner *r, int code)
{
    if (!r->cannot_start)
        cc_log(CC_LOG_ERROR, "[app %s] '%s' cannot be run: %s; trying again", r->name,
               r->config->exec[0], strerror(code));
    r->cannot_start = 1;
}

/* ---- jobs ------------------------------------------------------------ */

static void end_runner(runner *r);

static void free_job(job *j)
{
    TAILQ_REMOVE(&j->runner->jobs, j, link);
    j->runner->job_count--;
    event_free(j->timer);
    cc_exec_input_clear(&j->input);
    free(j);
}

/* What becomes of the message of a job that is done with. */
typedef enum { ACKNOWLEDGE, REJECT, GIVE_BACK, LEAVE } outcome;

/* The job makes room before the message is settled, as that may bring the next. */
static void end_job(job *j, outcome how, const char *why)
{
    runner *r = j->runner;
    char id[CC_ID_MAX + 1];

    strcpy(id, j->id);
    free_job(j);
    if (how == ACKNOWLEDGE)
        cc_dispatch_acknowledge(r->client, id);
    else if (how == REJECT)
        cc_dispatch_reject(r->client, id, why);
    else if (how == GIVE_BACK)
        cc_dispatch_put_off(r->client, id, 0);
    if (r->config == NULL && r->job_count == 0)
        end_runner(r);
    else if (how != LEAVE)
        cc_dispatch_ready(r->client);
}

static unsigned start_timer(job *j)
{
    unsigned wait = cc_backoff_next(&j->backoff);
    struct timeval delay = { wait / 1000, wait % 1000 * 1000 };

    event_add(j->timer, &delay);
    return wait;
}

/* It did not do it: again, or never. */
static void fail_job(job *j, const cc_process_end *end)
{
    char *why = format_failure(j, end);
    cc_buffer text = { NULL, 0, 0 };
    int is_last = ++j->failures > j->runner->config->retries;

    if (!end->timed_out && WIFEXITED(end->status)
        && WEXITSTATUS(end->status) == CC_EXEC_REJECT)
        is_last = 1;
    if (!is_last) {
        cc_buffer_format(&text, "again in %.1f s", start_timer(j) / 1000.0);
        say_failure(j, why, text.data, end);
        j->attempt++;
    }
    else {
        say_failure(j, why, "it goes to the dead list", end);
        cc_buffer_format(&text, "exec failed: %s, attempt %d", why, j->attempt);
        end_job(j, REJECT, text.data);
    }
    cc_buffer_clear(&text);
    free(why);
}

static void on_ended(void *baton, const cc_process_end *end)
{
    job *j = baton;
    const runner *r = j->runner;

    j->process = NULL;
    r->exec->running--;
    if (WIFEXITED(end->status) && WEXITSTATUS(end->status) == 0 && !end->timed_out)
        end_job(j, ACKNOWLEDGE, NULL);
    else if (r->exec->stopping)
        end_job(j, LEAVE, NULL);
    else if (r->config == NULL)
        end_job(j, GIVE_BACK, NULL);
    else
        fail_job(j, end);
}

static void start_process(job *j)
{
    runner *r = j->runner;
    cc_process_options options;

    cc_exec_input_attempt_set(&j->input, j->attempt);
    options.argv = r->config->exec;
    options.environment = j->input.environment;
    options.input.data = j->input.payload.data;
    options.input.len = j->input.payload.len;
    options.timeout = r->config->timeout;
    options.ended = on_ended;
    options.baton = j;
    if (cc_process_start(r->exec->base, &options, &j->process) != CC_OK) {
        say_cannot_start(r, errno);
        start_timer(j);
        return;
    }
    if (r->cannot_start)
        cc_log(CC_LOG_NOTICE, "[app %s] exec can be run again", r->name);
    r->cannot_start = 0;
    r->exec->running++;
}

static void on_timer(evutil_socket_t ignored, short what, void *baton)
{
    job *j = baton;

    (void)ignored;
    (void)what;
    if (j->runner->exec->stopping)
        return;
    if (j->unusable != NULL)
        end_job(j, REJECT, j->unusable);
    else if (j->runner->config == NULL || (j->expires > 0 && j->expires <= cc_time_now()))
        end_job(j, GIVE_BACK, NULL);
    else
        start_process(j);
}

/* ---- calls from cc_dispatch ------------------------------------------ */

static int call_has_room(void *baton)
{
    const runner *r = baton;

    return r->config != NULL && !r->exec->stopping && r->job_count < r->config->parallel;
}

static void call_message(void *baton, const cc_delivery *delivery)
{
    runner *r = baton;
    job *j = cc_alloc(sizeof(*j));
    uint64_t seed = 0;

    cc_random_fill(&seed, sizeof(seed));
    cc_backoff_init(&j->backoff, seed);
    j->runner = r;
    strcpy(j->id, delivery->id);
    j->expires = delivery->expires;
    j->attempt = delivery->attempt;
    cc_exec_input_make(delivery, &j->input, &j->unusable);
    j->timer = evtimer_new(r->exec->base, on_timer, j);
    TAILQ_INSERT_TAIL(&r->jobs, j, link);
    r->job_count++;
    event_active(j->timer, EV_TIMEOUT, 0);
}

static void call_copy(void *baton, const cc_delivery *delivery)
{
    (void)baton;
    (void)delivery;
}

static void call_gap(void *baton, const cc_gap_notice *notice)
{
    runner *r = baton;
    gap *note = cc_alloc(sizeof(*note));

    if (notice->count > 0)
        cc_log(CC_LOG_WARNING, "[app %s] %lld messages of server '%s' are missing",
               r->name, (long long)notice->count, notice->server);
    else
        cc_log(CC_LOG_WARNING, "[app %s] messages of server '%s' may be missing", r->name,
               notice->server);
    strcpy(note->id, notice->id);
    TAILQ_INSERT_TAIL(&r->gaps, note, link);
    event_active(r->begin, EV_TIMEOUT, 0);
}

static void call_settled(void *baton, cc_settled how, const char *id)
{
    (void)baton;
    (void)how;
    (void)id;
}

static const cc_client_calls client_calls = { call_has_room, call_message, call_copy,
                                              call_gap, call_settled };

/* ---- runners --------------------------------------------------------- */

static void forget_gap(runner *r, gap *note)
{
    TAILQ_REMOVE(&r->gaps, note, link);
    free(note);
}

static void end_runner(runner *r)
{
    job *j;
    gap *note;

    while ((j = TAILQ_FIRST(&r->jobs)) != NULL) {
        if (j->process != NULL)
            cc_process_destroy(j->process);
        free_job(j);
    }
    while ((note = TAILQ_FIRST(&r->gaps)) != NULL)
        forget_gap(r, note);
    cc_dispatch_detach(r->client);
    event_free(r->begin);
    TAILQ_REMOVE(&r->exec->runners, r, link);
    free(r);
}

/* Also after each change of the configuration: then it changes the window. */
static void on_begin(evutil_socket_t ignored, short what, void *baton)
{
    struct timeval wait = { SUBSCRIBE_WAIT, 0 };
    runner *r = baton;
    gap *note;

    (void)ignored;
    (void)what;
    if (r->config == NULL)
        return;
    if (cc_dispatch_subscribe(r->client, r->name, r->config->parallel, 0) != CC_OK) {
        event_add(r->begin, &wait);
        return;
    }
    while ((note = TAILQ_FIRST(&r->gaps)) != NULL) {
        cc_dispatch_acknowledge(r->client, note->id);
        forget_gap(r, note);
    }
    cc_dispatch_ready(r->client);
}

static runner *find_runner(cc_exec *exec, const char *name)
{
    runner *r;

    TAILQ_FOREACH(r, &exec->runners, link)
    {
        if (strcmp(r->name, name) == 0)
            return r;
    }
    return NULL;
}

static runner *make_runner(cc_exec *exec, const char *name)
{
    runner *r = cc_alloc(sizeof(*r));

    r->exec = exec;
    strcpy(r->name, name);
    TAILQ_INIT(&r->jobs);
    TAILQ_INIT(&r->gaps);
    r->client = cc_dispatch_attach(exec->dispatch, &client_calls, r);
    r->begin = evtimer_new(exec->base, on_begin, r);
    TAILQ_INSERT_TAIL(&exec->runners, r, link);
    return r;
}

static void begin_runners(cc_exec *exec)
{
    const cc_app_config *app;
    runner *r;
    size_t i;

    for (i = 0; i < exec->config->app_count; i++) {
        app = &exec->config->apps[i];
        if (app->exec == NULL)
            continue;
        r = find_runner(exec, app->name);
        if (r == NULL)
            r = make_runner(exec, app->name);
        r->config = app;
        event_active(r->begin, EV_TIMEOUT, 0);
    }
}

/* What waits goes back, what runs goes on. */
static void retire_runner(runner *r)
{
    job *j, *next;

    for (j = TAILQ_FIRST(&r->jobs); j != NULL; j = next) {
        next = TAILQ_NEXT(j, link);
        if (j->process == NULL)
            event_active(j->timer, EV_TIMEOUT, 0);
    }
    if (r->job_count == 0)
        end_runner(r);
}

/* ---- the whole ------------------------------------------------------- */

cc_status cc_exec_check_app(const cc_app_config *app, char **out_error)
{
    cc_buffer text = { NULL, 0, 0 };
    struct stat info;

    if (app->exec == NULL)
        return CC_OK;
    if (stat(app->exec[0], &info) == 0) {
        errno = S_ISDIR(info.st_mode) ? EISDIR : EACCES;
        if (S_ISREG(info.st_mode)
            && faccessat(AT_FDCWD, app->exec[0], X_OK, AT_EACCESS) == 0)
            return CC_OK;
    }
    cc_buffer_format(&text, "[app %s] exec: '%s' cannot be run: %s", app->name,
                     app->exec[0], strerror(errno));
    *out_error = text.data;
    return CC_BAD_CONFIG;
}

cc_status cc_exec_check(const cc_config *config, char **out_error)
{
    cc_buffer text = { NULL, 0, 0 };
    char *error = NULL;
    size_t i;

    for (i = 0; i < config->app_count; i++) {
        if (cc_exec_check_app(&config->apps[i], &error) == CC_OK)
            continue;
        cc_buffer_format(&text, "%s:%u: %s", config->file, config->apps[i].line, error);
        free(error);
        *out_error = text.data;
        return CC_BAD_CONFIG;
    }
    return CC_OK;
}

cc_exec *cc_exec_create(const cc_config *config, cc_dispatch *dispatch,
                        struct event_base *base)
{
    cc_exec *exec = cc_alloc(sizeof(*exec));

    exec->config = config;
    exec->dispatch = dispatch;
    exec->base = base;
    TAILQ_INIT(&exec->runners);
    begin_runners(exec);
    return exec;
}

void cc_exec_config_set(cc_exec *exec, const cc_config *config)
{
    runner *r, *next;

    exec->config = config;
    TAILQ_FOREACH(r, &exec->runners, link)
    r->config = NULL;
    begin_runners(exec);
    for (r = TAILQ_FIRST(&exec->runners); r != NULL; r = next) {
        next = TAILQ_NEXT(r, link);
        if (r->config == NULL)
            retire_runner(r);
    }
}

static void on_stop_wait(evutil_socket_t ignored, short what, void *baton)
{
    (void)ignored;
    (void)what;
    *(int *)baton = 1;
}

void cc_exec_stop(cc_exec *exec)
{
    struct timeval wait = { STOP_WAIT, 0 };
    struct event *deadline;
    runner *r;
    int is_over = 0;
    job *j;

    exec->stopping = 1;
    if (exec->running == 0)
        return;
    TAILQ_FOREACH(r, &exec->runners, link)
    {
        TAILQ_FOREACH(j, &r->jobs, link)
        {
            if (j->process != NULL)
                cc_process_terminate(j->process);
        }
    }
    deadline = evtimer_new(exec->base, on_stop_wait, &is_over);
    event_add(deadline, &wait);
    while (exec->running > 0 && !is_over)
        event_base_loop(exec->base, EVLOOP_ONCE);
    event_free(deadline);
}

void cc_exec_destroy(cc_exec *exec)
{
    if (exec == NULL)
        return;
    while (!TAILQ_EMPTY(&exec->runners))
        end_runner(TAILQ_FIRST(&exec->runners));
    free(exec);
}

/* SPDX-License-Identifier: Apache-2.0
 * readers.c - local applications of agents, and a client of its own that
 * polls; see stage.h. They are killed at any moment.
 */
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNDERWAY 64 /* acknowledgements, more than the window        */
#define HELD     8
#define ID_SIZE  32
#define IDLE_MS  150

typedef struct underway {
    char id[ID_SIZE];
    int publisher, serial;
} underway;

/* Of the payload in an object. -1: it is none of ours. */
static int number_in(const char *json, const char *path)
{
    const char *text = support_json(json, path);

    return text ? atoi(text) : -1;
}

/* ---- local applications -------------------------------------------------- */

typedef struct local {
    stage *s;
    int queue;
    unsigned dice;
    lines lines;
    underway all[UNDERWAY];
    underway held[HELD]; /* to be acknowledged when there is nothing else to do */
    int held_count;
} local;

static void acknowledge(local *a, const char *id, int publisher, int serial)
{
    int i = 0;

    while (i < UNDERWAY - 1 && a->all[i].id[0])
        i++;
    snprintf(a->all[i].id, ID_SIZE, "%s", id);
    a->all[i].publisher = publisher;
    a->all[i].serial = serial;
    board_acknowledging(a->s->board, a->queue, publisher, serial);
    lines_send(&a->lines, support_text("{\"ack\":\"%s\"}", id));
}

static void note_acknowledged(local *a, const char *id)
{
    int i;

    for (i = 0; i < UNDERWAY; i++)
        if (strcmp(a->all[i].id, id) == 0) {
            board_acknowledged(a->s->board, a->queue, a->all[i].publisher,
                               a->all[i].serial);
            a->all[i].id[0] = '\0';
        }
}

static void acknowledge_held(local *a)
{
    while (a->held_count > 0) {
        const underway *one = &a->held[--a->held_count];

        acknowledge(a, one->id, one->publisher, one->serial);
    }
}

static void hold(local *a, const char *id, int publisher, int serial)
{
    underway *one = &a->held[a->held_count++];

    snprintf(one->id, ID_SIZE, "%s", id);
    one->publisher = publisher;
    one->serial = serial;
    if (a->held_count == HELD)
        acknowledge_held(a);
}

/* Dealt with at once, or after others; bills sometimes later, or slowly. */
static void take_message(local *a, const char *line)
{
    char id[ID_SIZE];
    int publisher = number_in(line, "message.data.p");
    int serial = number_in(line, "message.data.n");
    unsigned mood = stage_dice(&a->dice, 12);

    snprintf(id, sizeof id, "%s", support_json(line, "message.id"));
    board_arrive(a->s->board, a->queue, publisher, serial,
                 number_in(line, "message.attempt"));
    if (a->queue % APPS == BILLING && mood == 0) {
        lines_send(&a->lines, support_text("{\"nack\":\"%s\",\"delay\":1}", id));
        return;
    }
    if (a->queue % APPS == BILLING && mood == 1)
        stage_sleep((int)stage_dice(&a->dice, 300));
    if (mood < 8)
        hold(a, id, publisher, serial);
    else
        acknowledge(a, id, publisher, serial);
}

static void take_line(local *a, const char *line)
{
    const char *id = support_json(line, "acked");

    if (id)
        note_acknowledged(a, id);
    else if (support_json(line, "message"))
        take_message(a, line);
    else if (support_json(line, "gap") || support_json(line, "error"))
        board_complain(a->s->board, "queue %d: %s", a->queue, line);
}

void read_of_agent(stage *s, int reader)
{
    local *a = calloc(1, sizeof *a);
    const char *line;

    a->s = s;
    a->queue = reader; /* alice's and bob's come first, in this order */
    a->dice = s->seed * 43 + (unsigned)getpid();
    for (;;) {
        memset(a->all, 0, sizeof a->all);
        a->held_count = 0;
        if (lines_open(&a->lines, s->sockets[reader / APPS]) != 0) {
            stage_sleep(50);
            continue;
        }
        lines_send(&a->lines, support_text("{\"subscribe\":\"%s\",\"window\":20}",
                                           stage_apps[reader % APPS]));
        while (a->lines.fd >= 0)
            if ((line = lines_next(&a->lines, IDLE_MS)) != NULL)
                take_line(a, line);
            else
                acknowledge_held(a);
    }
}

/* ---- a client that polls ------------------------------------------------- */

typedef struct poller {
    stage *s;
    char url[256];
    char cursor[160]; /* "": none                                      */
    int count;
    underway batch[200]; /* what this cursor stands behind                */
    int queues[200];
} poller;

static int queue_of(const char *app)
{
    return QUEUE(DAVE, strcmp(app, stage_apps[ORDERS]) == 0 ? ORDERS : BILLING);
}

static void take_batch(poller *p, const char *body)
{
    const char *cursor = support_json(body, "cursor");
    int i;

    snprintf(p->cursor, sizeof p->cursor, "%s", cursor ? cursor : "");
    if (support_json(body, "gap"))
        board_complain(p->s->board, "dave was told of a gap: %.300s", body);
    for (i = 0; i < 200; i++) {
        const char *app = support_json(body, support_text("messages.%d.app", i));

        if (!app)
            break;
        p->batch[i].serial = number_in(body, support_text("messages.%d.data.n", i));
        p->batch[i].publisher = number_in(body, support_text("messages.%d.data.p", i));
        p->queues[i] = queue_of(app);
        board_arrive(p->s->board, p->queues[i], p->batch[i].publisher, p->batch[i].serial,
                     0);
    }
    p->count = i;
}

static void each_of_batch(poller *p,
                          void (*note)(board *b, int queue, int publisher, int serial))
{
    int i;

    for (i = 0; i < p->count; i++)
        note(p->s->board, p->queues[i], p->batch[i].publisher, p->batch[i].serial);
}

/* A server that has answered a POST has removed what the cursor stands behind. */
static void poll_once(poller *p)
{
    const char *cursor = support_text("Last-Event-ID: %s", p->cursor);
    const char *const headers[] = { "Prefer: wait=2", p->cursor[0] ? cursor : NULL,
                                    NULL };
    web_answer answer;

    each_of_batch(p, board_acknowledging);
    answer = web_ask("dave", p->url, headers, p->cursor[0] ? "" : NULL);
    if (answer.status == 200 || answer.status == 204) {
        each_of_batch(p, board_acknowledged);
        p->count = 0;
    }
    if (answer.status == 200)
        take_batch(p, answer.body);
    else if (answer.status != 204) {
        if (answer.status != 0 && answer.status != 503 && answer.status != 409)
            board_complain(p->s->board, "poll: %d %.300s", answer.status, answer.body);
        stage_sleep(100);
    }
}

void read_by_polls(stage *s, int reader)
{
    poller *p = calloc(1, sizeof *p);

    (void)reader;
    p->s = s;
    snprintf(p->url, sizeof p->url, "%s",
             httpd_url(s->server, "/comm/poll?device=own&max=100"));
    for (;;)
        poll_once(p);
}

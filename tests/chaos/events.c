/* SPDX-License-Identifier: Apache-2.0
 * events.c - what the director does to whom, drawn from the seed and printed
 * as a plan; see stage.h.
 */
#include "stage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

typedef struct event {
    const char *name;
    unsigned weight;
    void (*happen)(stage *s, unsigned *dice);
} event;

/* ---- httpd --------------------------------------------------------------- */

static pid_t any_child(const stage *s, unsigned *dice)
{
    pid_t children[64];
    int n = httpd_children(s->server, children, 64);

    return n > 0 ? children[stage_dice(dice, (unsigned)n)] : 0;
}

static void kill_child(stage *s, unsigned *dice)
{
    pid_t child = any_child(s, dice);

    if (child > 0)
        kill(child, SIGKILL);
}

static void stop_for_a_while(pid_t pid, unsigned *dice)
{
    if (pid > 0 && kill(pid, SIGSTOP) == 0) {
        stage_sleep(100 + (int)stage_dice(dice, 2500));
        kill(pid, SIGCONT);
    }
}

static void suspend_child(stage *s, unsigned *dice)
{
    stop_for_a_while(any_child(s, dice), dice);
}

static void suspend_parent(stage *s, unsigned *dice)
{
    stop_for_a_while(httpd_parent(s->server), dice);
}

static void kill_all(stage *s, unsigned *dice)
{
    (void)dice;
    httpd_crash(s->server);
    httpd_again(s->server);
}

/* Its children go on for a while; the administrator ends them. */
static void kill_parent(stage *s, unsigned *dice)
{
    kill(httpd_parent(s->server), SIGKILL);
    stage_sleep((int)stage_dice(dice, 500));
    kill_all(s, dice);
}

static void restart_gracefully(stage *s, unsigned *dice)
{
    (void)dice;
    httpd_graceful(s->server);
}

static void restart(stage *s, unsigned *dice)
{
    (void)dice;
    httpd_restart(s->server);
}

static void stop_and_start(stage *s, unsigned *dice)
{
    httpd_stop(s->server);
    stage_sleep((int)stage_dice(dice, 300));
    httpd_again(s->server);
}

static void stop_gracefully(stage *s, unsigned *dice)
{
    (void)dice;
    httpd_graceful_stop(s->server);
    httpd_again(s->server);
}

static void resize(stage *s, unsigned *dice)
{
    httpd_configure(s->server, support_text(CONFIG "CommServerSegmentSize %uM\n",
                                            16 + 8 * stage_dice(dice, 5)));
    stop_and_start(s, dice);
}

/* ---- agents and applications --------------------------------------------- */

static void kill_agent(stage *s, unsigned *dice)
{
    agent *a = s->agents[stage_dice(dice, AGENTS)];

    agent_kill(a);
    stage_sleep((int)stage_dice(dice, 200));
    agent_again(a);
}

static void suspend_agent(stage *s, unsigned *dice)
{
    stop_for_a_while(agent_pid(s->agents[stage_dice(dice, AGENTS)]), dice);
}

static void stop_agent(stage *s, unsigned *dice)
{
    agent *a = s->agents[stage_dice(dice, AGENTS)];

    agent_stop(a);
    agent_again(a);
}

static void kill_reader(stage *s, unsigned *dice)
{
    int reader = (int)stage_dice(dice, READERS);

    stage_kill(&s->readers[reader]);
    stage_start_reader(s, reader);
}

static const event events[] = {
    { "a child of httpd is killed", 6, kill_child },
    { "a child of httpd is stopped for a while", 3, suspend_child },
    { "httpd's parent is stopped for a while", 1, suspend_parent },
    { "all of httpd is killed, and started again", 3, kill_all },
    { "httpd's parent is killed, then its children", 1, kill_parent },
    { "graceful restart", 3, restart_gracefully },
    { "restart", 2, restart },
    { "stop and start", 2, stop_and_start },
    { "graceful stop, and start", 1, stop_gracefully },
    { "stop, another size of the segment, start", 1, resize },
    { "an agent is killed, and started again", 6, kill_agent },
    { "an agent is stopped for a while", 2, suspend_agent },
    { "an agent ends and is started again", 1, stop_agent },
    { "a local application is killed, another comes", 8, kill_reader },
};

#define EVENTS (sizeof events / sizeof *events)

static const event *draw(unsigned *dice)
{
    unsigned all = 0, i, at;

    for (i = 0; i < EVENTS; i++)
        all += events[i].weight;
    at = stage_dice(dice, all);
    for (i = 0; at >= events[i].weight; i++)
        at -= events[i].weight;
    return &events[i];
}

void events_play(stage *s, int seconds)
{
    long long begin = process_now_ms(), now = begin;
    unsigned dice = s->seed, counts[EVENTS] = { 0 }, i;

    while (now < begin + seconds * 1000LL && !board_complaint(s->board)) {
        const event *next = draw(&dice);

        stage_sleep(50 + (int)stage_dice(&dice, 500));
        printf("%7.1f s  %s\n", (double)(process_now_ms() - begin) / 1000, next->name);
        fflush(stdout);
        next->happen(s, &dice);
        counts[next - events]++;
        stage_look(s);
        now = process_now_ms();
    }
    for (i = 0; i < EVENTS; i++)
        printf("%6u times  %s\n", counts[i], events[i].name);
    fflush(stdout);
}

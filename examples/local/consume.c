/* SPDX-License-Identifier: Apache-2.0
 * consume.c - a local application that consumes its messages, by libcommclient.
 *
 *     consume SOCKET APP
 *     cc consume.c $(pkg-config --cflags --libs commclient)
 *
 * Prints each message and acknowledges it. Only then does the agent forget it:
 * killed in between, this program gets the same message again when it is back.
 * When the agent ends and comes back it goes on by itself. SIGINT and SIGTERM
 * end it, once the agent has all acknowledgements.
 */
#include <signal.h>
#include <stdio.h>

#include "commclient.h"

#define LOOK_MS  500  /* how often is looked whether to end                     */
#define FLUSH_MS 5000

static volatile sig_atomic_t ending;

static void on_signal(int number)
{
    (void)number;
    ending = 1;
}

static void consume(commclient *agent, const commclient_event *event)
{
    if (event->kind == COMMCLIENT_MESSAGE)
        printf("%s: %s (from %s)\n", event->app, event->data,
               event->from != NULL ? event->from : "?");
    else if (event->kind == COMMCLIENT_GAP)
        printf("%s: %lu messages are missing\n", event->app, event->missing);
    fflush(stdout);
    commclient_ack(agent, event->id);
}

static int run(commclient *agent)
{
    const commclient_event *event;
    int status = COMMCLIENT_OK;

    while (!ending && (status == COMMCLIENT_OK || status == COMMCLIENT_NOTHING)) {
        status = commclient_next(agent, LOOK_MS, &event);
        if (status == COMMCLIENT_OK)
            consume(agent, event);
    }
    if (status == COMMCLIENT_REFUSED)
        fprintf(stderr, "consume: %s\n", commclient_error(agent));
    return commclient_flush(agent, FLUSH_MS) == COMMCLIENT_OK && ending ? 0 : 1;
}

int main(int argc, char **argv)
{
    commclient *agent;
    int status;

    if (argc != 3) {
        fprintf(stderr, "usage: consume SOCKET APP\n");
        return 2;
    }
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    status = commclient_open(argv[1], argv[2], 0, &agent);
    if (status != COMMCLIENT_OK) {
        fprintf(stderr, "consume: %s\n", commclient_text(status));
        return 2;
    }
    status = run(agent);
    commclient_close(agent);
    return status;
}

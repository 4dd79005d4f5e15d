/* SPDX-License-Identifier: Apache-2.0
 * publishers.c - processes that publish by every way there is; see stage.h.
 *
 * Each publishes the next message only when it knows what became of the last,
 * or never will: so their order is the order of serial numbers.
 */
#include "stage.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAUSE_MS 60   /* at most, between two messages                */
#define AGAIN_MS 1500 /* at most, until the same is asked again       */

static int is_over(const stage *s)
{
    return !__atomic_load_n(s->publishing, __ATOMIC_ACQUIRE);
}

/* Clients that get the next message, as bits: mostly one. */
static unsigned choose_clients(unsigned *dice)
{
    return stage_dice(dice, 3) ? 1u << stage_dice(dice, CLIENTS)
                               : 1 + stage_dice(dice, (1u << CLIENTS) - 1);
}

static unsigned queues_of(unsigned clients, unsigned app)
{
    unsigned queues = 0, client;

    for (client = 0; client < CLIENTS; client++)
        if (clients >> client & 1)
            queues |= 1u << QUEUE(client, app);
    return queues;
}

/* "alice,bob" with the words around each name that are asked for. */
static const char *names_of(unsigned clients, const char *before, const char *between)
{
    const char *text = "";
    unsigned client;

    for (client = 0; client < CLIENTS; client++)
        if (clients >> client & 1)
            text = support_text("%s%s%s%s", text, *text ? between : "", before,
                                stage_clients[client]);
    return text;
}

static const char *payload(int publisher, int serial, unsigned *dice)
{
    static const char filling[] = "................................................"
                                  "................................................";

    return support_text("{\"p\":%d,\"n\":%d,\"x\":\"%.*s\"}", publisher, serial,
                        (int)stage_dice(dice, sizeof filling - 1), filling);
}

/* ---- HTTP ---------------------------------------------------------------- */

/* Until it is taken; the body of that answer. NULL: what came is wrong. */
static const char *ask_until_taken(stage *s, const char *key, const char *url,
                                   const char *data)
{
    const char *const headers[] = { key, "Content-Type: application/json", NULL };

    for (;;) {
        web_answer answer = web_ask("backend", url, headers, data);

        if (answer.status == 201)
            return support_text("%s", answer.body);
        if (answer.status != 0 && answer.status != 503 && answer.status != 507
            && answer.status != 409) {
            board_complain(s->board, "publish %s: %d %s", url, answer.status,
                           answer.body);
            return NULL;
        }
        stage_sleep(100);
    }
}

/* Who asks again with the key is told the same again, whatever has happened. */
static void ask_again(stage *s, const char *key, const char *url, const char *data,
                      const char *told, unsigned *dice)
{
    char first[1024];
    const char *second;

    snprintf(first, sizeof first, "%s", told);
    stage_sleep((int)stage_dice(dice, AGAIN_MS));
    second = ask_until_taken(s, key, url, data);
    if (second && strcmp(first, second) != 0)
        board_complain(s->board, "%s: first %s, and then %s", key, first, second);
}

static void ask_until_answered(stage *s, int publisher, int serial, const char *url,
                               const char *data, unsigned *dice)
{
    const char *key =
        support_text("Idempotency-Key: \"%u-%d-%d\"", s->seed, publisher, serial);
    const char *told = ask_until_taken(s, key, url, data);

    if (!told)
        return;
    board_end(s->board, publisher, serial, BOARD_ACCEPTED);
    if (stage_dice(dice, 6) == 0)
        ask_again(s, key, url, data, told, dice);
}

void publish_by_http(stage *s, int publisher)
{
    unsigned dice = s->seed * 31 + (unsigned)publisher + 1;
    const char *base = httpd_url(s->server, "/comm/publish");
    char kept[256];

    snprintf(kept, sizeof kept, "%s", base);
    while (!is_over(s)) {
        unsigned app = stage_dice(&dice, APPS), clients = choose_clients(&dice);
        int to_group = stage_dice(&dice, 8) == 0, serial;
        const char *url;

        if (to_group)
            clients = (1u << CLIENTS) - 1;
        url = to_group ? support_text("%s/%s/-/groups/team", kept, stage_apps[app])
                       : support_text("%s/%s?%s", kept, stage_apps[app],
                                      names_of(clients, "to=", "&"));
        serial = board_begin(s->board, publisher, queues_of(clients, app));
        if (serial < 0)
            return;
        ask_until_answered(s, publisher, serial, url, payload(publisher, serial, &dice),
                           &dice);
        stage_sleep((int)stage_dice(&dice, PAUSE_MS));
    }
}

/* ---- the writer ---------------------------------------------------------- */

static void become_httpds_user(void)
{
    struct passwd *user = httpd_user() ? getpwnam(httpd_user()) : NULL;

    if (user && (setgroups(0, NULL) || setgid(user->pw_gid) || setuid(user->pw_uid)))
        _exit(126);
}

static void run_commsend(const stage *s, const char *app, unsigned clients,
                         const char *data)
{
    const char *argv[16] = { support_text("%s/bin/commsend", httpd_directory(s->server)),
                             "--segment",
                             s->segment,
                             "--type",
                             "application/json",
                             "--app",
                             app };
    int n = 7, ends[2];
    unsigned client;

    for (client = 0; client < CLIENTS; client++)
        if (clients >> client & 1) {
            argv[n++] = "--to";
            argv[n++] = stage_clients[client];
        }
    if (pipe(ends) != 0 || write(ends[1], data, strlen(data)) < 0)
        _exit(126);
    close(ends[1]);
    dup2(ends[0], 0);
    dup2(open("/dev/null", O_WRONLY), 1);
    dup2(1, 2);
    become_httpds_user();
    execv(argv[0], (char *const *)argv);
    _exit(127);
}

/* Killed, or stopped for a while, at any moment: perhaps with a lock held. */
static int disturb(pid_t pid, unsigned *dice)
{
    int status;

    if (stage_dice(dice, 4) == 0) {
        stage_sleep_us(stage_dice(dice, 6000));
        kill(pid, SIGKILL);
    }
    else if (stage_dice(dice, 20) == 0) {
        stage_sleep_us(stage_dice(dice, 6000));
        kill(pid, SIGSTOP);
        stage_sleep((int)stage_dice(dice, 1500));
        kill(pid, SIGCONT);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    return status;
}

void publish_by_writer(stage *s, int publisher)
{
    unsigned dice = s->seed * 37 + (unsigned)publisher + 1;

    while (!is_over(s)) {
        unsigned app = stage_dice(&dice, APPS), clients = choose_clients(&dice);
        int serial = board_begin(s->board, publisher, queues_of(clients, app)), status;
        pid_t pid;

        if (serial < 0)
            return;
        pid = fork();
        if (pid == 0)
            run_commsend(s, stage_apps[app], clients, payload(publisher, serial, &dice));
        status = disturb(pid, &dice);
        board_end(s->board, publisher, serial,
                  !WIFEXITED(status)         ? BOARD_UNKNOWN
                  : WEXITSTATUS(status) == 0 ? BOARD_ACCEPTED
                                             : BOARD_REFUSED);
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 69
            && WEXITSTATUS(status) != 75)
            board_complain(s->board, "commsend ended with %d", WEXITSTATUS(status));
        stage_sleep((int)stage_dice(&dice, PAUSE_MS));
    }
}

/* ---- an agent ------------------------------------------------------------ */

/* 1: spooled; 0: refused; -1: nobody knows. */
static int await_spooled(stage *s, lines *l, const char *ref)
{
    const char *line, *text;

    while ((line = lines_next(l, process_scale(20000))) != NULL) {
        text = support_json(line, "spooled.ref");
        if (text && strcmp(text, ref) == 0)
            return 1;
        text = support_json(line, "error.ref");
        if (text && strcmp(text, ref) == 0) {
            text = support_json(line, "error.code");
            if (strcmp(text, "full") != 0 && strcmp(text, "storage") != 0)
                board_complain(s->board, "the agent refused to publish: %s", line);
            return 0;
        }
    }
    return -1;
}

void publish_by_agent(stage *s, int publisher)
{
    unsigned dice = s->seed * 41 + (unsigned)publisher + 1;
    const char *socket = s->sockets[publisher - BY_AGENT];
    lines *l = calloc(1, sizeof *l);

    l->fd = -1;
    while (!is_over(s)) {
        unsigned app = stage_dice(&dice, APPS), client = stage_dice(&dice, CLIENTS);
        int serial, known;
        char ref[16];

        if (l->fd < 0 && lines_open(l, socket) != 0) {
            stage_sleep(50);
            continue;
        }
        serial = board_begin(s->board, publisher, 1u << QUEUE(client, app));
        if (serial < 0)
            return;
        snprintf(ref, sizeof ref, "%d", serial);
        lines_send(
            l, support_text("{\"publish\":{\"app\":\"%s\",\"to\":\"%s\",\"ref\":\"%s\","
                            "\"data\":%s}}",
                            stage_apps[app], stage_clients[client], ref,
                            payload(publisher, serial, &dice)));
        known = await_spooled(s, l, ref);
        board_end(s->board, publisher, serial,
                  known > 0    ? BOARD_ACCEPTED
                  : known == 0 ? BOARD_REFUSED
                               : BOARD_UNKNOWN);
        stage_sleep((int)stage_dice(&dice, PAUSE_MS));
    }
}

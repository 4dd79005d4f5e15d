/* SPDX-License-Identifier: Apache-2.0
 * stage.c - processes, dice, and the ways to talk that outlive whoever is
 * talked to; see stage.h.
 */
#include "stage.h"

#include <curl/curl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const stage_clients[CLIENTS] = { "alice", "bob", "dave" };
const char *const stage_apps[APPS] = { "orders", "billing" };

unsigned stage_dice(unsigned *state, unsigned sides)
{
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    return *state % sides;
}

void stage_sleep(int ms)
{
    poll(NULL, 0, ms);
}

void stage_sleep_us(unsigned us)
{
    ppoll(NULL, 0, &(struct timespec){ us / 1000000, us % 1000000 * 1000L }, NULL);
}

/* ---- processes ----------------------------------------------------------- */

pid_t stage_start(stage *s, void (*play)(stage *s, int number), int number)
{
    pid_t pid;

    reaper_prepare();
    pid = fork();
    ck_assert_int_ge(pid, 0);
    if (pid == 0) {
        setsid();
        reaper_group(getpid());
        reaper_leave();
        signal(SIGPIPE, SIG_IGN);
        play(s, number);
        _exit(0);
    }
    return pid;
}

void stage_start_reader(stage *s, int reader)
{
    s->readers[reader] =
        stage_start(s, reader < AGENTS * APPS ? read_of_agent : read_by_polls, reader);
}

void stage_kill(pid_t *process)
{
    if (*process > 0) {
        kill(*process, SIGKILL);
        process_wait(*process, 10000, "a process that was killed");
    }
    *process = 0;
}

void stage_look(stage *s)
{
    int i, status;

    for (i = 0; i < READERS; i++)
        if (s->readers[i] > 0 && process_ended(s->readers[i], &status)) {
            s->readers[i] = 0;
            board_complain(s->board, "reader %d ended with wait status %x", i, status);
        }
}

/* ---- lines of an agent --------------------------------------------------- */

int lines_open(lines *l, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };

    l->len = l->used = 0;
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    if (connect(l->fd, (struct sockaddr *)&address, sizeof address) != 0) {
        close(l->fd);
        l->fd = -1;
        return -1;
    }
    return lines_next(l, 10000) ? 0 : -1;
}

static void hang_up(lines *l)
{
    if (l->fd >= 0)
        close(l->fd);
    l->fd = -1;
}

const char *lines_next(lines *l, int ms)
{
    char *end;

    memmove(l->bytes, l->bytes + l->used, l->len - l->used);
    l->len -= l->used;
    l->used = 0;
    while ((end = memchr(l->bytes, '\n', l->len)) == NULL) {
        struct pollfd one = { l->fd, POLLIN, 0 };
        ssize_t n = 0;

        if (l->fd < 0 || poll(&one, 1, ms) == 0)
            return NULL;
        if (l->len < sizeof l->bytes)
            n = recv(l->fd, l->bytes + l->len, sizeof l->bytes - l->len, 0);
        if (n <= 0) {
            hang_up(l);
            return NULL;
        }
        l->len += (size_t)n;
    }
    *end = '\0';
    l->used = (size_t)(end + 1 - l->bytes);
    return l->bytes;
}

void lines_send(lines *l, const char *line)
{
    const char *text = support_text("%s\n", line);
    size_t len = strlen(text);

    if (l->fd >= 0 && send(l->fd, text, len, MSG_NOSIGNAL) != (ssize_t)len)
        hang_up(l);
}

/* ---- HTTP ---------------------------------------------------------------- */

static struct {
    CURL *easy;
    char body[1 << 20];
    size_t len;
} web;

static size_t keep(char *data, size_t size, size_t n, void *user)
{
    size_t len = size * n;

    (void)user;
    if (web.len + len >= sizeof web.body)
        return 0;
    memcpy(web.body + web.len, data, len);
    web.len += len;
    return len;
}

web_answer web_ask(const char *user, const char *url, const char *const *headers,
                   const char *data)
{
    struct curl_slist *list = NULL;
    long status = 0;
    CURLcode code;

    if (!web.easy)
        web.easy = curl_easy_init();
    curl_easy_reset(web.easy);
    web.len = 0;
    for (; headers && *headers; headers++)
        list = curl_slist_append(list, *headers);
    curl_easy_setopt(web.easy, CURLOPT_URL, url);
    curl_easy_setopt(web.easy, CURLOPT_USERNAME, user);
    curl_easy_setopt(web.easy, CURLOPT_PASSWORD, HTTPD_PASSWORD);
    curl_easy_setopt(web.easy, CURLOPT_NOPROXY, "*");
    curl_easy_setopt(web.easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(web.easy, CURLOPT_TIMEOUT_MS, (long)process_scale(30000));
    curl_easy_setopt(web.easy, CURLOPT_HTTPHEADER, list);
    curl_easy_setopt(web.easy, CURLOPT_WRITEFUNCTION, keep);
    if (data)
        curl_easy_setopt(web.easy, CURLOPT_POSTFIELDS, data);
    code = curl_easy_perform(web.easy);
    if (code == CURLE_OK)
        curl_easy_getinfo(web.easy, CURLINFO_RESPONSE_CODE, &status);
    curl_slist_free_all(list);
    web.body[web.len] = '\0';
    return (web_answer){ (int)status, web.body };
}

/* SPDX-License-Identifier: Apache-2.0
 * check_mpms.c - the same exchange under every MPM and every protocol.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/support.h"

static const char *const mpms[] = { "event", "worker", "prefork" };

static httpd *start(const char *mpm)
{
    /* mod_http2 does not go with prefork. */
    return httpd_start(&(httpd_options){ .mpm = mpm,
                                         .tls = 1,
                                         .http2 = strcmp(mpm, "prefork") != 0,
                                         .config = "CommServerMaxWait 5\n" });
}

static int waiting(httpd *server)
{
    http_answer *answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);

    return answer->status == 200 ? atoi(support_json(answer->body, "waiting")) : -1;
}

static void publish(httpd *server, const char *client, const char *body)
{
    ck_assert_int_eq(http_once(server, "POST",
                               support_text("/comm/publish/orders/%s", client), "backend",
                               NULL, body)
                         ->status,
                     201);
}

/* Held on c, then a message comes through another connection. */
static void hold_and_hear(httpd *server, http *c, const char *client)
{
    http_answer *answer;

    http_ask(c, "POST", "/comm/poll?wait=5", client, NULL, NULL);
    wait_until(waiting(server) >= 1, 5000);
    publish(server, client, "for you");
    answer = http_read(c);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "for you");
    answer = http_call(
        c, "POST",
        support_text("/comm/poll?after=%s", support_json(answer->body, "cursor")), client,
        NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
}

START_TEST(plain_and_tls_connections_hear_of_messages)
{
    httpd *server = start(mpms[_i]);
    http *plain = http_open(server), *tls = http_open_tls(server);
    int i;

    for (i = 0; i < 3; i++) {
        hold_and_hear(server, plain, "alice");
        hold_and_hear(server, tls, "bob");
    }
    http_close(plain);
    /* prefork runs its cleanups in the signal handler, mod_ssl's among them: so
     * it is stopped only when it has done with the connection. */
    http_half_close(tls);
    ck_assert_int_eq(http_closed(tls, 5000), 1);
    http_close(tls);
    httpd_end(server);
}
END_TEST

/* A child publishes once the poll of its parent is held. */
static pid_t publish_when_held(httpd *server, const char *client)
{
    pid_t pid = fork();

    if (pid == 0) {
        wait_until(waiting(server) >= 1, 5000);
        publish(server, client, "for you");
        _exit(0);
    }
    return pid;
}

static void hear_over_http2(httpd *server, int tls, const char *client)
{
    pid_t pid = publish_when_held(server, client);
    http_answer *answer =
        http2_once(server, tls, "GET", "/comm/poll?wait=5", client, NULL, NULL);
    int status;

    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), "for you");
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
    answer = http2_once(
        server, tls, "POST",
        support_text("/comm/poll?after=%s", support_json(answer->body, "cursor")), client,
        NULL, NULL);
    ck_assert_int_eq(answer->status, 204);
    ck_assert_ptr_nonnull(http_header(answer, "comm-cursor"));
    answer = http2_once(server, tls, "GET", "/comm/poll?max=0", client, NULL, NULL);
    ck_assert_int_eq(answer->status, 400);
    ck_assert_str_eq(support_json(answer->body, "type"), "malformed");
    answer =
        http2_once(server, tls, "POST", support_text("/comm/publish/orders/%s", client),
                   "backend", "Content-Type: application/json", "{\"a\": 1}");
    ck_assert_int_eq(answer->status, 201);
    answer = http2_once(server, tls, "GET", "/comm/poll", client, NULL, NULL);
    ck_assert_ptr_nonnull(strstr(answer->body, "\"data\":{\"a\": 1}}"));
}

START_TEST(http2_streams_hear_of_messages)
{
    httpd *server = start(mpms[_i]);

    hear_over_http2(server, 0, "carol");
    hear_over_http2(server, 1, "dave");
    httpd_end(server);
}
END_TEST

START_TEST(with_debian_modules_all_is_the_same)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = mpms[_i], .debian = 1 });
    http *c = http_open(server);

    hold_and_hear(server, c, "alice");
    http_close(c);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("mpms");
    TCase *tc = tcase_create("mpms");

    support_need_httpd();
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, plain_and_tls_connections_hear_of_messages, 0, 3);
    tcase_add_loop_test(tc, http2_streams_hear_of_messages, 0, 2);
    tcase_add_loop_test(tc, with_debian_modules_all_is_the_same, 0, 3);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}

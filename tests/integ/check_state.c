/* SPDX-License-Identifier: Apache-2.0
 * check_state.c - what is queued outlives stop and start of httpd: messages,
 * cursors, groups, idempotency; another size; a file that is damaged; a place
 * of its own for it.
 */
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parking.h"

#define MANY 50

static httpd *start(const char *config)
{
    return httpd_start(&(httpd_options){ .children = 2, .config = config });
}

static const char *in_server(const httpd *server, const char *path)
{
    return support_text("%s/%s", httpd_directory(server), path);
}

/* Texts that outlive the ring of support_text(). */
static const char *keep(const char *text)
{
    static char kept[4][1024];
    static int n;

    ck_assert_ptr_nonnull(text);
    n = (n + 1) % 4;
    snprintf(kept[n], sizeof kept[n], "%s", text);
    return kept[n];
}

static int there(const char *path)
{
    return access(path, F_OK) == 0;
}

static void expect_no_gap(const http_answer *answer)
{
    ck_assert_ptr_null(strstr(answer->body, "\"gap\""));
}

START_TEST(messages_and_cursors_outlive_stop_and_start)
{
    httpd *server = start(NULL);
    http_answer *answer;
    const char *cursor;
    int i;

    for (i = 0; i < MANY; i++) {
        parking_publish(server, "bob", support_text("message %d", i));
    }
    answer = http_once(server, "GET", "/comm/poll?max=10", "bob", NULL, NULL);
    parking_expect(answer, "message 0");
    cursor = keep(support_json(answer->body, "cursor"));
    for (i = 0; i < 2; i++) {
        httpd_stop(server);
        ck_assert_int_eq(httpd_log_count(server, "CS0015"), i + 1);
        ck_assert(there(in_server(server, "run/commserver-httpd/queue.state")));
        httpd_again(server);
        ck_assert_int_eq(httpd_log_count(server, "CS0017"), i + 1);
        ck_assert(!there(in_server(server, "run/commserver-httpd/queue.state")));
    }
    answer = http_once(server, "POST", "/comm/poll", "bob",
                       support_text("Last-Event-ID: %s\r\n", cursor), "");
    parking_expect(answer, "message 10");
    expect_no_gap(answer);
    ck_assert_str_eq(
        support_json(answer->body, support_text("messages.%d.data", MANY - 11)),
        support_text("message %d", MANY - 1));
    httpd_end(server);
}
END_TEST

START_TEST(polls_are_held_after_a_graceful_stop)
{
    httpd *server = start(NULL);
    http *poll;

    parking_publish(server, "bob", "before");
    httpd_graceful_stop(server);
    httpd_again(server);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), "before");
    poll = parking_poll(server, "alice");
    parking_await(server, 1);
    parking_publish(server, "alice", "wake up");
    parking_expect(http_read(poll), "wake up");
    http_close(poll);
    httpd_end(server);
}
END_TEST

START_TEST(groups_and_devices_outlive_stop_and_start)
{
    httpd *server = start(NULL);
    http_answer *answer;

    answer = http_once(server, "PUT", "/comm/publish/orders/-/groups/staff/alice",
                       "backend", NULL, "");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_int_eq(
        http_once(server, "GET", "/comm/poll?device=phone", "alice", NULL, NULL)->status,
        204);
    httpd_stop(server);
    httpd_again(server);
    answer = http_once(server, "PUT", "/comm/publish/orders/-/groups/staff/alice",
                       "backend", NULL, "");
    ck_assert_int_eq(answer->status, 204);
    answer = http_once(server, "POST", "/comm/publish/orders/-/groups/staff", "backend",
                       "Content-Type: text/plain\r\n", "to the staff");
    ck_assert_int_eq(answer->status, 201);
    parking_expect(
        http_once(server, "GET", "/comm/poll?device=phone", "alice", NULL, NULL),
        "to the staff");
    httpd_end(server);
}
END_TEST

#define ONCE "Content-Type: text/plain\r\nIdempotency-Key: \"4711\"\r\n"

START_TEST(a_repeat_is_known_after_stop_and_start)
{
    httpd *server = start(NULL);
    const char *path = "/comm/publish/orders/bob", *id;
    http_answer *answer = http_once(server, "POST", path, "backend", ONCE, "once");

    ck_assert_int_eq(answer->status, 201);
    id = keep(support_json(answer->body, "id"));
    httpd_stop(server);
    httpd_again(server);
    answer = http_once(server, "POST", path, "backend", ONCE, "once");
    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(support_json(answer->body, "id"), id);
    ck_assert_int_eq(http_once(server, "POST", path, "backend", ONCE, "else")->status,
                     422);
    answer = http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    parking_expect(answer, "once");
    ck_assert_ptr_null(support_json(answer->body, "messages.1.data"));
    httpd_end(server);
}
END_TEST

static int segment_size(const httpd *server)
{
    return atoi(support_json(http_once(server, "GET", "/comm/status", "admin",
                                       "Accept: application/json\r\n", NULL)
                                 ->body,
                             "segment.size"));
}

START_TEST(another_size_takes_what_is_queued)
{
    httpd *server = start(NULL);
    int before = segment_size(server);

    parking_publish(server, "bob", "kept");
    httpd_stop(server);
    httpd_configure(server, "CommServerSegmentSize 40M\n");
    httpd_again(server);
    ck_assert_int_gt(segment_size(server), before + 20 * 1024 * 1024);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), "kept");
    httpd_crash(server);
    httpd_configure(server, "CommServerSegmentSize 24M\n");
    httpd_again(server);
    httpd_log_wait(server, "CS0020", 5000);
    ck_assert_int_lt(segment_size(server), 24 * 1024 * 1024);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), "kept");
    httpd_end(server);
}
END_TEST

START_TEST(a_damaged_file_is_kept_and_told)
{
    httpd *server = start(NULL);
    http_answer *answer;
    const char *file = keep(in_server(server, "run/commserver-httpd/queue.state"));
    const char *cursor;
    struct stat info;

    parking_publish(server, "bob", "lost");
    answer = http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    cursor = keep(support_json(answer->body, "cursor"));
    httpd_stop(server);
    ck_assert_int_eq(stat(file, &info), 0);
    ck_assert_int_eq(truncate(file, info.st_size - 40), 0);
    httpd_again(server);
    httpd_log_wait(server, "CS0018", 5000);
    httpd_log_wait(server, "CS0019", 5000);
    ck_assert(there(support_text("%s.damaged", file)));
    ck_assert(!there(file));
    answer = http_once(server, "POST", "/comm/poll", "bob",
                       support_text("Last-Event-ID: %s\r\n", cursor), "");
    ck_assert_int_eq(answer->status, 200);
    ck_assert_ptr_nonnull(strstr(answer->body, "\"gap\""));
    parking_publish(server, "bob", "found");
    httpd_end(server);
}
END_TEST

START_TEST(what_cannot_be_saved_stays_in_memory)
{
    httpd *server = start(NULL);
    const char *file = keep(in_server(server, "run/commserver-httpd/queue.state"));

    parking_publish(server, "bob", "in memory");
    ck_assert_int_eq(mkdir(support_text("%s.new", file), 0700), 0);
    httpd_stop(server);
    httpd_log_wait(server, "CS0016", 5000);
    ck_assert_int_eq(rmdir(support_text("%s.new", file)), 0);
    httpd_again(server);
    httpd_log_wait(server, "CS0020", 5000);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL),
                   "in memory");
    httpd_end(server);
}
END_TEST

/* httpd ends when it cannot read its configuration again. */
START_TEST(a_restart_that_fails_loses_nothing)
{
    static const int signals[] = { SIGHUP, SIGUSR1 };
    httpd *server = start(NULL);
    int i;

    parking_publish(server, "bob", "kept");
    for (i = 0; i < 2; i++) {
        pid_t children[16];
        int n = httpd_children(server, children, 16);

        httpd_configure(server, "NoSuchDirective on\n");
        httpd_signal(server, signals[i]);
        httpd_await_end(server);
        while (n > 0) {
            wait_until(!process_alive(children[n - 1]), 15000);
            n--;
        }
        httpd_configure(server, "");
        httpd_again(server);
        ck_assert_int_eq(httpd_log_count(server, "CS0017"), i + 1);
    }
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), "kept");
    httpd_end(server);
}
END_TEST

START_TEST(the_state_has_a_place_of_its_own)
{
    httpd *server = start("CommServerStateDir @DIR@/state\n");
    const char *file = keep(in_server(server, "state/commserver-httpd.state"));
    struct stat info;

    parking_publish(server, "bob", "kept");
    ck_assert_int_eq(stat(in_server(server, "state"), &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFDIR | 0700);
    httpd_stop(server);
    ck_assert_int_eq(stat(file, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
    ck_assert(!there(in_server(server, "run/commserver-httpd")));
    httpd_again(server);
    ck_assert(!there(file));
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), "kept");
    httpd_end(server);
}
END_TEST

START_TEST(a_place_that_others_can_write_to_is_refused)
{
    const char *said = httpd_refused(
        &(httpd_options){ .children = 2, .config = "CommServerStateDir /tmp\n" });

    ck_assert_msg(strstr(said, "CS0014") != NULL, "httpd said: %s", said);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("state");
    TCase *stops = tcase_create("stops");

    support_need_httpd();
    tcase_set_timeout(stops, 120);
    tcase_add_test(stops, messages_and_cursors_outlive_stop_and_start);
    tcase_add_test(stops, polls_are_held_after_a_graceful_stop);
    tcase_add_test(stops, groups_and_devices_outlive_stop_and_start);
    tcase_add_test(stops, a_repeat_is_known_after_stop_and_start);
    tcase_add_test(stops, another_size_takes_what_is_queued);
    tcase_add_test(stops, a_damaged_file_is_kept_and_told);
    tcase_add_test(stops, what_cannot_be_saved_stays_in_memory);
    tcase_add_test(stops, a_restart_that_fails_loses_nothing);
    tcase_add_test(stops, the_state_has_a_place_of_its_own);
    tcase_add_test(stops, a_place_that_others_can_write_to_is_refused);
    suite_add_tcase(suite, stops);
    return support_run(suite);
}

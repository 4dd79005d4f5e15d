/* SPDX-License-Identifier: Apache-2.0
 * check_takeover.c - httpd is killed with everything that belongs to it and
 * started again: what was accepted arrives, cursors stay valid, waiting works.
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "parking.h"

#define MANY 50

static httpd *start(void)
{
    return httpd_start(&(httpd_options){ .children = 3 });
}

static const char *log_of(httpd *server)
{
    return support_text("%s/error.log", httpd_directory(server));
}

START_TEST(what_was_accepted_arrives_after_a_kill)
{
    httpd *server = start();
    http_answer *answer;
    int i;

    for (i = 0; i < MANY; i++) {
        parking_publish(server, "bob", support_text("message %d", i));
    }
    httpd_crash(server);
    httpd_again(server);
    httpd_log_wait(server, "CS0020", 5000);
    answer = http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    parking_expect(answer, "message 0");
    ck_assert_str_eq(
        support_json(answer->body, support_text("messages.%d.data", MANY - 1)),
        support_text("message %d", MANY - 1));
    ck_assert_ptr_null(strstr(answer->body, "\"gap\""));
    httpd_end(server);
}
END_TEST

START_TEST(a_cursor_of_before_goes_on_without_a_gap)
{
    httpd *server = start();
    http_answer *answer;
    char cursor[160];

    parking_publish(server, "bob", "first");
    answer = http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    parking_expect(answer, "first");
    snprintf(cursor, sizeof cursor, "%s", support_json(answer->body, "cursor"));
    parking_publish(server, "bob", "second");
    httpd_crash(server);
    httpd_again(server);
    answer = http_once(server, "POST", "/comm/poll", "bob",
                       support_text("Last-Event-ID: %s\r\n", cursor), "");
    parking_expect(answer, "second");
    ck_assert_ptr_null(strstr(answer->body, "\"gap\""));
    httpd_end(server);
}
END_TEST

START_TEST(polls_are_held_and_answered_afterwards)
{
    httpd *server = start();
    http *before[8], *after;
    int i;

    for (i = 0; i < 8; i++) {
        before[i] = parking_poll(server, i % 2 ? "alice" : "carol");
    }
    wait_until(parking_held(server) >= 2, 15000);
    httpd_crash(server);
    for (i = 0; i < 8; i++) {
        http_close(before[i]);
    }
    httpd_again(server);
    ck_assert_int_eq(parking_held(server), 0);
    after = parking_poll(server, "alice");
    parking_await(server, 1);
    parking_publish(server, "alice", "wake up");
    parking_expect(http_read(after), "wake up");
    http_close(after);
    httpd_end(server);
}
END_TEST

START_TEST(it_survives_being_killed_while_it_works)
{
    httpd *server = start();
    http_answer *answer;
    int round, n = 0;

    for (round = 0; round < 4; round++) {
        http *busy[4];
        int i;

        for (i = 0; i < 10; i++) {
            parking_publish(server, "dave", support_text("%d", n++));
        }
        for (i = 0; i < 4; i++) {
            busy[i] = http_open(server);
            http_ask(busy[i], "POST", "/comm/publish/orders/erin", "backend",
                     "Content-Type: text/plain\r\n", "in the middle");
        }
        httpd_crash(server);
        for (i = 0; i < 4; i++) {
            http_close(busy[i]);
        }
        httpd_again(server);
    }
    ck_assert_int_eq(httpd_log_count(server, "CS0020"), 4);
    ck_assert_int_eq(httpd_log_count(server, "CS0021"), 0);
    answer = http_once(server, "GET", "/comm/poll", "dave", NULL, NULL);
    for (round = 0; round < n; round++) {
        ck_assert_str_eq(
            support_json(answer->body, support_text("messages.%d.data", round)),
            support_text("%d", round));
    }
    httpd_end(server);
}
END_TEST

/* The parent alone is killed: its children go on with the port and the segment,
 * so the next start has another port, and is refused by the segment.        */
START_TEST(children_that_outlive_their_parent_are_named)
{
    httpd *server = start();
    pid_t children[16];
    int n = httpd_children(server, children, 16);
    pid_t parent = httpd_parent(server);
    const char *said;
    int i;

    parking_publish(server, "bob", "still there");
    kill(parent, SIGKILL);
    wait_until(!process_alive(parent), 10000);
    said = httpd_again_refused(server);
    ck_assert_msg(strstr(said, "CS0002") != NULL, "httpd said: %s", said);
    for (i = 0; i < n; i++) {
        ck_assert_msg(strstr(said, support_text(" %d", (int)children[i])) != NULL,
                      "child %d is not in: %s", (int)children[i], said);
    }
    for (i = 0; i < n; i++) {
        kill(children[i], SIGKILL);
        wait_until(!process_alive(children[i]), 10000);
    }
    reaper_group_done(parent);
    httpd_again(server);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL),
                   "still there");
    httpd_end(server);
}
END_TEST

/* The shared memory of a server, by what its parent has mapped. */
static void spoil_layout(httpd *server)
{
    process_must((const char *[]){
        "sh", "-c",
        "f=$(sed -n 's,.* \\(/dev/shm/ShM[^ ]*\\)$,\\1,p' /proc/$0/maps | head -n 1) && "
        "printf 'x' | dd of=$f bs=1 seek=$1 conv=notrunc 2>/dev/null",
        support_text("%d", (int)httpd_parent(server)), "72", NULL });
}

START_TEST(what_cannot_be_used_is_set_aside)
{
    httpd *server = start();
    const char *kept;

    parking_publish(server, "bob", "lost");
    spoil_layout(server);
    httpd_crash(server);
    httpd_again(server);
    httpd_log_wait(server, "CS0023", 5000);
    httpd_log_wait(server, "CS0024", 5000);
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL)->status,
                     204);
    kept = support_text("%s/run/commserver-httpd/queue.damaged", httpd_directory(server));
    ck_assert_msg(access(kept, R_OK) == 0, "'%s' is missing, see %s", kept,
                  log_of(server));
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("takeover");
    TCase *killed = tcase_create("killed");

    support_need_httpd();
    tcase_set_timeout(killed, 120);
    tcase_add_test(killed, what_was_accepted_arrives_after_a_kill);
    tcase_add_test(killed, a_cursor_of_before_goes_on_without_a_gap);
    tcase_add_test(killed, polls_are_held_and_answered_afterwards);
    tcase_add_test(killed, it_survives_being_killed_while_it_works);
    tcase_add_test(killed, children_that_outlive_their_parent_are_named);
    tcase_add_test(killed, what_cannot_be_used_is_set_aside);
    suite_add_tcase(suite, killed);
    return support_run(suite);
}

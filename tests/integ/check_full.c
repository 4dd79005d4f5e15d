/* SPDX-License-Identifier: Apache-2.0
 * check_full.c - whatever is full says so with a problem and Retry-After, leaves
 * all others alone, and takes again by itself once there is room.
 *
 * More of it: queues in check_publish.c and check_groups.c, devices in
 * check_devices.c, held polls in check_poll.c and check_parking.c, event threads
 * in check_stalling.c, descriptors in check_faults.c, gaps of agents in
 * check_agent_stream.c.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parking.h"
#include "publishing.h"

#define MOST 20000 /* requests that fill anything here                      */

static httpd *server;
static http *c; /* that the filling uses                                    */

static void start_small(void)
{
    server = httpd_start(&(httpd_options){ .children = 1,
                                           .users = "filler\nkeeper\n",
                                           .config = "CommServerSegmentSize 1M\n"
                                                     "CommServerMaxClients 30000\n"
                                                     "CommServerMaxQueue 100000\n"
                                                     "CommServerMaxDevices 64\n"
                                                     "CommServerIdempotencyWindow 1\n" });
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *last;
static int is_closed; /* c is, behind the last answer                     */

/* One more on the connection that fills; a new one where httpd closed it. */
static http_answer *ask(const char *method, const char *path, const char *user,
                        const char *headers, const char *body)
{
    if (is_closed) {
        http_close(c);
        c = http_open(server);
    }
    last = http_call(c, method, path, user, headers, body);
    is_closed = !last->keep_alive;
    return last;
}

static void expect_full(const http_answer *answer, const char *detail)
{
    publishing_expect_problem(answer, 507, "full");
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 1);
    ck_assert_ptr_nonnull(strstr(support_json(answer->body, "detail"), detail));
}

static void expect_taken(const http_answer *answer)
{
    ck_assert_msg(answer->status == 201 || answer->status == 204, "%d: %s",
                  answer->status, answer->body);
}

/* ---- the segment ----------------------------------------------------- */

/* Messages of this size for the client whose reading makes room. */
static void fill_with(size_t len)
{
    static char body[65537];
    http_answer *answer;
    int i = 0;

    memset(body, 'x', len);
    body[len] = '\0';
    do
        answer = ask("POST", "/comm/publish/orders/filler", "backend",
                     "Content-Type: text/plain\r\n", body);
    while (answer->status == 201 && ++i < MOST);
    expect_full(answer, "segment");
}

/* A few kilobytes are left for what is tried. */
static void fill_nearly(void)
{
    http_answer *answer;

    ask("POST", "/comm/publish/orders/keeper", "backend", NULL,
        "a message of some length that leaves room for a few chunks when it goes, and "
        "another line so that it is longer, and a third one for good measure, as it has "
        "to be some hundred bytes in all: so here is the fourth one, which is the last.");
    fill_with(65536);
    fill_with(4096);
    fill_with(256);
    answer = ask("POST", "/comm/publish/orders/filler", "backend", NULL, "");
    while (answer->status == 201)
        answer = ask("POST", "/comm/publish/orders/filler", "backend", NULL, "");
    expect_full(answer, "segment");
}

static void read_all(const char *client)
{
    http_answer *answer;
    const char *path = "/comm/poll?max=100";
    int i;

    for (i = 0; i < MOST; i++) {
        answer = ask("POST", path, client, NULL, "");
        if (answer->status == 204)
            return;
        ck_assert_int_eq(answer->status, 200);
        path = support_text("/comm/poll?max=100&after=%s",
                            support_json(answer->body, "cursor"));
    }
}

static http_answer *publish_message(int i)
{
    return ask("POST", support_text("/comm/publish/orders/m%d", i % 7), "backend", NULL,
               "x");
}

static http_answer *publish_to_new(int i)
{
    return ask("POST", support_text("/comm/publish/orders/new%d", i), "backend",
               "TTL: 3\r\n", "x");
}

static http_answer *publish_with_receipt(int i)
{
    (void)i;
    return ask("POST", "/comm/publish/orders/dave", "backend",
               "Prefer: respond-async\r\nTTL: 2\r\n", "x");
}

static http_answer *publish_once(int i)
{
    return ask("POST", "/comm/publish/orders/dave", "backend",
               support_text("Idempotency-Key: \"key %d\"\r\nTTL: 1\r\n", i), "x");
}

static http_answer *join(int i)
{
    return ask("PUT", support_text("/comm/publish/orders/-/groups/g/member%d", i),
               "backend", NULL, NULL);
}

static http_answer *poll_anew(int i)
{
    return ask("GET", support_text("/comm/poll?device=d%d", i), i % 2 ? "bob" : "carol",
               NULL, NULL);
}

/* What takes the last of the segment. */
static const struct {
    http_answer *(*fill)(int i);
    int expires; /* room returns without anybody reading */
} fillers[] = {
    { publish_message, 0 }, { publish_to_new, 0 }, { publish_with_receipt, 0 },
    { publish_once, 1 },    { join, 0 },
};

/* Those who have nothing to do with it. */
static void expect_others_served(http *held, const char *id)
{
    http_answer *answer;

    ck_assert_int_eq(http_readable(held), 0);
    parking_expect(ask("GET", "/comm/poll", "bob", NULL, NULL), "for bob");
    answer = ask("GET", support_text("/comm/publish/orders/-/messages/%s", id), "backend",
                 NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    answer = ask("GET", "/comm/status", "admin", NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_int_ge(atoi(support_json(answer->body, "refused.full")), 1);
    ck_assert_int_eq(http_once(server, "GET", "/index.html", NULL, NULL, NULL)->status,
                     200);
}

static int is_taken(int filler)
{
    return fillers[filler].fill(MOST)->status < 300;
}

START_TEST(a_full_segment_refuses_until_there_is_room)
{
    char id[64];
    http *held;
    http_answer *answer;
    int i = 0;

    c = http_open(server);
    held = parking_poll(server, "alice");
    parking_await(server, 1);
    answer = ask("POST", "/comm/publish/orders/bob", "backend",
                 "Content-Type: text/plain\r\n", "for bob");
    expect_taken(answer);
    snprintf(id, sizeof id, "%s", support_json(answer->body, "id"));
    fill_nearly();
    read_all("keeper");
    do
        answer = fillers[_i].fill(i);
    while (answer->status < 300 && ++i < MOST);
    expect_full(answer, "segment");
    expect_others_served(held, id);
    if (fillers[_i].expires)
        wait_until(is_taken(_i), 10000);
    read_all("filler");
    expect_taken(fillers[_i].fill(MOST + 1));
    /* The held one hears of it, and acknowledging works. */
    parking_publish(server, "alice", "room again");
    parking_expect(http_read(held), "room again");
    read_all("bob");
    http_close(held);
    http_close(c);
}
END_TEST

/* A poll can be answered and its messages acknowledged when nothing else goes:
 * the last chunks are for it.                                                */
START_TEST(a_full_segment_is_emptied_by_polls)
{
    http_answer *answer;
    int i;

    c = http_open(server);
    fill_nearly();
    for (i = 0; i < 3; i++)
        ck_assert_int_eq(poll_anew(i)->status, 204);
    read_all("filler");
    answer = publish_message(0);
    expect_taken(answer);
    http_close(c);
}
END_TEST

/* ---- clients and devices ----------------------------------------------------- */

START_TEST(clients_are_forgotten_when_their_time_is_over)
{
    http_answer *answer;

    server = httpd_start(&(httpd_options){ .children = 1,
                                           .config = "CommServerMaxClients 3\n"
                                                     "CommServerClientExpiry 1\n" });
    c = http_open(server);
    expect_taken(ask("POST", "/comm/publish/orders/a", "backend", "TTL: 1\r\n", "x"));
    expect_taken(ask("POST", "/comm/publish/orders/b", "backend", NULL, "x"));
    expect_taken(ask("POST", "/comm/publish/orders/alice", "backend", NULL, "x"));
    answer = ask("POST", "/comm/publish/orders/d", "backend", NULL, "x");
    expect_full(answer, "clients");
    expect_full(ask("GET", "/comm/poll?wait=1", "carol", NULL, NULL), "clients");
    expect_full(ask("PUT", "/comm/publish/orders/-/groups/g/e", "backend", NULL, NULL),
                "clients");
    /* Those that are known notice nothing. */
    expect_taken(ask("POST", "/comm/publish/orders/b", "backend", NULL, "x"));
    ck_assert_int_eq(ask("GET", "/comm/poll", "alice", NULL, NULL)->status, 200);
    wait_until(ask("POST", "/comm/publish/orders/d", "backend", NULL, "x")->status == 201,
               15000);
    http_close(c);
    httpd_end(server);
}
END_TEST

START_TEST(devices_are_given_up_when_their_time_is_over)
{
    server = httpd_start(&(httpd_options){ .children = 1,
                                           .config = "CommServerMaxDevices 2\n"
                                                     "CommServerClientExpiry 1\n"
                                                     "CommServerDeviceExpiry 1\n" });
    c = http_open(server);
    ck_assert_int_eq(ask("GET", "/comm/poll?device=one", "alice", NULL, NULL)->status,
                     204);
    ck_assert_int_eq(ask("GET", "/comm/poll?device=two", "alice", NULL, NULL)->status,
                     204);
    expect_full(ask("GET", "/comm/poll?device=three", "alice", NULL, NULL), "devices");
    expect_full(ask("POST", "/comm/publish/orders/alice/three", "backend", NULL, "x"),
                "devices");
    ck_assert_int_eq(ask("GET", "/comm/poll?device=three", "bob", NULL, NULL)->status,
                     204);
    wait_until(ask("GET", "/comm/poll?device=three", "alice", NULL, NULL)->status == 204,
               15000);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- queues ----------------------------------------------------- */

/* By number and by bytes; whose message expires makes room by itself. */
START_TEST(a_full_queue_takes_again_when_messages_expire)
{
    static const char *const limits[] = { "CommServerMaxQueue 3\n",
                                          "CommServerMaxQueueBytes 40\n" };
    static const char path[] = "/comm/publish/orders/alice";
    int i;

    server = httpd_start(&(httpd_options){ .children = 1, .config = limits[_i] });
    c = http_open(server);
    for (i = 0; i < 3; i++)
        expect_taken(ask("POST", path, "backend", "TTL: 2\r\n", "ten bytes."));
    expect_full(ask("POST", path, "backend", "TTL: 60\r\n", "ten bytes."), "queue");
    expect_taken(ask("POST", "/comm/publish/orders/bob", "backend", NULL, "ten bytes."));
    wait_until(ask("POST", path, "backend", "TTL: 60\r\n", "ten bytes.")->status == 201,
               15000);
    http_close(c);
    httpd_end(server);
}
END_TEST

/* ---- memory and disk ----------------------------------------------------- */

START_TEST(more_memory_than_there_is_is_refused_at_start)
{
    const char *said =
        httpd_refused(&(httpd_options){ .config = "CommServerSegmentSize 192G\n" });

    ck_assert_msg(strstr(said, "CS0003") && strstr(said, "CommServerSegmentSize"), "%s",
                  said);
}
END_TEST

/* A place of so many kilobytes. @return 0: this test may not mount */
static int small_disk(const char *path, unsigned kilobytes)
{
    struct passwd *user = httpd_user() ? getpwnam(httpd_user()) : NULL;

    if (!user)
        return 0;
    ck_assert_int_eq(mkdir(path, 0700), 0);
    if (mount(
            "none", path, "tmpfs", MS_NOSUID | MS_NODEV,
            support_text("size=%uk,mode=0700,uid=%u", kilobytes, (unsigned)user->pw_uid))
        != 0) {
        rmdir(path);
        return 0;
    }
    return 1;
}

START_TEST(a_state_that_has_no_room_stays_in_memory)
{
    static char body[6001];
    char path[600];
    int i;

    memset(body, 'x', sizeof body - 1);
    server = httpd_start(&(httpd_options){ .children = 1 });
    snprintf(path, sizeof path, "%s/state", httpd_directory(server));
    if (!small_disk(path, 100)) {
        printf("a small disk cannot be mounted here\n");
        httpd_end(server);
        return;
    }
    httpd_stop(server);
    httpd_configure(server, support_text("CommServerStateDir %s\n", path));
    httpd_again(server);
    for (i = 0; i < 40; i++)
        parking_publish(server, "bob", body);
    httpd_stop(server);
    httpd_log_wait(server, "CS0016", 5000);
    ck_assert_int_eq(mount("none", path, "tmpfs", MS_REMOUNT, "size=4m"), 0);
    httpd_again(server);
    publishing_expect(server, "carol", NULL, "");
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), body);
    httpd_stop(server);
    httpd_again(server);
    parking_expect(http_once(server, "GET", "/comm/poll", "bob", NULL, NULL), body);
    httpd_stop(server);
    ck_assert_int_eq(umount(path), 0);
    httpd_configure(server, "");
    httpd_end(server);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

/* ---- what has expired ------------------------------------------------------ */

#define EXPIRING 5000

/* Nobody comes by who would remove it. */
START_TEST(what_has_expired_goes_soon)
{
    httpd *idle = httpd_start(&(httpd_options){ .children = 1 });
    http *publisher = http_open(idle);
    int i;

    for (i = 0; i < EXPIRING; i++)
        ck_assert_int_eq(http_call(publisher, "POST", "/comm/publish/orders/alice",
                                   "backend", "TTL: 1\r\n", "x")
                             ->status,
                         201);
    http_close(publisher);
    wait_until(
        atoi(support_json(
            http_once(idle, "GET", "/comm/status", "admin", NULL, NULL)->body, "queued"))
            == 0,
        6000);
    httpd_end(idle);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("full");
    TCase *segment = tcase_create("segment");
    TCase *rest = tcase_create("rest");

    support_need_httpd();
    tcase_add_checked_fixture(segment, start_small, end);
    tcase_set_timeout(segment, 90);
    tcase_add_loop_test(segment, a_full_segment_refuses_until_there_is_room, 0,
                        COUNT(fillers));
    tcase_add_test(segment, a_full_segment_is_emptied_by_polls);
    suite_add_tcase(suite, segment);
    tcase_set_timeout(rest, 90);
    tcase_add_test(rest, clients_are_forgotten_when_their_time_is_over);
    tcase_add_test(rest, devices_are_given_up_when_their_time_is_over);
    tcase_add_loop_test(rest, a_full_queue_takes_again_when_messages_expire, 0, 2);
    tcase_add_test(rest, more_memory_than_there_is_is_refused_at_start);
    tcase_add_test(rest, a_state_that_has_no_room_stays_in_memory);
    tcase_add_test(rest, what_has_expired_goes_soon);
    suite_add_tcase(suite, rest);
    return support_run(suite);
}

/* SPDX-License-Identifier: Apache-2.0
 * check_idempotency.c - a publish that comes again has its effect once.
 *
 * "While the first is being worked on" is made to last by a sibling module: it
 * holds the message "hold PATH" in message_check until a FIFO is closed.
 */
#include "cs_compat.h"

#include <apr_general.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cs_repeat.h"
#include "publishing.h"

#define KEY(text) "Idempotency-Key: \"" text "\"\r\n"
#define PLAIN     "Content-Type: text/plain\r\n"

static httpd *server;

static void start_as(const char *mpm)
{
    server = httpd_start(&(httpd_options){
        .mpm = mpm,
        .children = 2 + 4 * !strcmp(mpm, "prefork"),
        .may_crash = 1,
        .http2 = strcmp(mpm, "prefork") != 0, /* they do not go together */
        .users = "i1\ni2\ni3\ni4\ni5\ni6\ni7\ni8\ni9\nother\n",
        .config = "LoadModule cstest_module "
                  "\"@BUILD@/tests/integ/.libs/mod_cstest.so\"\n"
                  "CommServerMaxQueue 3\n"
                  "CommServerRealm test.example\n"
                  "<Location \"/comm/publish/short\">\n"
                  "    CommServerIdempotencyWindow 1\n"
                  "</Location>\n" });
}

static void start_event(void)
{
    start_as("event");
}

static void start_worker(void)
{
    start_as("worker");
}

static void start_prefork(void)
{
    start_as("prefork");
}

static void end(void)
{
    httpd_end(server);
}

static http_answer *post(const char *path, const char *headers, const char *body)
{
    return publishing_post(server, path, headers, body);
}

static void expect_same(const http_answer *one, const http_answer *two)
{
    static const char *const fields[] = { "Location", "TTL", "Content-Type",
                                          "Preference-Applied" };
    size_t i;

    ck_assert_int_eq(two->status, one->status);
    ck_assert_uint_eq(two->len, one->len);
    ck_assert_int_eq(memcmp(two->body, one->body, one->len), 0);
    for (i = 0; i < sizeof(fields) / sizeof(*fields); i++) {
        const char *value = http_header(one, fields[i]);

        if (value)
            ck_assert_str_eq(http_header(two, fields[i]), value);
        else
            ck_assert_ptr_null(http_header(two, fields[i]));
    }
}

/* ---- the same again ------------------------------------------------------ */

static const struct {
    const char *path, *headers;
} repeated[] = {
    { "/orders/i1", KEY("1") },
    { "/orders/i1/phone", KEY("1") "TTL: 60\r\n" },
    { "/orders/i1", KEY("a \\\" b") "Topic: t\r\nUrgency: high\r\n" },
    { "/orders/i1", KEY("2") "Prefer: respond-async\r\nTTL: 99999999\r\n" },
    { "/orders/i1", KEY("3") "TTL: 0\r\n" },
    { "/orders?to=i1&to=i2", KEY("1") },
    { "/orders?to=i2&to=i1", KEY("1") "Prefer: handling=lenient, respond-async\r\n" },
    { "/orders/-/groups/nobody", KEY("1") },
    { "/news/-/all", KEY("1") "Content-Type: text/plain\r\n" },
};

START_TEST(the_same_request_has_the_same_answer)
{
    const char *path = repeated[_i].path, *headers = repeated[_i].headers;
    http_answer *one, *two, *three;
    const char *before;

    publishing_forget(server, "i1", NULL);
    publishing_forget(server, "i2", NULL);
    one = post(path, headers, "hello");
    ck_assert_msg(one->status == 201, "%d: %s", one->status, one->body);
    before = publishing_waiting(server, "i1", NULL);
    two = post(path, headers, "hello");
    expect_same(one, two);
    three = post(path, headers, "hello");
    expect_same(one, three);
    ck_assert_str_eq(publishing_waiting(server, "i1", NULL), before);
}
END_TEST

/* Nothing but the key tells them apart, and each of the rest does. */
static const struct {
    const char *path, *headers, *body;
    int status; /* after "/orders/i3", KEY("x"), "body" */
} others[] = {
    { "/orders/i3", KEY("x"), "body", 201 },
    { "/orders/i3", KEY("x"), "bodY", 422 },
    { "/orders/i3", KEY("x"), "", 422 },
    { "/orders/i3", KEY("x") "Content-Type: text/plain\r\n", "body", 422 },
    { "/orders/i3", KEY("x") "TTL: 60\r\n", "body", 201 },
    { "/orders/i3", KEY("x") "Topic: t\r\n", "body", 422 },
    { "/orders/i3", KEY("x") "Urgency: high\r\n", "body", 422 },
    { "/orders/i3", KEY("x") "Prefer: respond-async\r\n", "body", 422 },
    { "/orders/i3", KEY("x") "Prefer: handling=lenient, foo\r\n", "body", 201 },
};

START_TEST(another_request_with_the_key_is_a_mismatch)
{
    http_answer *one, *two;

    publishing_forget(server, "i3", NULL);
    one = post("/orders/i3", KEY("x"), "body");
    ck_assert_int_eq(one->status, 201);
    two = post(others[_i].path, others[_i].headers, others[_i].body);
    if (others[_i].status == 422) {
        publishing_expect_problem(two, 422, "idempotency-mismatch");
        ck_assert_ptr_null(http_header(two, "Location"));
    }
    else {
        expect_same(one, two);
    }
}
END_TEST

START_TEST(a_key_belongs_to_sender_path_and_query)
{
    http_answer *answer;

    publishing_forget(server, "i4", NULL);
    publishing_queue(server, "/orders/i4", KEY("k"), "one");
    publishing_queue(server, "/news/i4", KEY("k"), "two");
    publishing_queue(server, "/orders?to=i4", KEY("k"), "three");
    publishing_expect(server, "i4", NULL, "one two three");
    publishing_forget(server, "i4", NULL);
    answer = http_once(server, "POST", "/comm/publish/orders/i4", "other", KEY("k"), "x");
    ck_assert_int_eq(answer->status, 201);
    publishing_queue(server, "/orders/i4", KEY("K"), "y");
    publishing_expect(server, "i4", NULL, "x y");
}
END_TEST

START_TEST(a_problem_is_not_remembered)
{
    http_answer *answer;
    int i;

    publishing_forget(server, "i5", NULL);
    for (i = 0; i < 3; i++)
        publishing_queue(server, "/orders/i5", NULL, "x");
    publishing_expect_problem(post("/orders/i5", KEY("full"), "y"), 507, "full");
    publishing_expect_problem(post("/orders/i5", KEY("full"), "y"), 507, "full");
    publishing_forget(server, "i5", NULL);
    publishing_queue(server, "/orders/i5", KEY("full"), "another");
    publishing_expect(server, "i5", NULL, "another");
    answer = post("/orders/i5", KEY("rude"), "rude");
    publishing_expect_problem(answer, 422, "policy");
    publishing_queue(server, "/orders/i5", KEY("rude"), "polite");
    answer = post("/orders/i5", KEY("json") "Content-Type: application/json\r\n", "{");
    publishing_expect_problem(answer, 400, "malformed");
    publishing_queue(server, "/orders/i5",
                     KEY("json") "Content-Type: application/json\r\n", "{}");
}
END_TEST

static int gets_another_id(const char *path, const char *key, const char *id)
{
    http_answer *answer = post(path, key, "x");

    ck_assert_msg(answer->status == 201, "%d %s", answer->status, answer->body);
    return strcmp(support_json(answer->body, "id"), id) != 0;
}

START_TEST(a_key_is_forgotten_after_its_window)
{
    http_answer *answer = post("/short/i6", KEY("w"), "x");
    char id[32];

    ck_assert_int_eq(answer->status, 201);
    snprintf(id, sizeof id, "%s", support_json(answer->body, "id"));
    wait_until(gets_another_id("/short/i6", KEY("w"), id), 10000);
    publishing_forget(server, "i6", NULL);
}
END_TEST

START_TEST(a_key_outlives_a_graceful_restart)
{
    http_answer *one, *two;

    publishing_forget(server, "i6", NULL);
    one = post("/orders/i6", KEY("r"), "x");
    ck_assert_int_eq(one->status, 201);
    httpd_graceful(server);
    two = post("/orders/i6", KEY("r"), "x");
    expect_same(one, two);
    publishing_expect(server, "i6", NULL, "x");
}
END_TEST

/* On a connection that an event thread reads. */
START_TEST(keys_work_on_an_adopted_connection)
{
    http *c = http_open(server);
    char id[32] = "";
    int i;

    publishing_forget(server, "i7", NULL);
    for (i = 0; i < 5; i++) {
        http_answer *answer =
            http_call(c, "POST", "/comm/publish/orders/i7", "backend", KEY("same"), "x");

        ck_assert_int_eq(answer->status, 201);
        if (i)
            ck_assert_str_eq(support_json(answer->body, "id"), id);
        strcpy(id, support_json(answer->body, "id"));
    }
    publishing_expect(server, "i7", NULL, "x");
    http_close(c);
}
END_TEST

START_TEST(http2_knows_the_same_keys)
{
    http_answer *one, *two;

    publishing_forget(server, "i7", NULL);
    one = http2_once(server, 0, "POST", "/comm/publish/orders/i7", "backend",
                     KEY("h2") PLAIN "Topic: t\r\nPrefer: respond-async\r\n", "x");
    ck_assert_int_eq(one->status, 201);
    two =
        post("/orders/i7", KEY("h2") PLAIN "Topic: t\r\nPrefer: respond-async\r\n", "x");
    expect_same(one, two);
    one = http2_once(server, 0, "POST", "/comm/publish/orders/i7", "backend",
                     KEY("h2") PLAIN, "x");
    publishing_expect_problem(one, 422, "idempotency-mismatch");
    publishing_expect(server, "i7", NULL, "x");
}
END_TEST

static const char *const bad_keys[] = {
    "Idempotency-Key: \r\n",
    "Idempotency-Key: token\r\n",
    "Idempotency-Key: 17\r\n",
    "Idempotency-Key: \"\"\r\n",
    "Idempotency-Key: \"a\r\n",
    "Idempotency-Key: \"a\";x=1\r\n",
    "Idempotency-Key: \"a\", \"b\"\r\n",
    "Idempotency-Key: \"a\"\r\nIdempotency-Key: \"a\"\r\n",
    "Idempotency-Key: \"a\tb\"\r\n",
    "Idempotency-Key: \"j\303\274\"\r\n",
};

START_TEST(a_bad_key_is_malformed)
{
    http_answer *answer;

    publishing_forget(server, "i8", NULL);
    answer = post("/orders/i8", bad_keys[_i], "x");
    publishing_expect_problem(answer, 400, "malformed");
    ck_assert_ptr_nonnull(strstr(support_json(answer->body, "detail"), "double quotes"));
    ck_assert_str_eq(publishing_waiting(server, "i8", NULL), "");
}
END_TEST

/* ---- at the same time ---------------------------------------------------- */

typedef struct gate {
    char path[256];
    http *c; /* on which the request is held */
    int go;  /* closed: it goes on */
} gate;

static void make_fifo(const char *path)
{
    unlink(path);
    ck_assert_int_eq(mkfifo(path, 0666), 0);
    ck_assert_int_eq(chmod(path, 0666), 0);
}

/* Send a request that is held in the sibling.
 * @return the child that has it; 0: the key is said to be in use */
static pid_t try_to_hold(gate *g, const char *client, const char *headers)
{
    char text[32] = "";
    int held = open(support_text("%s.held", g->path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);

    ck_assert_int_ge(held, 0);
    g->c = http_open(server);
    http_ask(g->c, "POST", support_text("/comm/publish/orders/%s", client), "backend",
             headers, support_text("hold %s", g->path));
    wait_until(read(held, text, sizeof(text) - 1) > 0 || http_readable(g->c), 20000);
    close(held);
    if (*text == '\0') {
        publishing_expect_problem(http_read(g->c), 409, "idempotency-running");
        http_close(g->c);
    }
    return (pid_t)atol(text);
}

/* A child that takes the place of one that died has its lock before its number,
 * and so the dead one seems to be at work for a moment. */
static pid_t hold(gate *g, const char *client, const char *headers)
{
    pid_t child;

    snprintf(g->path, sizeof(g->path), "%s/gate", httpd_directory(server));
    make_fifo(support_text("%s.held", g->path));
    make_fifo(support_text("%s.go", g->path));
    g->go = open(support_text("%s.go", g->path), O_RDWR | O_CLOEXEC);
    ck_assert_int_ge(g->go, 0);
    wait_until((child = try_to_hold(g, client, headers)) != 0, 20000);
    return child;
}

static http_answer *let_go(gate *g)
{
    close(g->go);
    return http_read(g->c);
}

static http_answer *again(const gate *g, const char *client, const char *headers)
{
    return post(support_text("/orders/%s", client), headers,
                support_text("hold %s", g->path));
}

START_TEST(the_first_is_still_running)
{
    http_answer *answer, *first;
    gate g;

    publishing_forget(server, "i9", NULL);
    hold(&g, "i9", KEY("busy"));
    answer = again(&g, "i9", KEY("busy"));
    publishing_expect_problem(answer, 409, "idempotency-running");
    ck_assert_int_ge(atoi(http_header(answer, "Retry-After")), 1);
    publishing_expect_problem(post("/orders/i9", KEY("busy"), "another"), 422,
                              "idempotency-mismatch");
    first = let_go(&g);
    ck_assert_int_eq(first->status, 201);
    expect_same(first, again(&g, "i9", KEY("busy")));
    publishing_expect(server, "i9", NULL, support_text("hold %s", g.path));
    http_close(g.c);
}
END_TEST

/* Who has not sent all of it is not at it. */
START_TEST(half_a_body_is_not_running)
{
    http *c = http_open(server);
    http_answer *one, *two;

    publishing_forget(server, "i9", NULL);
    http_send(
        c, support_text("POST /comm/publish/orders/i9 HTTP/1.1\r\n"
                        "Host: localhost\r\n%s" KEY("half") "Content-Length: 4\r\n\r\nbo",
                        http_auth("backend")));
    ck_assert_ptr_null(http_try(c, 100));
    one = post("/orders/i9", KEY("half"), "body");
    ck_assert_int_eq(one->status, 201);
    http_send(c, "dy");
    two = http_read(c);
    expect_same(one, two);
    publishing_expect(server, "i9", NULL, "body");
    http_close(c);
}
END_TEST

START_TEST(who_is_killed_before_it_queued_leaves_the_key_free)
{
    http_answer *answer, *first;
    gate g, next;
    pid_t killed, second;

    publishing_forget(server, "i9", NULL);
    killed = hold(&g, "i9", KEY("killed"));
    kill(killed, SIGKILL);
    /* The parent buries it when the last of its threads has gone. */
    wait_until(kill(killed, 0) != 0, 20000);
    http_close(g.c);
    close(g.go);
    second = hold(&next, "i9", KEY("killed"));
    ck_assert_int_ne(second, killed);
    answer = again(&next, "i9", KEY("killed"));
    publishing_expect_problem(answer, 409, "idempotency-running");
    first = let_go(&next);
    ck_assert_int_eq(first->status, 201);
    expect_same(first, again(&next, "i9", KEY("killed")));
    publishing_expect(server, "i9", NULL, support_text("hold %s", next.path));
    http_close(next.c);
}
END_TEST

START_TEST(who_is_killed_afterwards_leaves_its_answer)
{
    http_answer *one = post("/orders/i2", KEY("later"), "x");
    pid_t children[16];
    int i, n = httpd_children(server, children, 16);

    for (i = 0; i < n; i++) {
        kill(children[i], SIGKILL);
        wait_until(!process_alive(children[i]), 10000);
    }
    expect_same(one, post("/orders/i2", KEY("later"), "x"));
    publishing_forget(server, "i2", NULL);
}
END_TEST

/* ---- dead between queuing and answering ----------------------------------- */

static const csq_key receiver = { "test.example", "i8", NULL };

static void become_user_of_httpd(void)
{
    struct passwd *entry = httpd_user() ? getpwnam(httpd_user()) : NULL;

    if (httpd_user()
        && (!entry || setgroups(0, NULL) || setgid(entry->pw_gid)
            || setuid(entry->pw_uid)))
        _exit(2);
}

static void die(void *baton, const char *client, apr_status_t status)
{
    (void)baton;
    (void)client;
    _exit(status == CSQ_QUEUE_FULL ? 0 : 7);
}

/* What a child does that is killed after it queued, or on its way through a group
 * to the one whose queue is full: here by a process of our own, which holds a
 * slot as a child does and ends.                                            */
static int queue_and_die(const char *path, const char *group)
{
    cs_repeat_scope scope = { receiver.realm, "backend",
                              group ? "/comm/publish/orders/-/groups/half"
                                    : "/comm/publish/orders/i8",
                              NULL, "dead" };
    cs_repeat_body body = { NULL, NULL, NULL, NULL, "from the dead", 13 };
    csq_message message = { .realm = receiver.realm,
                            .app = "orders",
                            .sender = "backend",
                            .encoding = CSQ_TEXT,
                            .urgency = CSQ_NORMAL,
                            .data = "\"from the dead\"",
                            .len = 15 };
    apr_time_t now = apr_time_now();
    cs_repeat repeat;
    csq_slot *slot;
    apr_pool_t *pool;
    csq *q;

    become_user_of_httpd();
    apr_initialize();
    apr_pool_create(&pool, NULL);
    if (csq_attach(path, pool, &q) != APR_SUCCESS)
        return 3;
    if (csq_slot_claim(q, pool, &slot) != APR_SUCCESS)
        return 4;
    if (cs_repeat_begin(q, &scope, &body, csq_waiter_make(slot, 0), apr_time_from_sec(60),
                        now, pool, &repeat)
        != APR_SUCCESS)
        return 5;
    message.id = repeat.id;
    message.time = now;
    message.expires = now + apr_time_from_sec(60);
    message.repeat = &repeat.key;
    if (group)
        return csq_append_group(q, &message, group, now, die, NULL, NULL) ? 6 : 8;
    return csq_append(q, &message, &receiver, 1, now, NULL, NULL) == APR_SUCCESS ? 0 : 6;
}

static void let_one_die(const char *group)
{
    const char *path =
        support_text("%s/run/commserver-httpd/queue", httpd_directory(server));
    int status = 0;
    pid_t pid = fork();

    if (pid == 0)
        _exit(queue_and_die(path, group));
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_int_eq(status, 0);
}

/* While a new child takes the place of the dead one, that may seem to be at it still:
 * 409 asks to come again. */
static http_answer *post_once_it_is_known_dead(const char *path)
{
    http_answer *answer;

    wait_until((answer = post(path, KEY("dead"), "from the dead"))->status != 409, 10000);
    ck_assert_msg(answer->status == 201, "%d: %s", answer->status, answer->body);
    return answer;
}

START_TEST(who_is_killed_after_it_queued_is_finished_by_the_next)
{
    http_answer *one;
    const char *batch;

    publishing_forget(server, "i8", NULL);
    let_one_die(NULL);
    one = post_once_it_is_known_dead("/orders/i8");
    ck_assert_str_eq(support_json(one->body, "state"), "queued");
    ck_assert_ptr_nonnull(
        strstr(http_header(one, "Location"), support_json(one->body, "id")));
    ck_assert_str_eq(http_header(one, "TTL"), "86400");
    publishing_expect(server, "i8", NULL, "from the dead");
    batch = publishing_waiting(server, "i8", NULL);
    ck_assert_str_eq(support_json(batch, "messages.0.id"), support_json(one->body, "id"));
    /* Now it was handed out, which the state tells. */
    one = post("/orders/i8", KEY("dead"), "from the dead");
    ck_assert_int_eq(one->status, 201);
    publishing_expect(server, "i8", NULL, "from the dead");
    publishing_expect_problem(post("/orders/i8", KEY("dead"), "x"), 422,
                              "idempotency-mismatch");
}
END_TEST

/* Those who have it by then acknowledge it before it is sent again. */
START_TEST(who_is_killed_among_a_group_is_finished_by_the_next)
{
    static const char *const members[] = { "i1", "i2", "i3", "i4", "i5", "i6", "i7" };
    http_answer *one, *two;
    int had[7], i;

    for (i = 0; i < 7; i++) {
        one = http_once(server, "PUT",
                        support_text("/comm/publish/orders/-/groups/half/%s", members[i]),
                        "backend", NULL, NULL);
        ck_assert_int_eq(one->status, 201);
        publishing_forget(server, members[i], NULL);
    }
    for (i = 0; i < 3; i++)
        publishing_queue(server, "/orders/i4", NULL, "full");
    let_one_die("half");
    for (i = 0; i < 7; i++) {
        had[i] = *publishing_waiting(server, members[i], NULL) != 0;
        if (i != 3)
            publishing_forget(server, members[i], NULL);
    }
    one = post_once_it_is_known_dead("/orders/-/groups/half");
    ck_assert_str_eq(support_json(one->body, "refused_count"), "1");
    two = post("/orders/-/groups/half", KEY("dead"), "from the dead");
    expect_same(one, two);
    for (i = 0; i < 7; i++) {
        if (had[i] && i != 3)
            ck_assert_str_eq(publishing_waiting(server, members[i], NULL), "");
        else
            publishing_expect(server, members[i], NULL,
                              i == 3 ? "full full full" : "from the dead");
        publishing_forget(server, members[i], NULL);
    }
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    static void (*const starts[])(void) = { start_event, start_worker, start_prefork };
    static const char *const names[] = { "event", "worker", "prefork" };
    Suite *suite = suite_create("idempotency");
    int i;

    support_need_httpd();
    for (i = 0; i < 3; i++) {
        TCase *tc = tcase_create(names[i]);

        tcase_add_unchecked_fixture(tc, starts[i], end);
        tcase_set_timeout(tc, 60);
        tcase_add_test(tc, who_is_killed_after_it_queued_is_finished_by_the_next);
        tcase_add_test(tc, who_is_killed_among_a_group_is_finished_by_the_next);
        tcase_add_loop_test(tc, the_same_request_has_the_same_answer, 0,
                            i ? 2 : COUNT(repeated));
        if (i == 0) {
            tcase_add_loop_test(tc, another_request_with_the_key_is_a_mismatch, 0,
                                COUNT(others));
            tcase_add_loop_test(tc, a_bad_key_is_malformed, 0, COUNT(bad_keys));
            tcase_add_test(tc, a_key_belongs_to_sender_path_and_query);
            tcase_add_test(tc, a_problem_is_not_remembered);
            tcase_add_test(tc, a_key_is_forgotten_after_its_window);
        }
        if (i < 2)
            tcase_add_test(tc, http2_knows_the_same_keys);
        tcase_add_test(tc, keys_work_on_an_adopted_connection);
        tcase_add_test(tc, half_a_body_is_not_running);
        tcase_add_test(tc, the_first_is_still_running);
        tcase_add_test(tc, who_is_killed_before_it_queued_leaves_the_key_free);
        tcase_add_test(tc, who_is_killed_afterwards_leaves_its_answer);
        tcase_add_test(tc, a_key_outlives_a_graceful_restart);
        suite_add_tcase(suite, tc);
    }
    return support_run(suite);
}

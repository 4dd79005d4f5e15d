/* SPDX-License-Identifier: Apache-2.0
 * check_agent_users.c - an agent that several users share: who may do what.
 *
 * The agent runs as root. Connections are made with the effective user of
 * somebody else, which is what the agent sees.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WAIT_MS  20000
#define STRANGER 64321 /* a user that no section names                       */

static script_server *server;
static agent *a;
static int sequence;
static uid_t nobody;

static const char *sections(const char *more)
{
    return support_text("[server main]\nurl = %s\ndevice = test\n%s", script_url(server),
                        more);
}

#define SHARED "[app orders]\nusers = nobody\n[app private]\nwindow = 5\n"

static void set_up(void)
{
    nobody = getpwnam("nobody")->pw_uid;
    server = script_start();
    sequence = 0;
    a = agent_start(&(agent_options){ .config = sections(SHARED) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void tear_down(void)
{
    agent_end(a);
    script_end(server);
}

static local_app *open_as(uid_t user)
{
    local_app *app;

    ck_assert_int_eq(seteuid(user), 0);
    app = local_open(a);
    ck_assert_int_eq(seteuid(0), 0);
    return app;
}

static void publish(const char *app, const char *id)
{
    script_batch(server, support_text("e-%d", ++sequence), script_message(id, app, "1"));
    script_expect(server);
}

static const char *error_for(local_app *app, const char *line)
{
    const char *answer;

    local_send(app, line);
    answer = local_read(app);
    ck_assert_msg(support_json(answer, "error") != NULL, "no error: %s", answer);
    return support_json(answer, "error.code");
}

static void expect_refused(local_app *app, const char *line)
{
    ck_assert_str_eq(error_for(app, line), "not-permitted");
}

static const char *status(const char *path)
{
    local_app *app = local_open(a);
    const char *value;

    local_send(app, "{\"status\":true}");
    value = support_json(local_read(app), support_text("status.%s", path));
    local_close(app);
    return value;
}

static void reload(const char *more)
{
    int before = agent_log_count(a, "is read again");

    process_write_file(agent_config(a),
                       support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n%s",
                                    agent_socket(a), agent_directory(a), sections(more)));
    kill(agent_pid(a), SIGHUP);
    wait_until(agent_log_count(a, "is read again") > before, WAIT_MS);
}

static mode_t mode_of(const char *path)
{
    struct stat info;

    ck_assert_int_eq(stat(path, &info), 0);
    return info.st_mode & 07777;
}

START_TEST(users_may_use_their_application)
{
    local_app *app = open_as(nobody);

    local_subscribe(app, "orders");
    publish("orders", "id1");
    ck_assert_str_eq(support_json(local_message(app), "id"), "id1");
    local_ack(app, "id1");
    ck_assert_str_eq(status("inbox.messages"), "0");
    local_close(app);
    app = open_as(nobody);
    local_send(app, "{\"subscribe\":\"orders\",\"watch\":true}");
    ck_assert_str_eq(support_json(local_read(app), "subscribed"), "orders");
    local_close(app);
    ck_assert_int_eq(agent_log_count(a, "is refused"), 0);
}
END_TEST

START_TEST(users_may_not_use_others)
{
    local_app *app = open_as(nobody);

    publish("private", "id1");
    expect_refused(app, "{\"subscribe\":\"private\"}");
    expect_refused(app, "{\"subscribe\":\"private\",\"watch\":true}");
    expect_refused(app, "{\"subscribe\":\"unheard-of\"}");
    expect_refused(app, "{\"ack\":\"id1\"}");
    expect_refused(app, "{\"nack\":\"id1\"}");
    expect_refused(app, "{\"reject\":\"id1\"}");
    expect_refused(app,
                   "{\"publish\":{\"app\":\"private\",\"to\":\"alice\",\"data\":1}}");
    expect_refused(app, "{\"status\":true}");
    expect_refused(app, "{\"dead\":{\"list\":true}}");
    ck_assert_str_eq(error_for(app, "{\"ack\":\"unheard-of\"}"), "unknown-id");
    ck_assert_str_eq(status("inbox.messages"), "1");
    ck_assert_str_eq(status("inbox.dead"), "0");
    local_subscribe(app, "orders");
    ck_assert_int_eq(agent_log_count(a, "is refused"), 1);
    ck_assert_int_eq(agent_log_count(a, support_text("user %lu is refused: private;",
                                                     (unsigned long)nobody)),
                     1);
    local_close(app);
}
END_TEST

/* Also one that is in memory, given to its own application. */
START_TEST(a_message_on_its_way_is_not_taken)
{
    local_app *own = local_open(a), *app = open_as(nobody);

    local_subscribe(own, "private");
    publish("private", "id1");
    ck_assert_str_eq(support_json(local_message(own), "id"), "id1");
    expect_refused(app, "{\"ack\":\"id1\"}");
    expect_refused(app, "{\"nack\":\"id1\"}");
    expect_refused(app, "{\"reject\":\"id1\"}");
    ck_assert_str_eq(status("inbox.messages"), "1");
    local_ack(own, "id1");
    local_close(own);
    local_close(app);
}
END_TEST

START_TEST(gaps_of_others_stay)
{
    local_app *own = local_open(a), *app = open_as(nobody);
    const char *gap, *ack;

    local_subscribe(own, "private");
    script_answer(
        server, "200 OK", "Content-Type: application/json\r\n",
        "{\"cursor\":\"e-9\",\"messages\":[],\"gap\":{\"apps\":{\"private\":12}}}");
    script_expect(server);
    gap = support_json(local_read(own), "gap.id");
    ck_assert_ptr_nonnull(gap);
    ack = support_text("{\"ack\":\"%s\"}", gap);
    expect_refused(app, ack);
    local_close(own);
    expect_refused(app, ack);
    own = local_open(a);
    local_ack(own, gap);
    local_ack(app, gap); /* there is none any more                             */
    local_close(own);
    local_close(app);
}
END_TEST

START_TEST(strangers_are_refused_and_that_is_said_once)
{
    local_app *app;
    int i;

    for (i = 0; i < 3; i++) {
        app = open_as(STRANGER);
        ck_assert_str_eq(support_json(local_read(app), "error.code"), "not-permitted");
        ck_assert(local_closed(app, 5000));
        local_close(app);
    }
    ck_assert_int_eq(agent_log_count(a, "user 64321 is refused: the socket;"), 1);
}
END_TEST

START_TEST(users_change_with_the_file)
{
    local_app *app = open_as(nobody), *other;

    ck_assert_uint_eq(mode_of(agent_socket(a)), 0666);
    local_subscribe(app, "orders");
    reload("[app orders]\nusers = 64321\n[app news]\nusers = nobody\n");
    ck_assert_str_eq(support_json(local_read(app), "error.code"), "not-permitted");
    ck_assert(local_closed(app, 5000));
    local_close(app);
    app = open_as(nobody);
    expect_refused(app, "{\"subscribe\":\"orders\"}");
    local_subscribe(app, "news");
    other = open_as(STRANGER);
    local_subscribe(other, "orders");
    local_close(other);
    reload("");
    ck_assert_str_eq(support_json(local_read(app), "error.code"), "not-permitted");
    ck_assert(local_closed(app, 5000));
    local_close(app);
    ck_assert_uint_eq(mode_of(agent_socket(a)), 0600);
    reload(SHARED);
    ck_assert_uint_eq(mode_of(agent_socket(a)), 0666);
    app = open_as(nobody);
    local_subscribe(app, "orders");
    local_close(app);
}
END_TEST

START_TEST(one_user_cannot_take_all_connections)
{
    local_app *taken[64], *app, *refused[20];
    int i;

    for (i = 0; i < 64; i++)
        taken[i] = open_as(nobody);
    app = open_as(nobody);
    ck_assert_str_eq(support_json(local_read(app), "error.code"), "busy");
    local_close(app);
    for (i = 0; i < 8; i++)
        refused[i] = open_as(STRANGER);
    app = local_open(a);
    local_subscribe(app, "orders");
    local_close(app);
    for (i = 0; i < 8; i++)
        local_close(refused[i]);
    for (i = 0; i < 64; i++)
        local_close(taken[i]);
    wait_until(strcmp(status("connections"), "1") == 0, WAIT_MS);
    app = open_as(nobody);
    local_subscribe(app, "orders");
    local_close(app);
}
END_TEST

static int can_connect(uid_t user, const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0), rv;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(seteuid(user), 0);
    rv = connect(fd, (struct sockaddr *)&address, sizeof address);
    ck_assert_int_eq(seteuid(0), 0);
    close(fd);
    return rv == 0;
}

/* Another agent, with a socket in a directory of its own. */
static pid_t start_beside(const char *directory, const char *log)
{
    return process_start(&(process_options){
        .argv = (const char *[]){ support_build_path("commclient/commclient"), "run",
                                  "--config", agent_config(a), "--socket",
                                  support_text("%s/agent.sock", directory), "--inbox",
                                  support_text("%s.db", directory), NULL },
        .output = log });
}

static int is_logged(const char *log, const char *text)
{
    char *content = process_read_file(log);
    int found = content != NULL && strstr(content, text) != NULL;

    free(content);
    return found;
}

/* Lines that never end take no more memory than four that may be. */
START_TEST(one_user_cannot_take_all_memory)
{
    static char piece[1 << 20];
    local_app *apps[6];
    size_t line = (8u << 20) + 4096, sent;
    int i, kept = 0;

    memset(piece, 'x', sizeof piece);
    for (i = 0; i < 6; i++) {
        apps[i] = open_as(nobody);
        for (sent = 0; sent + sizeof piece < line; sent += sizeof piece) {
            if (send(local_socket(apps[i]), piece, sizeof piece, MSG_NOSIGNAL) < 0)
                break;
        }
    }
    for (i = 0; i < 6; i++) {
        kept += local_try(apps[i], i < 4 ? 0 : 2000) == NULL;
        local_close(apps[i]);
    }
    ck_assert_int_eq(kept, 4);
    apps[0] = open_as(nobody);
    local_subscribe(apps[0], "orders");
    local_close(apps[0]);
}
END_TEST

START_TEST(a_directory_that_is_made_can_be_passed)
{
    const char *directory = support_text("%s/new", agent_directory(a));
    const char *log = support_text("%s.log", directory);
    pid_t pid = start_beside(directory, log);

    wait_until(is_logged(log, "ready on socket"), WAIT_MS);
    ck_assert_uint_eq(mode_of(directory), 0711);
    ck_assert(!is_logged(log, "cannot reach the socket"));
    ck_assert(can_connect(nobody, support_text("%s/agent.sock", directory)));
    kill(pid, SIGTERM);
    process_wait(pid, WAIT_MS, "commclient");
}
END_TEST

START_TEST(a_directory_that_was_there_is_left_and_told)
{
    const char *directory = support_text("%s/old", agent_directory(a));
    const char *log = support_text("%s.log", directory);
    pid_t pid;

    ck_assert_int_eq(mkdir(directory, 0700), 0);
    pid = start_beside(directory, log);
    wait_until(is_logged(log, "ready on socket"), WAIT_MS);
    ck_assert_uint_eq(mode_of(directory), 0700);
    ck_assert(!can_connect(nobody, support_text("%s/agent.sock", directory)));
    ck_assert(is_logged(log, "other users cannot reach the socket: the directory '"));
    kill(pid, SIGTERM);
    process_wait(pid, WAIT_MS, "commclient");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_users");
    TCase *c = tcase_create("users");

    if (geteuid() != 0)
        support_skip("only root can connect as another user");
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_test(c, users_may_use_their_application);
    tcase_add_test(c, users_may_not_use_others);
    tcase_add_test(c, a_message_on_its_way_is_not_taken);
    tcase_add_test(c, gaps_of_others_stay);
    tcase_add_test(c, strangers_are_refused_and_that_is_said_once);
    tcase_add_test(c, users_change_with_the_file);
    tcase_add_test(c, one_user_cannot_take_all_connections);
    tcase_add_test(c, one_user_cannot_take_all_memory);
    tcase_add_test(c, a_directory_that_is_made_can_be_passed);
    tcase_add_test(c, a_directory_that_was_there_is_left_and_told);
    suite_add_tcase(s, c);
    return support_run(s);
}

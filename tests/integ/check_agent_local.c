/* SPDX-License-Identifier: Apache-2.0
 * check_agent_local.c - the local protocol of a real agent: good and bad
 * applications, several of them, and what happens when they die.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static script_server *server;
static agent *a;
static int sequence;

static void start_with(const char *more)
{
    server = script_start();
    sequence = 0;
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\n%s",
                               script_url(server), more) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void set_up(void)
{
    start_with("");
}

static void tear_down(void)
{
    if (a)
        agent_end(a);
    a = NULL;
    if (server)
        script_end(server);
    server = NULL;
}

/* Answer the held poll with messages and wait for the next poll, which says
 * that they are committed. */
static void publish(const char *messages)
{
    script_batch(server, support_text("e-%d", ++sequence), messages);
    script_expect(server);
}

static void publish_one(const char *id)
{
    publish(script_message(id, "orders", "1"));
}

static const char *next_id(local_app *app)
{
    return support_json(local_message(app), "id");
}

static const char *next_error(local_app *app)
{
    const char *line = local_read(app), *code = support_json(line, "error.code");

    ck_assert_msg(code != NULL, "no error: %s", line);
    return code;
}

static const char *error_for(local_app *app, const char *line)
{
    local_send(app, line);
    return next_error(app);
}

START_TEST(the_agent_says_hello_first)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    char line[256];
    ssize_t n;

    snprintf(address.sun_path, sizeof address.sun_path, "%s", agent_socket(a));
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    n = read(fd, line, sizeof line - 1);
    ck_assert_int_gt(n, 0);
    line[n] = '\0';
    ck_assert_str_eq(line, "{\"hello\":{\"protocol\":1,\"max_line\":8392704}}\n");
    close(fd);
}
END_TEST

START_TEST(bad_lines_are_answered_and_the_connection_stays)
{
    local_app *app = local_open(a);

    ck_assert_str_eq(error_for(app, "nonsense"), "bad-json");
    ck_assert_str_eq(error_for(app, "{\"ack\":"), "bad-json");
    ck_assert_str_eq(error_for(app, "\x80\xff"), "bad-json");
    ck_assert_str_eq(error_for(app, "[]"), "bad-json");
    ck_assert_str_eq(error_for(app, "{}"), "unknown-command");
    ck_assert_str_eq(error_for(app, "{\"colour\":\"x\"}"), "unknown-command");
    ck_assert_str_eq(error_for(app, "{\"nack\":\"never\"}"), "unknown-id");
    ck_assert_str_eq(error_for(app, "{\"nack\":\"x\",\"delay\":-1}"), "bad-delay");
    ck_assert_str_eq(error_for(app, "{\"reject\":\"never\"}"), "unknown-id");
    ck_assert_str_eq(error_for(app, "{\"subscribe\":\"a b\"}"), "bad-name");
    ck_assert_str_eq(error_for(app, "{\"subscribe\":\"a\",\"window\":0}"), "bad-window");
    ck_assert_str_eq(error_for(app, "{\"ack\":\"never-heard-of\"}"), "unknown-id");
    local_send_bytes(app, "{\"ack\":\"\0\"}\n\n  \r\n", 17);
    ck_assert_str_eq(next_error(app), "bad-json");
    local_send(app,
               "{\"subscribe\":\"orders\",\"colour\":[\"unknown\",{}],\"window\":5}");
    ck_assert_str_eq(support_json(local_read(app), "subscribed"), "orders");
    publish_one("id1");
    ck_assert_str_eq(next_id(app), "id1");
    local_close(app);
}
END_TEST

START_TEST(a_line_may_come_in_pieces_and_lines_together)
{
    static const char lines[] = "{\"subscribe\":\"a\"}\n{\"subscribe\":\"b\"}\n{\"subscr";
    local_app *app = local_open(a);
    size_t i;

    for (i = 0; i < 10; i++)
        local_send_bytes(app, lines + i, 1);
    local_send_bytes(app, lines + 10, strlen(lines) - 10);
    ck_assert_str_eq(support_json(local_read(app), "subscribed"), "a");
    ck_assert_str_eq(support_json(local_read(app), "subscribed"), "b");
    ck_assert_ptr_null(local_try(app, 50));
    local_send(app, "ibe\":\"c\"}");
    ck_assert_str_eq(support_json(local_read(app), "subscribed"), "c");
    local_close(app);
}
END_TEST

START_TEST(a_line_too_long_ends_the_connection)
{
    size_t len = 8392704 + 1;
    char *line = malloc(len);
    local_app *app = local_open(a), *other = local_open(a);

    memset(line, 'x', len);
    local_send_bytes(app, line, len);
    ck_assert_str_eq(next_error(app), "line-too-long");
    ck_assert(local_closed(app, 5000));
    local_close(app);
    local_subscribe(other, "orders");
    memset(line, ' ', len);
    memcpy(line + len - 100, "{}", 2);
    local_send_bytes(other, line, len - 1);
    local_send_bytes(other, "\n", 1);
    ck_assert_str_eq(next_error(other), "unknown-command");
    local_close(other);
    free(line);
}
END_TEST

START_TEST(each_message_goes_to_one_of_several_subscribers)
{
    local_app *one = local_open(a), *two = local_open(a);
    const char *first, *second;

    local_subscribe(one, "orders");
    local_subscribe(two, "orders");
    publish(support_text("%s,%s", script_message("id1", "orders", "1"),
                         script_message("id2", "orders", "2")));
    first = next_id(one);
    second = next_id(two);
    ck_assert_str_ne(first, second);
    ck_assert_ptr_null(local_try(one, 50));
    ck_assert_ptr_null(local_try(two, 50));
    local_close(one);
    local_close(two);
}
END_TEST

START_TEST(what_a_dead_application_had_goes_to_another)
{
    local_app *one = local_open(a), *two = local_open(a);
    const char *message;

    local_subscribe(one, "orders");
    publish_one("id1");
    ck_assert_str_eq(next_id(one), "id1");
    local_subscribe(two, "orders");
    local_close(one);
    message = local_message(two);
    ck_assert_str_eq(support_json(message, "id"), "id1");
    ck_assert_str_eq(support_json(message, "attempt"), "2");
    local_ack(two, "id1");
    local_ack(two, "id1");
    local_close(two);
}
END_TEST

START_TEST(nothing_acknowledged_comes_again_after_kill)
{
    local_app *app = local_open(a);
    const char *message;

    local_subscribe(app, "orders");
    publish(support_text("%s,%s", script_message("id1", "orders", "1"),
                         script_message("id2", "orders", "2")));
    ck_assert_str_eq(next_id(app), "id1");
    ck_assert_str_eq(next_id(app), "id2");
    local_ack(app, "id1");
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "id"), "id2");
    ck_assert_str_eq(support_json(message, "attempt"), "2");
    ck_assert_ptr_null(local_try(app, 50));
    local_close(app);
}
END_TEST

START_TEST(acknowledgements_given_before_a_clean_stop_are_kept)
{
    local_app *app = local_open(a);
    int i, last = 0;

    local_send(app, "{\"subscribe\":\"orders\",\"window\":100}");
    local_read(app);
    for (i = 1; i <= 20; i++)
        publish_one(support_text("id%d", i));
    for (i = 1; i <= 20; i++)
        next_id(app);
    for (i = 1; i <= 20; i++)
        local_send(app, support_text("{\"ack\":\"id%d\"}", i));
    for (i = 1; i <= 20; i++)
        last = atoi(support_json(local_read(app), "acked") + 2);
    ck_assert_int_eq(last, 20);
    agent_stop(a);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    ck_assert_ptr_null(local_try(app, 50));
    local_close(app);
}
END_TEST

/* "printf ... | socat": the end of input comes right behind the line. */
START_TEST(a_line_before_the_end_of_input_is_answered)
{
    process_result result;
    local_app *app = local_open(a);
    const char *const argv[] = {
        "sh", "-c",
        support_text("printf '{\"ack\":\"id1\"}\\n' | socat -t 5 - UNIX-CONNECT:%s",
                     agent_socket(a)),
        NULL
    };

    if (access("/usr/bin/socat", X_OK) != 0)
        return;
    local_subscribe(app, "orders");
    publish_one("id1");
    ck_assert_str_eq(next_id(app), "id1");
    result = process_run(&(process_options){ .argv = argv });
    ck_assert_int_eq(result.status, 0);
    ck_assert_ptr_nonnull(strstr(result.output, "\"acked\":\"id1\""));
    process_result_clear(&result);
    local_close(app);
}
END_TEST

START_TEST(watchers_get_copies)
{
    local_app *watcher = local_open(a), *app = local_open(a);

    local_send(watcher, "{\"subscribe\":\"orders\",\"watch\":true}");
    ck_assert_str_eq(support_json(local_read(watcher), "subscribed"), "orders");
    publish_one("id1");
    ck_assert_str_eq(next_id(watcher), "id1");
    local_subscribe(app, "orders");
    ck_assert_str_eq(next_id(app), "id1");
    local_ack(app, "id1");
    ck_assert_str_eq(error_for(watcher, "{\"subscribe\":\"orders\"}"), "conflict");
    local_close(watcher);
    local_close(app);
}
END_TEST

static const char *large_message(int number)
{
    static char text[70000];
    static char data[60003];

    memset(data, 'x', 60002);
    data[0] = data[60001] = '"';
    snprintf(text, sizeof text,
             "{\"id\":\"big%d\",\"app\":\"slow\",\"length\":60002,"
             "\"data\":%s}",
             number, data);
    return text;
}

START_TEST(an_application_that_does_not_read_delays_no_other)
{
    local_app *slow = local_open(a), *watcher = local_open(a), *quick = local_open(a);
    int i;

    local_send(slow, "{\"subscribe\":\"slow\",\"window\":10000}");
    local_read(slow);
    local_send(watcher, "{\"subscribe\":\"slow\",\"watch\":true}");
    local_read(watcher);
    local_subscribe(quick, "orders");
    for (i = 0; i < 100; i++) {
        publish(large_message(i));
        if (i % 20 != 0)
            continue;
        publish_one(support_text("id%d", i));
        ck_assert_str_eq(next_id(quick), support_text("id%d", i));
        local_ack(quick, support_text("id%d", i));
    }
    for (i = 0; i < 100; i++)
        ck_assert_ptr_nonnull(strstr(local_read(slow), support_text("\"big%d\"", i)));
    for (i = 0; i < 100; i++) {
        const char *line = local_read(watcher);

        if (strstr(line, "left-out") != NULL)
            break;
    }
    ck_assert_int_lt(i, 100);
    local_close(slow);
    local_close(watcher);
    local_close(quick);
}
END_TEST

/* It fills every buffer between the two, and then only itself waits. */
START_TEST(an_application_that_never_reads_answers_is_not_read_either)
{
    static char lines[65536];
    local_app *quick = local_open(a);
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int rude = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    long long end = process_now_ms() + 10000;
    size_t sent = 0, i;
    struct pollfd ready = { rude, POLLOUT, 0 };

    for (i = 0; i < sizeof lines; i++)
        lines[i] = i % 2 ? '\n' : 'x';
    snprintf(address.sun_path, sizeof address.sun_path, "%s", agent_socket(a));
    ck_assert_int_eq(connect(rude, (struct sockaddr *)&address, sizeof address), 0);
    while (poll(&ready, 1, 500) > 0 && process_now_ms() < end) {
        ssize_t n = send(rude, lines, sizeof lines, MSG_NOSIGNAL);

        sent += n > 0 ? (size_t)n : 0;
        ck_assert_uint_lt(sent, 16u << 20);
    }
    local_subscribe(quick, "orders");
    publish_one("id1");
    ck_assert_str_eq(next_id(quick), "id1");
    close(rude);
    local_close(quick);
}
END_TEST

START_TEST(a_gap_is_kept_until_acknowledged)
{
    local_app *app = local_open(a);
    const char *line, *id;

    local_subscribe(app, "orders");
    script_answer(
        server, "200 OK", "Content-Type: application/json\r\n",
        "{\"cursor\":\"e-1\",\"messages\":[],\"gap\":{\"apps\":{\"orders\":12}}}");
    line = local_read(app);
    ck_assert_str_eq(support_json(line, "gap.app"), "orders");
    ck_assert_str_eq(support_json(line, "gap.count"), "12");
    ck_assert_str_eq(support_json(line, "gap.server"), "main");
    agent_kill(a);
    local_close(app);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    line = local_read(app);
    id = support_json(line, "gap.id");
    local_ack(app, id);
    local_close(app);
    agent_stop(a);
    agent_again(a);
    app = local_open(a);
    local_subscribe(app, "orders");
    ck_assert_ptr_null(local_try(app, 50));
    local_close(app);
}
END_TEST

START_TEST(connections_are_bounded)
{
    local_app *apps[256], *more;
    int i;

    for (i = 0; i < 256; i++)
        apps[i] = local_open(a);
    more = local_open(a);
    ck_assert_str_eq(next_error(more), "busy");
    ck_assert(local_closed(more, 5000));
    local_close(more);
    for (i = 0; i < 256; i++)
        local_close(apps[i]);
    more = local_open(a);
    local_subscribe(more, "orders");
    local_close(more);
}
END_TEST

/* ---- the socket ------------------------------------------------------ */

START_TEST(the_socket_is_for_its_user_alone)
{
    struct stat info;

    ck_assert_int_eq(stat(agent_socket(a), &info), 0);
    ck_assert(S_ISSOCK(info.st_mode));
    ck_assert_int_eq(info.st_mode & 0777, 0600);
}
END_TEST

START_TEST(another_user_is_refused_even_on_an_open_socket)
{
    process_result result;
    const char *const argv[] = {
        "socat", "-t", "5", "-u", support_text("UNIX-CONNECT:%s", agent_socket(a)),
        "-",     NULL
    };

    if (geteuid() != 0 || access("/usr/bin/socat", X_OK) != 0)
        return;
    result = process_run(&(process_options){ .argv = argv, .user = "nobody" });
    ck_assert_int_ne(result.status, 0);
    process_result_clear(&result);
    chmod(agent_socket(a), 0666);
    result = process_run(&(process_options){ .argv = argv, .user = "nobody" });
    ck_assert_msg(strstr(result.output, "not-permitted") != NULL, "%s", result.output);
    process_result_clear(&result);
    ck_assert_int_eq(agent_log_count(a, " is refused: the socket;"), 1);
}
END_TEST

static process_result run_second(void)
{
    const char *const argv[] = { support_build_path("commclient/commclient"),
                                 "run",
                                 "--config",
                                 agent_config(a),
                                 "--inbox",
                                 support_text("%s/other.db", agent_directory(a)),
                                 NULL };

    return process_run(&(process_options){ .argv = argv });
}

START_TEST(a_second_agent_does_not_take_the_socket)
{
    process_result result = run_second();
    local_app *app;

    ck_assert_int_eq(result.status, 5);
    ck_assert_ptr_nonnull(strstr(result.output, "in use by another agent"));
    process_result_clear(&result);
    app = local_open(a);
    local_subscribe(app, "orders");
    local_close(app);
}
END_TEST

START_TEST(what_a_killed_agent_left_is_replaced)
{
    process_result result;
    struct stat info;

    agent_kill(a);
    ck_assert_int_eq(stat(agent_socket(a), &info), 0);
    agent_again(a);
    agent_stop(a);
    ck_assert_int_ne(stat(agent_socket(a), &info), 0);
    process_write_file(agent_socket(a), "precious");
    result = run_second();
    ck_assert_int_eq(result.status, 4);
    ck_assert_ptr_nonnull(strstr(result.output, "is no socket"));
    ck_assert_int_eq(stat(agent_socket(a), &info), 0);
    process_result_clear(&result);
}
END_TEST

START_TEST(it_stops_at_once_with_applications_and_polls_open)
{
    local_app *app = local_open(a);
    long long asked = process_now_ms();

    local_subscribe(app, "orders");
    agent_stop(a);
    ck_assert_int_lt(process_now_ms() - asked, process_scale(2000));
    ck_assert(local_closed(app, 1000));
    local_close(app);
}
END_TEST

START_TEST(a_damaged_inbox_is_set_aside_at_start)
{
    local_app *app;

    publish_one("id1");
    agent_stop(a);
    process_write_file(support_text("%s/inbox.db", agent_directory(a)),
                       "SQLite format 3");
    ck_assert_int_eq(truncate(support_text("%s/inbox.db", agent_directory(a)), 4096), 0);
    agent_again(a);
    ck_assert_int_eq(agent_log_count(a, "is damaged"), 1);
    script_expect(server);
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    app = local_open(a);
    local_subscribe(app, "orders");
    ck_assert_str_eq(next_id(app), "id1");
    local_close(app);
}
END_TEST

/* ---- the examples ---------------------------------------------------- */

static int has_text(const char *path, const char *text)
{
    char *all = process_read_file(path);
    int found = all && strstr(all, text);

    free(all);
    return found;
}

/* A line of an application is read before what the server sends after it, so
 * the acknowledgment of the gap is with the agent at the end.              */
static void run_example(const char *name)
{
    const char *output = support_text("%s/%s.output", agent_directory(a), name);
    const char *const argv[] = { "python3",
                                 support_source_path(
                                     support_text("examples/local/%s", name)),
                                 agent_socket(a),
                                 "orders",
                                 "http://localhost:9",
                                 NULL };
    pid_t pid = process_start(&(process_options){ .argv = argv, .output = output });

    wait_until(has_text(output, "missing"), 10000);
    publish(script_message("id1", "orders", "\"first\""));
    wait_until(has_text(output, "first"), 10000);
    publish(script_message("id2", "orders", "\"second\""));
    wait_until(has_text(output, "second"), 10000);
    reaper_kill_group(pid);
    reaper_group_done(pid);
}

START_TEST(the_examples_acknowledge_gaps)
{
    static const char *const names[] = { "consume.py", "fetch.py" };
    const char *const probe[] = { "python3", "-c", "pass", NULL };
    process_result found = process_run(&(process_options){ .argv = probe });
    local_app *app;
    int status = found.status;

    process_result_clear(&found);
    if (status != 0)
        return;
    script_answer(
        server, "200 OK", "Content-Type: application/json\r\n",
        "{\"cursor\":\"e-1\",\"messages\":[],\"gap\":{\"apps\":{\"orders\":3}}}");
    sequence++;
    script_expect(server);
    run_example(names[_i]);
    app = local_open(a);
    local_subscribe(app, "orders");
    publish(script_message("last", "orders", "3"));
    while (strcmp(next_id(app), "last") != 0)
        ;
    local_close(app);
}
END_TEST

/* ---- several servers ------------------------------------------------- */

START_TEST(two_servers_feed_what_they_may)
{
    script_server *second = script_start();
    local_app *app;
    const char *message;

    start_with(support_text("[server other]\nurl = %s\ndevice = test\n"
                            "[app orders]\nservers = main, other\n"
                            "[app mail]\nservers = other\n",
                            script_url(second)));
    app = local_open(a);
    local_subscribe(app, "orders");
    local_subscribe(app, "mail");
    script_expect(second);
    script_batch(second, "x-1",
                 support_text("%s,%s", script_message("id1", "orders", "1"),
                              script_message("id2", "mail", "2")));
    message = local_message(app);
    ck_assert_str_eq(support_json(message, "server"), "other");
    ck_assert_str_eq(next_id(app), "id2");
    publish(support_text("%s,%s,%s", script_message("id3", "mail", "1"),
                         script_message("id4", "unheard", "1"),
                         script_message("id5", "orders", "1")));
    ck_assert_str_eq(next_id(app), "id5");
    ck_assert_int_eq(agent_log_count(a, "may not feed"), 2);
    script_expect(second);
    ck_assert_str_eq(script_header(second, "Last-Event-ID"), "x-1");
    local_close(app);
    script_end(second);
}
END_TEST

static void add_applications(TCase *c)
{
    tcase_add_test(c, the_agent_says_hello_first);
    tcase_add_test(c, bad_lines_are_answered_and_the_connection_stays);
    tcase_add_test(c, a_line_may_come_in_pieces_and_lines_together);
    tcase_add_test(c, a_line_too_long_ends_the_connection);
    tcase_add_test(c, each_message_goes_to_one_of_several_subscribers);
    tcase_add_test(c, what_a_dead_application_had_goes_to_another);
    tcase_add_test(c, nothing_acknowledged_comes_again_after_kill);
    tcase_add_test(c, acknowledgements_given_before_a_clean_stop_are_kept);
    tcase_add_test(c, a_line_before_the_end_of_input_is_answered);
    tcase_add_test(c, watchers_get_copies);
    tcase_add_test(c, an_application_that_does_not_read_delays_no_other);
    tcase_add_test(c, an_application_that_never_reads_answers_is_not_read_either);
    tcase_add_test(c, a_gap_is_kept_until_acknowledged);
    tcase_add_test(c, connections_are_bounded);
    tcase_add_loop_test(c, the_examples_acknowledge_gaps, 0, 2);
}

static void add_process(TCase *c)
{
    tcase_add_test(c, the_socket_is_for_its_user_alone);
    tcase_add_test(c, another_user_is_refused_even_on_an_open_socket);
    tcase_add_test(c, a_second_agent_does_not_take_the_socket);
    tcase_add_test(c, what_a_killed_agent_left_is_replaced);
    tcase_add_test(c, it_stops_at_once_with_applications_and_polls_open);
    tcase_add_test(c, a_damaged_inbox_is_set_aside_at_start);
}

int main(void)
{
    Suite *s = suite_create("agent_local");
    TCase *applications = tcase_create("applications");
    TCase *process = tcase_create("process");
    TCase *servers = tcase_create("servers");

    tcase_add_checked_fixture(applications, set_up, tear_down);
    add_applications(applications);
    suite_add_tcase(s, applications);
    tcase_add_checked_fixture(process, set_up, tear_down);
    add_process(process);
    suite_add_tcase(s, process);
    tcase_add_checked_fixture(servers, NULL, tear_down);
    tcase_add_test(servers, two_servers_feed_what_they_may);
    suite_add_tcase(s, servers);
    return support_run(s);
}

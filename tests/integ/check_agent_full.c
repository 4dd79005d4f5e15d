/* SPDX-License-Identifier: Apache-2.0
 * check_agent_full.c - a real agent whose disk is full, or that has no more
 * descriptors: what it says meanwhile, that it loses nothing, and that it goes on by
 * itself.
 *
 * Both are made with limits of the process, which count for root too: a file may not
 * grow beyond what it has (RLIMIT_FSIZE), there are no more descriptors than are in
 * use (RLIMIT_NOFILE).
 */
#include "support/script_server.h"
#include "support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define BACK_MS  15000 /* until all is well again                           */
#define QUIET_MS 1200  /* in which nothing may happen                       */

static script_server *server, *publisher;
static agent *a;
static local_app *app;

/* ---- limits ------------------------------------------------------------------ */

static void set_limit(int which, rlim_t value)
{
    struct rlimit limit;

    ck_assert_int_eq(prlimit(agent_pid(a), which, NULL, &limit), 0);
    limit.rlim_cur = value < limit.rlim_max ? value : limit.rlim_max;
    ck_assert_int_eq(prlimit(agent_pid(a), which, &limit, NULL), 0);
}

/* Where the log of the inbox goes on there is no room. */
static void fill_disk(void)
{
    struct stat info;

    ck_assert_int_eq(stat(support_text("%s/inbox.db-wal", agent_directory(a)), &info), 0);
    ck_assert_int_gt(info.st_size, 4096);
    set_limit(RLIMIT_FSIZE, (rlim_t)info.st_size);
}

static void empty_disk(void)
{
    set_limit(RLIMIT_FSIZE, RLIM_INFINITY);
}

/* Those in use stay; what is asked for anew would have a number above. */
static void take_descriptors(void)
{
    set_limit(RLIMIT_NOFILE, STDERR_FILENO + 1);
}

static void give_descriptors(void)
{
    set_limit(RLIMIT_NOFILE, 256);
}

/* ---- the agent --------------------------------------------------------------- */

static int logged(const char *text)
{
    return agent_log_count(a, text);
}

static void start(const char *more)
{
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\n"
                               "publish = http://127.0.0.1:%d/comm/publish\n%s",
                               script_url(server), script_port(publisher), more) });
    script_expect(server);
    script_nothing(server, "e-0");
    script_expect(server);
}

static void set_up(void)
{
    server = script_start();
    publisher = script_start();
}

static void tear_down(void)
{
    if (app)
        local_close(app);
    if (a)
        agent_end(a);
    app = NULL;
    a = NULL;
    script_end(server);
    script_end(publisher);
}

static void subscribe(void)
{
    app = local_open(a);
    local_subscribe(app, "orders");
}

static const char *asked_with(void)
{
    return strlen(script_body(server)) > 0 ? script_body(server) : script_head(server);
}

static void expect_cursor(const char *cursor)
{
    script_expect(server);
    ck_assert_msg(strstr(asked_with(), cursor) != NULL, "'%s' is not in '%s'", cursor,
                  asked_with());
}

static const char *status(const char *path)
{
    local_app *asking = local_open(a);
    const char *value;

    local_send(asking, "{\"status\":true}");
    value = support_json(local_read(asking), support_text("status.%s", path));
    local_close(asking);
    return value ? value : "";
}

static void expect_message(const char *id, const char *attempt)
{
    const char *message = local_message(app);

    ck_assert_str_eq(support_json(message, "id"), id);
    ck_assert_str_eq(support_json(message, "attempt"), attempt);
}

static long cpu_ticks(void)
{
    FILE *file = fopen(support_text("/proc/%d/stat", (int)agent_pid(a)), "re");
    char text[1024] = "";
    long user = 0, own = 0;

    ck_assert(file != NULL && fgets(text, sizeof(text), file) != NULL);
    fclose(file);
    ck_assert_int_eq(sscanf(strrchr(text, ')') + 1,
                            " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %ld %ld", &user,
                            &own),
                     2);
    return user + own;
}

/* ---- a full disk ------------------------------------------------------------- */

/* What it says of itself, and to who publishes. */
static void check_trouble(void)
{
    local_app *other = local_open(a);
    const char *line;

    ck_assert_ptr_nonnull(strstr(status("inbox.error"), "disk"));
    local_send(other, "{\"publish\":{\"app\":\"orders\",\"to\":\"bob\",\"data\":1,"
                      "\"ref\":\"r\"}}");
    line = local_read(other);
    ck_assert_str_eq(support_json(line, "error.code"), "storage");
    ck_assert_str_eq(support_json(line, "error.ref"), "r");
    ck_assert_int_gt(atoi(support_json(line, "error.retry_after")), 0);
    local_close(other);
}

static void check_well_again(void)
{
    ck_assert_int_eq(logged("inbox cannot be used"), 1);
    ck_assert_str_eq(status("inbox.error"), "");
    local_send(app, "{\"publish\":{\"app\":\"orders\",\"to\":\"bob\",\"data\":1}}");
    ck_assert_ptr_nonnull(support_json(local_read(app), "spooled.key"));
}

START_TEST(a_full_disk_takes_nothing_over_and_is_told_once)
{
    start("");
    subscribe();
    fill_disk();
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    wait_until(strcmp(status("servers.0.state"), "storage") == 0, BACK_MS);
    ck_assert(!script_try(server, QUIET_MS));
    ck_assert_ptr_null(local_try(app, 0));
    check_trouble();
    empty_disk();
    expect_cursor("e-0");
    ck_assert_ptr_null(strstr(asked_with(), "e-1"));
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    expect_message("id1", "1");
    expect_cursor("e-1");
    ck_assert_str_eq(status("servers.0.state"), "connected");
    check_well_again();
    wait_until(logged("inbox can be used again") == 1, BACK_MS);
}
END_TEST

static void acknowledge_on_a_full_disk(void)
{
    start("");
    subscribe();
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    expect_message("id1", "1");
    script_expect(server);
    fill_disk();
    local_send(app, "{\"ack\":\"id1\"}");
}

START_TEST(an_acknowledgement_waits_for_room)
{
    acknowledge_on_a_full_disk();
    ck_assert_ptr_null(local_try(app, QUIET_MS));
    check_trouble();
    empty_disk();
    ck_assert_str_eq(support_json(local_read(app), "acked"), "id1");
    check_well_again();
    agent_kill(a);
    local_close(app);
    agent_again(a);
    subscribe();
    ck_assert_ptr_null(local_try(app, 300));
}
END_TEST

START_TEST(an_acknowledgement_that_was_not_told_may_come_again)
{
    acknowledge_on_a_full_disk();
    wait_until(logged("inbox cannot be used") == 1, BACK_MS);
    agent_kill(a);
    local_close(app);
    agent_again(a);
    subscribe();
    expect_message("id1", "2");
}
END_TEST

/* What the server took is not sent again, and its application hears of it. */
START_TEST(what_was_published_is_told_when_there_is_room)
{
    start("");
    subscribe();
    local_send(app, "{\"publish\":{\"app\":\"orders\",\"to\":\"bob\",\"data\":1}}");
    ck_assert_ptr_nonnull(support_json(local_read(app), "spooled.key"));
    script_expect(publisher);
    fill_disk();
    script_answer(publisher, "201 Created", "Content-Type: application/json\r\n",
                  "{\"id\":\"AAAAAAAAAAAAAAAAAAAAAA\",\"state\":\"queued\"}");
    ck_assert_ptr_null(local_try(app, QUIET_MS));
    empty_disk();
    ck_assert_ptr_nonnull(support_json(local_read(app), "published.key"));
    ck_assert(!script_try(publisher, 300));
    check_well_again();
}
END_TEST

#define STREAM_HEAD                                                                      \
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"

static void send_event(void)
{
    const char *text = support_text(STREAM_HEAD "id: e-1\ndata: %s\n\n",
                                    script_message("id1", "orders", "1"));

    script_raw(server, text, strlen(text));
}

START_TEST(a_stream_is_left_until_there_is_room)
{
    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\nmode = stream\n"
                               "publish = http://127.0.0.1:%d/p\n",
                               script_url(server), script_port(publisher)) });
    subscribe();
    script_expect(server);
    fill_disk();
    send_event();
    wait_until(strcmp(status("servers.0.state"), "storage") == 0, BACK_MS);
    ck_assert(!script_try(server, QUIET_MS));
    check_trouble();
    empty_disk();
    script_expect(server);
    ck_assert_ptr_null(strstr(script_head(server), "e-1"));
    send_event();
    expect_message("id1", "1");
    expect_cursor("e-1");
    script_nothing(server, NULL);
    check_well_again();
}
END_TEST

/* ---- no descriptors ---------------------------------------------------------- */

START_TEST(who_connects_waits_for_a_descriptor)
{
    local_app *late;
    long ticks;

    start("");
    subscribe();
    take_descriptors();
    ticks = cpu_ticks();
    late = local_open_early(a);
    ck_assert_ptr_null(local_try(late, QUIET_MS));
    ck_assert_int_lt(cpu_ticks() - ticks, sysconf(_SC_CLK_TCK) / 10);
    ck_assert_int_eq(logged("local connections cannot be taken: Too many open files"), 1);
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    expect_message("id1", "1");
    local_ack(app, "id1");
    give_descriptors();
    ck_assert_ptr_nonnull(support_json(local_read(late), "hello.protocol"));
    local_close(late);
}
END_TEST

START_TEST(the_configuration_stays_when_it_cannot_be_read)
{
    start("");
    take_descriptors();
    kill(agent_pid(a), SIGHUP);
    wait_until(logged("configuration stays as it was") == 1, BACK_MS);
    ck_assert_int_eq(logged("Too many open files"), 1);
    give_descriptors();
    kill(agent_pid(a), SIGHUP);
    wait_until(logged("is read again") == 1, BACK_MS);
}
END_TEST

START_TEST(a_secret_is_read_when_it_can_be)
{
    const char *file;

    a = agent_start(&(agent_options){
        .config = support_text("[server main]\nurl = %s\ndevice = test\nuser = alice\n"
                               "password_file = @DIR@/password\n",
                               script_url(server)) });
    script_expect(server);
    file = support_text("%s/password", agent_directory(a));
    process_write_file(file, "another-password\n");
    take_descriptors();
    script_nothing(server, "e-0");
    wait_until(logged("cannot read password_file") == 1, BACK_MS);
    ck_assert(!script_try(server, QUIET_MS));
    give_descriptors();
    script_expect(server);
    ck_assert_ptr_nonnull(script_header(server, "Authorization"));
    ck_assert_int_eq(logged("another-password"), 0);
}
END_TEST

START_TEST(a_program_is_started_when_it_can_be)
{
    start("[app orders]\nservers = main\nexec = /bin/sh -c \"cat >@DIR@/out\"\n");
    take_descriptors();
    script_batch(server, "e-1", script_message("id1", "orders", "{\"n\":1}"));
    wait_until(logged("Too many open files") > 0, BACK_MS);
    ck_assert_int_ne(access(support_text("%s/out", agent_directory(a)), F_OK), 0);
    give_descriptors();
    wait_until(access(support_text("%s/out", agent_directory(a)), F_OK) == 0, BACK_MS);
    wait_until(strcmp(status("inbox.messages"), "0") == 0, BACK_MS);
}
END_TEST

START_TEST(a_server_is_polled_when_it_can_be)
{
    start("");
    take_descriptors();
    script_cut(server);
    wait_until(logged("cannot be reached") == 1, BACK_MS);
    give_descriptors();
    script_expect(server);
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    subscribe();
    expect_message("id1", "1");
}
END_TEST

/* ---- starting ---------------------------------------------------------------- */

/* Run it with a limit of the shell until it is ready, or has ended.
 * @return 1: it was ready */
static int try_start(const char *limit)
{
    const char *const argv[] = {
        "/bin/sh", "-c",
        support_text("ulimit -S %s && exec %s run --config %s", limit,
                     support_program("commclient/commclient"), agent_config(a)),
        NULL
    };
    const char *log = support_text("%s/try.log", agent_directory(a));
    int ended = 0, result, ready;
    pid_t pid;
    char *said;

    unlink(agent_socket(a));
    pid = process_start(&(process_options){ .argv = argv, .output = log });
    wait_until((ended = process_ended(pid, &result))
                   || access(agent_socket(a), F_OK) == 0,
               BACK_MS);
    ready = !ended;
    if (!ended) {
        kill(pid, SIGTERM);
        result = process_wait(pid, BACK_MS, "commclient");
    }
    said = process_read_file(log);
    ck_assert_msg(WIFEXITED(result), "%s: wait status 0x%x: %s", limit, result, said);
    ck_assert_msg(ready || WEXITSTATUS(result) != 0, "%s: %s", limit, said);
    if (!ready && strncmp(limit, "-f", 2) != 0)
        ck_assert_msg(strlen(said) > 0, "%s: it says nothing", limit);
    free(said);
    return ready;
}

static void prepare_start(void)
{
    start("");
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    script_expect(server);
    agent_kill(a);
}

static void check_started(void)
{
    agent_again(a);
    subscribe();
    expect_message("id1", "1");
}

START_TEST(with_few_descriptors_it_starts_or_says_why)
{
    int count, ready = 0;

    prepare_start();
    for (count = 4; count < 40 && !ready; count++)
        ready = try_start(support_text("-n %d", count));
    ck_assert(ready);
    check_started();
}
END_TEST

#ifndef __SANITIZE_THREAD__ /* which writes before the agent's main() begins */
START_TEST(on_a_full_disk_it_starts_with_what_it_has)
{
    prepare_start();
    ck_assert(try_start("-f 0"));
    check_started();
}
END_TEST

START_TEST(on_a_full_disk_no_new_inbox_is_made)
{
    prepare_start();
    unlink(support_text("%s/inbox.db", agent_directory(a)));
    unlink(support_text("%s/inbox.db-wal", agent_directory(a)));
    ck_assert(!try_start("-f 0"));
    ck_assert(!try_start("-f 8"));
    agent_again(a);
}
END_TEST
#endif

int main(void)
{
    Suite *suite = suite_create("agent_full");
    TCase *tests = tcase_create("full");

    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, a_full_disk_takes_nothing_over_and_is_told_once);
    tcase_add_test(tests, an_acknowledgement_waits_for_room);
    tcase_add_test(tests, an_acknowledgement_that_was_not_told_may_come_again);
    tcase_add_test(tests, what_was_published_is_told_when_there_is_room);
    tcase_add_test(tests, a_stream_is_left_until_there_is_room);
    tcase_add_test(tests, who_connects_waits_for_a_descriptor);
    tcase_add_test(tests, the_configuration_stays_when_it_cannot_be_read);
    tcase_add_test(tests, a_secret_is_read_when_it_can_be);
    tcase_add_test(tests, a_program_is_started_when_it_can_be);
    tcase_add_test(tests, a_server_is_polled_when_it_can_be);
    tcase_add_test(tests, with_few_descriptors_it_starts_or_says_why);
#ifndef __SANITIZE_THREAD__
    tcase_add_test(tests, on_a_full_disk_it_starts_with_what_it_has);
    tcase_add_test(tests, on_a_full_disk_no_new_inbox_is_made);
#endif
    suite_add_tcase(suite, tests);
    return support_run(suite);
}

/* SPDX-License-Identifier: Apache-2.0
 * check_directives.c - what configuration is refused and in which words, and
 * what a start, a restart and a stop do to the queues.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/support.h"

/* ---- refused ----------------------------------------------------------- */

static const struct {
    const char *config;
    const char *words;
} bad[] = {
    { "CommServerMaxMessage 0",
      "CommServerMaxMessage must be a size in bytes, or with K, "
      "M or G, from 1 to 1G, not '0'" },
    { "CommServerMaxMessage 2G", "from 1 to 1G, not '2G'" },
    { "CommServerMaxMessage -1", "not '-1'" },
    { "CommServerMaxMessage 1T", "not '1T'" },
    { "CommServerMaxMessage 1KB", "not '1KB'" },
    { "CommServerMaxMessage 99999999999999999999", "not '99999999999999999999'" },
    { "CommServerMaxMessage 9999999999G", "not '9999999999G'" },
    { "CommServerMaxMessage", "takes one argument" },
    { "CommServerSegmentSize 1K", "from 1M to 192G, not '1K'" },
    { "CommServerMaxQueue 0", "CommServerMaxQueue must be a number from 1 to 100000000, "
                              "not '0'" },
    { "CommServerMaxQueue 1K", "not '1K'" },
    { "CommServerMaxQueue 1.5", "not '1.5'" },
    { "CommServerMaxQueueBytes x", "CommServerMaxQueueBytes must be a size" },
    { "CommServerMaxClients 0", "CommServerMaxClients must be a number" },
    { "CommServerClientExpiry 0",
      "CommServerClientExpiry must be a time in seconds, or "
      "with s, mi or h, from 1 second to 3650 days, not '0'" },
    { "CommServerTTL 0", "CommServerTTL must be a time" },
    { "CommServerTTL 1500ms", "not '1500ms'" },
    { "CommServerTTL 1d", "not '1d'" },
    { "CommServerIdempotencyWindow 0", "from 1 second to 7 days, not '0'" },
    { "CommServerIdempotencyWindow 169h", "from 1 second to 7 days, not '169h'" },
    { "CommServerMaxTTL never", "CommServerMaxTTL must be a time" },
    { "CommServerMaxWait 3601", "CommServerMaxWait must be a time in seconds, or with s, "
                                "mi or h, from 0 seconds to 1 hour, not '3601'" },
    { "CommServerMaxBatch 1", "CommServerMaxBatch must be a size" },
    { "CommServerBlockingPolls -1", "CommServerBlockingPolls must be a number" },
    { "CommServerMaxParked many", "CommServerMaxParked must be a number" },
    { "CommServerMaxEventThreads 1",
      "CommServerMaxEventThreads must be a number from 2 to "
      "64, not '1'" },
    { "CommServerOverflow drop", "CommServerOverflow must be reject or drop-oldest, not "
                                 "'drop'" },
    { "CommServerRealm a/b", "CommServerRealm must be 1 to 255 bytes" },
    { "CommServerRealm ..", "CommServerRealm must be 1 to 255 bytes" },
    { "CommServerBase comm", "CommServerBase must be a path that begins with one '/'" },
    { "CommServerBase //comm", "CommServerBase must be a path" },
    { "CommServerAllowOrigin *",
      "CommServerAllowOrigin must be none or origins such as" },
    { "CommServerAllowOrigin null", "not 'null'" },
    { "CommServerAllowOrigin http://x none", "none stands alone" },
    { "CommServerSender \"local:x\"", "must not begin with 'local:'" },
    { "CommServerAllowOrigin none http://x", "none stands alone" },
    { "CommServerAllowOrigin https://a.example/", "not 'https://a.example/'" },
    { "CommServerClient \"%{FOO\"", "CommServerClient must be a string expression" },
    { "CommServerSender \"%{nonsense:x}\"",
      "CommServerSender must be a string expression" },
    { "CommServerDirect maybe", "CommServerDirect must be On or Off" },
    { "<VirtualHost *:*>\nCommServerMaxQueue 5\n</VirtualHost>",
      "CommServerMaxQueue cannot occur within <VirtualHost> section" },
    { "<VirtualHost *:*>\nCommServerOverflow reject\n</VirtualHost>",
      "CommServerOverflow cannot occur within <VirtualHost> section" },
    { "<Location /x>\nCommServerSegmentSize 5M\n</Location>",
      "CommServerSegmentSize not allowed" },
    { "<Location /x>\nCommServerRealm x\n</Location>", "CommServerRealm not allowed" },
};

START_TEST(a_bad_value_is_refused_in_precise_words)
{
    const char *said = httpd_refused(&(httpd_options){ .config = bad[_i].config });

    ck_assert_msg(strstr(said, bad[_i].words) != NULL, "'%s' said: %s", bad[_i].config,
                  said);
}
END_TEST

START_TEST(a_segment_too_small_for_its_tables_is_refused)
{
    const char *said = httpd_refused(&(httpd_options){
        .mpm = "prefork", .config = "CommServerSegmentSize 1M\nServerLimit 2000\n" });

    ck_assert_msg(strstr(said, "CS0004") != NULL, "%s", said);
}
END_TEST

/* ---- accepted ---------------------------------------------------------- */

START_TEST(every_directive_is_accepted_with_its_suffixes)
{
    httpd *server = httpd_start(&(httpd_options){
        .config = "CommServerAllowOrigin https://a.example http://b.example:8080\n"
                  "CommServerBlockingPolls 0\n"
                  "CommServerClientExpiry 24h\n"
                  "CommServerMaxClients 1000\n"
                  "CommServerMaxEventThreads 4\n"
                  "CommServerMaxMessage 64k\n"
                  "CommServerMaxParked 100\n"
                  "CommServerMaxQueue 100\n"
                  "CommServerMaxQueueBytes 2M\n"
                  "CommServerOverflow Drop-Oldest\n"
                  "CommServerRealm my.realm\n"
                  "CommServerSegmentSize 8M\n"
                  "CommServerTTL 90mi\n"
                  "CommServerIdempotencyWindow 168h\n"
                  "CommServerMaxTTL 1h\n"
                  "CommServerMaxWait 10s\n"
                  "<Location /comm/poll>\n"
                  "    CommServerMaxBatch 100K\n"
                  "    CommServerDirect On\n"
                  "    CommServerClient \"%{tolower:%{REMOTE_USER}}\"\n"
                  "</Location>\n" });
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "x");

    ck_assert_int_eq(answer->status, 201);
    ck_assert_str_eq(http_header(answer, "TTL"), "3600");
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     200);
    httpd_end(server);
}
END_TEST

START_TEST(an_inner_section_wins_where_it_says_something)
{
    httpd *server = httpd_start(&(httpd_options){
        .config = "CommServerTTL 100\n"
                  "<Location /comm/publish/a>\n    CommServerTTL 50\n</Location>\n"
                  "<Location /comm/publish/b>\n    CommServerMaxTTL 60\n</Location>\n" });

    ck_assert_str_eq(
        http_header(http_once(server, "POST", "/comm/publish/a/x", "backend", NULL, "x"),
                    "TTL"),
        "50");
    ck_assert_str_eq(
        http_header(http_once(server, "POST", "/comm/publish/b/x", "backend", NULL, "x"),
                    "TTL"),
        "60");
    ck_assert_str_eq(
        http_header(http_once(server, "POST", "/comm/publish/c/x", "backend", NULL, "x"),
                    "TTL"),
        "100");
    httpd_end(server);
}
END_TEST

START_TEST(an_mpm_that_does_not_fit_held_polls_is_told_at_start)
{
    httpd *server = httpd_start(
        &(httpd_options){ .config = "AsyncRequestWorkerFactor 2\nMinSpareThreads 1\n"
                                    "MaxSpareThreads 20\nServerLimit 2\n" });

    ck_assert_int_ge(httpd_log_count(server, "CS0012"), 1);
    ck_assert_int_ge(httpd_log_count(server, "CS0013"), 1);
    ck_assert_int_ge(httpd_log_count(server, "CS0041"), 1);
    httpd_end(server);
    server = httpd_start(&(httpd_options){ .config = "CommServerMaxParked 1000\n" });
    ck_assert_int_eq(httpd_log_count(server, "CS0012"), 0);
    ck_assert_int_eq(httpd_log_count(server, "CS0013"), 0);
    ck_assert_int_eq(httpd_log_count(server, "CS0041"), 0);
    httpd_end(server);
}
END_TEST

START_TEST(limits_that_do_not_fit_each_other_are_told_at_start)
{
    httpd *server = httpd_start(&(httpd_options){
        .config = "CommServerMaxMessage 64M\nCommServerTTL 48h\n"
                  "CommServerMaxTTL 24h\n" });

    ck_assert_int_ge(httpd_log_count(server, "CS0042"), 1);
    ck_assert_int_ge(httpd_log_count(server, "CS0043"), 1);
    httpd_end(server);
    server = httpd_start(&(httpd_options){ .children = 1 });
    ck_assert_int_eq(httpd_log_count(server, "CS0042"), 0);
    ck_assert_int_eq(httpd_log_count(server, "CS0043"), 0);
    httpd_end(server);
}
END_TEST

/* ---- the segment's life ------------------------------------------------ */

static void expect_one_waits(httpd *server, const char *data)
{
    http_answer *answer = http_once(server, "GET", "/comm/poll", "alice", NULL, NULL);

    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(support_json(answer->body, "messages.0.data"), data);
}

START_TEST(restarts_keep_what_is_queued_and_take_over_limits)
{
    httpd *server = httpd_start(&(httpd_options){ .config = "CommServerMaxQueue 2\n" });

    http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "kept");
    httpd_graceful(server);
    expect_one_waits(server, "kept");
    httpd_configure(server, "CommServerMaxQueue 1\nCommServerSegmentSize 32M\n");
    httpd_restart(server);
    expect_one_waits(server, "kept");
    ck_assert_int_eq(
        http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "x")->status,
        507);
    ck_assert_int_ge(httpd_log_count(server, "CS0008"), 1);
    httpd_graceful(server);
    expect_one_waits(server, "kept");
    httpd_end(server);
}
END_TEST

START_TEST(a_restart_with_other_realms_names_them)
{
    httpd *server = httpd_start(&(httpd_options){ .config = "CommServerRealm one\n" });

    http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "of one");
    httpd_configure(server, "CommServerRealm two\n");
    httpd_graceful(server);
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    httpd_configure(server, "CommServerRealm one\n");
    httpd_graceful(server);
    expect_one_waits(server, "of one");
    httpd_end(server);
}
END_TEST

/* Entries of a directory whose name begins with this. */
static int entries(const char *directory, const char *prefix)
{
    DIR *folder = opendir(directory);
    struct dirent *entry;
    int n = 0;

    while (folder && (entry = readdir(folder)) != NULL)
        n += strncmp(entry->d_name, prefix, strlen(prefix)) == 0;
    if (folder)
        closedir(folder);
    return n;
}

static int runtime_entries(httpd *server, const char *prefix)
{
    return entries(support_text("%s/run", httpd_directory(server)), prefix);
}

static void expect_only_state(httpd *server)
{
    const char *folder = support_text("%s/run/commserver-httpd", httpd_directory(server));

    ck_assert_int_eq(entries(folder, "queue.state"), 1);
    ck_assert_int_eq(entries(folder, ""), 3); /* with . and .. */
}

START_TEST(a_stop_leaves_the_state_and_nothing_else)
{
    httpd *server = httpd_start(&(httpd_options){ 0 });
    struct stat info;

    ck_assert_int_eq(runtime_entries(server, "commserver-httpd"), 1);
    ck_assert_int_eq(
        stat(support_text("%s/run/commserver-httpd", httpd_directory(server)), &info), 0);
    ck_assert_int_eq(info.st_mode & 077, 0);
    http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "x");
    httpd_stop(server);
    expect_only_state(server);
    httpd_again(server);
    expect_one_waits(server, "x");
    httpd_graceful_stop(server);
    expect_only_state(server);
    httpd_end(server);
}
END_TEST

START_TEST(what_a_kill_leaves_is_no_hindrance)
{
    httpd *server = httpd_start(&(httpd_options){ 0 });

    httpd_kill(server);
    httpd_again(server);
    ck_assert_int_eq(
        http_once(server, "POST", "/comm/publish/a/alice", "backend", NULL, "x")->status,
        201);
    expect_one_waits(server, "x");
    httpd_end(server);
}
END_TEST

START_TEST(two_servers_do_not_meet)
{
    httpd *one = httpd_start(&(httpd_options){ 0 });
    httpd *two = httpd_start(&(httpd_options){
        .config = support_text("DefaultRuntimeDir \"%s/run\"\n", httpd_directory(one)) });

    http_once(one, "POST", "/comm/publish/a/alice", "backend", NULL, "x");
    ck_assert_int_eq(http_once(two, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    expect_one_waits(one, "x");
    ck_assert_int_eq(runtime_entries(one, "commserver-httpd"), 2);
    httpd_end(two);
    expect_one_waits(one, "x");
    httpd_end(one);
}
END_TEST

/* ---- CGI programs ------------------------------------------------------ */

START_TEST(cgi_programs_are_told_segment_and_realm)
{
    httpd *server =
        httpd_start(&(httpd_options){ .modules = "cgid env alias",
                                      .config = "CommServerRealm my.realm\n"
                                                "ScriptSock @DIR@/run/cgisock\n"
                                                "ScriptAlias /cgi/ @DIR@/cgi-bin/\n" });
    http_answer *answer;

    httpd_put(server, "cgi-bin/env",
              "#!/bin/sh\nprintf 'Content-Type: text/plain\\n\\n'\n"
              "echo \"$COMMSERVER_REALM $COMMSERVER_SEGMENT\"\n");
    chmod(support_text("%s/cgi-bin/env", httpd_directory(server)), 0755);
    answer = http_once(server, "GET", "/cgi/env", NULL, NULL, NULL);
    ck_assert_int_eq(answer->status, 200);
    ck_assert_str_eq(answer->body,
                     support_text("my.realm %s/run/commserver-httpd/queue\n",
                                  httpd_directory(server)));
    httpd_end(server);
}
END_TEST

#define COUNT(array) (int)(sizeof(array) / sizeof(*array))

int main(void)
{
    Suite *suite = suite_create("directives");
    TCase *tc = tcase_create("refused");

    support_need_httpd();
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, a_bad_value_is_refused_in_precise_words, 0, COUNT(bad));
    tcase_add_test(tc, a_segment_too_small_for_its_tables_is_refused);
    suite_add_tcase(suite, tc);
    tc = tcase_create("accepted");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, every_directive_is_accepted_with_its_suffixes);
    tcase_add_test(tc, an_inner_section_wins_where_it_says_something);
    tcase_add_test(tc, an_mpm_that_does_not_fit_held_polls_is_told_at_start);
    tcase_add_test(tc, limits_that_do_not_fit_each_other_are_told_at_start);
    tcase_add_test(tc, restarts_keep_what_is_queued_and_take_over_limits);
    tcase_add_test(tc, a_restart_with_other_realms_names_them);
    tcase_add_test(tc, a_stop_leaves_the_state_and_nothing_else);
    tcase_add_test(tc, what_a_kill_leaves_is_no_hindrance);
    tcase_add_test(tc, two_servers_do_not_meet);
    tcase_add_test(tc, cgi_programs_are_told_segment_and_realm);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}

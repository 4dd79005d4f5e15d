/* SPDX-License-Identifier: Apache-2.0
 * check_cc_config.c - the configuration file.
 */
#include "cc_config.h"
#include "cc_paths.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <pwd.h>
#include <unistd.h>

static cc_config *config;
static char *error;
static char file[256];

static cc_status read_text(const char *text)
{
    cc_config_destroy(config);
    free(error);
    config = NULL;
    error = NULL;
    process_write_file(file, text);
    return cc_config_read(file, &config, &error);
}

static void set_up(void)
{
    setenv("HOME", "/home/somebody", 1);
    setenv("XDG_RUNTIME_DIR", "/run/user/somebody", 1);
    unsetenv("RUNTIME_DIRECTORY");
    unsetenv("STATE_DIRECTORY");
    unsetenv("XDG_STATE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    snprintf(file, sizeof(file), "%s/x.conf", reaper_temporary());
}

static void tear_down(void)
{
    cc_config_destroy(config);
    free(error);
}

#define SERVER "[server main]\nurl = https://example.org/comm/poll\n"

START_TEST(a_server_alone_is_enough)
{
    ck_assert_int_eq(read_text(SERVER), CC_OK);
    ck_assert_uint_eq(config->server_count, 1);
    ck_assert_str_eq(config->servers[0].name, "main");
    ck_assert_str_eq(config->servers[0].url, "https://example.org/comm/poll");
    ck_assert_int_eq(config->servers[0].wait, 55);
    ck_assert_int_eq(config->servers[0].connect_timeout, 10);
    ck_assert_int_eq(
        cc_name_check(config->servers[0].device, strlen(config->servers[0].device), 32),
        CC_OK);
    ck_assert_int_eq(config->inbox_max, 256 << 20);
    ck_assert_int_eq(config->max_message, 8 << 20);
    ck_assert_ptr_nonnull(config->socket);
    ck_assert_ptr_nonnull(config->inbox);
    ck_assert(cc_config_may_feed(config, "main", "anything"));
}
END_TEST

START_TEST(every_key_is_read)
{
    ck_assert_int_eq(
        read_text("# comment\n[agent]\nsocket = ~/s\ninbox = in/box.db\n"
                  "inbox_max = 64M\nmax_message = 20M\n\n[server a]\n"
                  "url = http://127.0.0.1:8080/poll?x=1 ; comment\n"
                  "user = al@example.org\npassword_file = pw\n"
                  "cert = /c.pem\nkey = /k.pem\nca = ca.pem\n"
                  "proxy = http://proxy:3128\ndevice = desk.top-1\nwait = 20\n"
                  "connect_timeout=3\n"
                  "[server b]\nurl=https://b/\ntoken_file = ~/token\n"
                  "[server c]\nurl=https://c/\nnetrc = yes\nmode = stream\n"
                  "[server d]\nurl=https://d/\nnetrc = /x/netrc\n"
                  "[ app  orders ]\nservers = a, b\nwindow = 100\nquota = 2M\n"
                  "[app greedy]\nservers = a\nquota = none\n"),
        CC_OK);
    ck_assert_str_eq(config->socket, "/home/somebody/s");
    ck_assert_str_eq(config->inbox, support_text("%.*s/in/box.db",
                                                 (int)(strrchr(file, '/') - file), file));
    ck_assert_int_eq(config->inbox_max, 64 << 20);
    ck_assert_int_eq(config->max_message, 20 << 20);
    ck_assert_str_eq(config->servers[0].url, "http://127.0.0.1:8080/poll?x=1");
    ck_assert_str_eq(config->servers[0].user, "al@example.org");
    ck_assert_str_eq(config->servers[0].key, "/k.pem");
    ck_assert_str_eq(config->servers[0].proxy, "http://proxy:3128");
    ck_assert_str_eq(config->servers[0].device, "desk.top-1");
    ck_assert_int_eq(config->servers[0].wait, 20);
    ck_assert_int_eq(config->servers[0].connect_timeout, 3);
    ck_assert_str_eq(config->servers[1].token_file, "/home/somebody/token");
    ck_assert_str_eq(config->servers[2].netrc, "/home/somebody/.netrc");
    ck_assert(config->servers[2].stream);
    ck_assert(!config->servers[3].stream);
    ck_assert_str_eq(config->servers[3].netrc, "/x/netrc");
    ck_assert_str_eq(config->apps[0].name, "orders");
    ck_assert_int_eq(cc_config_quota(config, "orders"), 2 << 20);
    ck_assert_int_eq(cc_config_quota(config, "greedy"), INT64_MAX);
    ck_assert_int_eq(cc_config_quota(config, "other"), 32 << 20);
    ck_assert_int_eq(config->apps[0].window, 100);
    ck_assert_uint_eq(config->apps[0].server_count, 2);
}
END_TEST

START_TEST(proxies_are_taken_as_libcurl_knows_them)
{
    static const char *const proxies[] = { "proxy",
                                           "proxy:3128",
                                           "http://proxy:3128/",
                                           "socks5h://127.0.0.1:9050",
                                           "[::1]:3128",
                                           "HTTPS://proxy.example.org" };

    ck_assert_int_eq(read_text(support_text(SERVER "proxy = %s\n", proxies[_i])), CC_OK);
    ck_assert_str_eq(config->servers[0].proxy, proxies[_i]);
}
END_TEST

START_TEST(servers_say_who_may_feed_an_application)
{
    ck_assert_int_eq(read_text("[server a]\nurl=https://a/\n[server b]\nurl=https://b/\n"
                               "[app orders]\nservers = b\n"
                               "[app both]\nservers=a b\n"),
                     CC_OK);
    ck_assert(!cc_config_may_feed(config, "a", "orders"));
    ck_assert(cc_config_may_feed(config, "b", "orders"));
    ck_assert(cc_config_may_feed(config, "a", "both"));
    ck_assert(!cc_config_may_feed(config, "a", "other"));
}
END_TEST

/* One key after the other differs from the section before. */
START_TEST(a_section_that_says_the_same_is_known)
{
    static const char *const keys[] = {
        "user = b",
        "password_file = q",
        "cert = q",
        "key = q",
        "ca = q",
        "proxy = other:1",
        "device = q",
        "wait = 1",
        "connect_timeout = 1",
    };
    static const char all[] = "url=https://a/\nuser = a\npassword_file = p\ncert = p\n"
                              "key = p\nca = p\nproxy = p:1\ndevice = p\nwait = 2\n"
                              "connect_timeout = 2\n";
    const char *name = support_text("%.*s", (int)strcspn(keys[_i], " "), keys[_i]);
    const char *line = strstr(all, support_text("\n%s =", name)) + 1;
    const char *rest = line + strcspn(line, "\n") + 1;
    cc_config *former;

    ck_assert_int_eq(read_text(support_text("[server s]\n%s", all)), CC_OK);
    former = config;
    config = NULL;
    ck_assert_int_eq(read_text(support_text("\n[agent]\n[server s]\n%s", all)), CC_OK);
    ck_assert(cc_config_same_server(former->servers, config->servers));
    ck_assert_int_eq(read_text(support_text("[server s]\n%.*s%s\n%s", (int)(line - all),
                                            all, keys[_i], rest)),
                     CC_OK);
    ck_assert(!cc_config_same_server(former->servers, config->servers));
    cc_config_destroy(former);
}
END_TEST

#define APP SERVER "[app a]\nservers = main\n"

/* What stands behind "exec =", and the words with '|' between. */
static const char *const words[][2] = {
    { "/bin/a", "/bin/a" },
    { "/bin/a  b\tc ", "/bin/a|b|c" },
    { "/bin/a 'b  c' \"d e\"", "/bin/a|b  c|d e" },
    { "/bin/a '' \"\" x", "/bin/a|||x" },
    { "/bin/a b'c d'\"e\"f", "/bin/a|bc def" },
    { "/bin/a '\\' \"\\\\ \\\" \\x\"", "/bin/a|\\|\\ \" \\x" },
    { "/bin/a \\' \\\" \\\\ b\\ c", "/bin/a|'|\"|\\|b c" },
    { "/bin/a $HOME *.c `x` $(x) ~ >x | y&", "/bin/a|$HOME|*.c|`x`|$(x)|~|>x|||y&" },
    { "/bin/a \\; b ; a comment", "/bin/a|;|b" },
    { "~/a b", "/home/somebody/a|b" },
    { "'/opt/our programs/a' b", "/opt/our programs/a|b" },
};

START_TEST(exec_is_split_into_words)
{
    char text[256] = "";
    size_t i;

    ck_assert_int_eq(read_text(support_text(APP "exec = %s\n", words[_i][0])), CC_OK);
    for (i = 0; config->apps[0].exec[i] != NULL; i++) {
        strcat(text, i > 0 ? "|" : "");
        strcat(text, config->apps[0].exec[i]);
    }
    ck_assert_str_eq(text, words[_i][1]);
}
END_TEST

START_TEST(a_program_is_looked_for_beside_the_file)
{
    ck_assert_int_eq(read_text(APP "exec = bin/a b\nparallel = 256\ntimeout = 86400\n"
                                   "retries = 0\n"),
                     CC_OK);
    ck_assert_str_eq(config->apps[0].exec[0],
                     support_text("%.*s/bin/a", (int)(strrchr(file, '/') - file), file));
    ck_assert_int_eq(config->apps[0].parallel, 256);
    ck_assert_int_eq(config->apps[0].timeout, 86400);
    ck_assert_int_eq(config->apps[0].retries, 0);
    ck_assert_int_eq(read_text(APP), CC_OK);
    ck_assert_ptr_null(config->apps[0].exec);
    ck_assert_int_eq(config->apps[0].parallel, 1);
    ck_assert_int_eq(config->apps[0].timeout, 60);
    ck_assert_int_eq(config->apps[0].retries, 5);
}
END_TEST

START_TEST(users_say_who_may_use_an_application)
{
    uid_t own = geteuid(), nobody = getpwnam("nobody")->pw_uid, other = own + 77;

    ck_assert_int_eq(read_text(APP "[app b]\nservers = main\n"), CC_OK);
    ck_assert(!cc_config_has_users(config));
    ck_assert(cc_config_may_use(config, "a", own));
    ck_assert(cc_config_may_use(config, "other", 0));
    ck_assert(!cc_config_may_use(config, "a", other));
    ck_assert_int_eq(
        read_text(support_text(APP "users = nobody,%lu 4294967294\n[app b]\nservers=main",
                               (unsigned long)other)),
        CC_OK);
    ck_assert(cc_config_has_users(config));
    ck_assert_uint_eq(config->apps[0].user_count, 3);
    ck_assert(cc_config_may_use(config, "a", own));
    ck_assert(cc_config_may_use(config, "a", 0));
    ck_assert(cc_config_may_use(config, "a", nobody));
    ck_assert(cc_config_may_use(config, "a", other));
    ck_assert(cc_config_may_use(config, "a", 4294967294u));
    ck_assert(!cc_config_may_use(config, "a", other + 1));
    ck_assert(!cc_config_may_use(config, "b", other));
    ck_assert(!cc_config_may_use(config, "other", other));
    ck_assert(cc_config_may_control(own) && cc_config_may_control(0));
    ck_assert(!cc_config_may_control(other));
}
END_TEST

static const char *const wrong[][2] = {
    { "", "x.conf: there is no [server NAME]" },
    { "[agent]\n", "x.conf: there is no [server NAME]" },
    { "[server main]\n", ":1: [server main] has no url" },
    { "url = x\n", ":1: 'url' stands before the first section" },
    { "[server main]\nurl = ftp://x/\n", ":2: url is 'ftp://x/'" },
    { "[server main]\nurl = https://al:pw@x/\n", ":2: url holds a user or a password" },
    { "[server main]\nurl = htps://al:pw@x/\n", ":2: url is '...': it must begin with" },
    { "[server main]\nurl = https://al:p/w@x/\n", ":2: url is '...': http://HOST/" },
    { SERVER "device = \033c\302\233x\n", ":3: device is '?c??x': up to" },
    { "[server main]\nurl = https:///x\n", ":2: url names no host" },
    { "[server main]\nurl = https://x/#f\n", ":2: url holds a fragment" },
    { "[server main]\nurl = https://x/a b\n", ":2: url holds a blank" },
    { SERVER "exec = /bin/true\n", ":3: key 'exec' is not known in [server]" },
    { SERVER "publish = ftp://x/\n", ":3: publish is 'ftp://x/': it must begin with" },
    { SERVER "publish = https://u:p@x/\n", ":3: publish holds a user or a password" },
    { SERVER "publish = https://x/#a\n", ":3: publish holds a fragment" },
    { SERVER "mode = push\n", ":3: mode is 'push': poll or stream is allowed" },
    { SERVER "[app a]\ncolour = 1\n", ":4: key 'colour' is not known in [app]" },
    { SERVER "[app a]\nquota = 1\n", ":4: quota is '1'" },
    { SERVER "[app a]\nquota = lots\n", ":4: quota is 'lots'" },
    { SERVER "[app a]\nquota = 257M\n", ":3: [app a] has a quota above inbox_max" },
    { SERVER "[app a]\nexec = x\n", ":3: [app a] has exec, but no servers" },
    { APP "exec = 'x\n", ":5: exec has a quote that is not closed" },
    { APP "exec = \"x\n", ":5: exec has a quote that is not closed" },
    { APP "exec = x\\\n", "ends with a backslash" },
    { APP "exec = '' x\n", ":5: exec names no program" },
    { APP "parallel = 0\n", ":5: parallel is '0': a number from 1 to 256" },
    { APP "timeout = 86401\n", ":5: timeout is '86401'" },
    { APP "retries = -1\n", ":5: retries is '-1'" },
    { APP "users = root, no body\n", ":5: users holds 'no', which is no user" },
    { APP "users = 4294967295\n", ":5: users holds 4294967295" },
    { APP "users = 12x\n", ":5: users holds '12x'" },
    { SERVER "[server b]\nurl = https://b/\n[app a]\nwindow = 5\n",
      ":5: [app a] has no servers" },
    { SERVER "URL = https://x/\n", ":3: key 'URL' is not known" },
    { SERVER "url = https://y/\n", ":3: 'url' is given twice" },
    { SERVER "wait = 0\n", ":3: wait is '0': a number from 1 to 3600" },
    { SERVER "wait = 5s\n", ":3: wait is '5s'" },
    { SERVER "wait =\n", ":3: 'wait' has no value" },
    { SERVER "wait = 99999999999999999999\n", ":3: wait is" },
    { SERVER "device = a b\n", ":3: device is 'a b'" },
    { SERVER "device = x12345678901234567890123456789012\n", ":3: device is" },
    { SERVER "user = al\n", ":1: [server main] has a user, but no password_file" },
    { SERVER "password_file = pw\n",
      ":1: [server main] has a password_file, but no user" },
    { SERVER "user = al\npassword_file = pw\ntoken_file = t\n",
      "one of them is allowed" },
    { SERVER "netrc = n\ntoken_file = t\n", "has netrc and a token_file: one of them" },
    { SERVER "user = al\npassword_file = pw\nnetrc = yes\n", "has netrc and a user" },
    { SERVER "user = a:b\n", ":3: user holds ':'" },
    { SERVER "key = k\n", "has a key, but no cert" },
    { SERVER "proxy = http://u:p@proxy\n", ":3: proxy holds a user or a password" },
    { SERVER "proxy = ::\n", ":3: proxy is '::': HOST:PORT is allowed" },
    { SERVER "proxy = http://\n", ":3: proxy is" },
    { SERVER "proxy = ftp://proxy:21\n", ":3: proxy is" },
    { SERVER "proxy = proxy:port\n", ":3: proxy is" },
    { SERVER "proxy = proxy:70000\n", ":3: proxy is" },
    { SERVER "proxy = proxy:3128/path\n", ":3: proxy is" },
    { SERVER "proxy = [::1\n", ":3: proxy is" },
    { "[server main]\nurl = https://x:port/\n", ":2: url is 'https://x:port/'" },
    { "[server main]\nurl = https://::/\n", ":2: url is" },
    { SERVER SERVER, ":3: [server main] is given twice" },
    { "[agent]\n[agent]\n" SERVER, ":2: [agent] is given twice" },
    { "[agent x]\n" SERVER, ":1: [agent] takes no name" },
    { "[agent]\ninbox_max = 5\n" SERVER, ":2: inbox_max is '5'" },
    { "[agent]\ninbox_max = 9999999T\n" SERVER, ":2: inbox_max is" },
    { "[agent]\ninbox_max = 64X\n" SERVER, ":2: inbox_max is" },
    { "[agent]\nmax_message = 512K\n" SERVER, ":2: max_message is '512K'" },
    { "[agent]\nmax_message = 513M\n" SERVER, "from 1M to 512M are allowed" },
    { SERVER "[app a]\nwindow = 0\n", ":4: window is '0'" },
    { SERVER "[app a]\nservers = other\n", ":3: [app a] names server 'other'" },
    { SERVER "[app]\n", ":3: [app ]: a name" },
    { SERVER "[app a/b]\n", ":3: [app a/b]: a name" },
    { SERVER "[app a]\n[app a]\n", ":4: [app a] is given twice" },
    { SERVER "[nonsense]\n", ":3: section [nonsense] is not known" },
    { SERVER "[app a\n", ":3: the section has no ']'" },
    { SERVER "[app a] x\n", ":3: there is something behind ']'" },
    { SERVER "what is this\n", "is neither [section] nor name = value" },
    { SERVER "  wait = 5\n", ":3:" },
};

START_TEST(what_is_wrong_is_told_with_its_line)
{
    ck_assert_int_eq(read_text(wrong[_i][0]), CC_BAD_CONFIG);
    ck_assert_ptr_null(config);
    ck_assert_msg(strncmp(error, file, strlen(file)) == 0
                      && strstr(error, wrong[_i][1]) != NULL,
                  "%s", error);
}
END_TEST

START_TEST(a_line_too_long_is_refused_not_cut)
{
    char line[1024];

    memset(line, 'x', sizeof(line) - 1);
    line[sizeof(line) - 1] = '\0';
    ck_assert_int_eq(read_text(support_text(SERVER "ca = %s\n", line)), CC_BAD_CONFIG);
    ck_assert_ptr_nonnull(strstr(error, ":3: the line is longer"));
}
END_TEST

START_TEST(a_long_name_of_an_application_is_not_cut)
{
    const char *name = "a234567890123456789012345678901234567890123456789012345678901234";

    ck_assert_int_eq(read_text(support_text(SERVER "[app %s]\nwindow=5\n", name)), CC_OK);
    ck_assert_str_eq(config->apps[0].name, name);
    ck_assert_int_eq(config->apps[0].window, 5);
}
END_TEST

START_TEST(a_file_that_cannot_be_read_is_told)
{
    ck_assert_int_eq(cc_config_read("/nonexistent/x", &config, &error), CC_NOT_FOUND);
    ck_assert_ptr_nonnull(strstr(error, "'/nonexistent/x' cannot be opened"));
    free(error);
    ck_assert_int_eq(cc_config_read("/", &config, &error), CC_SYSTEM);
}
END_TEST

START_TEST(the_environment_says_where_things_are)
{
    setenv("RUNTIME_DIRECTORY", "/run/one:/run/two", 1);
    setenv("STATE_DIRECTORY", "/var/lib/one", 1);
    ck_assert_int_eq(read_text(SERVER), CC_OK);
    ck_assert_str_eq(config->socket, "/run/one/agent.sock");
    ck_assert_str_eq(config->inbox, "/var/lib/one/inbox.db");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cc_config");
    TCase *c = tcase_create("config");

    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_add_test(c, a_server_alone_is_enough);
    tcase_add_test(c, every_key_is_read);
    tcase_add_loop_test(c, proxies_are_taken_as_libcurl_knows_them, 0, 6);
    tcase_add_test(c, servers_say_who_may_feed_an_application);
    tcase_add_loop_test(c, a_section_that_says_the_same_is_known, 0, 9);
    tcase_add_loop_test(c, what_is_wrong_is_told_with_its_line, 0,
                        (int)(sizeof(wrong) / sizeof(wrong[0])));
    tcase_add_loop_test(c, exec_is_split_into_words, 0,
                        (int)(sizeof(words) / sizeof(words[0])));
    tcase_add_test(c, a_program_is_looked_for_beside_the_file);
    tcase_add_test(c, users_say_who_may_use_an_application);
    tcase_add_test(c, a_line_too_long_is_refused_not_cut);
    tcase_add_test(c, a_long_name_of_an_application_is_not_cut);
    tcase_add_test(c, a_file_that_cannot_be_read_is_told);
    tcase_add_test(c, the_environment_says_where_things_are);
    suite_add_tcase(s, c);
    return support_run(s);
}

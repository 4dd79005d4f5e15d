/* SPDX-License-Identifier: Apache-2.0
 * check_agent_check.c - "commclient check": each mistake is made, and found, and
 * its remedy said.
 */
#include "support/script_server.h"
#include "support/support.h"

#include <fcntl.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define END_MS 30000

static char directory[256], output_file[512], config[512];
static pid_t pid;
static char *output;

static const char *in_directory(const char *name)
{
    return support_text("%s/%s", directory, name);
}

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s", reaper_temporary());
    chmod(directory, 0700);
    snprintf(output_file, sizeof output_file, "%s/output", directory);
    snprintf(config, sizeof config, "%s/c.conf", directory);
    output = NULL;
}

static void tear_down(void)
{
    free(output);
}

static void write_secret(const char *text)
{
    process_write_file(in_directory("password"), text);
    chmod(in_directory("password"), 0600);
}

/* "[agent]" with a socket and an inbox of our own, then `text`. */
static void write_config(const char *text)
{
    process_write_file(config,
                       support_text("[agent]\nsocket = s\ninbox = i.db\n%s", text));
    chmod(config, 0600);
}

static void begin_with(const char *variable)
{
    const char *const argv[] = { support_build_path("commclient/commclient"), "check",
                                 "--config", config, NULL };
    const char *const environment[] = { variable ? variable : "X=", "LC_ALL=C.UTF-8",
                                        NULL };

    unlink(output_file);
    pid = process_start(&(process_options){
        .argv = argv, .environment = environment, .output = output_file });
}

/* Returns the exit code; what was written is in `output`. */
static int end(void)
{
    int status = process_wait(pid, END_MS, "commclient check");

    free(output);
    output = process_read_file(output_file);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

static int check(void)
{
    begin_with("no_proxy=*");
    return end();
}

static void expect_text(const char *text)
{
    ck_assert_msg(strstr(output, text) != NULL, "'%s' is not in: %s", text, output);
}

static void expect_fault(const char *what, const char *remedy)
{
    ck_assert_int_eq(check(), 1);
    expect_text("FAULT ");
    expect_text(what);
    expect_text(remedy);
}

static const char *server_at(const char *url)
{
    return support_text("[server main]\nurl = %s\ndevice = d\n", url);
}

/* ---- the configuration -------------------------------------------------- */

START_TEST(no_configuration)
{
    expect_fault("cannot be opened", "'commclient setup URL' writes one");
}
END_TEST

START_TEST(a_wrong_line)
{
    write_config("[server main]\nurl = ftp://x/\n");
    expect_fault("c.conf:5: url is 'ftp://x/': it must begin with http://",
                 "commclient.conf(5)");
}
END_TEST

START_TEST(a_configuration_that_others_can_write)
{
    write_config(server_at("http://127.0.0.1:1/"));
    chmod(config, 0666);
    expect_fault("c.conf' can be written by others", "chmod go-w");
    chmod(config, 0600);
    chmod(directory, 0777);
    expect_fault("others can write to the directory", "chmod go-w");
}
END_TEST

START_TEST(a_secret_that_others_can_read)
{
    write_config("[server main]\nurl = http://127.0.0.1:1/\nuser = al\n"
                 "password_file = password\n");
    write_secret("very-secret\n");
    chmod(in_directory("password"), 0640);
    expect_fault("can be read or written by others",
                 support_text("chmod 600 '%s/password'", directory));
    ck_assert_ptr_null(strstr(output, "very-secret"));
    unlink(in_directory("password"));
    expect_fault("cannot read password_file", "'commclient setup --force URL'");
    write_secret("one\ntwo\n");
    expect_fault("holds more than one line", "One line is needed");
}
END_TEST

/* ---- the network --------------------------------------------------------- */

START_TEST(a_host_that_is_not_known)
{
    write_config(server_at("http://no-such-host.invalid/comm/poll"));
    expect_fault("the host in 'url' is not known", "Is 'url' spelled right");
    expect_text("If this network lets only a proxy out, set 'proxy'");
}
END_TEST

START_TEST(nothing_listens)
{
    write_config(server_at("http://127.0.0.1:1/comm/poll"));
    expect_fault("cannot be polled, no connection", "Does httpd run there");
}
END_TEST

START_TEST(a_proxy_that_does_not_answer)
{
    write_config(server_at("http://example.org/comm/poll"));
    begin_with("http_proxy=http://127.0.0.1:1");
    ck_assert_int_eq(end(), 1);
    expect_text("A proxy is in use");
    write_config(support_text("%sproxy = no-such-proxy.invalid:3128\n",
                              server_at("http://example.org/comm/poll")));
    begin_with("no_proxy=");
    ck_assert_int_eq(end(), 1);
    expect_text("the host in 'proxy' is not known");
    expect_text("Is 'proxy' spelled right?");
}
END_TEST

/* ---- what a server answers ------------------------------------------------ */

typedef struct answer {
    const char *status;
    const char *headers;
    const char *body;
    const char *what;
    const char *remedy;
} answer;

static const answer answers[] = {
    { "200 OK", "Content-Type: text/html\r\n", "<html>Log in</html>",
      "answers with a web page, not as a commserver",
      "'url' must name the poll handler" },
    { "200 OK", "Content-Type: application/json\r\n", "{\"hello\":1}",
      "answers, but not as a commserver", "'url' must name the poll handler" },
    { "204 No Content", "", "", "answers, but not as a commserver", "poll handler" },
    { "301 Moved Permanently", "Location: https://x/\r\n", "",
      "sends the agent elsewhere", "https:// where the server wants that" },
    { "401 Unauthorized", "", "", "wants a login, and the section has none",
      "Give 'user' and 'password_file'" },
    { "403 Forbidden", "", "", "does not allow the poll", "'Require'" },
    { "404 Not Found", "", "", "has nothing at this path (HTTP status 404)",
      "https://HOST/comm/poll" },
    { "405 Method Not Allowed", "", "", "takes no polls at this path", "poll handler" },
    { "407 Proxy Authentication Required", "", "", "the proxy wants a login", "proxy" },
    { "409 Conflict", "Content-Type: application/problem+json\r\n",
      "{\"type\":\"replaced\"}", "serves another agent with this device name",
      "another 'device'" },
    { "500 Internal Server Error", "", "", "has a fault", "error log" },
    { "502 Bad Gateway", "", "", "is behind a proxy that does not reach it", "httpd" },
    { "503 Service Unavailable", "Retry-After: 5\r\n", "", "asks to come back later",
      "Wait" },
};

#define ANSWER_COUNT (sizeof answers / sizeof answers[0])

START_TEST(an_answer_that_is_not_as_it_should_be)
{
    const answer *given = &answers[_i];
    script_server *server = script_start();

    write_config(server_at(script_url(server)));
    begin_with("no_proxy=*");
    script_expect(server);
    script_answer(server, given->status, given->headers, given->body);
    ck_assert_int_eq(end(), 1);
    expect_text(given->what);
    expect_text(given->remedy);
    script_end(server);
}
END_TEST

START_TEST(a_netrc_that_does_not_help)
{
    script_server *server = script_start();

    write_config(support_text("%snetrc = password\n", server_at(script_url(server))));
    write_secret("machine 127.0.0.1 login alice password x\n");
    begin_with("no_proxy=*");
    script_expect(server);
    ck_assert_ptr_nonnull(script_header(server, "Authorization"));
    script_answer(server, "401 Unauthorized", "", "");
    ck_assert_int_eq(end(), 1);
    expect_text("does not take what the netrc file says");
    expect_text("Correct the 'machine' entry");
    script_end(server);
    chmod(in_directory("password"), 0644);
    expect_fault("can be read or written by others", "chmod 600 '");
}
END_TEST

START_TEST(a_connection_that_is_cut)
{
    script_server *server = script_start();

    write_config(server_at(script_url(server)));
    begin_with("no_proxy=*");
    script_expect(server);
    script_cut(server);
    ck_assert_int_eq(end(), 1);
    expect_text("the connection was cut");
    script_end(server);
}
END_TEST

/* The poll of a check is not held, and acknowledges nothing. */
START_TEST(a_good_answer)
{
    script_server *server = script_start();

    write_config(server_at(script_url(server)));
    begin_with("no_proxy=*");
    script_expect(server);
    ck_assert_ptr_nonnull(strstr(script_request_line(server), "device=d"));
    ck_assert_ptr_null(script_header(server, "Prefer"));
    ck_assert_ptr_null(script_header(server, "Last-Event-ID"));
    script_batch(server, "e-1", script_message("id1", "orders", "1"));
    ck_assert_int_eq(end(), 0);
    expect_text("answers as a commserver");
    expect_text("note  socket: no agent runs on");
    expect_text("will be made by the agent");
    script_end(server);
}
END_TEST

START_TEST(a_clock_that_is_wrong)
{
    script_server *server = script_start();
    time_t then = time(NULL) - 3600;
    char date[64];

    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime(&then));
    write_config(server_at(script_url(server)));
    begin_with("no_proxy=*");
    script_expect(server);
    script_answer(server, "204 No Content",
                  support_text("Comm-Cursor: e-1\r\nDate: %s\r\n", date), "");
    ck_assert_int_eq(end(), 0);
    expect_text("s ahead of the server's");
    expect_text("timedatectl");
    script_end(server);
}
END_TEST

/* ---- socket and inbox ------------------------------------------------------ */

static void bind_and_leave(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    close(fd);
}

START_TEST(a_socket_that_is_none)
{
    write_config(server_at("http://127.0.0.1:1/"));
    process_write_file(in_directory("s"), "");
    expect_fault("/s' is there, but is no socket", "Move it away");
    unlink(in_directory("s"));
    bind_and_leave(in_directory("s"));
    expect_fault("is what an agent left that died", "'commclient run'");
}
END_TEST

START_TEST(a_socket_directory_that_is_open_to_others)
{
    process_write_file(config, support_text("[agent]\nsocket = open/s\ninbox = i.db\n%s",
                                            server_at("http://127.0.0.1:1/")));
    ck_assert_int_eq(mkdir(in_directory("open"), 0700), 0);
    chmod(in_directory("open"), 0777);
    expect_fault("others can write to the directory", "chmod go-w");
}
END_TEST

START_TEST(an_inbox_that_cannot_be_used)
{
    write_config(server_at("http://127.0.0.1:1/"));
    process_write_file(in_directory("i.db"), "a letter to my aunt, who lives far away\n");
    expect_fault("is a file of another program", "Name another 'inbox'");
    process_write_file(in_directory("i.db"), "SQLite format 3");
    ck_assert_int_eq(truncate(in_directory("i.db"), 4096), 0);
    expect_fault("FAULT inbox: ", "The agent sets it aside when it starts");
    ck_assert_int_eq(access(in_directory("i.db"), F_OK), 0);
}
END_TEST

START_TEST(an_inbox_that_cannot_be_written)
{
    process_write_file(in_directory("file"), "");
    process_write_file(config, support_text("[agent]\nsocket = s\ninbox = file/i.db\n%s",
                                            server_at("http://127.0.0.1:1/")));
    expect_fault("cannot be written", "Make it writable for this user");
}
END_TEST

START_TEST(a_disk_that_is_too_small)
{
    struct statvfs info;

    ck_assert_int_eq(statvfs(directory, &info), 0);
    if ((long long)info.f_bavail * (long long)info.f_frsize >= 1ll << 40)
        return;
    process_write_file(
        config, support_text("[agent]\nsocket = s\ninbox = i.db\ninbox_max = 1T\n%s",
                             server_at("http://127.0.0.1:1/")));
    check();
    expect_text("note  disk: the inbox may grow to 1048576 MB");
    expect_text("Lower 'inbox_max'");
}
END_TEST

START_TEST(a_program_that_cannot_be_run)
{
    const char *text =
        support_text("%s[app orders]\nservers = main\nexec = ./program --all\n",
                     server_at("http://127.0.0.1:1/"));

    write_config(text);
    expect_fault("program' cannot be run: No such file", "Install the program");
    process_write_file(in_directory("program"), "#!/bin/sh\n");
    chmod(in_directory("program"), 0644);
    expect_fault("program' cannot be run: Permission denied", "chmod +x");
    chmod(in_directory("program"), 0777);
    expect_fault("program' can be written by others", "chmod go-w");
    chmod(in_directory("program"), 0755);
    check();
    expect_text("ok    app orders: '");
}
END_TEST

/* ---- a running agent -------------------------------------------------------- */

START_TEST(a_device_name_that_another_agent_uses)
{
    script_server *server = script_start();
    agent *a = agent_start(&(agent_options){ .config = server_at(script_url(server)) });

    script_expect(server);
    script_answer(server, "409 Conflict", "", "");
    wait_until(agent_log_count(a, "another agent uses the device name"), 20000);
    snprintf(config, sizeof config, "%s", agent_config(a));
    chmod(config, 0600);
    begin_with("no_proxy=*");
    script_expect(server);
    script_nothing(server, "e-1");
    ck_assert_int_eq(end(), 1);
    expect_text("FAULT agent: server main: another agent uses the device name");
    expect_text("another 'device'");
    expect_text("an agent runs on");
    agent_end(a);
    script_end(server);
}
END_TEST

START_TEST(a_publish_handler_that_refuses)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(
        &(agent_options){ .server = server,
                          .config = support_text("[server other]\nurl = %s\n"
                                                 "publish = %s\n[app orders]\n"
                                                 "servers = main\n",
                                                 httpd_url(server, "/comm/poll"),
                                                 httpd_url(server, "/comm/publish")) });
    const char *const send[] = { support_build_path("commclient/commclient"),
                                 "send",
                                 "--socket",
                                 agent_socket(a),
                                 "--app",
                                 "orders",
                                 "--data",
                                 "1",
                                 "bob",
                                 NULL };

    snprintf(config, sizeof config, "%s", agent_config(a));
    chmod(config, 0600);
    process_must(send);
    wait_until(check() == 1 && strstr(output, "publishing at other: "), 20000);
    expect_text("Does 'publish' name the publish handler");
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* ---- a real server ----------------------------------------------------------- */

static void write_real(const httpd *server, const char *path, const char *password)
{
    write_config(support_text("[server main]\nurl = %s\nuser = alice\n"
                              "password_file = password\ndevice = d\n",
                              httpd_url(server, path)));
    write_secret(password);
}

START_TEST(with_a_real_server)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event" });
    agent *a = agent_start(&(agent_options){ .server = server });

    write_real(server, "/comm/poll", HTTPD_PASSWORD "\n");
    ck_assert_int_eq(check(), 0);
    expect_text("answers as a commserver to user alice");
    write_real(server, "/comm/poll", "wrong\n");
    expect_fault("does not take user and password (HTTP status 401)",
                 "Correct 'user' or the password file");
    write_real(server, "/elsewhere", HTTPD_PASSWORD "\n");
    expect_fault("has nothing at this path (HTTP status 404)",
                 "'url' must name the poll");
    snprintf(config, sizeof config, "%s", agent_config(a));
    chmod(config, 0600);
    chmod(agent_directory(a), 0700);
    ck_assert_int_eq(check(), 0);
    expect_text("ok    socket: an agent runs on");
    expect_text("ok    inbox: the agent uses");
    agent_end(a);
    httpd_end(server);
}
END_TEST

/* A certificate for `host` that is valid from `first` to `last`, days from now. */
static void make_certificate(const httpd *server, const char *host, int first, int last)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *certificate = X509_new();
    X509_NAME *name = X509_get_subject_name(certificate);
    FILE *file;

    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), first * 86400L);
    X509_gmtime_adj(X509_getm_notAfter(certificate), last * 86400L);
    X509_set_pubkey(certificate, key);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)host, -1,
                               -1, 0);
    X509_set_issuer_name(certificate, name);
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    file = fopen(support_text("%s/cert.pem", httpd_directory(server)), "we");
    PEM_write_X509(file, certificate);
    fclose(file);
    file = fopen(support_text("%s/key.pem", httpd_directory(server)), "we");
    PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL);
    fclose(file);
    X509_free(certificate);
    EVP_PKEY_free(key);
}

START_TEST(certificates_that_are_not_right)
{
    httpd *server = httpd_start(&(httpd_options){ .mpm = "event", .tls = 1 });
    const char *url =
        support_text("https://localhost:%d/comm/poll", httpd_tls_port(server));

    write_config(server_at(url));
    expect_fault("certificate is not trusted", "with 'ca'");
    write_config(
        support_text("%sca = %s/cert.pem\n", server_at(url), httpd_directory(server)));
    expect_fault("wants a login", "'user'");
    make_certificate(server, "localhost", -3, -1);
    httpd_restart(server);
    expect_fault("certificate has expired", "must renew it");
    make_certificate(server, "localhost", 1, 3);
    httpd_restart(server);
    expect_fault("certificate is not valid yet", "Is the clock of this machine behind?");
    make_certificate(server, "elsewhere", -1, 3);
    httpd_restart(server);
    expect_fault("certificate is for another name", "'url' must name the host");
    write_config(server_at(support_text("https://localhost:%d/", httpd_port(server))));
    expect_fault("no TLS", "If it speaks http, 'url' begins with http://");
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("agent_check");
    TCase *tc = tcase_create("mistakes"), *real = tcase_create("real");

    support_need_httpd();
    tcase_add_checked_fixture(tc, set_up, tear_down);
    tcase_add_test(tc, no_configuration);
    tcase_add_test(tc, a_wrong_line);
    tcase_add_test(tc, a_configuration_that_others_can_write);
    tcase_add_test(tc, a_secret_that_others_can_read);
    tcase_add_test(tc, a_host_that_is_not_known);
    tcase_add_test(tc, nothing_listens);
    tcase_add_test(tc, a_proxy_that_does_not_answer);
    tcase_add_loop_test(tc, an_answer_that_is_not_as_it_should_be, 0, ANSWER_COUNT);
    tcase_add_test(tc, a_netrc_that_does_not_help);
    tcase_add_test(tc, a_connection_that_is_cut);
    tcase_add_test(tc, a_good_answer);
    tcase_add_test(tc, a_clock_that_is_wrong);
    tcase_add_test(tc, a_program_that_cannot_be_run);
    tcase_add_test(tc, a_socket_that_is_none);
    tcase_add_test(tc, a_socket_directory_that_is_open_to_others);
    tcase_add_test(tc, an_inbox_that_cannot_be_used);
    tcase_add_test(tc, an_inbox_that_cannot_be_written);
    tcase_add_test(tc, a_disk_that_is_too_small);
    tcase_add_test(tc, a_device_name_that_another_agent_uses);
    suite_add_tcase(suite, tc);
    tcase_add_checked_fixture(real, set_up, tear_down);
    tcase_set_timeout(real, 120);
    tcase_add_test(real, a_publish_handler_that_refuses);
    tcase_add_test(real, with_a_real_server);
    tcase_add_test(real, certificates_that_are_not_right);
    suite_add_tcase(suite, real);
    return support_run(suite);
}

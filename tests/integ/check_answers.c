/* SPDX-License-Identifier: Apache-2.0
 * check_answers.c - an answer on an adopted connection is the same, byte for
 * byte, as one that httpd's own filters make on a new connection.
 */
#include "parking.h"

#define BENT                                                                             \
    "Header always set X-Always \"there\"\n"                                             \
    "Header set X-Success \"there\"\n"                                                   \
    "Header merge Vary \"X-Thing\" env=vary\n"                                           \
    "SetEnvIf X-Bend vary vary\n"                                                        \
    "SetEnvIf X-Bend nokeepalive nokeepalive\n"                                          \
    "SetEnvIf X-Bend no-vary force-no-vary\n"

typedef struct question {
    const char *method;
    const char *path;
    const char *user;
    const char *headers;
    const char *body;
} question;

static const question questions[] = {
    { "POST", "/comm/publish/orders/erin", "backend", "Content-Type: text/plain\r\n",
      "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "Connection: keep-alive\r\n", "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "Connection: close\r\n", "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "TTL: never\r\n", "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "X-Bend: vary\r\n", "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "X-Bend: nokeepalive\r\n", "x" },
    { "POST", "/comm/publish/orders/erin", "backend", "X-Bend: no-vary\r\n", "x" },
    { "POST", "/comm/publish/-/erin", "backend", NULL, "x" },
    { "GET", "/comm/publish/orders/erin", "backend", NULL, NULL },
    { "OPTIONS", "/comm/publish/orders/erin", "backend", NULL, NULL },
    { "GET", "/comm/poll?max=1", "carol", NULL, NULL },
    { "GET", "/comm/poll?max=1", "carol", "X-Bend: vary\r\n", NULL },
    { "GET", "/comm/poll?max=1", "carol", "Range: bytes=0-3\r\n", NULL },
    { "GET", "/comm/poll", "dave", NULL, NULL },
    { "GET", "/comm/poll", "dave", "Origin: http://elsewhere.example\r\n", NULL },
    { "POST", "/comm/poll", "dave", "Prefer: return=minimal\r\n", "" },
    { "DELETE", "/comm/poll", "dave", NULL, NULL },
    { "GET", "/comm/poll?wait=-1", "dave", NULL, NULL },
    { "GET", "/comm/status", "admin", "Accept: application/json\r\n", NULL },
    { "GET", "/comm/status", NULL, NULL, NULL },
};

#define QUESTIONS (int)(sizeof(questions) / sizeof(questions[0]))

static http_answer *ask(http *c, const question *q)
{
    return http_call(c, q->method, q->path, q->user, q->headers, q->body);
}

static int differs_by_nature(const char *line)
{
    static const char *const names[] = { "Date:", "Comm-Cursor:", "Retry-After:",
                                         "Content-Length:", "Location:" };
    unsigned i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        if (strncmp(line, names[i], strlen(names[i])) == 0) {
            return 1;
        }
    }
    return 0;
}

/* The lines of a head that must be the same, in the ring. */
static const char *comparable(const http_answer *answer)
{
    const char *line = answer->head, *text = "";

    while (*line != '\0') {
        size_t len = strcspn(line, "\n");

        if (!differs_by_nature(line)) {
            text = support_text("%s%.*s\n", text, (int)len, line);
        }
        line += len + (line[len] == '\n');
    }
    return text;
}

static const char *comparable_length(const http_answer *answer)
{
    const char *length = http_header(answer, "Content-Length");

    return length != NULL && (size_t)atol(length) == answer->len ? "right" : "none";
}

static void compare(const httpd *server, const question *q)
{
    http *fresh = http_open(server), *adopted = parking_adopt(server);
    http_answer *by_httpd = ask(fresh, q), *by_us = ask(adopted, q);
    const char *expected = comparable(by_httpd), *got = comparable(by_us);

    ck_assert_msg(strcmp(expected, got) == 0,
                  "%s %s %s: httpd answers\n%s\nan event thread\n%s", q->method, q->path,
                  q->headers != NULL ? q->headers : "", expected, got);
    ck_assert_str_eq(comparable_length(by_httpd), comparable_length(by_us));
    ck_assert_ptr_nonnull(http_header(by_us, "Date"));
    ck_assert_int_eq(http_header(by_httpd, "Location") != NULL,
                     http_header(by_us, "Location") != NULL);
    ck_assert_int_eq(by_httpd->keep_alive, by_us->keep_alive);
    http_close(fresh);
    http_close(adopted);
}

static httpd *start(const char *modules, const char *config)
{
    httpd *server = httpd_start(&(httpd_options){ .modules = modules, .config = config });

    parking_publish(server, "carol", "a message");
    return server;
}

START_TEST(answers_are_those_of_httpd)
{
    httpd *server = start(NULL, NULL);

    compare(server, &questions[_i]);
    httpd_end(server);
}
END_TEST

START_TEST(filters_of_other_modules_see_every_answer)
{
    httpd *server = start("headers setenvif", BENT);
    http *adopted = parking_adopt(server);
    http_answer *answer = ask(adopted, &questions[0]);

    ck_assert_ptr_nonnull(http_header(answer, "X-Always"));
    ck_assert_ptr_nonnull(http_header(answer, "X-Success"));
    http_close(adopted);
    compare(server, &questions[_i]);
    httpd_end(server);
}
END_TEST

START_TEST(the_access_log_is_that_of_httpd)
{
    httpd *server = start(NULL, "LogFormat \"%>s %b %B %{Content-Type}o "
                                "%{Content-Length}o %X\" same\n"
                                "CustomLog @DIR@/same.log same\n");
    http *fresh = http_open(server), *adopted = parking_adopt(server);
    char *line, *text;
    int i;

    /* All lines are of the same request, read by MPM and event threads. */
    ck_assert_int_eq(ask(fresh, &questions[0])->status, 201);
    for (i = 0; i < 3; i++) {
        ck_assert_int_eq(ask(adopted, &questions[0])->status, 201);
    }
    http_close(fresh);
    http_close(adopted);
    httpd_stop(server);
    text = process_read_file(support_text("%s/same.log", httpd_directory(server)));
    for (line = strtok(text, "\n"); line != NULL; line = strtok(NULL, "\n")) {
        ck_assert_msg(strncmp(line, "201 ", 4) != 0
                          || strcmp(line, "201 48 48 application/json 48 +") == 0,
                      "logged: %s", line);
    }
    free(text);
    httpd_end(server);
}
END_TEST

/* httpd's own filter says so when it has written a head. */
static int heads_by_httpd(const char *config)
{
    httpd *server = httpd_start(&(httpd_options){
        .children = 1, .log_level = "info http:trace3", .config = config });
    http *adopted = parking_adopt(server);
    int before, heads, i;

    before = httpd_log_count(server, "Response sent with status 201");
    for (i = 0; i < 5; i++)
        ck_assert_int_eq(ask(adopted, &questions[0])->status, 201);
    heads = httpd_log_count(server, "Response sent with status 201") - before;
    http_close(adopted);
    httpd_end(server);
    return heads;
}

START_TEST(shortcuts_can_be_turned_off)
{
    ck_assert_int_eq(heads_by_httpd("CommServerShortcuts on\n"), 0);
    ck_assert_int_eq(heads_by_httpd("CommServerShortcuts off\n"), 5);
}
END_TEST

START_TEST(answers_without_shortcuts_are_the_same)
{
    httpd *server = start(NULL, "CommServerShortcuts off\n");

    compare(server, &questions[_i]);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("answers");
    TCase *same = tcase_create("same");

    support_need_httpd();
    tcase_set_timeout(same, 60);
    tcase_add_loop_test(same, answers_are_those_of_httpd, 0, QUESTIONS);
    tcase_add_loop_test(same, filters_of_other_modules_see_every_answer, 0, QUESTIONS);
    tcase_add_test(same, the_access_log_is_that_of_httpd);
    tcase_add_test(same, shortcuts_can_be_turned_off);
    tcase_add_loop_test(same, answers_without_shortcuts_are_the_same, 0, QUESTIONS);
    suite_add_tcase(suite, same);
    return support_run(suite);
}

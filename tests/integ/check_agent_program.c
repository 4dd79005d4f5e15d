/* SPDX-License-Identifier: Apache-2.0
 * check_agent_program.c - what is published to a real server reaches a program
 * of exec as it was.
 */
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 20000

static httpd *server;
static agent *a;
static char directory[512];

static void set_up(void)
{
    snprintf(directory, sizeof directory, "%s", reaper_temporary());
    server = httpd_start(&(httpd_options){ .debian = 1 });
    a = agent_start(&(agent_options){
        .server = server,
        .user = "alice",
        .config =
            support_text("[app orders]\nservers = main\nexec = '%s' '%s'\n",
                         support_source_path("examples/local/save.sh"), directory) });
}

static void tear_down(void)
{
    agent_end(a);
    httpd_end(server);
}

static const struct {
    const char *type;
    const char *body;
    const char *saved; /* NULL: as the body                                   */
} bodies[] = {
    { "application/json", "{ \"n\": 1.50, \"text\": \"\\u00fc\" }", NULL },
    { "application/json", "[1,\n2]", "[1, 2]" },
    { "application/json", "\"text\"", NULL },
    { "text/plain", "two lines\nand a \"quote\"\n", NULL },
    { "text/plain; charset=utf-8", "\xc3\xbc\xf0\x9f\x98\x80\\", NULL },
    { "application/octet-stream", "\xff\xfe\x01\x80\n", NULL },
};

START_TEST(a_program_gets_what_was_published)
{
    http_answer *answer =
        http_once(server, "POST", "/comm/publish/orders/alice", "backend",
                  support_text("Content-Type: %s\r\n", bodies[_i].type), bodies[_i].body);
    const char *saved = bodies[_i].saved ? bodies[_i].saved : bodies[_i].body;
    const char *file;
    char *text;

    ck_assert_int_eq(answer->status, 201);
    file = support_text("%s/%s", directory, support_json(answer->body, "id"));
    wait_until(access(file, F_OK) == 0, WAIT_MS);
    text = process_read_file(file);
    ck_assert_str_eq(text, saved);
    free(text);
    text = process_read_file(support_text("%s/.log", directory));
    ck_assert_ptr_nonnull(strstr(text, " from backend at 20"));
    ck_assert_ptr_nonnull(strstr(text, ", attempt 1\n"));
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("agent_program");
    TCase *c = tcase_create("program");

    support_need_httpd();
    tcase_add_checked_fixture(c, set_up, tear_down);
    tcase_set_timeout(c, 60);
    tcase_add_loop_test(c, a_program_gets_what_was_published, 0,
                        (int)(sizeof bodies / sizeof *bodies));
    suite_add_tcase(s, c);
    return support_run(s);
}

/* SPDX-License-Identifier: Apache-2.0
 * check_upgrade.c - the module is replaced while httpd runs, as a package does
 * it: another file takes the name of the old one. httpd goes on with the code it
 * has until it is stopped and started; nothing is lost at either.
 */
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "parking.h"

#define HELD 40

static const char *module_path(const httpd *server)
{
    return support_text("%s/" HTTPD_MODULE, httpd_directory(server));
}

/* Another file under the same name, with bytes of its own. */
static void replace_module(httpd *server)
{
    const char *path = module_path(server), *other = support_text("%s.new", path);
    FILE *file;

    process_must((const char *[]){
        "cp", support_build_path("mod_commserver/.libs/mod_commserver.so"), other,
        NULL });
    file = fopen(other, "ae");
    ck_assert_ptr_nonnull(file);
    fputs("another build", file);
    fclose(file);
    ck_assert_int_eq(rename(other, path), 0);
}

/* The file that a process has mapped is the one that has the name now. */
static int runs_new_module(const httpd *server, pid_t pid)
{
    FILE *maps = fopen(support_text("/proc/%d/maps", (int)pid), "re");
    const char *path = module_path(server);
    struct stat now;
    char line[1024];
    int found = 0;

    ck_assert_int_eq(stat(path, &now), 0);
    while (maps && fgets(line, sizeof line, maps)) {
        unsigned long inode;

        if (strstr(line, path) && sscanf(line, "%*s %*s %*s %*s %lu", &inode) == 1)
            found |= inode == (unsigned long)now.st_ino;
    }
    fclose(maps);
    return found;
}

static void expect_held_and_waked(const httpd *server, const char *user)
{
    http *poll = parking_poll(server, user);

    wait_until(parking_held(server) >= 1, 15000);
    parking_publish(server, user, "wake up");
    parking_expect(http_read(poll), "wake up");
    http_close(poll);
}

static const char *publish_before(const httpd *server)
{
    static char cursor[128];
    const http_answer *answer;

    parking_publish(server, "bob", "first");
    answer = http_once(server, "GET", "/comm/poll", "bob", NULL, NULL);
    snprintf(cursor, sizeof cursor, "%s", support_json(answer->body, "cursor"));
    parking_publish(server, "bob", "second");
    return cursor;
}

static void expect_goes_on(const httpd *server, const char *cursor)
{
    const http_answer *answer =
        http_once(server, "POST", "/comm/poll", "bob",
                  support_text("Last-Event-ID: %s\r\nPrefer: wait=1\r\n", cursor), "");

    parking_expect(answer, "second");
    ck_assert_ptr_null(strstr(answer->body, "\"gap\""));
    expect_held_and_waked(server, "carol");
}

static void hold(const httpd *server, http **held)
{
    int i;

    for (i = 0; i < HELD; i++)
        held[i] = parking_poll(server, "alice");
    wait_until(parking_held(server) >= 1, 15000);
}

static void expect_answered(http **held)
{
    int i;

    for (i = 0; i < HELD; i++) {
        const http_answer *answer = http_try(held[i], 10000);

        ck_assert_msg(answer != NULL, "poll %d was cut off", i);
        http_close(held[i]);
    }
}

START_TEST(a_new_file_loses_nothing_at_a_graceful_restart_and_a_start)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2, .own_module = 1 });
    const char *cursor = publish_before(server);
    http *held[HELD];
    pid_t child;

    hold(server, held);
    replace_module(server);
    httpd_graceful(server);
    expect_answered(held);
    expect_goes_on(server, cursor);
    /* Once loaded it stays: what it has registered with httpd outlives restarts. */
    ck_assert_int_eq(runs_new_module(server, httpd_parent(server)), 0);
    replace_module(server);
    httpd_stop(server);
    httpd_again(server);
    expect_held_and_waked(server, "dave");
    httpd_children(server, &child, 1);
    ck_assert_int_eq(runs_new_module(server, httpd_parent(server)), 1);
    ck_assert_int_eq(runs_new_module(server, child), 1);
    httpd_end(server);
}
END_TEST

START_TEST(a_new_file_takes_over_what_a_killed_server_had)
{
    httpd *server = httpd_start(&(httpd_options){ .children = 2, .own_module = 1 });
    const char *cursor = publish_before(server);

    replace_module(server);
    httpd_crash(server);
    httpd_again(server);
    ck_assert_int_eq(runs_new_module(server, httpd_parent(server)), 1);
    expect_goes_on(server, cursor);
    httpd_end(server);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("upgrade");
    TCase *files = tcase_create("files");

    support_need_httpd();
    tcase_set_timeout(files, 120);
    tcase_add_test(files, a_new_file_loses_nothing_at_a_graceful_restart_and_a_start);
    tcase_add_test(files, a_new_file_takes_over_what_a_killed_server_had);
    suite_add_tcase(suite, files);
    return support_run(suite);
}

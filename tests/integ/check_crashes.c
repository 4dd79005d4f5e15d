/* SPDX-License-Identifier: Apache-2.0
 * check_crashes.c - does the module add crashes to those that httpd's event MPM has
 * of its own when it is stopped at once (tests/support/core.h)? Starts a server,
 * keeps it busy, stops it, as often as STOPS_ROUNDS says, without the module and
 * with it, and counts. Fails where a crash is not httpd's own.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "parking.h"
#include "support/core.h"
#include "support/httpd_config.h"

#define ROUNDS  40
#define BUSY    3 /* processes that ask for pages        */
#define POLLS   20
#define ROUND_S 20

typedef struct tally {
    int cores[CORE_UNKNOWN + 1];
    int untold; /* cores, where there is no gdb                 */
} tally;

static int rounds(void)
{
    const char *text = getenv("STOPS_ROUNDS");

    return text && atoi(text) > 0 ? atoi(text) : ROUNDS;
}

static void write_page(char *buffer, size_t size, int number, const void *baton)
{
    (void)number;
    (void)baton;
    snprintf(buffer, size,
             "GET /index.html HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
}

static void write_publish(char *buffer, size_t size, int number, const void *baton)
{
    (void)baton;
    snprintf(buffer, size, "%s",
             http_request("POST", "/comm/publish/orders/erin", "backend", NULL,
                          support_text("%d", number)));
}

static void judge(const char *path, void *baton)
{
    tally *all = baton;
    char *trace = core_trace(httpd_program(), path);

    if (trace) {
        core_owner owner = core_judge(trace);

        all->cores[owner]++;
        if (owner != CORE_HTTPD)
            fputs(trace, stderr);
    }
    else
        all->untold++;
    free(trace);
}

/* Stopped in the middle of everything. @return children that died of a signal */
static int stop_busy(int module, tally *all)
{
    httpd *server = httpd_start(
        &(httpd_options){ .no_module = !module, .may_crash = 1, .children = 2 });
    load_plan page = { .port = httpd_port(server), .write = write_page };
    load_plan publish = { .port = page.port, .write = write_publish };
    http *polls[POLLS];
    load *busy[BUSY + 2];
    int n = 0, deaths, i;

    for (i = 0; module && i < POLLS; i++)
        polls[i] = parking_poll(server, "alice");
    for (; n < BUSY; n++)
        busy[n] = load_start(&page);
    for (; module && n < BUSY + 2; n++) {
        publish.keep = n == BUSY;
        busy[n] = load_start(&publish);
    }
    for (i = 0; i < n; i++)
        wait_until(load_count(busy[i]) > 100, 10000);
    httpd_signal(server, SIGTERM);
    httpd_await_end(server);
    for (i = 0; i < n; i++)
        load_free(busy[i]);
    for (i = 0; module && i < POLLS; i++)
        http_close(polls[i]);
    deaths = httpd_log_count(server, "exit signal");
    core_each(support_text("%s/" HTTPD_CORES, httpd_directory(server)), judge, all);
    httpd_end(server);
    return deaths;
}

START_TEST(stops_are_counted)
{
    tally all = { { 0 }, 0 };
    int n = rounds(), i, deaths = 0;
    const char *why = core_allow();

    if (why)
        printf("crashes are counted, not looked into: %s\n", why);
    for (i = 0; i < n; i++)
        deaths += stop_busy(_i, &all);
    printf("%s: %d stops, %d children crashed; cores: %d of httpd's own race, %d ours, "
           "%d unknown, %d not looked into\n",
           _i ? "with the module" : "without", n, deaths, all.cores[CORE_HTTPD],
           all.cores[CORE_OURS], all.cores[CORE_UNKNOWN], all.untold);
    fflush(stdout);
    ck_assert_int_eq(all.cores[CORE_OURS] + all.cores[CORE_UNKNOWN], 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("crashes");
    TCase *stops = tcase_create("stops");

    support_need_httpd();
    tcase_set_timeout(stops, 60 + rounds() * ROUND_S);
    tcase_add_loop_test(stops, stops_are_counted, 0, 2);
    suite_add_tcase(suite, stops);
    return support_run(suite);
}

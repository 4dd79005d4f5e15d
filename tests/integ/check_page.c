/* SPDX-License-Identifier: Apache-2.0
 * check_page.c - claim 22: a web page is the client. It long-polls with
 * fetch, in a real browser, and tells what it saw by asking for a path that
 * the access log then has.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/support.h"

#define BROWSER_MS 60000

/* Polls until it has seen "bye"; each message becomes a request for
 * /seen/APP/TEXT. The cursor goes back with POST, which acknowledges. The
 * address of the page has credentials in it, which fetch would refuse:
 * location.origin has none. */
static const char page[] =
    "<!doctype html><title>waiting</title><script>\n"
    "const go = (path, more) => fetch(location.origin + path, more);\n"
    "(async () => {\n"
    "  let cursor = '', last = '';\n"
    "  while (last != 'bye') {\n"
    "    const answer = await go('/comm/poll?wait=30' +\n"
    "      (cursor && '&after=' + cursor), { method: 'POST', credentials: 'include' });\n"
    "    if (answer.status == 200) {\n"
    "      const batch = await answer.json();\n"
    "      cursor = batch.cursor;\n"
    "      for (const message of batch.messages) {\n"
    "        last = message.data;\n"
    "        await go('/seen/' + message.app + '/' + last);\n"
    "      }\n"
    "    } else if (answer.status == 204) {\n"
    "      cursor = answer.headers.get('Comm-Cursor');\n"
    "    } else {\n"
    "      await go('/seen/status/' + answer.status);\n"
    "      return;\n"
    "    }\n"
    "  }\n"
    "  await go('/comm/poll?after=' + cursor, { method: 'POST',\n"
    "    credentials: 'include', headers: { Prefer: 'return=minimal' } });\n"
    "  await go('/seen/end');\n"
    "})();\n"
    "</script>\n";

/* The same by EventSource, which comes back by itself: the stream is ended every
 * second. The cursor of its last event is acknowledged at the end. */
static const char stream_page[] =
    "<!doctype html><title>listening</title><script>\n"
    "const go = (path, more) => fetch(location.origin + path, more);\n"
    "const source = new EventSource(location.origin + '/comm/poll');\n"
    "let opened = 0, told = Promise.resolve();\n"
    "const tell = path => told = told.then(() => go(path));\n"
    "source.onopen = () => tell('/seen/open/' + ++opened);\n"
    "source.onerror = () => source.readyState == 2 && tell('/seen/given-up');\n"
    "source.onmessage = event => {\n"
    "  const message = JSON.parse(event.data);\n"
    "  tell('/seen/' + message.app + '/' + message.data);\n"
    "  if (message.data != 'bye') return;\n"
    "  source.close();\n"
    "  told.then(() => go('/comm/poll?after=' + event.lastEventId, { method: 'POST',\n"
    "    credentials: 'include', headers: { Prefer: 'return=minimal' } }))\n"
    "    .then(() => go('/seen/end'));\n"
    "};\n"
    "</script>\n";

/* The page shares the protection space of the polls, so that the browser sends
 * the same credentials. */
static const char places[] = "<Location /page.html>\n"
                             "    AuthType Basic\n"
                             "    AuthName \"commserver\"\n"
                             "    AuthUserFile \"@DIR@/users\"\n"
                             "    Require valid-user\n"
                             "</Location>\n";

static const char *browser(void)
{
    static const char *const candidates[] = { "/usr/bin/chromium",
                                              "/usr/bin/chromium-browser",
                                              "/usr/bin/google-chrome", NULL };
    int i;

    for (i = 0; candidates[i]; i++)
        if (access(candidates[i], X_OK) == 0)
            return candidates[i];
    return NULL;
}

static pid_t open_page(const httpd *server, const char *profile, const char *output)
{
    const char *const argv[] = { browser(),
                                 "--headless",
                                 "--no-sandbox",
                                 "--disable-gpu",
                                 "--disable-quic",
                                 "--no-first-run",
                                 "--disable-background-networking",
                                 "--disable-component-update",
                                 "--disable-sync",
                                 "--no-proxy-server",
                                 "--remote-debugging-port=0",
                                 support_text("--user-data-dir=%s", profile),
                                 support_text("http://alice:%s@127.0.0.1:%d/page.html",
                                              HTTPD_PASSWORD, httpd_port(server)),
                                 NULL };

    return process_start(&(process_options){ .argv = argv, .output = output });
}

static int waits(const httpd *server)
{
    http_answer *answer = http_once(server, "GET", "/comm/status", "admin", NULL, NULL);

    const char *waiting =
        answer->status == 200 ? support_json(answer->body, "waiting") : NULL;

    return waiting && strcmp(waiting, "1") == 0;
}

static void publish(const httpd *server, const char *app, const char *text)
{
    http_answer *answer =
        http_once(server, "POST", support_text("/comm/publish/%s/alice", app), "backend",
                  "Content-Type: text/plain\r\n", text);

    ck_assert_int_eq(answer->status, 201);
}

/* The browser shows the page, with profile and output of its own. */
static pid_t show(httpd *server, const char *text)
{
    const char *profile = support_text("%s", reaper_temporary());
    const char *output = support_text("%s/output", profile);

    httpd_put(server, "htdocs/page.html", text);
    reaper_log(output);
    return open_page(server, profile, output);
}

static void expect_seen(const httpd *server, const char *path)
{
    ck_assert_int_eq(httpd_access_count(server, path), 1);
}

/* Everything was acknowledged. */
static void finish(httpd *server, pid_t page_pid)
{
    ck_assert_int_eq(http_once(server, "GET", "/comm/poll", "alice", NULL, NULL)->status,
                     204);
    reaper_kill_group(page_pid);
    reaper_group_done(page_pid);
    httpd_end(server);
}

START_TEST(claim_22_a_web_page_receives_messages)
{
    httpd *server = httpd_start(&(httpd_options){ .debian = 1, .config = places });
    pid_t pid = show(server, page);

    wait_until(waits(server), BROWSER_MS);
    publish(server, "chat", "hello");
    wait_until(httpd_access_count(server, "/seen/chat/hello") == 1, BROWSER_MS);
    publish(server, "news", "rain");
    publish(server, "chat", "bye");
    wait_until(httpd_access_count(server, "/seen/end") == 1, BROWSER_MS);
    expect_seen(server, "/seen/news/rain");
    expect_seen(server, "/seen/chat/bye");
    ck_assert_int_eq(httpd_access_count(server, "/seen/status"), 0);
    finish(server, pid);
}
END_TEST

START_TEST(claim_22_a_web_page_holds_an_event_stream)
{
    httpd *server = httpd_start(&(httpd_options){
        .debian = 1, .config = support_text("%sCommServerMaxStream 1\n", places) });
    pid_t pid = show(server, stream_page);

    wait_until(httpd_access_count(server, "/seen/open/1") == 1, BROWSER_MS);
    publish(server, "chat", "hello");
    wait_until(httpd_access_count(server, "/seen/chat/hello") == 1, BROWSER_MS);
    /* It has come back, and is told only of what is new. */
    wait_until(httpd_access_count(server, "/seen/open/3") == 1, BROWSER_MS);
    publish(server, "news", "rain");
    publish(server, "chat", "bye");
    wait_until(httpd_access_count(server, "/seen/end") == 1, BROWSER_MS);
    expect_seen(server, "/seen/chat/hello");
    expect_seen(server, "/seen/news/rain");
    expect_seen(server, "/seen/chat/bye");
    ck_assert_int_eq(httpd_access_count(server, "/seen/given-up"), 0);
    finish(server, pid);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("page");
    TCase *tc = tcase_create("page");

    support_need_httpd();
    if (!browser())
        support_skip("there is no Chromium here (Debian: install chromium)");
    tcase_set_timeout(tc, 200);
    tcase_add_test(tc, claim_22_a_web_page_receives_messages);
    tcase_add_test(tc, claim_22_a_web_page_holds_an_event_stream);
    suite_add_tcase(suite, tc);
    return support_run(suite);
}

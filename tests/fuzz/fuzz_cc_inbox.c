/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_inbox.c - an inbox file in which anything was changed.
 *
 * The agent opens it, or sets it aside, or says what is wrong; all that
 * applications are told is JSON; what was found damaged is gone with the next
 * start. The input: changes, as cc_fuzz_inbox.c has them, then a byte for each
 * thing to do before all the rest is done.
 */
#include "cc_fuzz_agent.h"
#include "cc_fuzz_inbox.h"
#include "cc_spool.h"
#include "cc_time.h"

#include <string.h>
#include <unistd.h>

#define NAME "inbox.db"

const unsigned fuzz_rounds = 5;

static const char *path;
static cc_buffer whole;

/* ---- the file that is changed --------------------------------------------- */

static void say(unsigned peer, const char *line)
{
    cc_fuzz_agent_say(peer, line, strlen(line));
}

static void receive(const char *batch)
{
    cc_fuzz_agent_receive(batch, strlen(batch));
}

static void commit(void)
{
    cc_dispatch_commit(cc_fuzz_agent_now.dispatch);
    cc_outbox_commit(cc_fuzz_agent_now.outbox);
    cc_fuzz_agent_turn();
}

#define LIVES "\"expires\":\"2126-01-01T00:00:00Z\","
#define NEVER "\"length\":1,\"data\":1}"

static void fill(void)
{
    receive("{\"cursor\":\"1-1\",\"messages\":["
            "{\"id\":\"m1\",\"app\":\"orders\"," LIVES "\"receipt\":true," NEVER ","
            "{\"id\":\"m2\",\"app\":\"orders\",\"receipt\":true," NEVER ","
            "{\"id\":\"m3\",\"app\":\"orders\"," LIVES NEVER ","
            "{\"id\":\"m4\",\"app\":\"orders\"," NEVER ","
            "{\"id\":\"m5\",\"app\":\"orders\"," LIVES NEVER ","
            "{\"id\":\"n1\",\"app\":\"narrow\"," LIVES NEVER ",{\"id\":\"?\"}]}");
    cc_fuzz_agent_sleep(1);
    receive("{\"cursor\":\"1-2\",\"gap\":{\"apps\":{\"orders\":3}},\"messages\":["
            "{\"id\":\"m6\",\"app\":\"orders\"," LIVES NEVER ","
            "{\"id\":\"m7\",\"app\":\"orders\"," NEVER ","
            "{\"id\":\"n2\",\"app\":\"narrow\"," LIVES NEVER ","
            "{\"id\":\"n3\",\"app\":\"narrow\"," LIVES NEVER "]}");
    say(0, "{\"subscribe\":\"orders\",\"window\":100}\n{\"subscribe\":\"narrow\"}\n");
    say(0, "{\"ack\":\"m2\"}\n{\"nack\":\"m3\",\"delay\":80000}\n{\"reject\":\"m4\"}\n"
           "{\"nack\":\"n2\",\"delay\":80000}\n");
    say(0, "{\"publish\":{\"app\":\"news\",\"to\":\"bob\",\"data\":1,\"ttl\":86400}}\n"
           "{\"publish\":{\"app\":\"news\",\"all\":true,\"data\":\"x\",\"type\":\"text/"
           "plain\",\"topic\":\"t\",\"urgency\":\"low\"}}\n"
           "{\"publish\":{\"app\":\"orders\",\"group\":\"g\",\"data\":2}}\n");
    commit();
    receive("{\"cursor\":\"1-3\",\"gap\":{},\"messages\":[]}");
}

static void make_whole(void)
{
    cc_fuzz_quiet();
    path = cc_copy(cc_fuzz_path(NAME));
    CC_FUZZ_CHECK(cc_fuzz_agent_start(path) == CC_OK, "no new inbox");
    fill();
    cc_fuzz_agent_stop();
    cc_fuzz_inbox_settle(path);
    cc_fuzz_read(path, &whole);
}

/* ---- what is done with it ------------------------------------------------- */

static int drop(void *ignored, const cc_stored *stored)
{
    (void)ignored;
    return stored->id[0] != '\0';
}

/* What calls outside of a dispatch find counts for it, too. */
static void note(cc_status status)
{
    cc_dispatch_note(cc_fuzz_agent_now.dispatch, status == CC_EMPTY ? CC_OK : status);
}

static void shed(const char *app)
{
    cc_inbox *inbox = cc_fuzz_agent_now.inbox;
    cc_status status = cc_inbox_begin(inbox);

    if (status == CC_OK)
        status = cc_inbox_shed(inbox, app, 0, drop, NULL);
    if (status == CC_OK)
        status = cc_inbox_commit(inbox);
    else
        cc_inbox_rollback(inbox);
    note(status);
}

static void report(void)
{
    cc_reports reports;
    cc_dispatch *dispatch = cc_fuzz_agent_now.dispatch;
    int i;

    for (i = 0; i < 3 && cc_dispatch_reports(dispatch, "main", &reports) == CC_OK; i++) {
        CC_FUZZ_CHECK(reports.count > 0 && reports.count <= CC_REPORTS_MAX, "reports");
        cc_dispatch_reported(dispatch, "main", reports.last);
    }
}

static void count_app(void *ignored, const cc_app_info *info)
{
    (void)ignored;
    CC_FUZZ_CHECK(cc_name_check(info->name, strlen(info->name), CC_APP_MAX) == CC_OK,
                  "an application without a name");
    CC_FUZZ_CHECK(info->waiting >= 0 && info->unacknowledged >= 0 && info->dead >= 0
                      && info->bytes >= 0,
                  "less than nothing");
}

static void look(void)
{
    cc_inbox_usage usage;
    cc_outbox_usage spool;
    char cursor[CC_CURSOR_MAX + 1];

    cc_dispatch_apps(cc_fuzz_agent_now.dispatch, count_app, NULL);
    cc_inbox_usage_get(cc_fuzz_agent_now.inbox, &usage);
    CC_FUZZ_CHECK(usage.messages >= 0 && usage.bytes >= 0 && usage.dead >= 0,
                  "an inbox of less than nothing");
    cc_outbox_usage_get(cc_fuzz_agent_now.outbox, NULL, &spool);
    CC_FUZZ_CHECK(spool.messages >= 0 && spool.bytes >= 0,
                  "a spool of less than nothing");
    cc_dispatch_cursor(cc_fuzz_agent_now.dispatch, "main", cursor);
    cc_inbox_is_sparse(cc_fuzz_agent_now.inbox);
}

static void act(unsigned what)
{
    static const char *const lines[] = {
        "{\"subscribe\":\"orders\",\"window\":2}\n",
        "{\"subscribe\":\"narrow\"}\n{\"subscribe\":\"news\"}\n",
        "{\"subscribe\":\"orders\",\"window\":1000}\n",
        "{\"ack\":\"m1\"}\n{\"ack\":\"m6\"}\n",
        "{\"ack\":\"m3\"}\n{\"ack\":\"n2\"}\n{\"ack\":\"m2\"}\n",
        "{\"nack\":\"m5\",\"delay\":1}\n{\"nack\":\"m7\",\"delay\":90}\n",
        "{\"reject\":\"m7\"}\n{\"reject\":\"n1\"}\n",
        "{\"dead\":{\"list\":true}}\n{\"dead\":{\"show\":\"m4\"}}\n"
        "{\"dead\":{\"show\":\"dead.1\"}}\n",
        "{\"dead\":{\"retry\":true}}\n",
        "{\"dead\":{\"remove\":\"m4\"}}\n{\"dead\":{\"remove\":true}}\n",
        "{\"publish\":{\"app\":\"news\",\"all\":true,\"data\":1,\"ttl\":0}}\n",
    };
    const size_t line_count = sizeof(lines) / sizeof(lines[0]);

    what %= line_count + 12;
    if (what < line_count) {
        say(what % 2, lines[what]);
        return;
    }
    switch (what - line_count) {
    case 0:
        commit();
        break;
    case 1:
        receive(
            "{\"cursor\":\"1-4\",\"messages\":[{\"id\":\"m1\",\"app\":\"orders\"," NEVER
            ",{\"id\":\"m8\",\"app\":\"orders\"," LIVES NEVER
            ",{\"id\":\"x\",\"app\":\"foreign\"," NEVER "]}");
        break;
    case 2:
        cc_fuzz_agent_sleep(2000);
        break;
    case 3:
        cc_fuzz_agent_sleep(86400000);
        break;
    case 4:
        note(cc_inbox_compact(cc_fuzz_agent_now.inbox));
        break;
    case 5:
        shed("narrow");
        break;
    case 6:
        report();
        break;
    case 7:
        look();
        break;
    case 8:
        cc_fuzz_agent_publish(0);
        break;
    case 9:
        cc_fuzz_agent_publish(1);
        break;
    case 10:
        cc_fuzz_agent_hang_up(what % 2);
        break;
    default:
        receive("{\"cursor\":\"1-5\",\"gap\":{\"apps\":{\"orders\":3}},\"messages\":[]}");
        break;
    }
}

/* What is damaged is set aside by the next start, which has a new inbox then. */
static int start_again(void)
{
    int was_damaged = cc_dispatch_is_damaged(cc_fuzz_agent_now.dispatch);
    cc_status status;

    cc_fuzz_agent_stop();
    status = cc_fuzz_agent_start(path);
    CC_FUZZ_CHECK(status == CC_OK, "what was used cannot be opened any more");
    look();
    return was_damaged;
}

static void do_all(fuzz_input *input)
{
    unsigned i;

    while (input->left > 0)
        act(fuzz_take_byte(input));
    for (i = 0; i < 23; i++)
        act(i);
    if (start_again())
        return;
    for (i = 0; i < 23; i++)
        act(22 - i);
    shed("orders");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    cc_status status;

    if (path == NULL)
        make_whole();
    cc_fuzz_clean();
    cc_fuzz_agent_is_lenient = 1;
    cc_fuzz_inbox_make(&whole, &input, NAME);
    status = cc_fuzz_agent_start(path);
    if (status == CC_OK) {
        if (input.left > 30)
            input.left = 30;
        do_all(&input);
        cc_fuzz_agent_stop();
    }
    else {
        CC_FUZZ_CHECK(status == CC_NEWER || status == CC_NOT_PERMITTED
                          || status == CC_STORAGE,
                      "no reason why it is not opened");
    }
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * step_group.c - groups: members come and go, publish to all of them over several
 * shards, publish to everybody.
 */
#include "cs_compat.h"
#include "step_harness.h"

static const char *const many[] = { "alice", "bob", "carol", "dave", "erin", "fred" };
#define MANY (sizeof many / sizeof many[0])

static apr_status_t change_member(const char *client, int add)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    return add ? csq_group_add(fx.q, &key, "orders", "staff", fx.now, &changed)
               : csq_group_remove(fx.q, &key, "orders", "staff", fx.now, &changed);
}

static unsigned tell_staff(void)
{
    csq_message message = message_of("x");

    ck_ok(csq_append_group(fx.q, &message, "staff", fx.now, NULL, NULL, &fx.appended));
    return fx.appended.receivers;
}

/* ---- members ------------------------------------------------------------ */

static void prepare_group(void)
{
    ck_ok(change_member("bob", 1));
    ck_ok(change_member("carol", 1));
    ck_ok(put("carol", "before"));
}

static void prepare_group_and_client(void)
{
    prepare_group();
    ck_ok(put("alice", "before"));
}

static apr_status_t run_join_group(void)
{
    return change_member("alice", 1);
}

static void judge_join_group(int finished)
{
    unsigned n = tell_staff();

    ck_assert(n == 3 || (n == 2 && !finished));
    ck_ok(run_join_group());
    ck_assert_uint_eq(tell_staff(), 3);
}

static void judge_first_member(int finished)
{
    unsigned n = tell_staff();

    ck_assert(n == 1 || (n == 0 && !finished));
    ck_ok(run_join_group());
    ck_assert_uint_eq(tell_staff(), 1);
}

static apr_status_t run_leave_group(void)
{
    return change_member("bob", 0);
}

static void judge_leave_group(int finished)
{
    unsigned n = tell_staff();

    ck_assert(n == 1 || (n == 2 && !finished));
    ck_ok(run_leave_group());
    ck_assert_uint_eq(tell_staff(), 1);
}

static void prepare_last_member(void)
{
    ck_ok(change_member("bob", 1));
}

static void judge_last_member(int finished)
{
    csq_key bob = { "realm", "bob", NULL };
    csq_client_info info;

    ck_assert(!finished || csq_client_info_get(fx.q, &bob, &info) == CSQ_EMPTY);
    ck_ok(run_leave_group());
    ck_assert_uint_eq(tell_staff(), 0);
    ck_status(csq_client_info_get(fx.q, &bob, &info), CSQ_EMPTY);
}

/* ---- publish to all of them --------------------------------------------- */

static apr_status_t publish_all(const char *group)
{
    csq_message message = message_of("all");

    message.receipt = 1;
    return csq_append_group(fx.q, &message, group, fx.now, NULL, NULL, &fx.appended);
}

static apr_status_t run_tell(void)
{
    return publish_all("staff");
}

/* Each member has it whole or not at all, and never twice. */
static void judge_tell(int finished)
{
    step_count("bob");
    ck_assert(strcmp(texts(), "all") == 0 || (!finished && strcmp(texts(), "") == 0));
    step_count("carol");
    ck_assert(strcmp(texts(), "before all") == 0
              || (!finished && strcmp(texts(), "before") == 0));
}

static void prepare_many(void)
{
    size_t i;

    for (i = 0; i < MANY; i++)
        ck_ok(change_member(many[i], 1));
    ck_ok(step_or_empty(read_as("alice", "desk", NULL, CSQ_VERY_LOW, 1)));
    ck_ok(step_or_empty(read_as("alice", "phone", NULL, CSQ_VERY_LOW, 1)));
    step_put("dave", NULL, NULL, "before");
}

static int has_it(const char *client, const char *device, const char *before)
{
    size_t length = strlen(before);

    ck_ok(step_or_empty(read_as(client, device, NULL, CSQ_VERY_LOW, 10)));
    ck_assert_int_eq(strncmp(texts(), before, length), 0);
    if (!texts()[length])
        return 0;
    ck_assert_str_eq(texts() + length + (length > 0), "all");
    return 1;
}

static void judge_tell_many(int finished)
{
    int with = has_it("alice", "desk", "");
    size_t i;

    with += has_it("alice", "phone", "");
    for (i = 1; i < MANY; i++)
        with += has_it(many[i], NULL, strcmp(many[i], "dave") == 0 ? "before" : "");
    ck_assert(!finished || with == MANY + 1);
}

static void prepare_everybody(void)
{
    prepare_many();
    step_put("gina", NULL, NULL, "before");
}

static apr_status_t run_tell_everybody(void)
{
    return publish_all(NULL);
}

static void judge_tell_everybody(int finished)
{
    int gina = has_it("gina", NULL, "before");

    ck_assert(!finished || gina);
    judge_tell_many(finished);
}

/* ---- with a key ---------------------------------------------------------- */

static csq_digest digest_of(const char *text)
{
    apr_size_t length = strlen(text);

    return csq_digest_make(fx.q, &text, &length, 1);
}

/* What a request with a key does. */
static apr_status_t tell_once(const char *group)
{
    static char answer[256];
    csq_message message = message_of("all");
    csq_digest key = digest_of("key");
    csq_digest body = digest_of("body");
    apr_size_t len = sizeof answer;
    apr_status_t rv = csq_repeat_begin(fx.q, &key, &body, 0, 3600 * SECOND, fx.now,
                                       fx.appended.id, answer, &len);

    message.id = fx.appended.id;
    message.repeat = &key;
    message.receipt = 1;
    if (rv == APR_SUCCESS)
        rv = csq_append_group(fx.q, &message, group, fx.now, NULL, NULL, &fx.appended);
    if (rv == APR_SUCCESS)
        rv = csq_repeat_finish(fx.q, &key, "done", 4);
    return rv;
}

static apr_status_t run_tell_once(void)
{
    return tell_once("staff");
}

static apr_status_t run_tell_everybody_once(void)
{
    return tell_once(NULL);
}

/* Sent again it has reached each member once, wherever the first was cut off. */
static void judge_again(apr_status_t (*again)(void), int finished)
{
    apr_status_t rv = again();

    ck_assert(rv == CSQ_REPEATED || (rv == APR_SUCCESS && !finished));
    judge_tell_many(1);
    ck_status(again(), CSQ_REPEATED);
    judge_tell_many(1);
}

static void judge_tell_once(int finished)
{
    judge_again(run_tell_once, finished);
}

static void judge_tell_everybody_once(int finished)
{
    judge_again(run_tell_everybody_once, finished);
    ck_assert(has_it("gina", NULL, "before"));
}

/* Those who have it take it before it is sent again: they get nothing more. */
static void judge_tell_once_taken(int finished)
{
    static const char *const clients[] = { "alice", "alice", "bob", "carol",
                                           "dave",  "erin",  "fred" };
    static const char *const devices[] = { "desk", "phone" };
    csq_cursor cursors[MANY + 1];
    int had[MANY + 1];
    size_t i;

    (void)finished;
    for (i = 0; i <= MANY; i++) {
        const char *device = i < 2 ? devices[i] : NULL;

        had[i] = has_it(clients[i], device, strcmp(clients[i], "dave") ? "" : "before");
        cursors[i] = cursor_now();
        ck_ok(step_or_empty(read_as(clients[i], device, &cursors[i], CSQ_VERY_LOW, 10)));
    }
    run_tell_once();
    for (i = 0; i <= MANY; i++) {
        const char *device = i < 2 ? devices[i] : NULL;

        ck_ok(step_or_empty(read_as(clients[i], device, &cursors[i], CSQ_VERY_LOW, 10)));
        ck_assert_str_eq(texts(), had[i] ? "" : "all");
    }
}

const step_operation step_group_operations[] = {
    { "join_group", prepare_group_and_client, NULL, run_join_group, judge_join_group,
      NULL, NULL, 0 },
    { "join_group_new", prepare_group, NULL, run_join_group, judge_join_group, NULL,
      step_neighbor_at_once, 0 },
    { "first_member", NULL, NULL, run_join_group, judge_first_member, NULL,
      step_neighbor_at_once, 0 },
    { "leave_group", prepare_group, NULL, run_leave_group, judge_leave_group, NULL, NULL,
      0 },
    { "last_member", prepare_last_member, NULL, run_leave_group, judge_last_member, NULL,
      step_fetch_at_once, 0 },
    { "tell", prepare_group, NULL, run_tell, judge_tell, NULL, NULL, 0 },
    { "tell_many", prepare_many, NULL, run_tell, judge_tell_many, NULL, NULL, 0 },
    { "tell_everybody", prepare_everybody, NULL, run_tell_everybody, judge_tell_everybody,
      NULL, NULL, 0 },
    { "tell_once", prepare_many, NULL, run_tell_once, judge_tell_once, NULL, NULL, 0 },
    { "tell_once_taken", prepare_many, NULL, run_tell_once, judge_tell_once_taken, NULL,
      NULL, 0 },
    { "tell_everybody_once", prepare_everybody, NULL, run_tell_everybody_once,
      judge_tell_everybody_once, NULL, NULL, 0 },
    { NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0 }
};

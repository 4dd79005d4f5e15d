/* SPDX-License-Identifier: Apache-2.0
 * csq_fixture.c - see csq_fixture.h.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <apr_general.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

csq_fixture fx;

void ck_assert_msg_status(apr_status_t got, apr_status_t wanted, const char *call)
{
    char a[128];
    char b[128];

    ck_assert_msg(got == wanted, "%s: '%s', not '%s'", call,
                  csq_strerror(got, a, sizeof a), csq_strerror(wanted, b, sizeof b));
}

void fixture_setup_bare(void)
{
    const char *tmp = getenv("TMPDIR");

    memset(&fx, 0, sizeof fx);
    ck_assert_int_eq(apr_initialize(), APR_SUCCESS);
    ck_assert_int_eq(apr_pool_create(&fx.pool, NULL), APR_SUCCESS);
    snprintf(fx.directory, sizeof fx.directory, "%s/csqXXXXXX", tmp ? tmp : "/tmp");
    ck_assert_ptr_nonnull(mkdtemp(fx.directory));
    snprintf(fx.path, sizeof fx.path, "%s/q", fx.directory);
    fx.limits.max_queue_bytes = 1024 * 1024;
    fx.limits.max_message = 256 * 1024;
    fx.limits.max_queue = 1000;
    fx.limits.max_clients = 1000;
    fx.limits.default_ttl = 86400;
    fx.limits.max_ttl = 30 * 86400;
    fx.limits.client_expiry = 600;
    fx.limits.device_expiry = 30 * 86400;
    fx.limits.max_devices = 16;
    fx.limits.overflow = CSQ_OVERFLOW_REJECT;
    fx.now = apr_time_now();
    fx.batch = csq_batch_create();
}

void fixture_create(apr_size_t size, unsigned slots)
{
    ck_ok(csq_create(fx.path, size, slots, &fx.limits, fx.pool, &fx.q));
}

void fixture_setup(void)
{
    fixture_setup_bare();
    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
}

void fixture_audit(void)
{
    const char *problem = NULL;

    ck_assert_msg(csq_audit(fx.q, fx.pool, &problem) == APR_SUCCESS, "audit: %s",
                  problem ? problem : "no answer");
}

void fixture_teardown(void)
{
    if (fx.q && !fx.damaged_on_purpose)
        fixture_audit();
    csq_batch_destroy(fx.batch);
    apr_pool_destroy(fx.pool);
    ck_assert_msg(rmdir(fx.directory) == 0, "'%s' is not empty", fx.directory);
    apr_terminate();
}

apr_status_t put_full(const char *app, const char *client, const char *text,
                      apr_time_t expires)
{
    char data[4096];
    csq_appended appended;
    csq_key key = { "realm", client, NULL };
    csq_message message = { .app = app,
                            .sender = "tester",
                            .type = "text/plain",
                            .encoding = CSQ_TEXT,
                            .time = fx.now,
                            .expires = expires,
                            .data = data };

    message.len = (apr_size_t)snprintf(data, sizeof data, "\"%s\"", text);
    return csq_append(fx.q, &message, &key, 1, fx.now, NULL, &appended);
}

apr_status_t put(const char *client, const char *text)
{
    return put_full("orders", client, text, fx.now + 3600 * SECOND);
}

static apr_status_t fetch(const char *client, const csq_fetch *what)
{
    csq_key key = { "realm", client, NULL };

    return csq_fetch_batch(fx.q, &key, what, fx.now, fx.batch);
}

apr_status_t get_max(const char *client, const csq_cursor *after, unsigned max)
{
    csq_fetch what = { .after = after, .max_messages = max, .max_bytes = 1 << 30 };

    return fetch(client, &what);
}

apr_status_t get(const char *client, const csq_cursor *after)
{
    return get_max(client, after, 100000);
}

apr_status_t acknowledge(const char *client, const csq_cursor *after)
{
    csq_fetch what = {
        .after = after, .max_messages = 100000, .max_bytes = 1 << 30, .acknowledge = 1
    };

    return fetch(client, &what);
}

apr_status_t wait_for(const char *client, csq_waiter waiter, int resume)
{
    csq_fetch what = {
        .max_messages = 100, .max_bytes = 1 << 30, .waiter = waiter, .resume = resume != 0
    };

    return fetch(client, &what);
}

int hear(csq_slot *slot, apr_uint32_t *out_numbers, int max, int *out_all)
{
    csq_slot_mute(slot, 1);
    csq_slot_listen(slot);
    return csq_slot_take(slot, out_numbers, max, out_all);
}

const char *text_of(unsigned i)
{
    const csq_view *view = csq_batch_get(fx.batch, i);

    ck_assert_ptr_nonnull(view);
    return apr_pstrmemdup(fx.pool, view->data + 1, view->len - 2);
}

csq_cursor cursor_now(void)
{
    return csq_batch_cursor(fx.batch);
}

csq_stats stats_now(void)
{
    csq_stats stats;

    csq_stats_get(fx.q, &stats);
    return stats;
}

csq_message message_of(const char *text)
{
    csq_message message = { .realm = "realm",
                            .app = "orders",
                            .sender = "tester",
                            .encoding = CSQ_TEXT,
                            .urgency = CSQ_NORMAL,
                            .time = fx.now,
                            .expires = fx.now + 3600 * SECOND };

    message.data = apr_psprintf(fx.pool, "\"%s\"", text);
    message.len = strlen(message.data);
    return message;
}

apr_status_t append(const csq_message *message, const char *client, const char *device)
{
    csq_key key = { "realm", client, device };

    return csq_append(fx.q, message, &key, 1, fx.now, NULL, &fx.appended);
}

apr_status_t read_as(const char *client, const char *device, const csq_cursor *after,
                     csq_urgency urgency, unsigned max)
{
    csq_key key = { "realm", client, device };
    csq_fetch what = { .after = after,
                       .max_messages = max,
                       .max_bytes = 1 << 30,
                       .urgency = urgency,
                       .acknowledge = after != NULL };

    return csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch);
}

const char *state_of(const unsigned char *id)
{
    static const char *const names[CSQ_STATES] = { "queued",    "handed-out",
                                                   "received",  "acknowledged",
                                                   "expired",   "replaced",
                                                   "withdrawn", "dropped" };
    csq_message_key key = { "realm", "orders", NULL, { 0 } };
    apr_status_t rv;

    memcpy(key.id, id, CSQ_ID_BYTES);
    rv = csq_message_get(fx.q, &key, 0, NULL, &fx.info);
    if (rv == CSQ_EMPTY)
        return "unknown";
    ck_ok(rv);
    return names[fx.info.state];
}

const char *texts(void)
{
    const char *all = "";
    unsigned i;

    for (i = 0; i < csq_batch_count(fx.batch); i++)
        all = apr_pstrcat(fx.pool, all, i ? " " : "", text_of(i), NULL);
    return all;
}

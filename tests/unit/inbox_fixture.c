/* SPDX-License-Identifier: Apache-2.0
 * inbox_fixture.c - an inbox in a temporary directory, and short calls of it.
 */
#include "inbox_fixture.h"
#include "support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

cc_inbox *inbox;
char inbox_path[256];
char *inbox_error;

void inbox_open_again(void)
{
    ck_assert_int_eq(cc_inbox_open(inbox_path, NOW, &inbox, &inbox_error), CC_OK);
    ck_assert_ptr_null(inbox_error);
}

void inbox_reopen(void)
{
    cc_inbox_close(inbox);
    inbox_open_again();
}

void inbox_set_up(void)
{
    snprintf(inbox_path, sizeof(inbox_path), "%s/inbox.db", reaper_temporary());
    inbox_open_again();
}

void inbox_tear_down(void)
{
    cc_inbox_close(inbox);
    inbox = NULL;
    free(inbox_error);
    inbox_error = NULL;
}

/* The text lives until the next call. */
cc_envelope inbox_message(const char *id, const char *app, const char *data)
{
    static char text[4096];
    cc_envelope envelope;

    snprintf(text, sizeof(text),
             "{\"id\":\"%s\",\"app\":\"%s\",\"length\":%zu,\"data\":%s}", id, app,
             strlen(data), data);
    ck_assert_int_eq(cc_envelope_parse(text, strlen(text), &envelope), CC_OK);
    ck_assert_ptr_null(envelope.unusable);
    return envelope;
}

/* Within a transaction. */
cc_status inbox_put(const char *server, const char *id, int64_t expires, int64_t now)
{
    cc_envelope envelope = inbox_message(id, "orders", "1");
    int64_t seq = 0;

    envelope.expires = expires;
    return cc_inbox_add(inbox, server, &envelope, 0, now, 0, &seq);
}

/* In a transaction of its own. */
cc_status inbox_add_expiring(const char *server, const char *id, int64_t expires,
                             int64_t now)
{
    cc_status status;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    status = inbox_put(server, id, expires, now);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
    return status;
}

cc_status inbox_add(const char *id)
{
    return inbox_add_expiring("main", id, NOW + DAY, NOW);
}

/* Harmless to repeat. */
void inbox_remove(int64_t seq)
{
    int64_t size = (int64_t)strlen("'id':'a','app':'orders','length':1,'data':1");
    cc_status status;

    ck_assert_int_eq(cc_inbox_begin(inbox), CC_OK);
    status = cc_inbox_remove(inbox, "orders", seq, size);
    ck_assert(status == CC_OK || status == CC_EMPTY);
    ck_assert_int_eq(cc_inbox_remove(inbox, "orders", seq, size), CC_EMPTY);
    ck_assert_int_eq(cc_inbox_commit(inbox), CC_OK);
}

int64_t inbox_count(void)
{
    cc_inbox_usage usage;

    cc_inbox_usage_get(inbox, &usage);
    return usage.messages;
}

static void note_loaded(void *baton, const cc_stored *stored)
{
    loaded *l = baton;

    l->count++;
    strcat(l->ids, stored->id);
    l->attempt = stored->attempt;
    l->seq = stored->seq;
    l->due = stored->due;
    l->receipt = stored->receipt;
    ck_assert_uint_lt(stored->head_len, stored->body.len);
    ck_assert_int_eq(stored->body.data[stored->head_len], ',');
}

loaded inbox_load(int64_t after, int limit)
{
    loaded l = { 0, "", 0, 0, 0, 0 };
    cc_status status =
        cc_inbox_load(inbox, "orders", after, NOW, limit, 1 << 20, note_loaded, &l);

    ck_assert_int_eq(status, l.count > 0 ? CC_OK : CC_EMPTY);
    return l;
}

/* SPDX-License-Identifier: Apache-2.0
 * cc_seen.c - the ids that were here before.
 *
 * An id is kept until its message has expired and a day more, in a bucket
 * named by the day on which that is. A message without expiry, or with one
 * that is years away, is kept for SEEN_DAYS; as its bucket depends on when
 * it came, all buckets are asked for it.
 *
 * A row of `fresh` holds, for each id: i64 day, u8 length of the id, u8 length
 * of the server's name, the id, the name.
 */
#include "cc_compat.h"
#include "cc_seen.h"
#include "cc_inbox_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DAY          86400000 /* ms                                           */
#define SEEN_DAYS    40       /* longer than any server keeps by default      */
#define HORIZON_DAYS 400      /* later expiries count as never                */

static int64_t bucket_of(int64_t expires, int64_t now, int *out_certain)
{
    *out_certain = expires > 0 && expires < now + (int64_t)HORIZON_DAYS * DAY;
    if (*out_certain)
        return expires / DAY + 1;
    return now / DAY + SEEN_DAYS;
}

/* ---- in memory ------------------------------------------------------- */

static uint64_t hash_id(cc_slice id)
{
    uint64_t hash = 14695981039346656037u;
    size_t i;

    for (i = 0; i < id.len; i++)
        hash = (hash ^ (unsigned char)id.data[i]) * 1099511628211u;
    return hash ^ (hash >> 29);
}

/* Six bits for each id, from the two halves of its hash. */
static void filter_add(cc_fresh *fresh, cc_slice id)
{
    uint64_t hash = hash_id(id);
    uint32_t bit = (uint32_t)hash, step = (uint32_t)(hash >> 32) | 1;
    int i;

    for (i = 0; i < 6; i++, bit += step)
        fresh->filter[bit % CC_FILTER_BITS / 8] |= (unsigned char)(1u << (bit % 8));
}

static int filter_knows(const cc_fresh *fresh, cc_slice id)
{
    uint64_t hash = hash_id(id);
    uint32_t bit = (uint32_t)hash, step = (uint32_t)(hash >> 32) | 1;
    int i;

    for (i = 0; i < 6; i++, bit += step) {
        if (!(fresh->filter[bit % CC_FILTER_BITS / 8] & (1u << (bit % 8))))
            return 0;
    }
    return 1;
}

static cc_fresh_id **place_of(cc_fresh *fresh, cc_slice id)
{
    return &fresh->buckets[hash_id(id) % CC_FRESH_MAX];
}

/* Any server: NULL. */
static int is_fresh(cc_fresh *fresh, cc_slice id, const char *server)
{
    cc_fresh_id *one = *place_of(fresh, id);

    for (; one != NULL; one = one->next) {
        if (cc_slice_is(id, one->id)
            && (server == NULL || strcmp(one->server, server) == 0))
            return 1;
    }
    return 0;
}

static void add_fresh(cc_fresh *fresh, cc_slice id, cc_slice server, int64_t day)
{
    cc_fresh_id *one = cc_alloc(sizeof(*one)), **place = place_of(fresh, id);

    memcpy(one->id, id.data, id.len);
    memcpy(one->server, server.data, server.len);
    one->day = day;
    one->next = *place;
    *place = one;
    if (fresh->count == fresh->room) {
        fresh->room = fresh->room ? fresh->room * 2 : 256;
        fresh->ids = cc_realloc(fresh->ids, fresh->room * sizeof(cc_fresh_id *));
    }
    fresh->ids[fresh->count++] = one;
}

/* Take away the last until `count` are left. The last of a bucket is first in
 * its list. */
static void shrink_fresh(cc_fresh *fresh, size_t count)
{
    while (fresh->count > count) {
        cc_fresh_id *one = fresh->ids[--fresh->count];

        *place_of(fresh, cc_slice_of(one->id)) = one->next;
        free(one);
    }
}

/* ---- rows of `fresh` ------------------------------------------------- */

static cc_status fill_filter(cc_inbox *inbox)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_ALL);
    cc_status status;

    while ((status = cc_inbox_step(inbox, CC_SQL_SEEN_ALL)) == CC_OK)
        filter_add(&inbox->fresh, cc_inbox_column(statement, 0));
    sqlite3_reset(statement);
    return status == CC_EMPTY ? CC_OK : status;
}

static cc_status read_fresh_row(cc_fresh *fresh, cc_slice row)
{
    const size_t head = sizeof(int64_t) + 2;
    cc_slice id, server;
    int64_t day;

    while (row.len > 0) {
        if (row.len < head)
            return CC_DAMAGED;
        memcpy(&day, row.data, sizeof(day));
        id.len = (unsigned char)row.data[sizeof(day)];
        server.len = (unsigned char)row.data[sizeof(day) + 1];
        id.data = row.data + head;
        server.data = id.data + id.len;
        if (row.len - head < id.len + server.len
            || cc_name_id_check(id.data, id.len) != CC_OK
            || cc_name_check(server.data, server.len, CC_SERVER_MAX) != CC_OK)
            return CC_DAMAGED;
        add_fresh(fresh, id, server, day);
        row.data += head + id.len + server.len;
        row.len -= head + id.len + server.len;
    }
    return CC_OK;
}

cc_status cc_seen_open(cc_inbox *inbox)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_FRESH);
    cc_fresh *fresh = &inbox->fresh;
    cc_status status, row = CC_OK;

    fresh->buckets = cc_alloc(CC_FRESH_MAX * sizeof(cc_fresh_id *));
    fresh->filter = cc_alloc(CC_FILTER_BITS / 8);
    while (row == CC_OK && (status = cc_inbox_step(inbox, CC_SQL_FRESH)) == CC_OK)
        row = read_fresh_row(fresh, cc_inbox_column(statement, 0));
    sqlite3_reset(statement);
    fresh->committed = fresh->count;
    if (row != CC_OK) {
        snprintf(inbox->error, sizeof(inbox->error), "its list of ids is not right");
        return row;
    }
    return status == CC_EMPTY ? fill_filter(inbox) : status;
}

void cc_seen_close(cc_inbox *inbox)
{
    if (inbox->fresh.buckets != NULL)
        shrink_fresh(&inbox->fresh, 0);
    free(inbox->fresh.buckets);
    free(inbox->fresh.ids);
    free(inbox->fresh.filter);
}

static cc_status write_fresh_row(cc_inbox *inbox)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_FRESH_ADD);
    cc_fresh *fresh = &inbox->fresh;
    cc_buffer row = { NULL, 0, 0 };
    cc_status status;
    size_t i;

    for (i = fresh->committed; i < fresh->count; i++) {
        const cc_fresh_id *one = fresh->ids[i];
        char lengths[2] = { (char)strlen(one->id), (char)strlen(one->server) };

        cc_buffer_add(&row, (const char *)&one->day, sizeof(one->day));
        cc_buffer_add(&row, lengths, 2);
        cc_buffer_add(&row, one->id, (size_t)lengths[0]);
        cc_buffer_add(&row, one->server, (size_t)lengths[1]);
    }
    sqlite3_bind_blob(statement, 1, row.data, (int)row.len, SQLITE_STATIC);
    status = cc_inbox_run(inbox, CC_SQL_FRESH_ADD);
    cc_buffer_clear(&row);
    return status;
}

/* ---- the table `seen` ------------------------------------------------ */

static int compare_ids(const void *a, const void *b)
{
    const cc_fresh_id *const *one = a, *const *two = b;

    if ((*one)->day != (*two)->day)
        return (*one)->day < (*two)->day ? -1 : 1;
    return strcmp((*one)->id, (*two)->id);
}

static cc_status insert_seen(cc_inbox *inbox, const cc_fresh_id *one)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_ADD);

    filter_add(&inbox->fresh, cc_slice_of(one->id));
    sqlite3_bind_int64(statement, 1, one->day);
    cc_inbox_bind_text(statement, 2, one->id);
    cc_inbox_bind_text(statement, 3, one->server);
    return cc_inbox_run(inbox, CC_SQL_SEEN_ADD);
}

/* Sort all that is fresh into the table. */
static cc_status merge(cc_inbox *inbox)
{
    cc_fresh *fresh = &inbox->fresh;
    cc_fresh_id **sorted;
    cc_status status = CC_OK;
    size_t i;

    if (fresh->count == 0)
        return CC_OK;
    sorted = cc_alloc(fresh->count * sizeof(cc_fresh_id *));
    memcpy(sorted, fresh->ids, fresh->count * sizeof(cc_fresh_id *));
    qsort(sorted, fresh->count, sizeof(cc_fresh_id *), compare_ids);
    for (i = 0; i < fresh->count && status == CC_OK; i++)
        status = insert_seen(inbox, sorted[i]);
    free(sorted);
    if (status == CC_OK)
        status = cc_inbox_run(inbox, CC_SQL_FRESH_CLEAR);
    fresh->is_merged = status == CC_OK;
    return status;
}

static cc_status next_bucket(cc_inbox *inbox, int64_t after, int64_t *out_day)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_DAY);
    cc_status status;

    sqlite3_bind_int64(statement, 1, after);
    status = cc_inbox_step(inbox, CC_SQL_SEEN_DAY);
    if (status == CC_OK) {
        if (sqlite3_column_type(statement, 0) != SQLITE_INTEGER)
            status = CC_EMPTY;
        *out_day = sqlite3_column_int64(statement, 0);
    }
    sqlite3_reset(statement);
    return status;
}

/* CC_OK: it is in this bucket; CC_EMPTY: not. Any server: NULL. */
static cc_status ask_bucket(cc_inbox *inbox, int64_t day, cc_slice id, const char *server)
{
    int which = server != NULL ? CC_SQL_SEEN_FIND : CC_SQL_SEEN_FIND_ID;
    sqlite3_stmt *statement = cc_inbox_statement(inbox, which);
    cc_status status;

    sqlite3_bind_int64(statement, 1, day);
    cc_inbox_bind(statement, 2, id);
    if (server != NULL)
        cc_inbox_bind_text(statement, 3, server);
    status = cc_inbox_step(inbox, which);
    sqlite3_reset(statement);
    return status;
}

static cc_status ask_all_buckets(cc_inbox *inbox, cc_slice id, const char *server)
{
    int64_t day = INT64_MIN;
    cc_status status;

    for (;;) {
        status = next_bucket(inbox, day, &day);
        if (status != CC_OK)
            return status;
        status = ask_bucket(inbox, day, id, server);
        if (status != CC_EMPTY)
            return status;
    }
}

/* ---- the calls ------------------------------------------------------- */

cc_status cc_seen_add(cc_inbox *inbox, const char *server, cc_slice id, int64_t expires,
                      int64_t now)
{
    int certain;
    int64_t day = bucket_of(expires, now, &certain);
    cc_status status;

    if (is_fresh(&inbox->fresh, id, server))
        return CC_DUPLICATE;
    if (filter_knows(&inbox->fresh, id)) {
        status = certain ? ask_bucket(inbox, day, id, server)
                         : ask_all_buckets(inbox, id, server);
        if (status != CC_EMPTY)
            return status == CC_OK ? CC_DUPLICATE : status;
    }
    add_fresh(&inbox->fresh, id, cc_slice_of(server), day);
    return CC_OK;
}

cc_status cc_seen_find(cc_inbox *inbox, const char *id)
{
    if (is_fresh(&inbox->fresh, cc_slice_of(id), NULL))
        return CC_OK;
    return ask_all_buckets(inbox, cc_slice_of(id), NULL);
}

cc_status cc_seen_expire(cc_inbox *inbox, int64_t now)
{
    sqlite3_stmt *statement = cc_inbox_statement(inbox, CC_SQL_SEEN_EXPIRE);
    cc_status status = merge(inbox);

    if (status != CC_OK)
        return status;
    sqlite3_bind_int64(statement, 1, now / DAY);
    return cc_inbox_run(inbox, CC_SQL_SEEN_EXPIRE);
}

cc_status cc_seen_flush(cc_inbox *inbox)
{
    cc_fresh *fresh = &inbox->fresh;

    if (fresh->count == fresh->committed || fresh->is_merged)
        return CC_OK;
    if (fresh->count >= CC_FRESH_MAX)
        return merge(inbox);
    return write_fresh_row(inbox);
}

void cc_seen_committed(cc_inbox *inbox)
{
    if (inbox->fresh.is_merged)
        shrink_fresh(&inbox->fresh, 0);
    inbox->fresh.is_merged = 0;
    inbox->fresh.committed = inbox->fresh.count;
}

void cc_seen_rolled_back(cc_inbox *inbox)
{
    shrink_fresh(&inbox->fresh, inbox->fresh.committed);
    inbox->fresh.is_merged = 0;
}

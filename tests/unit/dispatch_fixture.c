/* SPDX-License-Identifier: Apache-2.0
 * dispatch_fixture.c - a dispatch on an inbox, with clients that record.
 */
#include "dispatch_fixture.h"
#include "cc_time.h"
#include "support/support.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct event_base *base;
cc_config *config;
static cc_config *former; /* what a dispatch may still use                 */
cc_inbox *inbox;
cc_dispatch *dispatch;
recorder one, two;
static char directory[256];
static int incarnation; /* of the inbox: each crash makes a new one      */
cc_intake intake;

static void record(recorder *r, const char *format, const char *text, int number)
{
    size_t len = strlen(r->text);

    ck_assert_uint_lt(len, sizeof(r->text) - 128);
    snprintf(r->text + len, sizeof(r->text) - len, format, text, number);
}

static int has_room(void *baton)
{
    return ((recorder *)baton)->room > 0;
}

/* The id is the first member of what make_batch() writes. */
static const char *id_of(const cc_delivery *delivery)
{
    const char *start = delivery->body.data + strlen("\"id\":\"");

    ck_assert_mem_eq(delivery->body.data, "\"id\":\"", 6);
    ck_assert_int_eq(delivery->body.data[delivery->head_len], ',');
    return support_text("%.*s", (int)strcspn(start, "\""), start);
}

static void take_message(void *baton, const cc_delivery *delivery)
{
    recorder *r = baton;

    ck_assert_int_gt(r->room, 0);
    r->room--;
    record(r, "m:%s/%d ", id_of(delivery), delivery->attempt);
}

static void take_copy(void *baton, const cc_delivery *delivery)
{
    record(baton, "c:%s ", id_of(delivery), 0);
}

static void take_gap(void *baton, const cc_gap_notice *gap)
{
    recorder *r = baton;

    snprintf(r->gap, sizeof(r->gap), "%s", gap->id);
    record(r, "g:%s/%d ", gap->app, (int)gap->count);
}

static void take_settled(void *baton, cc_settled settled, const char *id)
{
    static const char *const formats[] = { "a:%s ", "n:%s ", "r:%s " };

    if (!((recorder *)baton)->no_acked)
        record(baton, formats[settled], id, 0);
}

static const cc_client_calls calls = { has_room, take_message, take_copy, take_gap,
                                       take_settled };

/* What it was told since the last call. */
const char *told(recorder *r)
{
    const char *text = support_text("%s", r->text);

    r->text[0] = '\0';
    return text;
}

void attach(recorder *r)
{
    memset(r, 0, sizeof(*r));
    r->room = 1000000;
    r->client = cc_dispatch_attach(dispatch, &calls, r);
}

void detach(recorder *r)
{
    if (r->client != NULL)
        cc_dispatch_detach(r->client);
    r->client = NULL;
}

void subscribe(recorder *r, const char *app, int window)
{
    ck_assert_int_eq(cc_dispatch_subscribe(r->client, app, window, 0), CC_OK);
    cc_dispatch_ready(r->client);
}

const char *inbox_path(const char *suffix)
{
    return support_text("%s/in%d.db%s", directory, incarnation, suffix);
}

static void copy_file(const char *from, const char *to)
{
    char bytes[65536];
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    size_t n;

    ck_assert(in != NULL && out != NULL);
    while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
        ck_assert_uint_eq(fwrite(bytes, 1, n, out), n);
    fclose(in);
    fclose(out);
}

static void start(void)
{
    char *error = NULL;

    ck_assert_int_eq(cc_inbox_open(inbox_path(""), cc_time_now(), &inbox, &error), CC_OK);
    dispatch = cc_dispatch_create(config, inbox, base);
    attach(&one);
    attach(&two);
}

static void stop(void)
{
    detach(&one);
    detach(&two);
    cc_dispatch_destroy(dispatch);
    cc_inbox_close(inbox);
}

/* Go on with the files as a crash would leave them at this moment. */
void crash(void)
{
    const char *file = inbox_path(""), *log = inbox_path("-wal");

    incarnation++;
    copy_file(file, inbox_path(""));
    copy_file(log, inbox_path("-wal"));
    stop();
    start();
}

void read_config(const char *text)
{
    const char *file = support_text("%s/c.conf", directory);
    char *error = NULL;

    cc_config_destroy(former);
    former = config;
    process_write_file(file, text);
    ck_assert_int_eq(cc_config_read(file, &config, &error), CC_OK);
}

void set_up(void)
{
    snprintf(directory, sizeof(directory), "%s", reaper_temporary());
    setenv("XDG_RUNTIME_DIR", directory, 1);
    base = event_base_new();
    read_config("[server main]\nurl=http://x/\n[app narrow]\nwindow=2\n");
    start();
}

void tear_down(void)
{
    stop();
    cc_config_destroy(config);
    cc_config_destroy(former);
    config = former = NULL;
    event_base_free(base);
}

cc_status take_text(const char *server, const char *text)
{
    cc_batch batch;
    cc_status status;

    memset(&batch, 0, sizeof(batch));
    ck_assert_int_eq(cc_batch_parse(&batch, text, strlen(text)), CC_OK);
    status = cc_dispatch_take(dispatch, server, &batch, 0, cc_time_now(), &intake);
    cc_batch_clear(&batch);
    return status;
}

/* Messages "PREFIX<from>" ... "PREFIX<to>" for an application. */
void take_range(const char *app, const char *prefix, int from, int to)
{
    cc_buffer text = { NULL, 0, 0 };
    int i;

    cc_buffer_format(&text, "{\"cursor\":\"e-%d\",\"messages\":[", to);
    for (i = from; i <= to; i++)
        cc_buffer_format(&text,
                         "%s{\"id\":\"%s%d\",\"app\":\"%s\",\"length\":1,\"data\":1}",
                         i > from ? "," : "", prefix, i, app);
    cc_buffer_add_text(&text, "]}");
    ck_assert_int_eq(take_text("main", text.data), CC_OK);
    cc_buffer_clear(&text);
}

void take(const char *id)
{
    take_range("orders", id, 1, 1);
}

void ack(recorder *r, const char *id)
{
    ck_assert_int_eq(cc_dispatch_acknowledge(r->client, id), CC_OK);
}

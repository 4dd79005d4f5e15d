/* SPDX-License-Identifier: Apache-2.0
 * csq_everything.c - every operation of csq.h; see csq_everything.h.
 */
#include "cs_compat.h"
#include "csq_everything.h"

#include <stdlib.h>

static csq_slot *slot;
static unsigned id_state;
static csq_message_key message_key = { "realm", "orders", "tester", { 0 } };
static unsigned char kept[CSQ_ID_BYTES];

/* The same from one run to the next. */
static const unsigned char *next_id(void)
{
    static unsigned char id[CSQ_ID_BYTES];
    int i;

    for (i = 0; i < CSQ_ID_BYTES; i++)
        id[i] = (unsigned char)rand_r(&id_state);
    return id;
}

static void say(const char *client, const char *device, const char *topic, int receipt)
{
    csq_message message = message_of("some text, of more than a single chunk, so that "
                                     "there is a chain that can be broken somewhere");

    message.id = next_id();
    message.topic = topic;
    message.receipt = receipt != 0;
    message.urgency = receipt ? CSQ_HIGH : CSQ_LOW;
    if (append(&message, client, device) == APR_SUCCESS && receipt)
        memcpy(message_key.id, fx.appended.id, CSQ_ID_BYTES);
}

static void change_member(const char *client, const char *group, int add)
{
    csq_key name = { "realm", client, NULL };
    int changed;

    if (add)
        csq_group_add(fx.q, &name, "orders", group, fx.now, &changed);
    else
        csq_group_remove(fx.q, &name, "orders", group, fx.now, &changed);
}

static void tell(const char *group)
{
    csq_message message = message_of("to many");

    message.id = next_id();
    csq_append_group(fx.q, &message, group, fx.now, NULL, NULL, &fx.appended);
}

static csq_digest digest_of(const char *text)
{
    apr_size_t len = strlen(text);

    return csq_digest_make(fx.q, &text, &len, 1);
}

static void repeat(const char *text)
{
    static const char answer[200] = "an answer";
    static char buffer[CSQ_ANSWER_MAX];
    csq_digest digest = digest_of(text);
    apr_size_t len = sizeof buffer;

    csq_repeat_begin(fx.q, &digest, &digest, csq_waiter_make(slot, 1), 3600 * SECOND,
                     fx.now, kept, buffer, &len);
    csq_repeat_finish(fx.q, &digest, answer, sizeof answer);
}

static void several(void)
{
    csq_key keys[3] = { { "realm", "alice", NULL },
                        { "realm", "bob", "pad" },
                        { "realm", "carol", NULL } };
    csq_message message = message_of("x");

    message.id = next_id();
    message.lenient = 1;
    csq_append(fx.q, &message, keys, 3, fx.now, NULL, NULL);
}

static void read_all(const char *client, const char *device, csq_urgency urgency)
{
    csq_cursor cursor;

    read_as(client, device, NULL, urgency, 3);
    cursor = cursor_now();
    read_as(client, device, &cursor, urgency, 3);
}

static void ask(void)
{
    unsigned char ids[1][CSQ_ID_BYTES];
    apr_uint32_t changes = 0;

    memcpy(ids[0], message_key.id, CSQ_ID_BYTES);
    csq_message_get(fx.q, &message_key, csq_waiter_make(slot, 2), &changes, &fx.info);
    csq_message_acknowledged(fx.q, "realm", (const unsigned char(*)[CSQ_ID_BYTES])ids, 1);
    csq_message_unwait(fx.q, &message_key, csq_waiter_make(slot, 2));
}

void everything_step(unsigned *seed)
{
    static const char *const clients[] = { "alice", "bob", "carol", "dave" };
    static const char *const devices[] = { NULL, "pad", "desk" };
    const char *client = clients[rand_r(seed) % 4];
    const char *device = devices[rand_r(seed) % 3];

    say(client, device, rand_r(seed) % 2 ? "topic" : NULL, rand_r(seed) % 2);
    change_member(client, rand_r(seed) % 2 ? "staff" : "boss", rand_r(seed) % 3);
    if (rand_r(seed) % 4 == 0)
        tell(rand_r(seed) % 2 ? "staff" : NULL);
    repeat(client);
    several();
    ask();
    if (rand_r(seed) % 4 == 0)
        csq_message_withdraw(fx.q, &message_key, &fx.info);
    read_all(client, device, (csq_urgency)(rand_r(seed) % 4));
    csq_expire(fx.q, fx.now += (apr_time_t)(rand_r(seed) % 20) * SECOND, 1000);
}

void everything_claim(void)
{
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
}

void everything_fill(unsigned *seed)
{
    int i;

    everything_claim();
    fx.limits.max_queue = 6;
    fx.limits.overflow = CSQ_OVERFLOW_DROP_OLDEST;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    for (i = 0; i < 30; i++)
        everything_step(seed);
    fixture_audit();
}

void everything_begin(unsigned seed)
{
    fx.q->header->secret[0] = fx.q->header->secret[1] = seed + 1;
    everything_again(seed);
}

void everything_again(unsigned seed)
{
    fx.now = 1700000000 * SECOND;
    id_state = seed;
}

csq_slot *everything_slot(void)
{
    return slot;
}

csq_message_key *everything_message(void)
{
    return &message_key;
}

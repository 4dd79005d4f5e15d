/* SPDX-License-Identifier: Apache-2.0
 * cc_poller_answer.c - what the answers of a server mean.
 */
#include "cc_compat.h"
#include "cc_log.h"
#include "cc_poller_private.h"
#include "cc_time.h"

#include <stdlib.h>
#include <string.h>

#define REFUSED_WAIT  300000 /* ms after 401 or 403: accounts lock            */
#define REPLACED_WAIT 60000  /* ms                                            */
#define LOOK_STEP     1000   /* ms between two looks at a secret file         */
#define SKEW_LEAST    5000   /* ms; less is the network and the seconds       */
#define QUICK_EMPTY   1000   /* ms; an empty answer before that is no hold    */
#define ALONE_COUNT   100    /* good answers until batches are asked again    */
#define DEAD_RAW_MAX  65536  /* bytes kept of an answer that is no batch      */

void cc_poller_set_cursor(cc_poller *p, cc_slice cursor)
{
    memcpy(p->cursor, cursor.data, cursor.len);
    p->cursor[cursor.len] = '\0';
    p->know_cursor = 1;
    p->without_cursor = 0;
}

int64_t cc_poller_skew(const cc_answer *answer, int64_t now)
{
    int64_t skew = answer->date != 0 ? answer->date - now : 0;

    return llabs(skew) < SKEW_LEAST ? 0 : skew;
}

static int is_current(const cc_poller *p, cc_slice cursor)
{
    return !p->without_cursor && cc_slice_is(cursor, p->cursor);
}

/* An answer too large, or no batch. Asked for alone, the message that makes it
 * so is put aside and passed by: nothing jams the queue. */
static void take_unusable(cc_poller *p, const cc_answer *answer, const char *why)
{
    cc_slice cursor, raw = { answer->body, answer->len };

    if (raw.len > DEAD_RAW_MAX)
        raw.len = DEAD_RAW_MAX;
    if (p->alone > 0 && cc_batch_peek_cursor(answer->body, answer->len, &cursor) == CC_OK
        && !is_current(p, cursor)) {
        if (cc_dispatch_take_unusable(p->dispatch, p->server->name, cursor, why, raw,
                                      cc_time_now())
            != CC_OK) {
            cc_poller_note_storage(p);
            return;
        }
        cc_poller_set_cursor(p, cursor);
        cc_poller_note_connected(p);
        cc_poller_wait(p, 0);
        return;
    }
    p->alone = ALONE_COUNT;
    cc_poller_set_state(p, CC_POLLER_FAULTY, 200, "%s", why);
    cc_poller_back_off(p);
}

static void take_batch(cc_poller *p, const cc_answer *answer)
{
    int64_t now = cc_time_now();
    cc_intake intake;
    int repeated = is_current(p, p->batch.cursor);

    if (cc_dispatch_take(p->dispatch, p->server->name, &p->batch,
                         cc_poller_skew(answer, now), now, &intake)
        != CC_OK) {
        cc_poller_note_storage(p);
        return;
    }
    cc_poller_set_cursor(p, p->batch.cursor);
    p->received += (int64_t)intake.stored;
    if (intake.stored > 0)
        p->last_message = now;
    if (p->alone > 0)
        p->alone--;
    if (repeated && intake.stored == 0) {
        cc_poller_set_state(p, CC_POLLER_FAULTY, 1,
                            "answers with what was acknowledged before");
        cc_poller_back_off(p);
        return;
    }
    cc_poller_note_connected(p);
    cc_poller_now(p);
}

static void on_messages(cc_poller *p, const cc_answer *answer)
{
    if (strcmp(answer->content_type, "application/json") != 0) {
        cc_poller_set_state(p, CC_POLLER_FAULTY, 2,
                            "answers with '%s' where JSON is due: url must"
                            " be that of the poll handler",
                            answer->content_type);
        cc_poller_back_off(p);
    }
    else if (answer->too_large) {
        take_unusable(p, answer, "the answer is larger than the agent takes");
    }
    else if (cc_batch_parse(&p->batch, answer->body, answer->len) != CC_OK) {
        take_unusable(p, answer, "the answer is not a batch of messages");
    }
    else {
        take_batch(p, answer);
    }
}

static void on_nothing(cc_poller *p, const cc_answer *answer)
{
    cc_slice cursor = cc_slice_of(answer->cursor);

    if (cursor.len > 0 && !is_current(p, cursor)) {
        if (cc_dispatch_take_cursor(p->dispatch, p->server->name, cursor) != CC_OK) {
            cc_poller_note_storage(p);
            return;
        }
        cc_poller_set_cursor(p, cursor);
    }
    p->alone = 0;
    cc_poller_note_connected(p);
    if (answer->retry_after > 0)
        cc_poller_wait(p, cc_backoff_obey(&p->backoff, answer->retry_after));
    else if (p->asked == CC_ASKED_STREAM)
        cc_poller_wait(p, cc_poller_stream_interval(p));
    else if (p->held && answer->duration < QUICK_EMPTY)
        cc_poller_wait(p, QUICK_EMPTY + cc_backoff_random(&p->backoff, QUICK_EMPTY));
    else
        cc_poller_now(p);
}

static void on_refused(cc_poller *p, const cc_answer *answer)
{
    cc_poller_set_state(p, CC_POLLER_REFUSED, answer->status,
                        "refused with %ld: trying again in"
                        " five minutes%s",
                        answer->status,
                        cc_login_has_file(&p->login) ? ", or when the secret file changes"
                                                     : "");
    p->refused_until = cc_time_monotonic() + REFUSED_WAIT;
    cc_poller_wait(p, LOOK_STEP);
    p->next_try = cc_time_now() + REFUSED_WAIT;
}

void cc_poller_on_replaced(cc_poller *p)
{
    cc_poller_set_state(p, CC_POLLER_REPLACED, 0,
                        "another agent uses the device name '%s';"
                        " polling once a minute until it stops",
                        p->server->device);
    p->replaced_last = cc_time_monotonic();
    cc_poller_wait(p, REPLACED_WAIT + cc_backoff_random(&p->backoff, 1000));
}

static void on_other_status(cc_poller *p, const cc_answer *answer)
{
    char type[64];

    cc_problem_type(answer->body, answer->len, type, sizeof(type));
    if (answer->status == 409 && (type[0] == '\0' || strcmp(type, "replaced") == 0)) {
        cc_poller_on_replaced(p);
        return;
    }
    if (answer->status == 400 && p->cursor[0] != '\0' && !p->without_cursor) {
        cc_log(CC_LOG_WARNING,
               "server '%s': does not take its cursor: beginning with the"
               " oldest message it keeps",
               p->server->name);
        p->without_cursor = 1;
    }
    if (answer->retry_after > 0) {
        cc_poller_set_state(p, CC_POLLER_BUSY, answer->status,
                            "answered %ld, come back in %lld s", answer->status,
                            (long long)answer->retry_after);
        cc_poller_wait(p, cc_backoff_obey(&p->backoff, answer->retry_after));
        return;
    }
    if (answer->status >= 300 && answer->status < 400)
        cc_poller_set_state(p, CC_POLLER_FAULTY, answer->status,
                            "answered %ld: redirects are not"
                            " followed, url must be that of the poll handler",
                            answer->status);
    else
        cc_poller_set_state(p, CC_POLLER_FAULTY, answer->status,
                            "answered %ld%s%s: trying again"
                            " with growing pauses",
                            answer->status, type[0] ? " " : "", type);
    cc_poller_back_off(p);
}

/* The first cut of a held poll is no news: proxies and restarts do that. */
static void on_no_answer(cc_poller *p, const cc_answer *answer)
{
    p->granted = -1;
    if (answer->kind == CC_CUT && p->state == CC_POLLER_CONNECTED && !p->cut_before) {
        p->cut_before = 1;
        cc_poller_wait(p, cc_backoff_random(&p->backoff, 1000));
        return;
    }
    cc_poller_set_state(p, CC_POLLER_UNREACHABLE, 0,
                        "cannot be reached: %s; trying again with"
                        " growing pauses",
                        answer->error);
    cc_poller_back_off(p);
}

void cc_poller_on_failure(cc_poller *p, const cc_answer *answer)
{
    if (answer->kind != CC_ANSWERED)
        on_no_answer(p, answer);
    else if (answer->status == 401 || answer->status == 403 || answer->status == 407)
        on_refused(p, answer);
    else
        on_other_status(p, answer);
}

/* The server knows now what is here: a stream can be opened. */
static void on_acknowledged(cc_poller *p, const cc_answer *answer)
{
    strcpy(p->acknowledged, p->acknowledging);
    if (answer->retry_after > 0)
        cc_poller_wait(p, cc_backoff_obey(&p->backoff, answer->retry_after));
    else
        cc_poller_now(p);
}

void cc_poller_on_answer(void *baton, const cc_answer *answer)
{
    cc_poller *p = baton;
    int is_good =
        answer->kind == CC_ANSWERED && (answer->status == 200 || answer->status == 204);

    if (answer->granted >= 0)
        p->granted = answer->granted;
    if (answer->is_stream)
        cc_poller_stream_ended(p, answer);
    else if (cc_poller_reports_answered(p, answer))
        cc_poller_back_off(p);
    else if (!is_good)
        cc_poller_on_failure(p, answer);
    else if (p->asked == CC_ASKED_ACKNOWLEDGE)
        on_acknowledged(p, answer);
    else if (answer->status == 200)
        on_messages(p, answer);
    else
        on_nothing(p, answer);
}

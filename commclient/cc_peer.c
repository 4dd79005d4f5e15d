/* SPDX-License-Identifier: Apache-2.0
 * cc_peer.c - one connection of a local application.
 */
#include "cc_compat.h"
#include "cc_peer.h"
#include "cc_control.h"
#include "cc_local.h"
#include "cc_log.h"
#include "cc_publication.h"
#include "cc_time.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>
#include <event2/event.h>

#define READ_STEP (64u << 10)  /* bytes read at once                          */
#define KEEP      (256u << 10) /* bytes of input buffer kept between lines    */
#define LAST_WAIT 10           /* s in which the last lines must be read      */
#define TURN      5            /* ms of lines, then others have their turn    */

struct cc_peer {
    const cc_peer_calls *calls;
    void *baton;
    cc_dispatch *dispatch;
    cc_outbox *outbox;
    cc_client *client; /* NULL: it is given nothing any more         */
    struct event *readable;
    struct event *writable;
    struct event *flush; /* made active by hand: send at once          */
    struct event *turn;  /* the next turn, while there are whole lines */
    struct evbuffer *out;
    cc_buffer in;           /* a line that is not whole yet               */
    size_t scanned;         /* bytes of it without a line feed            */
    unsigned long left_out; /* copies not sent since it was last told     */
    int descriptor;
    uid_t user;  /* on the other side                           */
    int closing; /* ends when all is sent                      */
    int full;    /* it was passed over for want of room        */
    int waiting; /* `in` holds whole lines; no more is read    */
};

/* ---- going out ------------------------------------------------------- */

static int is_full(const cc_peer *peer)
{
    return evbuffer_get_length(peer->out) >= CC_PEER_FULL;
}

static void send_soon(cc_peer *peer)
{
    if (!event_pending(peer->writable, EV_WRITE, NULL))
        event_active(peer->flush, EV_WRITE, 0);
}

static void add_text(struct evbuffer *out, const char *text)
{
    evbuffer_add(out, text, strlen(text));
}

static void send_buffer(cc_peer *peer, cc_buffer *line)
{
    evbuffer_add(peer->out, line->data, line->len);
    cc_buffer_clear(line);
    send_soon(peer);
}

static void add_member(cc_buffer *line, const char *name, const char *value)
{
    if (value == NULL || value[0] == '\0')
        return;
    cc_buffer_format(line, ",\"%s\":", name);
    cc_buffer_add_json_text(line, value);
}

static void begin_error(cc_buffer *line, cc_command_error error)
{
    cc_buffer_format(line, "{\"error\":{\"code\":\"%s\",\"text\":\"%s\"",
                     cc_command_error_code(error), cc_command_error_text(error));
    if (cc_command_error_retry(error) > 0)
        cc_buffer_format(line, ",\"retry_after\":%d", cc_command_error_retry(error));
}

static void send_error(cc_peer *peer, cc_command_error error, const char *id)
{
    cc_buffer line = { NULL, 0, 0 };

    begin_error(&line, error);
    add_member(&line, "id", id);
    cc_buffer_add_text(&line, "}}\n");
    send_buffer(peer, &line);
}

static void send_publish_error(cc_peer *peer, const cc_outcome *outcome)
{
    cc_buffer line = { NULL, 0, 0 };

    begin_error(&line, outcome->error);
    add_member(&line, "detail", outcome->detail);
    add_member(&line, "ref", outcome->ref);
    add_member(&line, "key", outcome->key);
    cc_buffer_add_text(&line, "}}\n");
    send_buffer(peer, &line);
}

/* What came of a message: its key, and what is known beside. */
static void send_outcome(cc_peer *peer, const char *what, const cc_outcome *outcome)
{
    cc_buffer line = { NULL, 0, 0 };

    cc_buffer_format(&line, "{\"%s\":{\"key\":\"%s\"", what, outcome->key);
    add_member(&line, "ref", outcome->ref);
    add_member(&line, "id", outcome->id);
    add_member(&line, "state", outcome->state);
    cc_buffer_add_text(&line, "}}\n");
    send_buffer(peer, &line);
}

static void call_spooled(void *baton, const cc_outcome *outcome)
{
    send_outcome(baton, "spooled", outcome);
}

static void call_finished(void *baton, const cc_outcome *outcome)
{
    if (outcome->error != CC_ERROR_NONE)
        send_publish_error(baton, outcome);
    else
        send_outcome(baton, "published", outcome);
}

static const cc_outbox_calls outbox_calls = { call_spooled, call_finished };

void cc_peer_format_message(struct evbuffer *out, const cc_delivery *delivery)
{
    char own[CC_SERVER_MAX + 64];
    int n;

    n = snprintf(own, sizeof(own), ",\"server\":\"%s\",\"attempt\":%d", delivery->server,
                 delivery->attempt);
    evbuffer_expand(out, delivery->body.len + (size_t)n + 16);
    add_text(out, "{\"message\":{");
    evbuffer_add(out, delivery->body.data, delivery->head_len);
    evbuffer_add(out, own, (size_t)n);
    evbuffer_add(out, delivery->body.data + delivery->head_len,
                 delivery->body.len - delivery->head_len);
    add_text(out, "}}\n");
}

static int call_has_room(void *baton)
{
    cc_peer *peer = baton;

    if (!peer->closing && !is_full(peer))
        return 1;
    peer->full = 1;
    return 0;
}

static void call_message(void *baton, const cc_delivery *delivery)
{
    cc_peer *peer = baton;

    cc_peer_format_message(peer->out, delivery);
    send_soon(peer);
}

static void call_copy(void *baton, const cc_delivery *delivery)
{
    cc_peer *peer = baton;

    if (is_full(peer) || peer->closing)
        peer->left_out++;
    else
        call_message(baton, delivery);
}

static void call_gap(void *baton, const cc_gap_notice *gap)
{
    cc_buffer line = { NULL, 0, 0 };

    cc_buffer_format(&line, "{\"gap\":{\"id\":\"%s\",\"app\":\"%s\",\"server\":\"%s\"",
                     gap->id, gap->app, gap->server);
    if (gap->count > 0)
        cc_buffer_format(&line, ",\"count\":%lld", (long long)gap->count);
    cc_buffer_add_text(&line, "}}\n");
    send_buffer(baton, &line);
}

static void call_settled(void *baton, cc_settled how, const char *id)
{
    static const char *const words[] = { "acked", "nacked", "rejected" };
    cc_peer *peer = baton;

    add_text(peer->out, "{\"");
    add_text(peer->out, words[how]);
    add_text(peer->out, "\":\"");
    add_text(peer->out, id);
    add_text(peer->out, "\"}\n");
    send_soon(peer);
}

static const cc_client_calls client_calls = { call_has_room, call_message, call_copy,
                                              call_gap, call_settled };

/* ---- life ------------------------------------------------------------ */

static void leave(cc_peer *peer)
{
    if (peer->client == NULL)
        return;
    cc_dispatch_detach(peer->client);
    cc_outbox_forget(peer->outbox, peer);
    peer->client = NULL;
}

static void free_peer(cc_peer *peer)
{
    leave(peer);
    event_free(peer->readable);
    event_free(peer->writable);
    event_free(peer->flush);
    event_free(peer->turn);
    evbuffer_free(peer->out);
    cc_buffer_clear(&peer->in);
    close(peer->descriptor);
    free(peer);
}

static void end_peer(cc_peer *peer)
{
    peer->calls->ended(peer->baton, peer);
    free_peer(peer);
}

void cc_peer_destroy(cc_peer *peer)
{
    evbuffer_write(peer->out, peer->descriptor);
    free_peer(peer);
}

/* Nothing more is read; what it was given goes to others; it ends when what
 * is on its way is sent, or not read in time. */
static void begin_closing(cc_peer *peer)
{
    leave(peer);
    peer->closing = 1;
    event_del(peer->readable);
    event_del(peer->turn);
    peer->waiting = 0;
    send_soon(peer);
}

void cc_peer_refuse(cc_peer *peer, cc_command_error error)
{
    if (peer->closing)
        return;
    send_error(peer, error, NULL);
    begin_closing(peer);
}

static void tell_left_out(cc_peer *peer)
{
    if (peer->left_out == 0)
        return;
    peer->left_out = 0;
    send_error(peer, CC_ERROR_LEFT_OUT, NULL);
}

/* Nothing is read while lines wait, nor obeyed while answers do. */
static void read_on(cc_peer *peer)
{
    static const struct timeval at_once = { 0, 0 };

    if (peer->closing)
        return;
    if (peer->waiting || is_full(peer))
        event_del(peer->readable);
    else
        event_add(peer->readable, NULL);
    if (peer->waiting && !is_full(peer))
        event_add(peer->turn, &at_once);
}

/* Room again: read on, and take what was passed by. */
static void resume(cc_peer *peer)
{
    tell_left_out(peer);
    read_on(peer);
    if (!peer->full)
        return;
    peer->full = 0;
    cc_dispatch_ready(peer->client);
}

/* 0: the other side is gone. */
static int send_what_fits(cc_peer *peer)
{
    while (evbuffer_get_length(peer->out) > 0) {
        if (evbuffer_write(peer->out, peer->descriptor) < 0)
            return errno == EAGAIN || errno == EINTR;
    }
    return 1;
}

static void wait_until_writable(cc_peer *peer)
{
    struct timeval last = { LAST_WAIT, 0 };

    event_add(peer->writable, peer->closing ? &last : NULL);
}

static void on_writable(evutil_socket_t descriptor, short what, void *baton)
{
    cc_peer *peer = baton;
    size_t left;

    (void)descriptor;
    if ((what & EV_TIMEOUT) || !send_what_fits(peer)) {
        end_peer(peer);
        return;
    }
    left = evbuffer_get_length(peer->out);
    if (left == 0 && peer->closing) {
        end_peer(peer);
        return;
    }
    if (left > 0)
        wait_until_writable(peer);
    if (!peer->closing && !is_full(peer))
        resume(peer);
}

/* ---- coming in ------------------------------------------------------- */

static cc_command_error error_of(cc_status status)
{
    switch (status) {
    case CC_OK:
        return CC_ERROR_NONE;
    case CC_TOO_LARGE:
        return CC_ERROR_TOO_MANY;
    case CC_DUPLICATE:
        return CC_ERROR_CONFLICT;
    case CC_NOT_FOUND:
        return CC_ERROR_UNKNOWN_ID;
    case CC_NOT_PERMITTED:
        return CC_ERROR_NOT_PERMITTED;
    default:
        return CC_ERROR_STORAGE;
    }
}

static void subscribe(cc_peer *peer, const cc_command *command)
{
    cc_status status = cc_dispatch_subscribe(peer->client, command->app, command->window,
                                             command->watch);

    if (status == CC_NOT_PERMITTED)
        peer->calls->refused(peer->baton, command->app);
    if (status != CC_OK) {
        send_error(peer, error_of(status), NULL);
        return;
    }
    evbuffer_add_printf(peer->out, "{\"subscribed\":\"%s\"}\n", command->app);
    send_soon(peer);
    cc_dispatch_ready(peer->client);
}

static void settle(cc_peer *peer, const cc_command *command)
{
    cc_status status;

    if (cc_dispatch_is_clogged(peer->dispatch))
        status = CC_STORAGE;
    else if (command->kind == CC_COMMAND_NACK)
        status = cc_dispatch_put_off(peer->client, command->id, command->delay);
    else if (command->kind == CC_COMMAND_REJECT)
        status = cc_dispatch_reject(peer->client, command->id, NULL);
    else
        status = cc_dispatch_acknowledge(peer->client, command->id);
    if (status == CC_NOT_PERMITTED)
        peer->calls->refused(peer->baton, "a message of another user");
    if (status != CC_OK)
        send_error(peer, error_of(status), command->id);
}

static void publish(cc_peer *peer, cc_slice object)
{
    cc_outcome outcome = { NULL, NULL, "", "", CC_ERROR_NONE, "" };
    cc_publication publication;
    const char *app = publication.app;
    char ref[CC_REF_MAX + 1];

    outcome.error = cc_publication_parse(object, &publication);
    memcpy(ref, publication.ref, sizeof(ref));
    outcome.ref = publication.has_ref ? ref : NULL;
    if (app[0] == '\0')
        app = cc_dispatch_only_app(peer->client);
    if (outcome.error == CC_ERROR_NONE && app == NULL)
        outcome.error = CC_ERROR_NO_APP;
    if (outcome.error == CC_ERROR_NONE && !cc_dispatch_may_use(peer->client, app)) {
        outcome.error = CC_ERROR_NOT_PERMITTED;
        peer->calls->refused(peer->baton, app);
    }
    if (outcome.error == CC_ERROR_NONE)
        outcome.error = cc_outbox_take(peer->outbox, &publication, app, cc_time_now(),
                                       &outbox_calls, peer);
    if (outcome.error != CC_ERROR_NONE)
        send_publish_error(peer, &outcome);
    cc_publication_clear(&publication);
}

static void send_status(cc_peer *peer)
{
    cc_buffer line = { NULL, 0, 0 };

    cc_buffer_add_text(&line, "{\"status\":");
    peer->calls->status(peer->baton, &line);
    cc_buffer_add_text(&line, "}\n");
    send_buffer(peer, &line);
}

static void control_dead(cc_peer *peer, const cc_command *command)
{
    cc_buffer line = { NULL, 0, 0 };
    cc_command_error error = cc_control_dead(peer->dispatch, command, &line);

    if (error != CC_ERROR_NONE)
        send_error(peer, error, command->id[0] != '\0' ? command->id : NULL);
    else
        send_buffer(peer, &line);
}

/* What is about all applications is not for users of some. */
static int may_control(cc_peer *peer)
{
    if (cc_config_may_control(peer->user))
        return 1;
    send_error(peer, CC_ERROR_NOT_PERMITTED, NULL);
    peer->calls->refused(peer->baton, "the agent as a whole");
    return 0;
}

static int is_blank(const char *data, size_t len)
{
    while (len > 0 && (*data == ' ' || *data == '\t' || *data == '\r')) {
        data++;
        len--;
    }
    return len == 0;
}

static void obey_line(cc_peer *peer, const char *data, size_t len)
{
    cc_command command;
    cc_command_error error;

    if (is_blank(data, len))
        return;
    error = cc_command_parse(data, len, &command);
    if (error != CC_ERROR_NONE) {
        send_error(peer, error, NULL);
        return;
    }
    switch (command.kind) {
    case CC_COMMAND_SUBSCRIBE:
        subscribe(peer, &command);
        break;
    case CC_COMMAND_ACK:
    case CC_COMMAND_NACK:
    case CC_COMMAND_REJECT:
        settle(peer, &command);
        break;
    case CC_COMMAND_PUBLISH:
        publish(peer, command.publish);
        break;
    case CC_COMMAND_STATUS:
        if (may_control(peer))
            send_status(peer);
        break;
    case CC_COMMAND_DEAD:
        if (may_control(peer))
            control_dead(peer, &command);
        break;
    }
}

/* Some lines cost much, and some answers are long. */
static int is_turn_over(const cc_peer *peer, int64_t began)
{
    return is_full(peer) || cc_time_monotonic() - began >= TURN;
}

static void obey_lines(cc_peer *peer)
{
    size_t max_line = cc_dispatch_max_line(peer->dispatch);
    int64_t began = cc_time_monotonic();
    size_t start = 0;

    peer->waiting = 0;
    while (!peer->waiting) {
        const char *from = peer->in.data + start;
        size_t left = peer->in.len - start;
        const char *end = memchr(from + peer->scanned, '\n', left - peer->scanned);

        if ((end == NULL ? left : (size_t)(end - from)) > max_line) {
            cc_peer_refuse(peer, CC_ERROR_LINE_TOO_LONG);
            return;
        }
        if (end == NULL) {
            peer->scanned = left;
            break;
        }
        obey_line(peer, from, (size_t)(end - from));
        start += (size_t)(end - from) + 1;
        peer->scanned = 0;
        peer->waiting = is_turn_over(peer, began)
                        && memchr(end + 1, '\n', peer->in.len - start) != NULL;
    }
    memmove(peer->in.data, peer->in.data + start, peer->in.len - start);
    peer->in.len -= start;
    if (peer->in.len == 0)
        cc_buffer_reset(&peer->in, KEEP);
}

/* The other side will send no more. Its acknowledgements, and what it wants
 * published, are committed and answered before it goes. */
static void on_end_of_input(cc_peer *peer)
{
    cc_dispatch_commit(peer->dispatch);
    cc_outbox_commit(peer->outbox);
    begin_closing(peer);
}

static void on_readable(evutil_socket_t descriptor, short what, void *baton)
{
    static char step[READ_STEP];
    cc_peer *peer = baton;
    ssize_t n;

    (void)what;
    (void)descriptor;
    n = read(peer->descriptor, step, sizeof(step));
    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n < 0) {
        end_peer(peer);
        return;
    }
    if (n == 0) {
        on_end_of_input(peer);
        return;
    }
    cc_buffer_add(&peer->in, step, (size_t)n);
    obey_lines(peer);
    if (peer->in.len > KEEP && !peer->closing && !peer->calls->may_keep(peer->baton))
        cc_peer_refuse(peer, CC_ERROR_BUSY);
    read_on(peer);
}

static void on_turn(evutil_socket_t ignored, short what, void *baton)
{
    cc_peer *peer = baton;

    (void)ignored;
    (void)what;
    obey_lines(peer);
    read_on(peer);
}

size_t cc_peer_kept(const cc_peer *peer)
{
    return peer->closing ? 0 : peer->in.len;
}

void cc_peer_check_user(cc_peer *peer)
{
    if (peer->client != NULL && !cc_dispatch_may_stay(peer->client))
        cc_peer_refuse(peer, CC_ERROR_NOT_PERMITTED);
}

cc_peer *cc_peer_create(int descriptor, uid_t user, struct event_base *base,
                        cc_dispatch *dispatch, cc_outbox *outbox,
                        const cc_peer_calls *calls, void *baton)
{
    cc_peer *peer = cc_alloc(sizeof(*peer));

    peer->calls = calls;
    peer->baton = baton;
    peer->dispatch = dispatch;
    peer->outbox = outbox;
    peer->descriptor = descriptor;
    peer->user = user;
    peer->out = evbuffer_new();
    peer->readable = event_new(base, descriptor, EV_READ | EV_PERSIST, on_readable, peer);
    peer->writable = event_new(base, descriptor, EV_WRITE, on_writable, peer);
    peer->flush = event_new(base, -1, 0, on_writable, peer);
    peer->turn = evtimer_new(base, on_turn, peer);
    peer->client = cc_dispatch_attach(dispatch, &client_calls, peer);
    cc_dispatch_user_set(peer->client, user);
    evbuffer_add_printf(peer->out, "{\"hello\":{\"protocol\":1,\"max_line\":%zu}}\n",
                        cc_dispatch_max_line(dispatch));
    event_add(peer->readable, NULL);
    send_soon(peer);
    return peer;
}

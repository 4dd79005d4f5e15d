/* SPDX-License-Identifier: Apache-2.0
 * cc_transport.c - libcurl's multi interface on libevent.
 *
 * libcurl says which descriptors to watch and when to call it again
 * (on_socket_change, on_timer_change); libevent tells when that is.
 */
#include "cc_compat.h"
#include "cc_transport_private.h"

#include <stdlib.h>

#define ANSWER_LEAST (32u << 20) /* bytes of an answer that are always taken  */
#define ANSWER_FRAME (64u << 10) /* bytes of an answer beside its one message */

static void collect_finished(cc_transport *t)
{
    CURLMsg *message;
    int left;

    while ((message = curl_multi_info_read(t->multi, &left)) != NULL) {
        cc_exchange *x = NULL;

        if (message->msg != CURLMSG_DONE)
            continue;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&x);
        cc_exchange_finish(x, message->data.result);
    }
}

static void on_socket(evutil_socket_t descriptor, short what, void *baton)
{
    cc_transport *t = baton;
    int flags = 0, running;

    if (what & EV_READ)
        flags |= CURL_CSELECT_IN;
    if (what & EV_WRITE)
        flags |= CURL_CSELECT_OUT;
    curl_multi_socket_action(t->multi, descriptor, flags, &running);
    collect_finished(t);
}

static void on_timer(evutil_socket_t descriptor, short what, void *baton)
{
    cc_transport *t = baton;
    int running;

    (void)descriptor;
    (void)what;
    curl_multi_socket_action(t->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    collect_finished(t);
}

static int on_socket_change(CURL *easy, curl_socket_t descriptor, int action, void *baton,
                            void *socket_baton)
{
    cc_transport *t = baton;
    struct event *event = socket_baton;
    short what = EV_PERSIST;

    (void)easy;
    if (event != NULL)
        event_free(event);
    event = NULL;
    if (action != CURL_POLL_REMOVE) {
        if (action & CURL_POLL_IN)
            what |= EV_READ;
        if (action & CURL_POLL_OUT)
            what |= EV_WRITE;
        event = event_new(t->base, descriptor, what, on_socket, t);
        event_add(event, NULL);
    }
    curl_multi_assign(t->multi, descriptor, event);
    return 0;
}

static int on_timer_change(CURLM *multi, long ms, void *baton)
{
    cc_transport *t = baton;
    struct timeval delay;

    (void)multi;
    if (ms < 0) {
        event_del(t->timer);
        return 0;
    }
    delay.tv_sec = ms / 1000;
    delay.tv_usec = ms % 1000 * 1000;
    event_add(t->timer, &delay);
    return 0;
}

static void *take_memory(size_t size)
{
    return cc_realloc(NULL, size);
}

static void *take_zeroed(size_t count, size_t size)
{
    return cc_alloc(count * size);
}

/* Without memory libcurl may divide by the size of a table that it did not get:
 * rather the process ends, as everywhere (cc_memory.h). */
static CURLcode init_curl(void)
{
    return curl_global_init_mem(CURL_GLOBAL_DEFAULT, take_memory, free, cc_realloc,
                                cc_copy, take_zeroed);
}

cc_transport *cc_transport_create(struct event_base *base, size_t max_message)
{
    cc_transport *t = cc_alloc(sizeof(*t));

    t->base = base;
    t->answer_max = max_message + ANSWER_FRAME;
    if (t->answer_max < ANSWER_LEAST)
        t->answer_max = ANSWER_LEAST;
    if (init_curl() != CURLE_OK || (t->multi = curl_multi_init()) == NULL) {
        free(t);
        return NULL;
    }
    t->timer = evtimer_new(base, on_timer, t);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETFUNCTION, on_socket_change);
    curl_multi_setopt(t->multi, CURLMOPT_SOCKETDATA, t);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERFUNCTION, on_timer_change);
    curl_multi_setopt(t->multi, CURLMOPT_TIMERDATA, t);
    return t;
}

void cc_transport_destroy(cc_transport *t)
{
    if (t == NULL)
        return;
    curl_multi_cleanup(t->multi);
    event_free(t->timer);
    free(t);
    curl_global_cleanup();
}

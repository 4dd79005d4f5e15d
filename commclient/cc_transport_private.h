/* SPDX-License-Identifier: Apache-2.0
 * cc_transport_private.h - the structures behind cc_transport.h.
 *
 * cc_transport.c ties libcurl to libevent, cc_exchange.c is the life of one
 * request and reads the answer, cc_request.c writes the request.
 */
#ifndef CC_TRANSPORT_PRIVATE_H
#define CC_TRANSPORT_PRIVATE_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_transport.h"

#include <curl/curl.h>
#include <event2/event.h>

struct cc_transport {
    struct event_base *base;
    CURLM *multi;
    struct event *timer;
    size_t answer_max; /* bytes                                        */
};

struct cc_exchange {
    cc_transport *transport;
    const cc_server_config *server;
    void (*done)(void *baton, const cc_answer *answer);
    void *baton;
    CURL *easy;
    struct curl_slist *headers;
    struct event *deadline;
    cc_buffer body;
    cc_answer answer;
    int64_t started; /* ms, monotonic                                */
    int granted;     /* s that the poll may be held                            */
    int active;
    int takes_stream; /* the request asked for one                           */
    const cc_stream_calls *stream; /* NULL: none are taken                    */
    struct event *arrival;         /* something of a stream came              */
    int has_arrived;
    size_t arrived; /* bytes of it that are not told yet                      */
    int has_more;   /* libcurl holds some back until they are                 */
    int is_paused;
    curl_off_t uploaded; /* bytes of the body                            */
    char error[CURL_ERROR_SIZE];
};

/** Options and headers of a request, before it is started. */
void cc_request_poll(cc_exchange *exchange, const cc_poll *poll);
void cc_request_upload(cc_exchange *exchange, const cc_upload *upload);

/* Called by libcurl; the baton is the cc_exchange. */
int cc_exchange_on_request(void *baton, char *to, char *from, int to_port, int from_port);
int cc_exchange_on_progress(void *baton, curl_off_t to_come, curl_off_t came,
                            curl_off_t to_send, curl_off_t sent);
size_t cc_exchange_on_header(char *data, size_t size, size_t count, void *baton);
size_t cc_exchange_on_body(char *data, size_t size, size_t count, void *baton);

/** It has ended, one way or the other: tell so. */
void cc_exchange_finish(cc_exchange *exchange, CURLcode code);

#endif

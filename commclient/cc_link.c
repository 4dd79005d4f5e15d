/* SPDX-License-Identifier: Apache-2.0
 * cc_link.c - news of the network and of sleep.
 */
#include "cc_compat.h"
#include "cc_link.h"
#include "cc_memory.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/event.h>

#define GROUPS                                                                           \
    (RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR | RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE)

/* ---- when to act ----------------------------------------------------- */

void cc_wake_init(cc_wake *wake, int64_t boottime, int64_t monotonic)
{
    memset(wake, 0, sizeof(*wake));
    wake->asleep = boottime - monotonic;
}

void cc_wake_note_change(cc_wake *wake, int64_t boottime)
{
    if (wake->changed == 0)
        wake->changed = boottime;
}

static cc_wake_reason act(cc_wake *wake, int64_t now, cc_wake_reason reason)
{
    wake->acted = now;
    wake->changed = 0;
    wake->slept = 0;
    return reason;
}

cc_wake_reason cc_wake_look(cc_wake *wake, int64_t boottime, int64_t monotonic)
{
    int64_t asleep = boottime - monotonic;

    if (asleep - wake->asleep >= CC_WAKE_SLEEP)
        wake->slept = 1;
    wake->asleep = asleep;
    if (wake->acted != 0 && boottime - wake->acted < CC_WAKE_LEAST)
        return CC_WAKE_NOTHING;
    if (wake->slept)
        return act(wake, boottime, CC_WAKE_SLEPT);
    if (wake->changed != 0 && boottime - wake->changed >= CC_WAKE_QUIET)
        return act(wake, boottime, CC_WAKE_CHANGED);
    return CC_WAKE_NOTHING;
}

/* ---- what the kernel tells ------------------------------------------- */

struct cc_link {
    int descriptor;
    struct event *event;
    void (*changed)(void *baton);
    void *baton;
};

/* What the messages say does not matter: that there are some does. When there
 * were more than the socket holds (ENOBUFS) something changed, too. */
static void on_news(evutil_socket_t descriptor, short what, void *baton)
{
    cc_link *link = baton;
    char text[8192];
    ssize_t n;

    (void)what;
    do {
        n = recv(descriptor, text, sizeof(text), MSG_DONTWAIT);
    } while (n > 0 || (n < 0 && (errno == EINTR || errno == ENOBUFS)));
    link->changed(link->baton);
}

cc_link *cc_link_open(struct event_base *base, void (*changed)(void *baton), void *baton)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = GROUPS };
    int descriptor = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
    cc_link *link;

    if (descriptor < 0)
        return NULL;
    if (bind(descriptor, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(descriptor);
        return NULL;
    }
    link = cc_alloc(sizeof(*link));
    link->descriptor = descriptor;
    link->changed = changed;
    link->baton = baton;
    link->event = event_new(base, descriptor, EV_READ | EV_PERSIST, on_news, link);
    event_add(link->event, NULL);
    return link;
}

void cc_link_close(cc_link *link)
{
    if (link == NULL)
        return;
    event_free(link->event);
    close(link->descriptor);
    free(link);
}

/* ---- where a connection would go from -------------------------------- */

typedef union address {
    struct sockaddr any;
    struct sockaddr_in ip4;
    struct sockaddr_in6 ip6;
} address;

/* Port 9: nothing is sent, but a connection needs one. */
static int parse_address(const char *text, address *out)
{
    memset(out, 0, sizeof(*out));
    if (inet_pton(AF_INET, text, &out->ip4.sin_addr) == 1) {
        out->ip4.sin_family = AF_INET;
        out->ip4.sin_port = htons(9);
        return 1;
    }
    if (inet_pton(AF_INET6, text, &out->ip6.sin6_addr) == 1) {
        out->ip6.sin6_family = AF_INET6;
        out->ip6.sin6_port = htons(9);
        return 1;
    }
    return 0;
}

static int is_same_address(const address *a, const address *b)
{
    if (a->any.sa_family != b->any.sa_family)
        return 0;
    if (a->any.sa_family == AF_INET)
        return a->ip4.sin_addr.s_addr == b->ip4.sin_addr.s_addr;
    return memcmp(&a->ip6.sin6_addr, &b->ip6.sin6_addr, sizeof(a->ip6.sin6_addr)) == 0;
}

/* The kernel chooses without sending anything. Link-local addresses need to be
 * told the interface, which the texts do not: those are left alone. */
static int choose_address(const address *peer, address *out)
{
    int descriptor = socket(peer->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t len = sizeof(*out);
    int done;

    if (descriptor < 0)
        return 0;
    done = connect(descriptor, &peer->any, sizeof(*peer)) == 0
           && getsockname(descriptor, &out->any, &len) == 0;
    close(descriptor);
    return done;
}

int cc_link_is_moved(const char *local, const char *peer)
{
    address from, to, now;

    if (!parse_address(local, &from) || !parse_address(peer, &to)
        || !choose_address(&to, &now))
        return 0;
    return !is_same_address(&from, &now);
}

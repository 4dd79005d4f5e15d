/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz_agent.h - an agent without a network: inbox, dispatch, outbox, and
 * connections of applications over socket pairs.
 *
 * All that the agent says is checked: each line is one JSON object of a kind that
 * the protocol knows, no longer than it said; what was acknowledged is never given
 * again, also not by the next agent on the same inbox.
 *
 * The clock goes on only by cc_fuzz_agent_sleep(), beside its usual pace.
 */
#ifndef CC_FUZZ_AGENT_H
#define CC_FUZZ_AGENT_H

#include "cc_fuzz.h"
#include "cc_config.h"
#include "cc_dispatch.h"
#include "cc_inbox.h"
#include "cc_outbox.h"

#define CC_FUZZ_PEERS 4

typedef struct cc_fuzz_agent {
    cc_config *config;
    struct event_base *base;
    cc_inbox *inbox;
    cc_dispatch *dispatch;
    cc_outbox *outbox;
} cc_fuzz_agent;

extern cc_fuzz_agent cc_fuzz_agent_now;

/* 1: what was acknowledged may come again, as the inbox may hold it twice.    */
extern int cc_fuzz_agent_is_lenient;

/** Start on this inbox.
 *  @return as cc_inbox_open(); cc_outbox_create() */
cc_status cc_fuzz_agent_start(const char *inbox);
/** Connections end, as if their applications had died, then the agent. */
void cc_fuzz_agent_stop(void);

/** Lines from an application to the agent; connects where that is not yet done.
 *  They may end anywhere. */
void cc_fuzz_agent_say(unsigned peer, const char *data, size_t len);
/** The application closes its side. */
void cc_fuzz_agent_hang_up(unsigned peer);

/** Let the agent do what it has to do, and read what it says. */
void cc_fuzz_agent_turn(void);

/** A batch from server "main". */
void cc_fuzz_agent_receive(const char *data, size_t len);

/** Server "main" gets the next message of the spool, and answers: 0 it is
 *  published, 1 refused, 2 later. */
void cc_fuzz_agent_publish(unsigned answer);

/** The wall clock goes on by so many ms; timers that are due then count. */
void cc_fuzz_agent_sleep(int64_t ms);

/** What was acknowledged may come again. */
void cc_fuzz_agent_forget_acknowledged(void);

/** Bytes of the last lines that the first application was told. */
const char *cc_fuzz_agent_told(void);

#endif

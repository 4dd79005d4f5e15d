/* SPDX-License-Identifier: Apache-2.0
 * handover.pml - requests that are handed over wait for their turn.
 *
 * The code: mod_commserver/cs_handover.c. Event threads hand over some requests,
 * at most MAX of which run on workers of the MPM at the same time.
 *
 * Left out: what the request does; that httpd cannot register a callback (the
 * event thread runs it then). Memory order: all is under handover.lock; what one
 * thread does while it holds it is one step here.
 */

#ifndef REQUESTS
#define REQUESTS 3
#endif
#ifndef MAX
#define MAX 2
#endif

/* Properties, each a name for what is asserted; always 0. */
bit handover_is_bounded, handover_runs_once;

byte running; /* handover.running */
byte working; /* requests that run */
byte back;    /* records that are on the run queue again */
bit ran[REQUESTS];
chan waiting = [REQUESTS] of { byte };

/* cs_handover.c: run_request; cs_loop.c: cs_loop_run */
inline run_request()
{
    atomic {
        working++;
        assert(handover_is_bounded || working <= MAX);
        assert(handover_runs_once || !ran[park]);
        ran[park] = 1
    };
    atomic { working--; back++ }
}

/* cs_handover.c: next_waiting - jumps when nobody waits */
inline next_waiting()
{
    atomic {
        if
#ifdef BREAK_handover_runs_once
        :: waiting?<park>
#else
#ifndef BREAK_handover_comes_back
        :: waiting?park
#endif
#endif
        :: empty(waiting) -> running--; goto done
#ifdef BREAK_handover_comes_back
        :: nempty(waiting) -> running--; goto done
#endif
        fi
    }
}

/* cs_handover.c: run_on_worker */
proctype run_on_worker(byte park)
{
    do
    :: run_request();
       next_waiting()
    od;
done:
    skip
}

/* cs_handover.c: cs_handover_start */
proctype cs_handover_start(byte park)
{
    bit start;

#ifdef BREAK_handover_is_bounded
    start = (running < MAX);
#endif
    atomic {
#ifndef BREAK_handover_is_bounded
        start = (running < MAX);
#endif
        if
        :: start -> running++
        :: else -> waiting!park
        fi
    };
    if
    :: start -> run run_on_worker(park)
    :: else
    fi
}

init {
    byte i;

    atomic {
        for (i : 0 .. REQUESTS - 1) {
            run cs_handover_start(i)
        }
    }
}

/* Each record comes back to the event threads. */
ltl handover_comes_back { <> (back == REQUESTS) }

/* SPDX-License-Identifier: Apache-2.0
 * parking.pml - one record of an adopted connection, from the handler that
 * suspends its request to the end of the connection's memory.
 *
 * The code: mod_commserver/cs_park*.c, cs_wait.c, cs_handover.c, the events of
 * cs_loop.c; of httpd 2.4 process_socket() and notify_suspend() in
 * server/mpm/event/event.c.
 *
 * One record, which serves some connections one after the other. A thread of
 * the MPM runs the first request of each; one event thread steps the record, or
 * two, of which one leads, and the lead may pass at any step (lead.pml says how); another
 * thread of the MPM runs what is handed over. The peer sends requests, stops
 * taking answers, and closes; messages come; deadlines pass, or never do; the
 * child is told to stop, or never is.
 *
 * Left out: how a ring reaches the child (doorbell.pml) and where a handed-over
 * request waits for its turn (handover.pml); the contents of requests; BODY and
 * SEND, which end as HEAD and FLUSH do; streams. A queue that is locked (CSQ_BUSY)
 * is so once, and never when a waiter is taken off: a request that ends leaves its
 * waiter then, which wakes nobody, but counts as one who is there.
 *
 * Assumed of httpd: the hook suspend_connection runs last of all but two stores,
 * c->sbh = NULL and then its own flag, in this order; the second is done a second
 * after the first is seen (GRAVE_TIME). A hook returns at some time. A connection
 * that is aborted while its handler ran is not suspended but closed, with the
 * same hook run.
 *
 * Memory order: the word is changed by compare-and-swap with acquire and release,
 * all fields of a record but `turn` and `word` are its owner's; c->sbh is read
 * with acquire. One word, and ownership passed by it or by a mutex: so one order
 * of all steps, as here, says all.
 */

#ifndef CONNECTIONS
#define CONNECTIONS 1
#endif
#ifndef THREADS
#define THREADS 1
#endif
#ifndef REQUESTS
#define REQUESTS 1 /* on a connection, beside the first */
#endif
#ifndef MESSAGES
#define MESSAGES 1
#endif

mtype = { FREE, HANDLER, PARKED, OWNED };                            /* of word */
mtype = { WAIT, FINISH, FLUSH, HEAD, HANDOVER, LINGER, DEAD };       /* cs_phase */
mtype = { AHEAD, PASSED, FAR, NEVER };                               /* deadline */
mtype = { PARK, RUN, GIVEN };                                        /* cs_step */

#define RUNG 1 /* signals, as bits */
#define TIME 2
#define STOP 4
#define IO   8 /* IN, OUT, HUP */

#define NOBODY 0 /* owners of the record */
#define MPM    1
#define QUEUED 2
#define EVENT  3 /* and 4: event threads */
#define WORKER 5

/* Properties, each a name for what is asserted; always 0. */
bit one_owner, memory_outlives_use, answered_once, held_is_counted;
bit no_stale_event, no_empty_answer, handover_closes, no_waiter_left;
bit memory_waits_for_httpd;

/* cs_park */
mtype state = FREE, phase = DEAD, deadline = NEVER;
byte signals, generation, turn;
bit ours, closing, hung_up, retry, timer, request;

/* conn_rec and socket; `memory` is its pool */
byte connection;          /* how many there were */
bit memory, sbh, aborted, watched, edge, peer_closed, stores;
byte input, requests;     /* requests that have come and are not read; that may come */

/* the child */
bit leads, stopping, grave, handed, given;
byte run_queue, held, owner;

/* the queue of the client */
bit message, rung, busied, faithful;
byte waiter;              /* number of who waits; 0: nobody */
chan doorbell = [MESSAGES + 1] of { byte };

/* model: the record goes from one to another */
inline pass(from, to)
{
    assert(one_owner || owner == from);
    owner = to
}

/* cs_park_table.c: signal_generation, word_with - @who: the connection meant */
inline signal_generation(who, bits)
{
    atomic {
        if
#ifndef BREAK_no_stale_event
        :: who != generation || state == FREE
#else
        :: state == FREE
#endif
        :: else ->
           assert(no_stale_event || who == generation);
           signals = signals | (bits);
           if
           :: state == PARKED ->
#ifndef BREAK_one_owner
              state = OWNED;
#endif
              pass(NOBODY, QUEUED);
              run_queue++ /* cs_loop_run() */
           :: else
           fi
        fi
    }
}

/* cs_park_table.c: cs_park_ring */
inline cs_park_ring(number)
{
    atomic { who = generation; same = (turn == number) };
    if
    :: same -> signal_generation(who, RUNG)
    :: else
    fi;
    atomic { who = 0; same = 0 }
}

/* cs_park_table.c: cs_park_signal_all - of the one record there is here */
inline cs_park_signal_all()
{
    signal_generation(generation, STOP)
}

/* cs_park_table.c: cs_park_rest - jumps when it is still owned */
inline cs_park_rest(from)
{
#ifndef BREAK_no_lost_wake
    atomic {
        if
        :: signals == 0 -> state = PARKED; pass(from, NOBODY)
        :: else -> goto still_owned
        fi
    }
#else
    if
    :: signals == 0
    :: else -> goto still_owned
    fi;
    atomic { state = PARKED; pass(from, NOBODY) }
#endif
}

/* cs_park_table.c: cs_park_release */
inline cs_park_release()
{
    assert(answered_once || !request);
    assert(held_is_counted || held == 0);
    assert(no_waiter_left || waiter == 0);
    assert(one_owner || run_queue == 0);
    generation++;
    state = FREE;
    owner = NOBODY
}

/* csq_fetch.c: csq_waiter_remove */
inline csq_waiter_remove()
{
    if
#ifdef BREAK_no_waiter_left
    :: hung_up
#endif
    :: waiter == turn -> waiter = 0; rung = 0
    :: waiter != turn
    fi
}

/* model: a held request ends, answered or gone */
inline end_held()
{
    assert(answered_once || request);
    request = 0;
    deadline = NEVER;
    held--
}

/* cs_park_adopt.c: cs_park_get, and cs_park_table.c: cs_park_alloc */
inline cs_park_get()
{
    atomic {
        if
        :: state == FREE ->
           generation++;
           state = HANDLER; signals = 0; owner = MPM;
           closing = 0; given = 0; hung_up = 0; timer = 0; deadline = NEVER
        :: else
        fi
    }
}

/* cs_wait.c: cs_wait_prepare, hold_parked, and csq_fetch.c: start_waiting;
 * jumps when the request is answered at once */
inline hold_parked()
{
    if
    :: stopping -> goto at_once
    :: else
    fi;
    cs_park_get();
    turn++;
    atomic {
        if
        :: message -> message = 0; goto at_once
        :: else -> waiter = turn; rung = 0
        fi
    };
    atomic {
        assert(answered_once || !request);
        phase = WAIT;
        request = 1;
        held++;
        retry = 0;
        if
        :: deadline = AHEAD
        :: deadline = FAR
        fi;
        timer = timer || (ours && deadline == AHEAD)
    }
}

/* cs_loop.c: cs_loop_watch; cs_park.c: try_to_watch, cs_park_look_again - what
 * has happened before is told at once */
inline cs_loop_watch()
{
    atomic { watched = 1; edge = (input > 0 || peer_closed) }
}

/* cs_park_adopt.c: cs_park_on_suspend, take_over */
inline cs_park_on_suspend()
{
    if
#ifndef BREAK_memory_outlives_use
    :: closes /* c->cs->state is not SUSPENDED */
#else
    :: false
#endif
    :: else ->
       ours = 1;
       if
       :: cs_loop_watch()
       :: true -> /* epoll_ctl() failed */
#ifdef BREAK_held_is_counted
          phase = FINISH
#endif
       fi;
       timer = (deadline == AHEAD || deadline == PASSED || !watched);
       if
       :: phase == FINISH -> goto still_owned
       :: else -> cs_park_rest(MPM); goto let_go
       fi;
still_owned:
       /* cs_park_own(), cs_loop_run() */
       atomic { state = OWNED; pass(MPM, QUEUED); run_queue++ };
let_go:
       skip
    fi
}

/* cs_wait.c: hold_cleanup, and cs_park_adopt.c: connection_cleanup - the MPM
 * destroys a connection that it has not let go of */
inline connection_cleanup()
{
    atomic {
        if
        :: request && phase == WAIT && !ours -> csq_waiter_remove(); end_held()
        :: request && phase == FINISH -> request = 0
        :: else
        fi;
        if
        :: state == HANDLER && !ours -> cs_park_release()
        :: else
        fi;
        memory = 0
    }
}

/* httpd, event.c: process_socket - a new connection each time */
proctype process_socket()
{
    bit closes;

    do
    :: atomic {
           connection < CONNECTIONS && !memory && !stopping && !stores ->
           connection++;
           memory = 1; sbh = 1;
           requests = REQUESTS;
           aborted = 0; watched = 0; edge = 0; peer_closed = 0; input = 0;
           if
           :: faithful = 0
           :: faithful = 1
           fi;
           ours = 0
       };
       if
       :: hold_parked()
       :: !stopping -> /* cs_park_finish() */
          cs_park_get();
          atomic { phase = FINISH; request = 1; deadline = NEVER }
       fi;
       if
       :: closes = 0
       :: atomic { aborted = 1; closes = 1 }
       fi;
       /* notify_suspend() */
       cs_park_on_suspend();
       if
       :: closes && !ours -> goto at_once
       :: closes && ours -> sbh = 0; memory = 0; goto next /* only of a broken hook */
       :: else
       fi;
       atomic { assert(memory_waits_for_httpd || memory); sbh = 0; stores = 1 };
       atomic { assert(memory_waits_for_httpd || memory); stores = 0 };
       goto next;
at_once:
       sbh = 0;
       connection_cleanup();
next:
       skip
    :: (connection == CONNECTIONS || stopping) && !memory -> break
    od
}

/* ---- steps ---------------------------------------------------------------- */

/* cs_park.c: time_is_up - sets `up` */
inline time_is_up()
{
    up = 0;
    if
#ifdef BREAK_no_empty_answer
    :: bits & TIME -> up = 1
#endif
    :: (bits & TIME) && deadline == PASSED -> up = 1
#ifndef BREAK_deadline_answers
    :: (bits & TIME) && deadline == AHEAD -> timer = 1
#endif
    :: else
    fi
}

/* cs_park.c: cs_park_set_deadline */
inline cs_park_set_deadline()
{
    deadline = AHEAD;
    timer = 1
}

/* cs_park.c: cs_park_end_request, give_up_held, end_held */
inline cs_park_end_request()
{
#ifndef BREAK_answered_once
    phase = FLUSH;
#endif
    step = RUN
}

/* cs_park_close.c: die */
inline die()
{
    watched = 0;
    edge = 0;
    timer = 0;
    deadline = NEVER;
    phase = DEAD;
    grave = 1;
    pass(me, NOBODY);
    step = GIVEN
}

/* cs_park_close.c: cs_park_linger */
inline cs_park_linger()
{
    if
    :: peer_closed || deadline == PASSED -> die()
    :: else ->
       timer = timer || (bits & TIME);
       step = PARK
    fi
}

/* cs_park_close.c: cs_park_close */
inline cs_park_close()
{
    if
    :: aborted -> die()
    :: else ->
       phase = LINGER;
       cs_park_set_deadline();
       cs_park_linger()
    fi
}

/* cs_park.c: step_wait, step_answer, give_up_held, end_held; cs_poll.c: answer_held */
inline step_wait()
{
    time_is_up();
    if
    :: hung_up -> /* gone_held() */
       csq_waiter_remove();
       aborted = 1;
       end_held();
       cs_park_end_request()
    :: !hung_up && ((bits & STOP) || up) ->
       if
       :: message && !(bits & STOP) -> message = 0
       :: else
       fi;
       csq_waiter_remove();
       assert(no_empty_answer || stopping || deadline == PASSED);
       end_held();
       cs_park_end_request()
    :: !hung_up && !(bits & STOP) && !up && ((bits & RUNG) || retry) ->
       retry = 0;
       if
       :: message && waiter == turn ->
          message = 0; waiter = 0; rung = 0;
          end_held();
          cs_park_end_request()
       :: !message && waiter == turn -> rung = 0; step = PARK /* CS_WAIT_AGAIN */
       :: !busied -> busied = 1; retry = 1; timer = 1; step = PARK /* CS_WAIT_RETRY */
       fi
    :: else -> step = PARK
    fi
}

/* cs_park.c: step_flush, send_answer, wait_for_output */
inline step_flush()
{
    time_is_up();
    if
    :: up -> aborted = 1; cs_park_close()
    :: !up && !aborted && deadline != PASSED -> /* APR_EAGAIN */
       if
       :: deadline == NEVER -> cs_park_set_deadline()
       :: else
       fi;
       step = PARK
    :: !up ->
       if
       :: true -> cs_park_close()
       :: !(aborted || closing || stopping) ->
          phase = HEAD;
          cs_park_set_deadline();
          step = (input > 0 || hung_up -> RUN : PARK)
       fi
    fi
}

/* cs_park.c: step_head, serve, after_serving; cs_handover.c: cs_handover_start */
inline step_head()
{
    time_is_up();
    if
    :: input > 0 ->
       input--;
       assert(handover_closes || !given);
       if
       :: true -> phase = FLUSH; deadline = NEVER; step = RUN
       :: true -> phase = HANDOVER; deadline = NEVER; handed = 1;
          pass(me, WORKER); step = GIVEN
       :: true -> hold = 1
       fi
    :: input == 0 && (up || peer_closed || stopping) -> cs_park_close()
    :: input == 0 && !(up || peer_closed || stopping) -> step = PARK
    fi
}

/* cs_park.c: cs_park_step, and cs_lead.c: take_step, settle */
inline cs_park_step()
{
    atomic {
        assert(memory_outlives_use || memory);
        bits = signals; /* cs_park_take_signals() */
        signals = 0
    };
    atomic {
        if
        :: !watched -> cs_loop_watch() /* try_to_watch() */
        :: else
        fi;
        hung_up = hung_up || ((bits & IO) && peer_closed);
        if
        :: phase == WAIT -> step_wait()
        :: phase == FINISH -> request = 0; cs_park_end_request()
        :: phase == HANDOVER -> phase = FLUSH; step = RUN
        :: phase == FLUSH -> step_flush()
        :: phase == HEAD -> step_head()
        :: phase == LINGER -> cs_park_linger()
        fi;
        up = 0;
        bits = 0
    };
    if
    :: hold -> hold = 0; hold_parked(); step = PARK; goto held_now
at_once:
       atomic { phase = FLUSH; deadline = NEVER; step = RUN; hold = 0 };
held_now:
       skip
    :: else
    fi;
    if
    :: step == PARK && !(hung_up && phase == WAIT) -> cs_park_rest(me); goto let_go
    :: step == GIVEN -> goto let_go
    :: else
    fi;
still_owned:
    atomic { pass(me, QUEUED); run_queue++; step = PARK };
    goto stepped;
let_go:
    step = PARK;
stepped:
    skip
}

/* cs_loop.c: cs_loop_poll, cs_loop_hear, hear_events, keep_up;
 * cs_park_close.c: cs_park_bury */
inline cs_loop_poll()
{
    do
    :: doorbell?number -> cs_park_ring(number); number = 0
    :: empty(doorbell) -> break
    od;
    atomic {
        if
        :: edge -> edge = 0; signal_generation(generation, IO)
        :: else
        fi;
        if
        :: timer -> timer = 0; signal_generation(generation, TIME)
        :: timer && deadline != PASSED && !retry && watched
        :: !timer
        fi;
        if
#ifdef BREAK_stop_ends
        :: stopping && !told -> told = 1; cs_park_signal_all()
#else
        :: stopping -> cs_park_signal_all()
#endif
        :: else
        fi;
        if
#ifndef BREAK_memory_waits_for_httpd
        :: grave && !sbh && !stores ->
#else
        :: grave ->
#endif
           grave = 0; memory = 0;
           cs_park_release()
        :: else
        fi
    }
}

/* cs_lead.c: thread_main */
proctype thread_main(byte me)
{
    byte bits, who, number;
    bit up, hold, same, passed;
    mtype step = PARK;
#ifdef BREAK_stop_ends
    bit told;
#endif

end:
    do
    :: atomic { !leads -> leads = 1 };
       do
       :: atomic { run_queue > 0 -> run_queue--; pass(QUEUED, me) };
#if THREADS > 1
          if
          :: true
          :: passed = 1; leads = 0 /* before the step: no other moment differs */
          fi;
#endif
          cs_park_step();
          if
          :: passed -> passed = 0; break
          :: else
          fi
       :: run_queue == 0 -> cs_loop_poll()
       od
    od
}

/* cs_handover.c: run_on_worker, run_request */
proctype run_on_worker()
{
end:
    do
    :: handed ->
       handed = 0;
       assert(memory_outlives_use || memory);
#ifndef BREAK_handover_closes
       closing = 1;
#endif
       given = 1;
       atomic { pass(WORKER, QUEUED); run_queue++ }
    od
}

/* model: the client */
proctype client()
{
    do
    :: atomic { memory && requests > 0 && !peer_closed ->
                requests--; input++; edge = edge || watched }
    :: atomic { memory && !faithful && !peer_closed ->
                peer_closed = 1; edge = edge || watched }
    :: connection == CONNECTIONS && !memory -> break
    od
}

/* csq_publish.c: wake - and what comes before */
proctype wake()
{
    byte published;

    do
    :: atomic {
           published < MESSAGES ->
           published++;
           message = 1;
           if
           :: waiter != 0 && !rung -> rung = 1; doorbell!waiter
           :: else
           fi
       }
    :: true -> break
    od
}

/* model: time */
proctype clock()
{
end:
    do
    :: atomic { deadline == AHEAD -> deadline = PASSED }
    od
}

/* cs_loop.c: cs_loop_child_stopping */
proctype cs_loop_child_stopping()
{
    if
    :: stopping = 1
    :: true
    fi
}

init {
    atomic {
        run process_socket();
        run thread_main(EVENT);
#if THREADS > 1
        run thread_main(EVENT + 1);
#endif
        run run_on_worker();
        run client();
        run wake();
        run clock();
        run cs_loop_child_stopping()
    }
}

#define is_held   (request && phase == WAIT)
#define has_news  (is_held && message && waiter == turn)
#define is_late   (is_held && deadline == PASSED)
#define is_given  (phase == HANDOVER)

/* A held request whose queue has something is answered. */
ltl no_lost_wake { [] (has_news -> <> !has_news) }

/* One whose time is up is answered. */
ltl deadline_answers { [] (is_late -> <> !is_late) }

/* Once the child stops each connection ends. */
ltl stop_ends { [] (stopping -> <> !memory) }

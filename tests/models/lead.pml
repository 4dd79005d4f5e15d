/* SPDX-License-Identifier: Apache-2.0
 * lead.pml - the event threads of one child: who leads, guards and follows.
 *
 * The code: mod_commserver/cs_lead.c, and cs_loop.c where the leader sleeps.
 *
 * Each connection has one step to take at a time; it is parked (an event may
 * come), silent (none will come any more), on the run queue, kept, or stepped.
 * A step may be quick, or stall until its thread leads no more: that is the
 * worst hook, which outlasts every guard that is not sure to act.
 *
 * Left out: what a step does (parking.pml), the doorbell (doorbell.pml), time.
 * "Long enough" may be true at any look for an idle leader and for a step that
 * is not stuck, and is true at every look for one that is. Whether care is
 * taken before hooks (careful_until) may change from step to step. The times
 * of steps differ from thread to thread: so a stamp is the thread's number.
 *
 * Memory order: what is read without cs_loop.lock is step_began, guard_sleeps,
 * asleep, leader and end. The pair step_began / guard_sleeps is stored and read
 * crosswise, as is asleep / the run queue: both are sequentially consistent in
 * the code (the second by the lock). All else needs no more than release and
 * acquire. So one order of all steps, as here, says all.
 */

#ifndef THREADS
#define THREADS 3 /* cs_loop.thread_max */
#endif
#ifndef CONNECTIONS
#define CONNECTIONS 2
#endif
#define FIRST 2   /* CS_LOOP_THREADS_FIRST */
#define NONE  15
#define BIT(i) (1 << (i))

mtype = { PARKED, SILENT, QUEUED, KEPT, STEPPED };

#define MINE(bits) (bits & BIT(me))
#define SET(bits)   bits = bits | BIT(me)
#define CLEAR(bits) bits = bits & ~BIT(me)

/* cs_loop.lock guards leader, guard, followers, thread_count, ending, sleeping and
 * the two queues. What one thread does with these in one go, holding it, is one
 * step here. Only the guard holds it while it reads and changes what others do
 * not lock for, so only the guard is seen to have it. The lock is fair. */
#define LOCKED atomic { !locked -> CLEAR(want);
#define UNLOCKED }

/* Properties, each a name for what is asserted; always 0. */
bit one_leader, spare_thread, deposed_in_a_step;

byte leader = NONE;
byte guard = NONE;
byte followers, thread_count;
byte step_began; /* 0: the leader is in no step; else its number + 1 */
bit guard_sleeps, asleep, event, ending, locked;
byte want;     /* threads that wait for the lock, as bits */
byte sleeping; /* threads that wait for a broadcast, as bits */
byte stuck;   /* threads in a step that stalls while they lead, as bits */
byte hooks;   /* threads that take a step of which they do not lead, as bits */
byte leading; /* threads that run lead(), outside of a step, as bits */
byte running; /* threads that have not ended */

chan made = [THREADS] of { byte };
chan run_queue = [CONNECTIONS] of { byte };
chan kept = [CONNECTIONS] of { byte };
mtype place[CONNECTIONS] = PARKED;

/* model: before LOCKED */
inline await_lock()
{
    SET(want)
}

/* cs_loop.c: cs_loop_wake */
inline cs_loop_wake()
{
    event = 1
}

/* cs_loop.c: cs_loop_run, wake_leader */
inline cs_loop_run()
{
    atomic { run_queue!step; place[step] = QUEUED; step = 0 };
    if
#ifdef BREAK_step_is_taken
    :: true
#else
    :: asleep && leader != me -> cs_loop_wake()
    :: else
#endif
    fi
}

/* cs_lead.c: take_step, settle - once the threads are to end, connections close
 * and have no further step */
inline take_step()
{
    if
    :: atomic { place[step] = PARKED; step = 0 }
    :: atomic { place[step] = SILENT; step = 0 }
    :: !ending -> cs_loop_run()
    :: leader == me && !ending -> SET(stuck);
       atomic { leader != me || ending -> CLEAR(stuck) };
       cs_loop_run()
    fi
}

/* cs_lead.c: begin_step */
inline begin_step()
{
    d_step { step_began = me + 1; CLEAR(leading) };
    if
    :: guard_sleeps -> await_lock(); LOCKED guard_sleeps = 0; sleeping = 0 UNLOCKED
    :: else
    fi
}

/* cs_lead.c: end_step - the swap, by the leader */
inline end_step()
{
    atomic {
        if
#ifdef BREAK_one_leader
        :: step_began != 0 -> step_began = 0; SET(leading)
#else
        :: step_began == me + 1 -> step_began = 0; SET(leading)
#endif
        :: else -> goto leads_no_more
        fi
    }
}

/* cs_lead.c: start_thread */
inline start_thread()
{
    made!thread_count;
    thread_count++;
    running++
}

/* cs_lead.c: decide_hooks - when care is taken; jumps when the step is kept */
inline decide_hooks()
{
    await_lock();
    LOCKED
        if
        :: followers == 0 && thread_count < THREADS -> start_thread()
        :: else
        fi;
        if
#ifdef BREAK_spare_thread
        :: true
#else
        :: followers > 0
#endif
           -> leader = NONE; CLEAR(leading); sleeping = 0
        :: followers == 0 ->
           kept!step; place[step] = KEPT; step = 0;
           goto leads
        fi
    UNLOCKED
}

/* cs_lead.c: take_careful_step - not as the leader */
inline take_careful_step()
{
    d_step {
        SET(hooks);
        assert(spare_thread || ending || hooks != BIT(thread_count) - 1)
    };
    take_step();
    CLEAR(hooks)
}

/* cs_lead.c: run_kept */
inline run_kept()
{
    do
    :: atomic { nempty(kept) -> kept?step; place[step] = STEPPED };
       take_careful_step()
    :: empty(kept) -> break
    od
}

/* cs_loop.c: cs_loop_poll */
inline cs_loop_poll()
{
    d_step {
        asleep = 1;
        assert(one_leader || leader == me);
        assert(one_leader || leading == BIT(me))
    };
    if
    :: empty(run_queue) -> event || place[0] == PARKED || place[CONNECTIONS - 1] == PARKED
    :: nempty(run_queue)
    fi;
    atomic {
        assert(one_leader || leader == me);
        asleep = 0;
        event = 0;
        if
        :: place[0] == PARKED -> place[0] = QUEUED; run_queue!0
        :: place[CONNECTIONS - 1] == PARKED ->
           place[CONNECTIONS - 1] = QUEUED; run_queue!CONNECTIONS - 1
        :: skip
        fi
    }
}

/* cs_lead.c: next_to_run, run_one - jumps when this thread leads no more */
inline run_one()
{
    atomic {
        nempty(run_queue) -> run_queue?step; place[step] = STEPPED;
        if
        :: goto careful
        :: skip
        fi
    };
    begin_step();
    take_step();
    end_step();
    goto leads;
careful:
    decide_hooks();
    take_careful_step();
    goto leads_no_more
}

/* cs_lead.c: resign - jumps when nothing is left to do */
inline resign()
{
    await_lock();
    LOCKED
        if
        :: empty(run_queue) && empty(kept) ->
           leader = NONE; CLEAR(leading); sleeping = 0;
           goto ends
        :: nempty(run_queue) || nempty(kept)
        fi
    UNLOCKED
}

/* cs_lead.c: lead, run_all */
inline lead()
{
    do
    :: run_one()
    :: empty(run_queue) ->
       if
       :: !ending -> cs_loop_poll()
       :: else -> resign(); run_kept()
       fi;
leads:
       skip
    od
}

/* cs_lead.c: guard_locked - has the lock, gives it back */
inline guard_locked()
{
    began = step_began;
    if
    :: began != 0 ->
       if
       :: atomic {
              if
#ifdef BREAK_deposed_in_a_step
              :: true ->
#else
              :: step_began == began ->
#endif
                 assert(deposed_in_a_step || !(leading & BIT(leader)));
                 step_began = 0; leader = NONE
              :: else
              fi
          }
       :: !(stuck & BIT(leader))
       fi
    :: began == 0
    :: began == 0 ->
#ifdef BREAK_stuck_is_deposed
       atomic { guard_sleeps = 1; SET(sleeping); began = 0; locked = 0 };
       !MINE(sleeping);
       guard_sleeps = 0
#else
       guard_sleeps = 1;
       atomic {
           if
           :: step_began == 0 -> SET(sleeping); began = 0; locked = 0; !MINE(sleeping)
           :: else
           fi
       };
       guard_sleeps = 0
#endif
    fi;
    d_step { began = 0; locked = 0 }
}

/* cs_lead.c: take_lead_locked */
inline take_lead_locked()
{
    leader = me;
    SET(leading);
    step_began = 0;
    if
    :: followers == 0 && thread_count < THREADS && !ending -> start_thread()
    :: else
    fi;
    sleeping = 0
}

/* cs_lead.c: follow_locked, become_leader - jumps when this
 * thread is to end */
inline become_leader()
{
    await_lock();
    LOCKED followers++ UNLOCKED;
    do
    :: atomic { !locked && want == 0 && leader != NONE && !ending && empty(kept) ->
           if
           :: guard == NONE || guard == me -> guard = me; locked = 1
           :: else -> SET(sleeping); goto sleeps
           fi
       };
       guard_locked();
       goto looks;
sleeps:
       !MINE(sleeping);
looks:
       skip
    :: atomic { !locked && (leader == NONE || ending || nempty(kept)) ->
           followers--;
           if
           :: guard == me -> guard = NONE
           :: else
           fi;
           if
           :: leader == NONE -> take_lead_locked(); break
           :: leader != NONE && nempty(kept) -> goto kept_first
           :: leader != NONE && empty(kept) -> goto ends
           fi
       }
    od;
}

/* cs_lead.c: thread_main */
proctype thread_main(byte me)
{
    byte step, began;

    do
    :: become_leader();
       lead();
leads_no_more:
kept_first:
       run_kept()
    od;
ends:
    running--
}

/* cs_lead.c: cs_lead_start */
init {
    byte i, number;

    atomic {
        thread_count = FIRST;
        running = FIRST;
        for (i : 0 .. FIRST - 1) {
            run thread_main(i)
        }
        run cs_lead_end()
    };
    do
    :: atomic { made?number -> run thread_main(number); number = 0 }
    od
}

/* cs_lead.c: cs_lead_end */
proctype cs_lead_end()
{
    byte me = NONE;

    if
    :: true -> goto stays
    :: true
    fi;
    LOCKED ending = 1; sleeping = 0 UNLOCKED;
#ifndef BREAK_threads_end
    cs_loop_wake();
#endif
    running == 0;
stays:
    skip
}

#define is_stuck  (leader != NONE && (stuck & BIT(leader)))
#define first_due (place[0] == QUEUED || place[0] == KEPT)

/* A leader that is stuck in a step is deposed, whatever else happens. */
ltl stuck_is_deposed { [] (is_stuck -> <> !is_stuck) }

/* Each step that is due is taken: none is lost in a queue, or by a sleeper. */
ltl step_is_taken { [] (first_due -> <> !first_due) }

/* Told to end, all threads end. */
ltl threads_end { [] (ending -> <> (running == 0)) }

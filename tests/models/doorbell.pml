/* SPDX-License-Identifier: Apache-2.0
 * doorbell.pml - how a child that sleeps learns that a queue has something.
 *
 * The code: mod_commserver/queue/csq_slot.c, the places in csq_publish.c and
 * csq_fetch.c where a waiter is rung and registered, and cs_loop.c, where the
 * child listens, hears and sleeps.
 *
 * One slot. Two threads of one process publish and ring, each into a queue of its
 * own, which lie in different shards; a child holds a waiter on each queue; it may die at any
 * step, and the next child claims the slot then, while an old ring may still be
 * under way. With DEATHS a ringer may die at any step, too.
 *
 * With UPKEEP a child that sleeps wakes once a second. What may be lost without
 * is only what a dead ringer had begun; so without it no ringer dies, and all
 * the same nothing may be late.
 *
 * Left out: other slots, which share nothing; that the list is long (1 or 2
 * here, CSQ_RING there) and positions have 32 bits (3 here: fewer are used). A bell that
 * has been set for RING_AGAIN may be rung again, or not: both happen here at any
 * time. A FIFO is full with one byte: EAGAIN says that it is readable.
 *
 * Memory order: generation is read with acquire and stored with release; tail,
 * head, all, bell and the entries of the list are sequentially consistent where
 * the order of two of them matters. A stale head or tail in put_on_ring() may
 * only make it say `all`. So one order of all steps, as here, says all. Locks of
 * queues are mutexes between processes (csq_lock.c).
 */

#define QUEUES    2
#ifndef RINGERS
#define RINGERS   2
#endif
#ifndef RING
#define RING      1 /* CSQ_RING */
#endif
#define POSITIONS 8
#ifndef CHILDREN
#define CHILDREN  2
#endif
#ifndef PUBLISHES
#define PUBLISHES 1 /* of each ringer */
#endif

/* A child that will be replaced only waits for that, unless LARGE. */
#ifdef LARGE
#define LIVES true
#else
#define LIVES (me == CHILDREN)
#endif

#define FREE   0 /* of a lock: nobody's; else the number of who has it + 1 */
#define BROKEN 9 /* who had it is dead */
#define CHILD  5
#define ANY    3 /* all queues, as bits */

/* Properties, each a name for what is asserted; always 0. */
bit bounded_list, no_ring_to_wrong_child;

/* csq_slot_shared */
byte generation, tail, head;
bit bell, all;
byte ring_position[RING] = POSITIONS; /* and number: one word */
byte ring_number[RING];

bit held;                 /* the lock file's byte of the slot */
byte path;                /* whose FIFO the path names; 0: there is none */
bit fifo[CHILDREN + 1];   /* has a byte */

/* csq_bell, of the process that rings */
bit known, opening;
byte descriptor;          /* whose FIFO it is */
byte known_generation;

/* csq_queue */
byte lock[QUEUES];
bit message[QUEUES];
byte waiter[QUEUES];      /* generation of the child; 0: nobody waits */
bit rung[QUEUES];         /* CSQ_QUEUE_RUNG */

byte living;              /* the child that has its waiters registered */
bit repair;               /* csq_header: a repair is due */
bit asleep, doomed, dead[2];

/* csq_lock.c: csq_lock, take_mutex, csq_lock_even_closed */
inline csq_lock(me)
{
    do
    :: atomic {
           if
           :: lock[q] == FREE
           :: lock[q] == BROKEN -> repair = 1
           fi;
           if
           :: !repair -> lock[q] = me; break
           :: else -> lock[q] = FREE
           fi
       };
       csq_repair()
    od
}

/* csq_repair.c: csq_repair, repair_locked - under all locks at once. What makes
 * everybody look is done before the repair counts as done: who repairs may die */
inline csq_repair()
{
    atomic {
        (lock[0] == FREE || lock[0] == BROKEN) && (lock[1] == FREE || lock[1] == BROKEN) ->
        lock[0] = FREE;
        lock[1] = FREE;
        if
        :: repair ->
#ifndef BREAK_dead_ringer_loses_nothing
           all = 1;
#endif
           repair = 0;
           push = 1
        :: else -> goto repaired
        fi
    };
repaired:
    skip
}

/* csq_lock.c: csq_unlock */
inline csq_unlock()
{
    lock[q] = FREE
}

/* csq_slot.c: csq_slot_push, waiter_slot, put_on_ring */
inline csq_slot_push()
{
    if
    :: generation == wanted ->
       push = 1;
       at = tail;
       do
#ifndef BREAK_bounded_list
       :: (POSITIONS + at - head) % POSITIONS >= RING -> all = 1; break
       :: (POSITIONS + at - head) % POSITIONS < RING ->
#else
       :: true ->
#endif
          atomic {
              if
              :: tail == at ->
                 tail = (tail + 1) % POSITIONS;
                 assert(bounded_list || (POSITIONS + tail - head) % POSITIONS <= RING);
                 goto placed
              :: else -> at = tail
              fi
          }
       od;
       goto pushed;
placed:
       atomic { ring_position[at % RING] = at; ring_number[at % RING] = q }
    :: else
    fi;
pushed:
    at = 0
}

/* csq_publish.c: wake */
inline wake()
{
    atomic {
        wanted = 0;
        if
        :: waiter[q] != 0 && !rung[q] -> rung[q] = 1; wanted = waiter[q]
        :: else
        fi
    };
    if
    :: wanted != 0 -> csq_slot_push()
    :: else
    fi
}

/* csq_slot.c: open_bell_locked, find_bell - the lock is one of the threads of a process */
inline open_bell()
{
#ifndef BREAK_slot_reused_safely
    atomic { !opening -> opening = 1 };
#endif
    wanted = generation;
    at = path;
    if
    :: at == 0 -> opening = 0; goto done
    :: else
    fi;
    atomic { known = 1; descriptor = at; at = 0 };
    known_generation = wanted;
    opening = 0
}

/* csq_slot.c: find_bell - jumps when there is none */
inline find_bell()
{
    wanted = generation;
    if
    :: known && known_generation == wanted
    :: else -> open_bell()
    fi
}

/* csq_slot.c: ring_one */
inline ring_one()
{
    atomic {
        if
        :: bell == 0 -> bell = 1
        :: bell != 0 -> goto done
        :: bell != 0 /* for RING_AGAIN */
        fi
    };
    find_bell();
    fifo[descriptor] = 1 /* write() */
}

/* csq_append.c: csq_append - what of it matters here */
proctype csq_append(byte id)
{
    byte q = id, at, wanted, published;
    bit push;

    {
        do
        :: published < PUBLISHES ->
           published++;
           csq_lock(id + 1);
           message[q] = 1;
           wake();
           csq_unlock();
           if
           :: push -> push = 0; ring_one()
           :: else
           fi;
done:
           atomic { push = 0; at = 0; wanted = 0 }
        :: published == PUBLISHES -> break
        od
    } unless { dead[id] };
    atomic {
        if
        :: lock[q] == id + 1 -> lock[q] = BROKEN
        :: else
        fi
    }
}

/* csq_slot.c: csq_slot_claim, make_bell, start_slot */
inline csq_slot_claim()
{
    atomic { !held -> held = 1 };
    path = 0;
    path = me;
    at = tail;
    head = at;
    all = 0;
    bell = 0;
    generation = me;
    at = 0
}

/* csq_fetch.c: csq_fetch_batch, start_waiting - the client's next poll comes at once */
inline csq_fetch_batch()
{
    csq_lock(CHILD);
    atomic {
#ifdef BREAK_no_ring_to_wrong_child
        push = (living == me);
#else
        push = (living == me && message[q]);
#endif
        assert(no_ring_to_wrong_child || !push || message[q]); /* it answers */
        message[q] = 0;
        waiter[q] = me;
        rung[q] = 0;
        lock[q] = FREE;
        push = 0;
        q = 0
    }
}

/* csq_slot.c: csq_slot_take, and cs_loop.c: cs_loop_hear */
inline cs_loop_hear()
{
    d_step {
        if
        :: all -> all = 0; heard = ANY
        :: else
        fi
    };
    at = tail;
    if
    :: (POSITIONS + at - head) % POSITIONS > RING -> heard = ANY; head = at
    :: else
    fi;
    next = head;
    do
    :: next != at ->
       d_step {
           if
           :: ring_position[next % RING] == next ->
              heard = heard | (1 << ring_number[next % RING])
           :: else -> heard = ANY
           fi;
           next = (next + 1) % POSITIONS
       }
    :: else -> break
    od;
    atomic { head = next; at = 0; next = 0 }
}

/* cs_loop.c: cs_loop_poll */
inline cs_loop_poll()
{
#ifdef BREAK_no_lost_message
    cs_loop_hear();
    bell = 0;
#else
    bell = 0; /* csq_slot_listen() */
    cs_loop_hear();
#endif
    if
    :: heard == 0 ->
       asleep = 1;
       if
       :: fifo[me]
#ifdef UPKEEP
       :: true -> /* once a second; csq_expire() takes the locks */
          if
          :: repair || lock[0] == BROKEN || lock[1] == BROKEN ->
             repair = 1;
             csq_repair()
          :: else
          fi
#endif
       fi;
       asleep = 0
    :: else
    fi;
    bell = 1; /* csq_slot_mute() */
#ifndef BREAK_sleeps_when_nothing
    fifo[me] = 0
#endif
}

/* cs_loop.c: cs_loop_child_init - and what the event threads do then */
proctype cs_loop_child_init(byte me)
{
    byte q, at, next, heard;
    bit push;

    {
        csq_slot_claim();
        csq_fetch_batch();
        q = 1;
        csq_fetch_batch();
        living = me;
        do
        :: LIVES ->
           cs_loop_poll();
           do
           :: heard != 0 ->
              d_step {
                  q = (heard & 1 -> 0 : 1);
                  heard = heard & ~(1 << q)
              };
              csq_fetch_batch()
           :: heard == 0 -> break
           od
        od
    } unless { doomed };
    atomic {
        doomed = 0;
        living = 0;
        asleep = 0;
        lock[0] = (lock[0] == CHILD -> BROKEN : lock[0]);
        lock[1] = (lock[1] == CHILD -> BROKEN : lock[1]);
        held = 0
    }
}

/* model: who dies, and when */
init {
    byte i;

    atomic {
        run csq_append(0);
#if RINGERS > 1
        run csq_append(1);
#endif
        run cs_loop_child_init(1)
    };
    do
    :: i < CHILDREN - 1 ->
       i++;
       doomed = 1;
       atomic { !doomed -> run cs_loop_child_init(i + 1) }
#ifdef DEATHS
    :: !dead[0] && !dead[1] -> dead[0] = 1
#endif
    :: break
    od
}

#define due (message[0] && waiter[0] != 0 && waiter[0] == living)

/* A waiter whose queue has something is told. */
ltl no_lost_message { [] (due -> <> !due) }

/* So it is when ringers die: within a second. */
ltl dead_ringer_loses_nothing { [] (due -> <> !due) }

/* The next child on the slot is told, whatever the last one's ringers do. */
ltl slot_reused_safely { [] (due && living > 1 -> <> !(due && living > 1)) }

/* When nothing comes any more the child sleeps. */
ltl sleeps_when_nothing { <> [] asleep }

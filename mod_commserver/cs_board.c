/* SPDX-License-Identifier: Apache-2.0
 * cs_board.c - places on httpd's scoreboard; see cs_board.h.
 */
#include "cs_compat.h"

#include "cs_board.h"

#include <ap_mpm.h>
#include <apr_portable.h>
#include <unistd.h>

/* @return -1: the parent has not noted this process (yet). */
static int own_child_number(void)
{
    pid_t process = getpid();
    int daemons = 0, i;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_DAEMONS, &daemons);
    for (i = 0; i < daemons; i++) {
        if (ap_scoreboard_image->parent[i].pid == process) {
            return i;
        }
    }
    return -1;
}

/* @return the number of a place that the MPM does not use; -1: there is none. */
static int free_thread_number(int thread)
{
    int limit = 0, used = 0;

    ap_mpm_query(AP_MPMQ_HARD_LIMIT_THREADS, &limit);
    ap_mpm_query(AP_MPMQ_MAX_THREADS, &used);
    return used + thread < limit ? used + thread : -1;
}

ap_sb_handle_t *cs_board_take(apr_pool_t *pool, int thread)
{
    int number = free_thread_number(thread);
    int child = number < 0 || ap_scoreboard_image == NULL ? -1 : own_child_number();
    ap_sb_handle_t *place = NULL;
    worker_score *score;

    if (child < 0) {
        return NULL;
    }
    score = &ap_scoreboard_image->servers[child][number];
    score->pid = getpid();
    score->tid = apr_os_thread_current();
    score->generation = ap_scoreboard_image->parent[child].generation;
    ap_create_sb_handle(&place, pool, child, number);
    ap_update_child_status(place, SERVER_READY, NULL);
    return place;
}

void cs_board_idle(ap_sb_handle_t *place)
{
    if (place != NULL) {
        ap_update_child_status(place, SERVER_READY, NULL);
    }
}

void cs_board_leave(ap_sb_handle_t *place)
{
    if (place != NULL) {
        ap_update_child_status(place, SERVER_DEAD, NULL);
    }
}

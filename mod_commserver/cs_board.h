/* SPDX-License-Identifier: Apache-2.0
 * cs_board.h - the event threads' places on httpd's scoreboard.
 *
 * A connection without a place (c->sbh is NULL) is "remote" in the error log
 * and missing from mod_status. The MPM uses as many places of a child as it
 * has threads; where ThreadLimit leaves more, the event threads take those.
 */
#ifndef CS_BOARD_H
#define CS_BOARD_H

#include <httpd.h>
#include <scoreboard.h>

/**
 * The place of an event thread. The parent may not yet have noted this child:
 * so it is asked for again until there is one.
 * @param thread  its number, from 0
 * @return NULL: ThreadLimit leaves none, or not yet
 */
ap_sb_handle_t *cs_board_take(apr_pool_t *pool, int thread);

/** Its thread waits for work; is gone. `place` may be NULL. */
void cs_board_idle(ap_sb_handle_t *place);
void cs_board_leave(ap_sb_handle_t *place);

#endif

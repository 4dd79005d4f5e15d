/* SPDX-License-Identifier: Apache-2.0
 * cs_answer.h - the head of an answer, where no filter has anything to say.
 *
 * httpd's own filters for a request's answer (ranges, length, head) look at
 * each answer one after the other and cost more than making it did. Ours has
 * a known length and no ranges: so on an adopted connection its head is
 * written at once, the same bytes that they would write, and the answer goes
 * to the filters of the connection (TLS, counting, the network). As soon as
 * any module has put a filter of its own on the request, or asked for
 * something out of the ordinary, all is left to httpd.
 */
#ifndef CS_ANSWER_H
#define CS_ANSWER_H

#include <httpd.h>
#include <apr_buckets.h>

/** Hook post_config: find the filters by name. */
void cs_answer_find_filters(void);

/**
 * Put the head of the answer in front of the brigade and take httpd's filters
 * off the request, if that is what they would do. r->status and all fields
 * are set, r->content_type too.
 * @param len  bytes of the body; -1: the status has none
 * @return 1: done; 0: nothing was changed, the filters will do it.
 */
int cs_answer_head(request_rec *r, apr_off_t len, apr_bucket_brigade *brigade);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * ctl_selftest.h - send a message to oneself, and see it arrive.
 */
#ifndef CTL_SELFTEST_H
#define CTL_SELFTEST_H

#include "cc_compat.h"
#include "ctl_probe.h"

#define CTL_SELFTEST_APP "commclient-setup"

typedef enum {
    CTL_SELFTEST_DONE,        /* it arrived                                 */
    CTL_SELFTEST_NOT_ALLOWED, /* this user may not publish: no fault        */
    CTL_SELFTEST_FAILED
} ctl_selftest_result;

/**
 * Publish a message of one minute for application CTL_SELFTEST_APP, to this
 * user and device, and read the queue until it is there. It is taken out again
 * where nothing else waits. Blocks for as long as the requests may take.
 * @param publish   URL of the publish handler
 * @param first     the answer to a poll before, from where to look
 * @param out_text  what came of it, one sentence, to be freed
 */
ctl_selftest_result ctl_selftest(const ctl_login *login, const char *publish,
                                 const ctl_probe *first, char **out_text);

/** The URL of the publish handler, where the poll handler's ends with "/poll"
 *  and it lies beside it. To be freed; NULL: it does not. */
char *ctl_selftest_publish_url(const char *url);

#endif

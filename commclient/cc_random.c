/* SPDX-License-Identifier: Apache-2.0
 * cc_random.c - random numbers that nobody can guess.
 */
#include "cc_compat.h"
#include "cc_random.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

void cc_random_fill(void *out, size_t len)
{
    ssize_t n;

    do
        n = getrandom(out, len, 0);
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return;
    fprintf(stderr, "commclient: no random numbers: %s\n", strerror(errno));
    abort();
}

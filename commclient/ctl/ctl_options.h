/* SPDX-License-Identifier: Apache-2.0
 * ctl_options.h - the options of a verb, as a table that says where each goes.
 */
#ifndef CTL_OPTIONS_H
#define CTL_OPTIONS_H

#include "ctl.h"

#include <getopt.h>

/* One of text, flag and take is not NULL. */
typedef struct ctl_option {
    const char *name;  /* the long form; NULL: end of the table              */
    char letter;       /* the short form; 0: it has none                     */
    const char **text; /* its argument goes here, it lives as long as argv   */
    int *flag;         /* it has no argument, this becomes 1                 */
    /** Its argument goes here. @return 0: not right, after a complaint. */
    int (*take)(void *baton, const char *argument);
} ctl_option;

#define CTL_TEXT(name, letter, text)                                                     \
    {                                                                                    \
        name, letter, text, NULL, NULL                                                   \
    }
#define CTL_FLAG(name, letter, flag)                                                     \
    {                                                                                    \
        name, letter, NULL, flag, NULL                                                   \
    }
#define CTL_TAKE(name, letter, take)                                                     \
    {                                                                                    \
        name, letter, NULL, NULL, take                                                   \
    }
#define CTL_OPTIONS_END                                                                  \
    {                                                                                    \
        NULL, 0, NULL, NULL, NULL                                                        \
    }

#define CTL_OPTIONS_MAX 24 /* in one table                                     */

/**
 * Read the options; each verb knows -h and --help besides its table. What is
 * left begins at argv[optind].
 * @param baton       for take
 * @param out_status  how to end, where 0 is returned
 * @return 1; 0: help or usage was printed, the verb is done.
 */
int ctl_options_read(const ctl_verb *verb, int argc, char **argv, const ctl_option *known,
                     void *baton, int *out_status);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * main.c - commclient: find the verb and run it.
 */
#include "cc_compat.h"
#include "ctl/ctl.h"

#include <stdio.h>
#include <string.h>

static const ctl_verb *const verbs[] = { &ctl_setup, &ctl_run,       &ctl_listen,
                                         &ctl_ack,   &ctl_send_verb, &ctl_status,
                                         &ctl_apps,  &ctl_dead,      &ctl_check };

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static void print_overview(FILE *out)
{
    size_t i;

    fputs("usage: commclient VERB ...\n\n", out);
    for (i = 0; i < VERB_COUNT; i++)
        fprintf(out, "  %-7s %.*s\n", verbs[i]->name,
                (int)strcspn(verbs[i]->help, ":.\n"), verbs[i]->help);
    fputs("\n'commclient VERB --help' says more; 'commclient --version' says which one\n"
          "this is.\n",
          out);
}

int main(int argc, char **argv)
{
    size_t i;

    if (argc < 2) {
        print_overview(stderr);
        return CTL_USAGE;
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0
        || strcmp(argv[1], "help") == 0) {
        print_overview(stdout);
        return CTL_OK;
    }
    if (strcmp(argv[1], "--version") == 0) {
        puts("commclient " PACKAGE_VERSION);
        return CTL_OK;
    }
    for (i = 0; i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i]->name) == 0)
            return verbs[i]->run(verbs[i], argc - 1, argv + 1);
    }
    ctl_complain("'%s' is not a verb", argv[1]);
    print_overview(stderr);
    return CTL_USAGE;
}

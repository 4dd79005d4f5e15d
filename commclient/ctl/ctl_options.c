/* SPDX-License-Identifier: Apache-2.0
 * ctl_options.c - the options of a verb, by getopt_long.
 */
#include "cc_compat.h"
#include "ctl_options.h"

#include <string.h>

#define HELP 256 /* what getopt_long returns for --help; then the table's */

/* What getopt_long wants to know. */
typedef struct forms {
    struct option names[CTL_OPTIONS_MAX + 2];
    char letters[2 * CTL_OPTIONS_MAX + 2];
} forms;

static void add_form(forms *out, int index, const ctl_option *option)
{
    int with_argument = option->flag == NULL;
    struct option name = { option->name, with_argument ? required_argument : no_argument,
                           NULL, HELP + 1 + index };
    size_t len = strlen(out->letters);

    out->names[index] = name;
    if (option->letter == 0)
        return;
    out->letters[len++] = option->letter;
    if (with_argument)
        out->letters[len] = ':';
}

static void make_forms(const ctl_option *known, forms *out)
{
    struct option help = { "help", no_argument, NULL, HELP };
    int i;

    memset(out, 0, sizeof(*out));
    for (i = 0; known[i].name != NULL; i++)
        add_form(out, i, &known[i]);
    out->names[i] = help;
    strcat(out->letters, "h");
}

static const ctl_option *find_option(const ctl_option *known, int c)
{
    if (c > HELP)
        return &known[c - HELP - 1];
    while (known->name != NULL && known->letter != c)
        known++;
    return known->name != NULL ? known : NULL;
}

static int put_option(const ctl_option *option, void *baton)
{
    if (option == NULL)
        return 0;
    if (option->take != NULL)
        return option->take(baton, optarg);
    if (option->text != NULL)
        *option->text = optarg;
    else
        *option->flag = 1;
    return 1;
}

int ctl_options_read(const ctl_verb *verb, int argc, char **argv, const ctl_option *known,
                     void *baton, int *out_status)
{
    forms all;
    int c;

    make_forms(known, &all);
    argv[0] = (char *)"commclient"; /* getopt_long complains in that name */
    while ((c = getopt_long(argc, argv, all.letters, all.names, NULL)) != -1) {
        if (c == HELP || c == 'h') {
            *out_status = ctl_print_help(verb);
            return 0;
        }
        if (!put_option(find_option(known, c), baton)) {
            *out_status = ctl_print_usage(verb);
            return 0;
        }
    }
    return 1;
}

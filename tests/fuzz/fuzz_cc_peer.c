/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cc_peer.c - the local socket: any lines of several applications, with
 * what servers send in between.
 *
 * The input is lines, of which the first character says what they are:
 *
 *   0 1 2 3   a line of this application, as it is
 *   a b c d   the same without its line feed
 *   A B C D   this application closes its side
 *   S         a batch of a server
 *   P p ~     a server takes the next message of the spool, refuses it, or not yet
 *   Z         the clock goes on, by as many hours as there are bytes behind
 *   R         the agent ends and begins anew
 *   K         what is collected is committed
 */
#include "cc_fuzz_agent.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STEPS_MAX 200 /* lines of an input that count                         */
#define HOUR      3600000

const unsigned fuzz_rounds = 30;

static const char *inbox_path;
static cc_buffer empty_inbox; /* the file of one                              */

static void remove_inbox(void)
{
    static const char *const parts[] = { "inbox.db", "inbox.db-wal", "inbox.db-shm" };
    size_t i;

    for (i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        unlink(cc_fuzz_path(parts[i]));
}

/* To make the tables takes longer than most inputs. */
static void make_inbox(void)
{
    cc_fuzz_quiet();
    inbox_path = cc_copy(cc_fuzz_path("inbox.db"));
    CC_FUZZ_CHECK(cc_fuzz_agent_start(inbox_path) == CC_OK, "no new inbox");
    cc_fuzz_agent_stop();
    cc_fuzz_read(inbox_path, &empty_inbox);
}

static void say(unsigned peer, cc_slice rest, int is_whole)
{
    char *line = cc_alloc(rest.len + 1);

    if (rest.len > 0)
        memcpy(line, rest.data, rest.len);
    line[rest.len] = '\n';
    if (rest.len >= 7 && memmem(line, rest.len, "retry", 5) != NULL)
        cc_fuzz_agent_forget_acknowledged();
    cc_fuzz_agent_say(peer, line, rest.len + (size_t)is_whole);
    free(line);
}

static void start_again(void)
{
    cc_fuzz_agent_stop();
    CC_FUZZ_CHECK(cc_fuzz_agent_start(inbox_path) == CC_OK,
                  "the inbox cannot be opened again");
}

static void commit(void)
{
    cc_dispatch_commit(cc_fuzz_agent_now.dispatch);
    cc_outbox_commit(cc_fuzz_agent_now.outbox);
    cc_fuzz_agent_turn();
}

static void do_step(char what, cc_slice rest)
{
    if (what >= '0' && what <= '3')
        say((unsigned)(what - '0'), rest, 1);
    else if (what >= 'a' && what <= 'd')
        say((unsigned)(what - 'a'), rest, 0);
    else if (what >= 'A' && what <= 'D')
        cc_fuzz_agent_hang_up((unsigned)(what - 'A'));
    else if (what == 'S')
        cc_fuzz_agent_receive(rest.data, rest.len);
    else if (what == 'P' || what == 'p' || what == '~')
        cc_fuzz_agent_publish(what == 'P' ? 0 : what == 'p' ? 1 : 2);
    else if (what == 'Z')
        cc_fuzz_agent_sleep((int64_t)rest.len * HOUR);
    else if (what == 'R')
        start_again();
    else if (what == 'K')
        commit();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    cc_slice line, rest;
    int steps = 0;

    if (inbox_path == NULL)
        make_inbox();
    remove_inbox();
    cc_fuzz_write("inbox.db", empty_inbox.data, empty_inbox.len);
    cc_fuzz_agent_forget_acknowledged();
    CC_FUZZ_CHECK(cc_fuzz_agent_start(inbox_path) == CC_OK, "no inbox");
    while (steps++ < STEPS_MAX && cc_fuzz_line(&input, &line)) {
        if (line.len == 0)
            continue;
        rest.data = line.data + 1;
        rest.len = line.len - 1;
        do_step(line.data[0], rest);
    }
    cc_fuzz_agent_stop();
    return 0;
}

/* SPDX-License-Identifier: Apache-2.0
 * uplink.c - an agent that publishes to a scripted server; see uplink.h.
 */
#include "uplink.h"

#include <stdlib.h>
#include <string.h>

uplink_parts uplink;
char *uplink_output;

const char *uplink_publish_url(const script_server *s)
{
    return support_text("http://127.0.0.1:%d/comm/publish", script_port(s));
}

void uplink_start_agent(const char *more)
{
    uplink.agent = agent_start(&(agent_options){
        .config = support_text(UPLINK_SECTION "%s", script_url(uplink.polls),
                               uplink_publish_url(uplink.server), more) });
    script_expect(uplink.polls);
    script_nothing(uplink.polls, "e-0");
    uplink.app = local_open(uplink.agent);
}

/* For an agent that stopped, or is told to read it again. */
void uplink_write_config(const char *of_agent, const char *sections)
{
    process_write_file(agent_config(uplink.agent),
                       support_text("[agent]\nsocket = %s\ninbox = %s/inbox.db\n%s%s",
                                    agent_socket(uplink.agent),
                                    agent_directory(uplink.agent), of_agent, sections));
}

void uplink_set_up_servers(void)
{
    uplink.polls = script_start();
    uplink.server = script_start();
}

void uplink_set_up(void)
{
    uplink_set_up_servers();
    uplink_start_agent("");
}

void uplink_tear_down(void)
{
    if (uplink.app)
        local_close(uplink.app);
    agent_end(uplink.agent);
    if (uplink.polls)
        script_end(uplink.polls);
    if (uplink.server)
        script_end(uplink.server);
    memset(&uplink, 0, sizeof uplink);
    free(uplink_output);
    uplink_output = NULL;
}

void uplink_publish(const char *members)
{
    local_send(uplink.app, support_text("{\"publish\":{%s}}", members));
}

/* The next line is {"WHAT":{...}}; its member. */
const char *uplink_read_line(const char *what, const char *member)
{
    const char *line = local_read(uplink.app);
    const char *value = support_json(line, what);

    ck_assert_msg(value != NULL, "'%s' does not come, but %s", what, line);
    value = support_json(line, support_text("%s.%s", what, member));
    return value ? value : "";
}

/* Publish and wait until it is on the disk. Returns its key. */
const char *uplink_spool(const char *members)
{
    uplink_publish(members);
    return uplink_read_line("spooled", "key");
}

const char *uplink_sent_key(void)
{
    const char *key = script_header(uplink.server, "Idempotency-Key");

    ck_assert_ptr_nonnull(key);
    ck_assert_uint_eq(strlen(key), 34);
    ck_assert(key[0] == '"' && key[33] == '"');
    return support_text("%.32s", key + 1);
}

void uplink_take(void)
{
    script_answer(uplink.server, "201 Created", "Content-Type: application/json\r\n",
                  UPLINK_TAKEN);
}

void uplink_refuse(const char *status, const char *headers, const char *type)
{
    script_answer(uplink.server, status,
                  support_text("Content-Type: application/problem+json\r\n%s", headers),
                  support_text("{\"type\":\"%s\",\"detail\":\"as told\"}", type));
}

const char *uplink_status(const char *path)
{
    local_app *asking = local_open(uplink.agent);
    const char *value;

    local_send(asking, "{\"status\":true}");
    value = support_json(local_read(asking), support_text("status.%s", path));
    local_close(asking);
    return value ? value : "";
}

void uplink_spool_number(int number)
{
    uplink_spool(support_text("\"app\":\"orders\",\"to\":\"bob\",\"data\":%d", number));
}

int uplink_run_send(const char *input, const char *const *words)
{
    const char *argv[24] = { support_build_path("commclient/commclient"), "send",
                             "--socket", agent_socket(uplink.agent) };
    process_result result;
    int n = 4;

    while (n < 23 && *words)
        argv[n++] = *words++;
    argv[n] = NULL;
    result = process_run(&(process_options){ .argv = argv, .input = input });
    free(uplink_output);
    uplink_output = result.output;
    return result.status;
}

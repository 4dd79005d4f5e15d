/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cl_line.c - libcommclient: what an agent may say, and what is said to it.
 *
 * The first byte says which. A line of the agent is read: texts end, data is as
 * long as it says. Anything as data, type and name of a publication becomes one
 * line, which is JSON and has the data in it.
 */
#include "cc_fuzz.h"
#include "cc_json.h"
#include "cl_event.h"
#include "cl_publication.h"

#include <string.h>

/* Of a string that may be there all bytes can be read. */
static size_t look_at(const char *text)
{
    return text != NULL ? strlen(text) : 0;
}

static void check_event(const commclient_event *event, const cc_buffer *memory)
{
    CC_FUZZ_CHECK(event->id != NULL, "an event without an id");
    CC_FUZZ_CHECK(look_at(event->id) + look_at(event->app) + look_at(event->server)
                          + look_at(event->from) + look_at(event->type)
                          + look_at(event->time) + look_at(event->expires)
                          + look_at(event->topic) + look_at(event->urgency)
                      < memory->len,
                  "texts are longer than the memory that they are in");
    if (event->kind != COMMCLIENT_MESSAGE)
        return;
    CC_FUZZ_CHECK(event->data != NULL && event->data[event->length] == '\0',
                  "data does not end");
    CC_FUZZ_CHECK(event->data >= memory->data
                      && event->data + event->length < memory->data + memory->len,
                  "data is elsewhere");
}

static void read_line(cc_slice text, cc_buffer *memory)
{
    commclient_event event;
    cl_line line;

    if (!cl_line_read(text, &line))
        return;
    CC_FUZZ_CHECK(look_at(line.id) < CL_SHORT && look_at(line.ref) < CL_SHORT
                      && look_at(line.state) < CL_SHORT && look_at(line.code) < CL_SHORT
                      && look_at(line.text) < sizeof(line.text),
                  "a text does not end");
    if (line.kind == CL_LINE_MESSAGE
        && cl_event_read(line.value, COMMCLIENT_MESSAGE, memory, &event))
        check_event(&event, memory);
    if (line.kind == CL_LINE_GAP
        && cl_event_read(line.value, COMMCLIENT_GAP, memory, &event))
        check_event(&event, memory);
}

/* What the agent would read. */
static void check_publication(const cc_buffer *line)
{
    cc_json json;

    cc_json_init(&json, line->data, line->len);
    CC_FUZZ_CHECK(cc_json_skip(&json, NULL, NULL) == CC_OK
                      && cc_json_finish(&json) == CC_OK,
                  "a publication is no JSON");
    CC_FUZZ_CHECK(strlen(line->data) == line->len && strchr(line->data, '\n') == NULL,
                  "a publication is no line");
}

static void write_publication(fuzz_input *input)
{
    static const char *const types[] = { NULL, "application/json", "a/b+json; x",
                                         "text/plain" };
    commclient_publication p = COMMCLIENT_PUBLICATION_INIT;
    cc_buffer line = { NULL, 0, 0 };
    char *name = fuzz_take_string(input);
    const char *to[] = { name, "bob" };
    int status;

    p.type = types[fuzz_take_byte(input) & 3];
    p.to = to;
    p.to_count = 1 + (fuzz_take_byte(input) & 1);
    p.topic = name;
    p.data = input->data;
    p.length = input->left;
    status = cl_publication_write(&p, "orders", "ref", &line);
    CC_FUZZ_CHECK(status == COMMCLIENT_OK || status == COMMCLIENT_BAD_DATA, "a status");
    if (status == COMMCLIENT_OK)
        check_publication(&line);
    cc_buffer_clear(&line);
    free(name);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    cc_buffer memory = { NULL, 0, 0 };
    char *text;

    if (fuzz_take_byte(&input) == 'p') {
        write_publication(&input);
        return 0;
    }
    text = cc_copy_bytes((const char *)input.data, input.left);
    read_line((cc_slice){ text, input.left }, &memory);
    free(text);
    cc_buffer_clear(&memory);
    return 0;
}

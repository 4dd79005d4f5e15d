/* SPDX-License-Identifier: Apache-2.0
 * fuzz_cs_head.c - where a request's head and its chunked body end, however
 * the bytes come in.
 *
 * Input: how many steps, the steps' lengths, then the bytes.
 */
#include "cs_chunks.h"
#include "cs_head.h"

#include "fuzz.h"

#define STEPS_MAX 8

typedef struct steps {
    size_t lengths[STEPS_MAX]; /* used again from the front                  */
    size_t n;
} steps;

static steps take_steps(fuzz_input *input)
{
    steps s;
    size_t i;

    s.n = 1 + fuzz_take_byte(input) % STEPS_MAX;
    for (i = 0; i < s.n; i++) {
        s.lengths[i] = 1 + fuzz_take_byte(input);
    }
    return s;
}

static size_t next_have(const steps *s, size_t step, size_t have, size_t len)
{
    size_t more = s->lengths[step % s->n];

    return more < len - have ? have + more : len;
}

/* As an event thread does: what was seen is looked at again from 3 back. */
static size_t head_in_steps(const char *data, size_t len, const steps *s)
{
    size_t have = 0, seen = 0, length = 0, step = 0;

    while (have < len && length == 0) {
        have = next_have(s, step++, have, len);
        length = cs_head_length(data, have, seen > 3 ? seen - 3 : 0);
        seen = have;
    }
    return length;
}

static void check_head(const char *data, size_t len, const steps *s)
{
    size_t whole = cs_head_length(data, len, 0);

    FUZZ_CHECK(whole <= len);
    FUZZ_CHECK(whole == head_in_steps(data, len, s));
    if (whole > 0) {
        FUZZ_CHECK(data[whole - 1] == '\n');
        FUZZ_CHECK(cs_head_length(data, whole, 0) == whole);
        FUZZ_CHECK(cs_head_length(data, whole - 1, 0) == 0);
    }
}

static cs_chunks_result chunks_in_steps(const char *data, size_t len, const steps *s,
                                        size_t *out_end)
{
    cs_chunks chunks = { 0 };
    cs_chunks_result result = CS_CHUNKS_MORE;
    size_t have = 0, step = 0;

    while (have < len && result == CS_CHUNKS_MORE) {
        have = next_have(s, step++, have, len);
        result = cs_chunks_scan(&chunks, data, have);
        FUZZ_CHECK(chunks.scanned <= have);
        FUZZ_CHECK(result != CS_CHUNKS_MORE || chunks.scanned == have);
    }
    *out_end = chunks.scanned;
    return result;
}

static void check_chunks(const char *data, size_t len, const steps *s)
{
    static const steps at_once = { { (size_t)-1 }, 1 };
    size_t end_at_once, end;
    cs_chunks_result result = chunks_in_steps(data, len, &at_once, &end_at_once);

    FUZZ_CHECK(chunks_in_steps(data, len, s, &end) == result);
    FUZZ_CHECK(end == end_at_once);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    steps s = take_steps(&input);
    size_t len, head;
    char *bytes = (char *)fuzz_take_bytes(&input, input.left, &len);

    check_head(bytes, len, &s);
    head = cs_head_length(bytes, len, 0);
    check_chunks(bytes + head, len - head, &s);
    free(bytes);
    return 0;
}

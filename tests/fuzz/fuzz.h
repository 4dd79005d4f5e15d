/* SPDX-License-Identifier: Apache-2.0
 * fuzz.h - what fuzz targets share.
 *
 * A target is one file, fuzz_NAME.c, with LLVMFuzzerTestOneInput(). It is
 * linked with libFuzzer by `make check-fuzz` and with fuzz_replay.c, which
 * runs seeds/NAME and mutations of it, by `make check`. A target finds a fault
 * by crashing, by a sanitizer, by taking too long, or by FUZZ_CHECK().
 *
 * An input is read from its front with the fuzz_take functions; behind its end
 * they give zeros and empty strings, so that every input is one.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** A target may have it: how many mutations of a seed fuzz_replay.c tries,
 *  unless FUZZ_ROUNDS says. */
extern const unsigned fuzz_rounds;

/** What must hold for every input; where it does not, the target ends. */
#define FUZZ_CHECK(holds)                                                                \
    do {                                                                                 \
        if (!(holds)) {                                                                  \
            fprintf(stderr, "%s:%d: does not hold: %s\n", __FILE__, __LINE__, #holds);   \
            abort();                                                                     \
        }                                                                                \
    } while (0)

typedef struct fuzz_input {
    const uint8_t *data;
    size_t left;
} fuzz_input;

static inline uint8_t fuzz_take_byte(fuzz_input *input)
{
    if (input->left == 0) {
        return 0;
    }
    input->left--;
    return *input->data++;
}

/** Of `bytes` bytes, little end first. */
static inline uint64_t fuzz_take_number(fuzz_input *input, int bytes)
{
    uint64_t number = 0;
    int i;

    for (i = 0; i < bytes; i++) {
        number |= (uint64_t)fuzz_take_byte(input) << (8 * i);
    }
    return number;
}

/** Up to `len` bytes. @return with malloc, exactly as long as they are, so that
 *  a sanitizer sees who reads behind them; the caller frees */
static inline uint8_t *fuzz_take_bytes(fuzz_input *input, size_t len, size_t *out_len)
{
    uint8_t *copy;

    *out_len = len < input->left ? len : input->left;
    copy = calloc(1, *out_len + (*out_len == 0));
    if (copy == NULL) {
        abort();
    }
    if (*out_len > 0) {
        memcpy(copy, input->data, *out_len);
    }
    input->data += *out_len;
    input->left -= *out_len;
    return copy;
}

/** What stands before the next NUL byte, or all of the rest. @return a string,
 *  with malloc, as fuzz_take_bytes(); the caller frees */
static inline char *fuzz_take_string(fuzz_input *input)
{
    const uint8_t *end = input->left > 0 ? memchr(input->data, 0, input->left) : NULL;
    size_t len = end != NULL ? (size_t)(end - input->data) : input->left;
    char *copy = malloc(len + 1);

    if (copy == NULL) {
        abort();
    }
    if (len > 0) {
        memcpy(copy, input->data, len);
    }
    copy[len] = '\0';
    input->data += len + (end != NULL);
    input->left -= len + (end != NULL);
    return copy;
}

#endif

/* SPDX-License-Identifier: Apache-2.0
 * mutation.h - requests that are nearly right, drawn from a seed: the handlers'
 * own, with fields that are odd, long, given twice or of a wrong length, and
 * then bytes that are flipped, cut out, doubled or cut off.
 */
#ifndef MUTATION_H
#define MUTATION_H

#include <stddef.h>

#define MUTATION_SIZE 400000 /* bytes that one text has at most              */

/** The next number of a sequence. @return 0 to below - 1 */
unsigned mutation_draw(unsigned *state, unsigned below);

/**
 * Write requests as they go over the wire, 1 to 6 in a row.
 * @param out     MUTATION_SIZE bytes; may hold any byte, NUL as well
 * @param state   of the sequence; the same state writes the same
 * @return bytes written
 */
size_t mutation_write(char *out, unsigned *state);

#endif

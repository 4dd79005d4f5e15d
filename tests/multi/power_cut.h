/* SPDX-License-Identifier: Apache-2.0
 * power_cut.h - what a disk may hold when the power fails in the middle.
 *
 * What was synced is there. Of what was written since, each write is there or not,
 * or up to some sector, by chance. Names of files (made, renamed, removed) come
 * onto the disk in their order, up to some one of them, at least those before the
 * last sync of the directory.
 */
#ifndef POWER_CUT_H
#define POWER_CUT_H

#include "call_steps.h"

typedef struct power_disk power_disk;

/** Keep what a directory holds now, all of it synced. */
power_disk *power_disk_read(const char *directory);
void power_disk_free(power_disk *disk);

/**
 * Put into the directory, which is emptied, what is on the disk after the first
 * `count` changes.
 * @param seed  of the chance
 */
void power_cut(const power_disk *disk, const step_log *log, size_t count, unsigned seed,
               const char *directory);

/** Remove all files of a directory. */
void power_empty(const char *directory);

#endif

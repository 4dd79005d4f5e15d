/* SPDX-License-Identifier: Apache-2.0
 * csq_holders.c - which processes hold the server lock.
 *
 * The kernel does not tell who holds an open-file-description lock, but
 * /proc/PID/fdinfo shows the locks of a descriptor.
 */
#include "cs_compat.h"
#include "csq_private.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

/* "lock:\t1: OFDLCK ADVISORY  WRITE -1 08:01:1234 0 0" */
static int holds_server_byte(const char *info)
{
    char line[256];
    char mode[16];
    long long first;
    long long last;
    int found = 0;
    FILE *file = fopen(info, "re");

    while (file && !found && fgets(line, sizeof line, file))
        found = sscanf(line, "lock: %*d: OFDLCK %*s %15s %*s %*s %lld %lld", mode, &first,
                       &last)
                    == 3
                && strcmp(mode, "WRITE") == 0 && first == CSQ_BYTE_SERVER
                && last == CSQ_BYTE_SERVER;
    if (file)
        fclose(file);
    return found;
}

static int process_holds(const char *process, const struct stat *lock)
{
    char path[600];
    struct dirent *entry;
    struct stat info;
    int found = 0;
    DIR *folder;

    snprintf(path, sizeof path, "/proc/%.16s/fd", process);
    folder = opendir(path);
    while (folder && !found && (entry = readdir(folder)) != NULL) {
        snprintf(path, sizeof path, "/proc/%.16s/fd/%s", process, entry->d_name);
        if (stat(path, &info) != 0 || info.st_ino != lock->st_ino
            || info.st_dev != lock->st_dev)
            continue;
        snprintf(path, sizeof path, "/proc/%.16s/fdinfo/%s", process, entry->d_name);
        found = holds_server_byte(path);
    }
    if (folder)
        closedir(folder);
    return found;
}

int csq_holders(const char *path, apr_uint32_t *out_processes, int max)
{
    char lock[4096];
    struct stat info;
    struct dirent *entry;
    int n = 0;
    DIR *proc;

    snprintf(lock, sizeof lock, "%s.lock", path);
    if (stat(lock, &info) != 0)
        return 0;
    proc = opendir("/proc");
    while (proc && (entry = readdir(proc)) != NULL) {
        long id = strtol(entry->d_name, NULL, 10);

        if (id <= 0 || !process_holds(entry->d_name, &info))
            continue;
        if (n < max)
            out_processes[n] = (apr_uint32_t)id;
        n++;
    }
    if (proc)
        closedir(proc);
    return n;
}

/* SPDX-License-Identifier: Apache-2.0
 * cc_fuzz.c - what the fuzz targets of the agent share.
 */
#include "cc_compat.h"
#include "cc_fuzz.h"
#include "cc_log.h"
#include "cc_utf8.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char directory[128];
static pid_t owner;

void cc_fuzz_fail(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static void remove_directory(void)
{
    if (getpid() != owner)
        return;
    cc_fuzz_clean();
    rmdir(directory);
}

const char *cc_fuzz_directory(void)
{
    if (directory[0] != '\0')
        return directory;
    snprintf(directory, sizeof(directory), "%s/cc_fuzz-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CC_FUZZ_CHECK(mkdtemp(directory) != NULL, "no temporary directory");
    owner = getpid();
    atexit(remove_directory);
    return directory;
}

const char *cc_fuzz_path(const char *name)
{
    static char paths[4][256];
    static unsigned next;
    char *path = paths[next++ % 4];

    snprintf(path, sizeof(paths[0]), "%s/%s", cc_fuzz_directory(), name);
    return path;
}

const char *cc_fuzz_write(const char *name, const void *data, size_t len)
{
    const char *path = cc_fuzz_path(name);
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    CC_FUZZ_CHECK(descriptor >= 0, "no temporary file");
    CC_FUZZ_CHECK(write(descriptor, data, len) == (ssize_t)len,
                  "temporary file too short");
    close(descriptor);
    return path;
}

void cc_fuzz_read(const char *path, cc_buffer *out)
{
    static char step[65536];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;

    CC_FUZZ_CHECK(descriptor >= 0, "a file is not there");
    while ((n = read(descriptor, step, sizeof(step))) > 0)
        cc_buffer_add(out, step, (size_t)n);
    close(descriptor);
}

void cc_fuzz_clean(void)
{
    DIR *files = opendir(cc_fuzz_directory());
    struct dirent *entry;

    if (files == NULL)
        return;
    while ((entry = readdir(files)) != NULL) {
        if (entry->d_name[0] != '.')
            unlinkat(dirfd(files), entry->d_name, 0);
    }
    closedir(files);
}

void cc_fuzz_quiet(void)
{
    cc_log_level_set((cc_log_level)0);
}

int cc_fuzz_line(fuzz_input *input, cc_slice *out_line)
{
    const uint8_t *end;

    if (input->left == 0)
        return 0;
    end = memchr(input->data, '\n', input->left);
    out_line->data = (const char *)input->data;
    out_line->len = end != NULL ? (size_t)(end - input->data) : input->left;
    input->data += out_line->len + (end != NULL);
    input->left -= out_line->len + (end != NULL);
    return 1;
}

int cc_fuzz_is_raw(const char *data, size_t len)
{
    const char *end = data + len;

    while (data < end) {
        size_t n = cc_utf8_length(data, end);
        unsigned char c = (unsigned char)*data;

        if (n == 0 || (c < 0x20 && c != '\n' && c != '\t') || c == 0x7f
            || (c == 0xc2 && (unsigned char)data[1] < 0xa0))
            return 1;
        data += n;
    }
    return 0;
}

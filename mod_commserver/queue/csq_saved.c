/* SPDX-License-Identifier: Apache-2.0
 * csq_saved.c - write and read the records of a saved state, whatever is in
 * them. What is read is input: every length is checked against the file.
 */
#include "cs_compat.h"
#include "csq_saved.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define BUFFER_BYTES ((size_t)256 * 1024)
#define FILE_HEAD    12 /* magic and version                           */
#define POLYNOMIAL   0x82f63b78u

/* ---- CRC-32C, eight bytes at a time -------------------------------------- */

static uint32_t table[8][256];
static pthread_once_t table_made = PTHREAD_ONCE_INIT;

static void make_table(void)
{
    uint32_t i, j, crc;

    for (i = 0; i < 256; i++) {
        crc = i;
        for (j = 0; j < 8; j++)
            crc = crc >> 1 ^ (crc & 1 ? POLYNOMIAL : 0);
        table[0][i] = crc;
    }
    for (i = 0; i < 256; i++)
        for (j = 1; j < 8; j++)
            table[j][i] = table[j - 1][i] >> 8 ^ table[0][table[j - 1][i] & 0xff];
}

static uint32_t load(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16
           | (uint32_t)at[3] << 24;
}

static uint32_t checksum(uint32_t crc, const void *data, size_t len)
{
    const unsigned char *at = data;
    uint32_t low, high;

    crc = ~crc;
    for (; len >= 8; at += 8, len -= 8) {
        low = load(at) ^ crc;
        high = load(at + 4);
        crc = table[7][low & 0xff] ^ table[6][low >> 8 & 0xff]
              ^ table[5][low >> 16 & 0xff] ^ table[4][low >> 24] ^ table[3][high & 0xff]
              ^ table[2][high >> 8 & 0xff] ^ table[1][high >> 16 & 0xff]
              ^ table[0][high >> 24];
    }
    for (; len > 0; at++, len--)
        crc = table[0][(crc ^ *at) & 0xff] ^ crc >> 8;
    return ~crc;
}

static void store(char *at, uint64_t value, int bytes)
{
    int i;

    for (i = 0; i < bytes; i++)
        at[i] = (char)(value >> (8 * i));
}

/* ---- writing ------------------------------------------------------------- */

static void fail(csq_writer *w, apr_status_t status)
{
    if (w->status == APR_SUCCESS)
        w->status = status;
}

static void write_all(csq_writer *w, const char *data, size_t len)
{
    ssize_t n;

    while (len > 0 && w->status == APR_SUCCESS) {
        n = write(w->fd, data, len);
        if (n < 0 && errno != EINTR)
            fail(w, errno);
        if (n > 0) {
            data += n;
            len -= (size_t)n;
        }
    }
}

static void put(csq_writer *w, const char *data, size_t len)
{
    if (w->used + len > BUFFER_BYTES) {
        write_all(w, w->buffer, w->used);
        w->used = 0;
    }
    if (len > BUFFER_BYTES)
        write_all(w, data, len);
    else {
        memcpy(w->buffer + w->used, data, len);
        w->used += len;
    }
}

void csq_writer_open(csq_writer *w, const char *path)
{
    char head[FILE_HEAD] = CSQ_SAVED_MAGIC;

    pthread_once(&table_made, make_table);
    memset(w, 0, sizeof *w);
    w->buffer = malloc(BUFFER_BYTES);
    w->fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (w->fd < 0)
        fail(w, errno);
    if (!w->buffer)
        fail(w, APR_ENOMEM);
    if (w->status != APR_SUCCESS)
        return;
    store(head + 8, CSQ_SAVED_VERSION, 4);
    w->crc = checksum(0, head, sizeof head);
    put(w, head, sizeof head);
}

char *csq_writer_space(csq_writer *w, size_t len)
{
    size_t room = w->room ? w->room : 1024;
    char *space;

    while (room - w->len < len)
        room *= 2;
    if (room != w->room) {
        space = realloc(w->record, room);
        if (!space) {
            fail(w, APR_ENOMEM);
            return NULL;
        }
        w->record = space;
        w->room = room;
    }
    space = w->record + w->len;
    w->len += len;
    return space;
}

void csq_writer_bytes(csq_writer *w, const void *data, size_t len)
{
    char *space = csq_writer_space(w, len);

    if (space && len)
        memcpy(space, data, len);
}

void csq_writer_number(csq_writer *w, uint64_t value, int bytes)
{
    char *space = csq_writer_space(w, (size_t)bytes);

    if (space)
        store(space, value, bytes);
}

void csq_writer_record(csq_writer *w, csq_record type)
{
    w->len = 0;
    csq_writer_number(w, 0, 8);
    csq_writer_number(w, type, 4);
}

void csq_writer_done(csq_writer *w)
{
    if (w->status != APR_SUCCESS)
        return;
    if (w->len - CSQ_SAVED_HEAD > UINT32_MAX) {
        fail(w, APR_EINVAL);
        return;
    }
    store(w->record + 4, w->len - CSQ_SAVED_HEAD, 4);
    w->crc = checksum(w->crc, w->record + 4, w->len - 4);
    store(w->record, w->crc, 4);
    put(w, w->record, w->len);
}

apr_status_t csq_writer_close(csq_writer *w)
{
    if (w->status == APR_SUCCESS)
        write_all(w, w->buffer, w->used);
    if (w->status == APR_SUCCESS && fsync(w->fd) != 0)
        fail(w, errno);
    if (w->fd >= 0 && close(w->fd) != 0)
        fail(w, errno);
    free(w->buffer);
    free(w->record);
    return w->status;
}

/* ---- reading ------------------------------------------------------------- */

static apr_status_t fill(csq_reader *r)
{
    size_t want = r->room - r->have;
    ssize_t n;

    if (want > r->left)
        want = (size_t)r->left;
    while (want > 0) {
        n = read(r->fd, r->buffer + r->have, want);
        if (n < 0 && errno != EINTR)
            return errno;
        if (n == 0)
            return CSQ_DAMAGED;
        if (n > 0) {
            r->have += (size_t)n;
            r->left -= (uint64_t)n;
            want -= (size_t)n;
        }
    }
    return APR_SUCCESS;
}

/* Have `len` bytes in the buffer, from r->at on. */
static apr_status_t need(csq_reader *r, size_t len)
{
    char *larger;

    if (r->have - r->at >= len)
        return APR_SUCCESS;
    if (len - (r->have - r->at) > r->left)
        return CSQ_DAMAGED;
    memmove(r->buffer, r->buffer + r->at, r->have - r->at);
    r->have -= r->at;
    r->at = 0;
    if (len > r->room) {
        larger = realloc(r->buffer, len);
        if (!larger)
            return APR_ENOMEM;
        r->buffer = larger;
        r->room = len;
    }
    return fill(r);
}

apr_status_t csq_reader_next(csq_reader *r, csq_record *out_type)
{
    const unsigned char *head;
    uint32_t len;
    apr_status_t rv = need(r, CSQ_SAVED_HEAD);

    if (rv != APR_SUCCESS)
        return rv;
    len = load((unsigned char *)r->buffer + r->at + 4);
    rv = need(r, CSQ_SAVED_HEAD + (size_t)len);
    if (rv != APR_SUCCESS)
        return rv;
    head = (unsigned char *)r->buffer + r->at;
    r->crc = checksum(r->crc, head + 4, CSQ_SAVED_HEAD - 4 + (size_t)len);
    if (load(head) != r->crc || head[9] || head[10] || head[11])
        return CSQ_DAMAGED;
    *out_type = (csq_record)head[8];
    r->contents = (const char *)head + CSQ_SAVED_HEAD;
    r->len = len;
    r->position = 0;
    r->bad = 0;
    r->at += CSQ_SAVED_HEAD + (size_t)len;
    r->records++;
    return APR_SUCCESS;
}

const char *csq_reader_bytes(csq_reader *r, size_t len)
{
    const char *at = r->contents + r->position;

    if (r->bad || r->len - r->position < len) {
        r->bad = 1;
        return NULL;
    }
    r->position += len;
    return at;
}

uint64_t csq_reader_number(csq_reader *r, int bytes)
{
    const unsigned char *at = (const unsigned char *)csq_reader_bytes(r, (size_t)bytes);
    uint64_t value = 0;
    int i;

    for (i = 0; at && i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

int csq_reader_text(csq_reader *r, char *out, size_t len)
{
    const char *at = csq_reader_bytes(r, len);

    out[0] = '\0';
    if (!at)
        return 0;
    if (memchr(at, '\0', len)) {
        r->bad = 1;
        return 0;
    }
    memcpy(out, at, len);
    out[len] = '\0';
    return 1;
}

int csq_reader_complete(const csq_reader *r)
{
    return !r->bad && r->position == r->len;
}

/* ---- the begin ----------------------------------------------------------- */

static apr_status_t open_file(csq_reader *r, const char *path)
{
    struct stat info;

    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (r->fd < 0)
        return errno == ELOOP ? APR_EACCES : errno;
    if (fstat(r->fd, &info) != 0)
        return errno;
    if (!S_ISREG(info.st_mode) || (info.st_uid != geteuid() && info.st_uid != 0)
        || (info.st_mode & (S_IWGRP | S_IWOTH)))
        return APR_EACCES;
    r->left = (uint64_t)info.st_size;
    r->room = BUFFER_BYTES;
    r->buffer = malloc(r->room);
    return r->buffer ? APR_SUCCESS : APR_ENOMEM;
}

static apr_status_t read_head(csq_reader *r)
{
    apr_status_t rv = need(r, FILE_HEAD);

    if (rv != APR_SUCCESS)
        return rv;
    if (memcmp(r->buffer, CSQ_SAVED_MAGIC, 8) != 0)
        return CSQ_DAMAGED;
    if (load((unsigned char *)r->buffer + 8) != CSQ_SAVED_VERSION)
        return CSQ_LAYOUT;
    r->crc = checksum(0, r->buffer, FILE_HEAD);
    r->at = FILE_HEAD;
    return APR_SUCCESS;
}

static apr_status_t read_begin(csq_reader *r, csq_saved_begin *out)
{
    csq_record type;
    const char *id;
    uint64_t *numbers[] = { &out->secret[0],
                            &out->secret[1],
                            &out->epoch_secret,
                            &out->size,
                            NULL,
                            &out->repairs,
                            &out->published,
                            &out->handed_out,
                            &out->acknowledged,
                            &out->expired,
                            &out->dropped };
    apr_status_t rv = csq_reader_next(r, &type);
    size_t i;

    if (rv != APR_SUCCESS)
        return rv;
    id = csq_reader_bytes(r, CSQ_SAVED_ID);
    if (!id || type != CSQ_RECORD_BEGIN)
        return CSQ_DAMAGED;
    memcpy(out->id, id, CSQ_SAVED_ID);
    for (i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        uint64_t number = csq_reader_number(r, 8);

        if (numbers[i])
            *numbers[i] = number;
        else
            out->created = (int64_t)number;
    }
    for (i = 0; i < CSQ_COUNTERS; i++)
        out->counters[i] = csq_reader_number(r, 8);
    return csq_reader_complete(r) ? APR_SUCCESS : CSQ_DAMAGED;
}

apr_status_t csq_reader_open(csq_reader *r, const char *path, csq_saved_begin *out)
{
    apr_status_t rv;

    pthread_once(&table_made, make_table);
    memset(r, 0, sizeof *r);
    memset(out, 0, sizeof *out);
    rv = open_file(r, path);
    if (rv == APR_SUCCESS)
        rv = read_head(r);
    if (rv == APR_SUCCESS)
        rv = read_begin(r, out);
    if (rv != APR_SUCCESS)
        csq_reader_close(r);
    return rv;
}

void csq_reader_close(csq_reader *r)
{
    if (r->fd >= 0)
        close(r->fd);
    free(r->buffer);
    r->fd = -1;
    r->buffer = NULL;
}

/* SPDX-License-Identifier: Apache-2.0
 * csq_saved.h - the file of a saved state: records, each with a checksum.
 *
 *   [ magic 8 | version 4 | record | record | ... | END ]
 *   record: [ checksum 4 | length 4 | type 1 | zero 3 | length bytes ]
 *
 * Numbers are little-endian. A checksum (CRC-32C) goes over all of a record
 * behind it and starts from that of the record before, so that none can be
 * missing, doubled, moved or from another file. What a name is follows from
 * the order: GAP, MESSAGE, ENTRY and QUEUE_END belong to the QUEUE before them,
 * a QUEUE to the CLIENT before it, a MEMBER to the GROUP before it. Origins
 * and messages are numbered from 1 as they come, each before it is named.
 *
 * A queue is whole when its QUEUE_END was read. A file that breaks off is good
 * for all before that.
 *
 * The format does not follow csq_layout.h: a state outlives an upgrade. Change
 * anything below or in csq_save.c: raise CSQ_SAVED_VERSION.
 */
#ifndef CSQ_SAVED_H
#define CSQ_SAVED_H

#include "csq_private.h"

#define CSQ_SAVED_MAGIC   "CSQSAVED"
#define CSQ_SAVED_VERSION 1
#define CSQ_SAVED_HEAD    12 /* bytes of a record before its contents        */
#define CSQ_SAVED_ID      16

typedef enum csq_record {
    CSQ_RECORD_BEGIN = 1, /* id, secrets, size, numbers                      */
    CSQ_RECORD_GROUP,     /* realm, application, group                       */
    CSQ_RECORD_MEMBER,    /* client                                          */
    CSQ_RECORD_ORIGIN,    /* application, sender, type, realm                */
    CSQ_RECORD_REPEAT,
    CSQ_RECORD_RECEIPT,
    CSQ_RECORD_FATE,
    CSQ_RECORD_CLIENT, /* realm, client                                   */
    CSQ_RECORD_QUEUE,  /* a device of the client                          */
    CSQ_RECORD_GAP,
    CSQ_RECORD_MESSAGE,
    CSQ_RECORD_ENTRY, /* a message in the queue                          */
    CSQ_RECORD_QUEUE_END,
    CSQ_RECORD_END
} csq_record;

/* Marks of an ENTRY: CSQ_PASSED, CSQ_BEHIND. */
#define CSQ_SAVED_PASSED 1
#define CSQ_SAVED_BEHIND 2

/* Contents of BEGIN. */
typedef struct csq_saved_begin {
    uint8_t id[CSQ_SAVED_ID]; /* of this file: it is restored once           */
    uint64_t secret[2];
    uint64_t epoch_secret;
    uint64_t size; /* bytes of the segment                        */
    int64_t created;
    uint64_t repairs;
    uint64_t published;
    uint64_t handed_out;
    uint64_t acknowledged;
    uint64_t expired;
    uint64_t dropped;
    uint64_t counters[CSQ_COUNTERS];
} csq_saved_begin;

/* ---- writing ------------------------------------------------------------ */

/* The first failure is kept in `status`; the rest of the calls do nothing.   */
typedef struct csq_writer {
    int fd;
    apr_status_t status;
    uint32_t crc; /* of the record before                        */
    char *record; /* being made                                  */
    size_t room;
    size_t len;
    char *buffer; /* waits to be written                         */
    size_t used;
} csq_writer;

/** Make `path`, which must not exist, private to the user. */
void csq_writer_open(csq_writer *w, const char *path);
void csq_writer_record(csq_writer *w, csq_record type);
void csq_writer_number(csq_writer *w, uint64_t value, int bytes);
void csq_writer_bytes(csq_writer *w, const void *data, size_t len);
/** Room in the record for bytes that the caller writes. NULL: none. */
char *csq_writer_space(csq_writer *w, size_t len);
/** The record is complete. */
void csq_writer_done(csq_writer *w);
/** Write all, sync, close. @return the first failure */
apr_status_t csq_writer_close(csq_writer *w);

/* ---- reading ------------------------------------------------------------ */

typedef struct csq_reader {
    int fd;
    uint64_t left; /* bytes of the file not yet in the buffer     */
    uint32_t crc;
    uint64_t records; /* read so far                                 */
    char *buffer;
    size_t room;
    size_t have;
    size_t at;            /* behind the current record                   */
    const char *contents; /* of the current record                       */
    size_t len;
    size_t position;
    int bad; /* something was read beyond its end           */
} csq_reader;

/** Open a state and read its BEGIN.
 *  @return APR_SUCCESS; ENOENT; CSQ_LAYOUT: another version; CSQ_DAMAGED: it
 *          is not one, or its begin is damaged; APR_EACCES: not a file that
 *          only this user or root can have written; else APR's own. Closed
 *          unless APR_SUCCESS. */
apr_status_t csq_reader_open(csq_reader *r, const char *path, csq_saved_begin *out);
void csq_reader_close(csq_reader *r);
/** The next record. @return APR_SUCCESS; CSQ_DAMAGED: the file ends, or what
 *  follows cannot be believed; APR_ENOMEM; else APR's own. */
apr_status_t csq_reader_next(csq_reader *r, csq_record *out_type);
uint64_t csq_reader_number(csq_reader *r, int bytes);
/** NULL: there are not so many. */
const char *csq_reader_bytes(csq_reader *r, size_t len);
/** `len` bytes as a string. @return 0: too few, or a NUL among them */
int csq_reader_text(csq_reader *r, char *out, size_t len);
/** All was read, and no more. */
int csq_reader_complete(const csq_reader *r);

/* ---- csq_restore.c ------------------------------------------------------ */

/**
 * Read the rest of a state into a segment that nobody uses yet.
 * @param stale  clients may have seen more since: all epochs are new
 * @param out_problem  where the reading ended, in `pool`; NULL: at the end
 * @return APR_SUCCESS; CSQ_DAMAGED, CSQ_SEGMENT_FULL, else APR's own: what was
 *         read before is in it, and the segment is whole; APR_EGENERAL: the
 *         segment is not to be used
 */
apr_status_t csq_restore(csq *q, csq_reader *r, const csq_saved_begin *begin, int stale,
                         apr_pool_t *pool, const char **out_problem);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * cc_publication.h - the value of {"publish":{...}}: what an application wants
 * published. Pure.
 *
 * A payload of JSON is passed on as it is written, byte for byte: it is a slice
 * of the line. Text and base64 are decoded into bytes of its own.
 */
#ifndef CC_PUBLICATION_H
#define CC_PUBLICATION_H

#include "cc_compat.h"
#include "cc_command.h"
#include "cc_memory.h"
#include "cc_name.h"
#include "cc_status.h"

#define CC_REF_MAX      64         /* bytes                                  */
#define CC_TYPE_MAX     255        /* bytes of a Content-Type                */
#define CC_TOPIC_MAX    32         /* bytes, RFC 8030                        */
#define CC_URGENCY_MAX  8          /* bytes, "very-low"                      */
#define CC_TTL_MAX      2147483647 /* s                                      */
#define CC_RECEIVER_MAX 100        /* names in "to"                          */
#define CC_PLACE_MAX    7000       /* bytes: a request line has up to 8190   */
#define CC_KEY_BYTES    16         /* of randomness in an Idempotency-Key             */
#define CC_KEY_MAX      (2 * CC_KEY_BYTES) /* its text, hexadecimal              */

typedef struct cc_publication {
    char app[CC_APP_MAX + 1];       /* "": not given                         */
    char server[CC_SERVER_MAX + 1]; /* "": not given                         */
    char ref[CC_REF_MAX + 1];
    int has_ref;
    cc_buffer place;                  /* behind the application: "/bob",       */
                                      /* "?to=a&to=b", "/-/groups/g", "/-/all" */
    char type[CC_TYPE_MAX + 1];       /* Content-Type, "": none                */
    char topic[CC_TOPIC_MAX + 1];     /* "": none                              */
    char urgency[CC_URGENCY_MAX + 1]; /* "": none                           */
    int64_t ttl;                      /* s; -1: not given                   */
    int receipt;
    cc_slice body; /* in the line, or in `decoded`                        */
    cc_buffer decoded;
} cc_publication;

/**
 * Read and check the object.
 * @param out  to be cleared in any case; `ref` is set, if there is one that is
 *             right, also where something else is wrong
 * @return CC_ERROR_NONE or what is wrong.
 */
cc_command_error cc_publication_parse(cc_slice object, cc_publication *out);
void cc_publication_clear(cc_publication *publication);

/* What comes from the disk is checked again with these. */
int cc_publication_is_type(const char *type, size_t len);
int cc_publication_is_topic(const char *topic, size_t len);
int cc_publication_is_urgency(const char *urgency);
int cc_publication_is_place(const char *place, size_t len);

/** Where it is sent: `url` of the publish handler, which may have a query, with
 *  application and place in its path and query. */
void cc_publication_url(cc_buffer *out, const char *url, const char *app,
                        const char *place);

#endif

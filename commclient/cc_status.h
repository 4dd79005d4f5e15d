/* SPDX-License-Identifier: Apache-2.0
 * cc_status.h - every way in which a call of the agent can end.
 *
 * One table makes the enum and cc_status_text().
 */
#ifndef CC_STATUS_H
#define CC_STATUS_H

#define CC_STATUS_MAP(X)                                                                 \
    X(OK, "done")                                                                        \
    X(EMPTY, "there is nothing")                                                         \
    X(MALFORMED, "it is not well-formed")                                                \
    X(TOO_LARGE, "it is larger than allowed")                                            \
    X(TOO_DEEP, "it is nested too deeply")                                               \
    X(BAD_NAME, "the name is not allowed")                                               \
    X(BAD_CONFIG, "the configuration is not right")                                      \
    X(NOT_FOUND, "it does not exist")                                                    \
    X(DUPLICATE, "it is there already")                                                  \
    X(NOT_PERMITTED, "it is not permitted")                                              \
    X(IN_USE, "another process uses it")                                                 \
    X(DAMAGED, "the file is damaged")                                                    \
    X(NEWER, "the file was made by a newer version")                                     \
    X(STORAGE, "the inbox cannot be read or written")                                    \
    X(SYSTEM, "the operating system refused")                                            \
    X(CLOSED, "the other side has closed the connection")

typedef enum {
#define CC_STATUS_ENUM(name, text) CC_##name,
    CC_STATUS_MAP(CC_STATUS_ENUM)
#undef CC_STATUS_ENUM
        CC_STATUS_COUNT
} cc_status;

/** The text of a status; never NULL. */
const char *cc_status_text(cc_status status);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * cc_command.h - one line that an application sends to the agent. Pure.
 */
#ifndef CC_COMMAND_H
#define CC_COMMAND_H

#include "cc_compat.h"
#include "cc_memory.h"
#include "cc_name.h"
#include "cc_status.h"

/* What a line can be too wrong for; `code` of {"error":...}. */
#define CC_COMMAND_ERRORS(X)                                                             \
    X(BAD_JSON, "bad-json", "the line is not a JSON object")                             \
    X(UNKNOWN_COMMAND, "unknown-command",                                                \
      "no known command: subscribe, ack, nack, reject, status and dead are")             \
    X(BAD_COMMAND, "bad-command",                                                        \
      "one command a line; subscribe, ack, nack and reject take a string, window and"    \
      " delay a number, watch true or false; dead takes one of list, show, retry and"    \
      " remove, with an id or true for all, and app")                                    \
    X(BAD_NAME, "bad-name",                                                              \
      "an application is named by up to 64 letters, digits, '.', '_' and"                \
      " '-', a letter or digit first")                                                   \
    X(BAD_WINDOW, "bad-window", "a window is a number from 1 to 10000")                  \
    X(BAD_DELAY, "bad-delay", "a delay is a number of seconds from 0 to 86400")          \
    X(TOO_MANY, "too-many",                                                              \
      "this connection has all the"                                                      \
      " subscriptions it may have")                                                      \
    X(CONFLICT, "conflict",                                                              \
      "this connection watches the"                                                      \
      " application or takes its messages: not both")                                    \
    X(UNKNOWN_ID, "unknown-id", "there never was a message with this id")                \
    X(NOT_DEAD, "not-dead", "there is none with this id on the dead list")               \
    X(UNUSABLE, "unusable", "it cannot be used, and so not be given to anybody")         \
    X(LINE_TOO_LONG, "line-too-long", "the line is longer than max_line")                \
    X(STORAGE, "storage", "the agent cannot use its inbox now")                          \
    X(LEFT_OUT, "left-out",                                                              \
      "copies were left out because this"                                                \
      " connection was not read fast enough")                                            \
    X(NOT_PERMITTED, "not-permitted", "this socket belongs to another user")             \
    X(BUSY, "busy", "the agent has all the connections it may have")

typedef enum {
    CC_ERROR_NONE,
#define CC_ERROR_ENUM(name, code, text) CC_ERROR_##name,
    CC_COMMAND_ERRORS(CC_ERROR_ENUM)
#undef CC_ERROR_ENUM
        CC_ERROR_COUNT
} cc_command_error;

const char *cc_command_error_code(cc_command_error error);
const char *cc_command_error_text(cc_command_error error);

typedef enum {
    CC_COMMAND_SUBSCRIBE,
    CC_COMMAND_ACK,
    CC_COMMAND_NACK,
    CC_COMMAND_REJECT,
    CC_COMMAND_STATUS,
    CC_COMMAND_DEAD
} cc_command_kind;

/* What is done with the dead list. */
typedef enum {
    CC_DEAD_LIST,
    CC_DEAD_SHOW,
    CC_DEAD_RETRY,
    CC_DEAD_REMOVE,
    CC_DEAD_COUNT
} cc_dead_action;

typedef struct cc_command {
    cc_command_kind kind;
    char app[CC_APP_MAX + 1]; /* subscribe, dead                            */
    int window;               /* subscribe; 0: not given                    */
    int watch;                /* subscribe                                  */
    int delay;                /* nack; seconds; 0: not given                */
    char id[CC_ID_MAX + 1];   /* ack, nack, reject; dead: "" for all        */
    cc_dead_action action;    /* dead; app: "" for all                      */
} cc_command;

/** Members that are not known are ignored.
 *  @return CC_ERROR_NONE or what is wrong. */
cc_command_error cc_command_parse(const char *data, size_t len, cc_command *out_command);

#endif

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
      "no known command: subscribe, ack, nack, reject, publish, status and dead are")    \
    X(BAD_COMMAND, "bad-command",                                                        \
      "one command a line; subscribe, ack, nack and reject take a string, publish an"    \
      " object, window and delay a number; watch, receipt and base64 are true or false;" \
      " dead takes one of list, show, retry and remove, with an id or true for all, and" \
      " app")                                                                            \
    X(BAD_NAME, "bad-name",                                                              \
      "an application is named by up to 64 letters, digits, '.', '_' and"                \
      " '-', a letter or digit first")                                                   \
    X(BAD_WINDOW, "bad-window", "a window is a number from 1 to 10000")                  \
    X(BAD_DELAY, "bad-delay", "a delay is a number of seconds from 0 to 86400")          \
    X(BAD_RECEIVER, "bad-receiver",                                                      \
      "one of to, group and all says who gets it: to is CLIENT, CLIENT/DEVICE or a"      \
      " list of 1 to 100 of them, 7000 bytes of a URL at most; group is named as an"     \
      " application; all is true")                                                       \
    X(BAD_DATA, "bad-data",                                                              \
      "data is needed: any JSON value; a string, without NUL, where type is not JSON;"   \
      " a string of base64 where base64 is true")                                        \
    X(BAD_TYPE, "bad-type", "a type is 1 to 255 bytes without control characters")       \
    X(BAD_TTL, "bad-ttl", "a ttl is a number of seconds from 0 to 2147483647")           \
    X(BAD_TOPIC, "bad-topic", "a topic is 1 to 32 letters, digits, '_' and '-'")         \
    X(BAD_URGENCY, "bad-urgency", "urgency is very-low, low, normal or high")            \
    X(BAD_REF, "bad-ref", "a ref is a string of up to 64 bytes, without NUL")            \
    X(NO_APP, "no-app",                                                                  \
      "app is needed where a connection has not subscribed to exactly one application")  \
    X(NO_SERVER, "no-server",                                                            \
      "server is needed where several sections have publish, and names one that has it") \
    X(FULL, "full",                                                                      \
      "as much waits to be published as spool_max allows: publish it again later")       \
    X(REFUSED, "refused", "the server refused the message for good")                     \
    X(EXPIRED, "expired", "its ttl ran out before the server took it")                   \
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
    X(STORAGE, "storage",                                                                \
      "the agent cannot use its inbox now, as when its disk is full: try it again "      \
      "later")                                                                           \
    X(LEFT_OUT, "left-out",                                                              \
      "copies were left out because this"                                                \
      " connection was not read fast enough")                                            \
    X(NOT_PERMITTED, "not-permitted",                                                    \
      "this is for other users; 'users' in an [app NAME]"                                \
      " section says for whom")                                                          \
    X(BUSY, "busy", "the agent has all the connections, or long lines, it may have")

typedef enum {
    CC_ERROR_NONE,
#define CC_ERROR_ENUM(name, code, text) CC_ERROR_##name,
    CC_COMMAND_ERRORS(CC_ERROR_ENUM)
#undef CC_ERROR_ENUM
        CC_ERROR_COUNT
} cc_command_error;

const char *cc_command_error_code(cc_command_error error);
const char *cc_command_error_text(cc_command_error error);
/** Seconds after which the same may well succeed; 0: it will not by itself. */
int cc_command_error_retry(cc_command_error error);

typedef enum {
    CC_COMMAND_SUBSCRIBE,
    CC_COMMAND_ACK,
    CC_COMMAND_NACK,
    CC_COMMAND_REJECT,
    CC_COMMAND_PUBLISH,
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
    cc_slice publish;         /* the object, in the line                    */
} cc_command;

/** Members that are not known are ignored.
 *  @return CC_ERROR_NONE or what is wrong. */
cc_command_error cc_command_parse(const char *data, size_t len, cc_command *out_command);

#endif

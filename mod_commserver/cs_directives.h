/* SPDX-License-Identifier: Apache-2.0
 * cs_directives.h - the names of the directives, each written once.
 *
 * A row in cs_config.c, a file doc/directives/<Name>.md and an entry in
 * doc/commserver.conf belong to each; a lint test compares the four.
 */
#ifndef CS_DIRECTIVES_H
#define CS_DIRECTIVES_H

#define CS_ALLOW_ORIGIN       "CommServerAllowOrigin"
#define CS_BASE               "CommServerBase"
#define CS_BLOCKING_POLLS     "CommServerBlockingPolls"
#define CS_CLIENT             "CommServerClient"
#define CS_CLIENT_EXPIRY      "CommServerClientExpiry"
#define CS_DEVICE_EXPIRY      "CommServerDeviceExpiry"
#define CS_DIRECT             "CommServerDirect"
#define CS_IDEMPOTENCY_WINDOW "CommServerIdempotencyWindow"
#define CS_MAX_BATCH          "CommServerMaxBatch"
#define CS_MAX_CLIENTS        "CommServerMaxClients"
#define CS_MAX_DEVICES        "CommServerMaxDevices"
#define CS_MAX_EVENT_THREADS  "CommServerMaxEventThreads"
#define CS_MAX_MESSAGE        "CommServerMaxMessage"
#define CS_MAX_PARKED         "CommServerMaxParked"
#define CS_MAX_QUEUE          "CommServerMaxQueue"
#define CS_MAX_QUEUE_BYTES    "CommServerMaxQueueBytes"
#define CS_MAX_TTL            "CommServerMaxTTL"
#define CS_MAX_WAIT           "CommServerMaxWait"
#define CS_MAX_STREAM         "CommServerMaxStream"
#define CS_OVERFLOW           "CommServerOverflow"
#define CS_REALM              "CommServerRealm"
#define CS_SEGMENT_SIZE       "CommServerSegmentSize"
#define CS_SENDER             "CommServerSender"
#define CS_SHORTCUTS          "CommServerShortcuts"
#define CS_STATE_DIR          "CommServerStateDir"
#define CS_TTL                "CommServerTTL"

#endif

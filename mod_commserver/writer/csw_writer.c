/* SPDX-License-Identifier: Apache-2.0
 * csw_writer.c - the library for programs beside httpd.
 *
 * A thin coat over csq that shows no APR: statuses get numbers of their own,
 * memory comes from pools that nobody sees. What a call needs is in a pool
 * that is emptied afterwards, so a long-lived writer does not grow.
 */
#include "cs_compat.h"
#include "commserver_writer.h"

#include "queue/csq.h"

#include <apr_general.h>
#include <apr_strings.h>

#include <errno.h>
#include <limits.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifndef CSW_DEFAULT_SEGMENT
#define CSW_DEFAULT_SEGMENT "/var/run/apache2/commserver-apache2/queue"
#endif

#define LOCK_TIMEOUT (APR_USEC_PER_SEC / 2)

_Static_assert(COMMSERVER_WRITER_ID_SIZE == CSQ_ID_TEXT + 1, "an id has one length");
_Static_assert(COMMSERVER_WRITER_REALM_SIZE == CSQ_REALM_MAX + 1, "a realm fits");
_Static_assert(COMMSERVER_WRITER_MAX_TO <= CSQ_RECEIVERS_MAX, "one call can take all");

struct commserver_writer {
    apr_pool_t *pool;     /* lives as long as the writer                 */
    apr_pool_t *attached; /* as long as one segment                      */
    apr_pool_t *scratch;  /* as long as one call                         */
    csq *queue;
    const char *segment;
    const char *wanted_realm; /* NULL: the only one                          */
    const char *realm;
    const char *sender;
    unsigned queued;  /* receivers of the last message                   */
    unsigned refused; /* the same, of those that it was not queued for   */
};

/* ---- statuses ----------------------------------------------------------- */

const char *commserver_writer_text(int status)
{
    static const char *const texts[] = {
        "queued",
        "the client's queue has reached its limit",
        "the server has no room left",
        "the limit of known clients is reached",
        "the message is larger than allowed",
        "refused for one or more of several clients",
        "the server is busy, try again",
        "no server runs there",
        "the server is of another build or version",
        "the server's memory is damaged",
        "not permitted: only the user that httpd runs as may do this",
        "a name is not allowed",
        "the data is not well-formed JSON",
        "the server serves several realms: name one",
        "an argument is missing or out of range",
        "out of memory",
        "the system refused",
        "the server does not serve this realm",
        "nobody is there now",
        "the client has as many devices as allowed"
    };

    if (status < 0 || (size_t)status >= sizeof texts / sizeof texts[0])
        return "unknown status";
    return texts[status];
}

static int system_status(apr_status_t rv)
{
    if (APR_STATUS_IS_EACCES(rv) || rv == EPERM)
        return COMMSERVER_WRITER_NOT_PERMITTED;
    if (APR_STATUS_IS_ENOMEM(rv))
        return COMMSERVER_WRITER_NO_MEMORY;
    if (APR_STATUS_IS_ENAMETOOLONG(rv) || APR_STATUS_IS_EINVAL(rv))
        return COMMSERVER_WRITER_BAD_ARGUMENT;
    errno = rv;
    return COMMSERVER_WRITER_SYSTEM;
}

static int to_status(apr_status_t rv)
{
    static const struct {
        apr_status_t csq;
        int status;
    } pairs[] = { { APR_SUCCESS, COMMSERVER_WRITER_OK },
                  { CSQ_QUEUE_FULL, COMMSERVER_WRITER_QUEUE_FULL },
                  { CSQ_SEGMENT_FULL, COMMSERVER_WRITER_SEGMENT_FULL },
                  { CSQ_CLIENTS_FULL, COMMSERVER_WRITER_CLIENTS_FULL },
                  { CSQ_DEVICES_FULL, COMMSERVER_WRITER_DEVICES_FULL },
                  { CSQ_EMPTY, COMMSERVER_WRITER_NOBODY },
                  { CSQ_TOO_LARGE, COMMSERVER_WRITER_TOO_LARGE },
                  { CSQ_REFUSED, COMMSERVER_WRITER_REFUSED },
                  { CSQ_BUSY, COMMSERVER_WRITER_BUSY },
                  { CSQ_CLOSED, COMMSERVER_WRITER_NO_SERVER },
                  { CSQ_NO_SERVER, COMMSERVER_WRITER_NO_SERVER },
                  { CSQ_LAYOUT, COMMSERVER_WRITER_OTHER_BUILD },
                  { CSQ_DAMAGED, COMMSERVER_WRITER_DAMAGED },
                  { CSQ_NO_MEMORY, COMMSERVER_WRITER_NO_MEMORY },
                  { CSQ_BAD_NAME, COMMSERVER_WRITER_BAD_NAME },
                  { CSQ_BAD_JSON, COMMSERVER_WRITER_BAD_JSON },
                  { CSQ_NO_REALM, COMMSERVER_WRITER_NO_REALM } };
    size_t i;

    for (i = 0; i < sizeof pairs / sizeof pairs[0]; i++)
        if (pairs[i].csq == rv)
            return pairs[i].status;
    return system_status(rv);
}

int commserver_writer_version(void)
{
    return COMMSERVER_WRITER_VERSION;
}

/* ---- open and close ----------------------------------------------------- */

/* What the environment says counts unless the program runs set-user-id. */
static const char *from_environment(const char *name)
{
    const char *value = secure_getenv(name);

    return value && *value ? value : NULL;
}

const char *commserver_writer_segment(const char *segment)
{
    const char *found = segment ? segment : from_environment("COMMSERVER_SEGMENT");

    return found ? found : CSW_DEFAULT_SEGMENT;
}

/* Users whose names are no sender go by their numbers. */
static const char *local_sender(apr_pool_t *pool)
{
    char buffer[4096];
    struct passwd entry;
    struct passwd *found = NULL;
    const char *sender;

    if (getpwuid_r(geteuid(), &entry, buffer, sizeof buffer, &found) == 0 && found) {
        sender = apr_pstrcat(pool, "local:", found->pw_name, NULL);
        if (strlen(sender) <= CSQ_SENDER_MAX
            && csq_text_check(sender, strlen(sender)) == APR_SUCCESS)
            return sender;
    }
    return apr_psprintf(pool, "local:%lu", (unsigned long)geteuid());
}

/* A queue of a realm that the server does not have would never be read. Only
 * a single realm is known by name; of several, any is believed.             */
static int choose_realm(commserver_writer *writer)
{
    apr_status_t rv = csq_realm_only(writer->queue, writer->attached, &writer->realm);

    if (!writer->wanted_realm)
        return to_status(rv);
    if (rv == APR_SUCCESS && strcmp(writer->realm, writer->wanted_realm) != 0)
        return COMMSERVER_WRITER_OTHER_REALM;
    writer->realm = writer->wanted_realm;
    return rv == CSQ_NO_REALM ? COMMSERVER_WRITER_OK : to_status(rv);
}

static void detach(commserver_writer *writer)
{
    apr_pool_clear(writer->attached);
    writer->queue = NULL;
    writer->realm = NULL;
}

static int attach(commserver_writer *writer)
{
    apr_status_t rv;
    int status;

    detach(writer);
    rv = csq_attach(writer->segment, writer->attached, &writer->queue);
    if (rv != APR_SUCCESS) {
        writer->queue = NULL;
        return to_status(rv);
    }
    csq_lock_timeout_set(writer->queue, LOCK_TIMEOUT);
    status = choose_realm(writer);
    if (status != COMMSERVER_WRITER_OK)
        detach(writer);
    return status;
}

static commserver_writer *make_writer(const char *segment, const char *realm)
{
    commserver_writer *writer;
    apr_pool_t *pool;

    if (apr_pool_create(&pool, NULL) != APR_SUCCESS)
        return NULL;
    apr_pool_tag(pool, "commserver_writer");
    writer = apr_pcalloc(pool, sizeof *writer);
    writer->pool = pool;
    if (apr_pool_create(&writer->attached, pool) != APR_SUCCESS
        || apr_pool_create(&writer->scratch, pool) != APR_SUCCESS) {
        apr_pool_destroy(pool);
        return NULL;
    }
    writer->segment = apr_pstrdup(pool, commserver_writer_segment(segment));
    writer->wanted_realm = realm ? apr_pstrdup(pool, realm) : NULL;
    writer->sender = local_sender(pool);
    return writer;
}

/* Attach; realm NULL: the only one. */
static int open_writer(const char *segment, const char *realm,
                       commserver_writer **out_writer)
{
    commserver_writer *writer;
    int status;

    if (apr_initialize() != APR_SUCCESS)
        return COMMSERVER_WRITER_NO_MEMORY;
    writer = make_writer(segment, realm);
    if (!writer) {
        apr_terminate();
        return COMMSERVER_WRITER_NO_MEMORY;
    }
    status = attach(writer);
    if (status != COMMSERVER_WRITER_OK) {
        commserver_writer_close(writer);
        return status;
    }
    *out_writer = writer;
    return COMMSERVER_WRITER_OK;
}

int commserver_writer_open(const char *segment, const char *realm,
                           commserver_writer **out_writer)
{
    if (!out_writer)
        return COMMSERVER_WRITER_BAD_ARGUMENT;
    *out_writer = NULL;
    if (!realm)
        realm = from_environment("COMMSERVER_REALM");
    if (realm && strlen(realm) > CSQ_REALM_MAX)
        return COMMSERVER_WRITER_BAD_NAME;
    return open_writer(segment, realm, out_writer);
}

int commserver_writer_realm(const char *segment, char *out_realm)
{
    commserver_writer *writer;
    int status;

    if (!out_realm)
        return COMMSERVER_WRITER_BAD_ARGUMENT;
    status = open_writer(segment, NULL, &writer);
    if (status != COMMSERVER_WRITER_OK)
        return status;
    apr_cpystrn(out_realm, writer->realm, COMMSERVER_WRITER_REALM_SIZE);
    commserver_writer_close(writer);
    return COMMSERVER_WRITER_OK;
}

void commserver_writer_close(commserver_writer *writer)
{
    if (!writer)
        return;
    apr_pool_destroy(writer->pool);
    apr_terminate();
}

size_t commserver_writer_max_message(const commserver_writer *writer)
{
    csq_limits limits;
    apr_size_t value_max;

    if (!writer || !writer->queue)
        return 0;
    csq_limits_get(writer->queue, &limits);
    value_max = csq_value_max(writer->queue);
    return value_max < limits.max_message ? value_max : limits.max_message;
}

/* ---- publish ------------------------------------------------------------ */

/* What the first version had. */
#define SIZE_AT_FIRST offsetof(commserver_writer_message, topic)
#define KNOWN_FLAGS                                                                      \
    (COMMSERVER_WRITER_NOW | COMMSERVER_WRITER_LENIENT | COMMSERVER_WRITER_RECEIPT       \
     | COMMSERVER_WRITER_ALL)

/* A program that was built with an earlier header has a shorter one. */
static int take_message(const commserver_writer_message *given,
                        commserver_writer_message *out)
{
    memset(out, 0, sizeof *out);
    if (!given || given->size < SIZE_AT_FIRST)
        return 0;
    memcpy(out, given, given->size < sizeof *out ? given->size : sizeof *out);
    return 1;
}

static int has_receivers(const commserver_writer_message *message)
{
    int everybody = (message->flags & COMMSERVER_WRITER_ALL) != 0;
    int i;

    if (message->group || everybody)
        return message->to_count == 0 && !(message->group && everybody);
    if (!message->to || message->to_count < 1
        || message->to_count > COMMSERVER_WRITER_MAX_TO)
        return 0;
    for (i = 0; i < message->to_count; i++)
        if (!message->to[i])
            return 0;
    return 1;
}

static int is_complete(const commserver_writer_message *message)
{
    return message->app && message->ttl >= 0 && (message->data || !message->length)
           && message->urgency >= COMMSERVER_WRITER_VERY_LOW
           && message->urgency <= COMMSERVER_WRITER_HIGH
           && !(message->flags & ~(unsigned)KNOWN_FLAGS) && has_receivers(message);
}

static apr_time_t expiry(const csq_limits *limits, long ttl, apr_time_t now)
{
    unsigned long seconds = ttl ? (unsigned long)ttl : limits->default_ttl;

    if (seconds > limits->max_ttl)
        seconds = limits->max_ttl;
    return now + apr_time_from_sec((apr_int64_t)seconds);
}

static apr_status_t make_stored(commserver_writer *writer,
                                const commserver_writer_message *message, apr_time_t now,
                                csq_message *out)
{
    csq_limits limits;

    csq_limits_get(writer->queue, &limits);
    if (message->length > commserver_writer_max_message(writer))
        return CSQ_TOO_LARGE;
    out->realm = writer->realm;
    out->app = message->app;
    out->type = message->type;
    out->topic = message->topic;
    out->urgency = (csq_urgency)(message->urgency + CSQ_NORMAL);
    out->receipt = (message->flags & COMMSERVER_WRITER_RECEIPT) != 0;
    out->lenient = (message->flags & COMMSERVER_WRITER_LENIENT) != 0;
    out->sender = message->sender ? message->sender : writer->sender;
    out->time = now;
    out->expires =
        message->flags & COMMSERVER_WRITER_NOW ? now : expiry(&limits, message->ttl, now);
    return csq_payload_encode(message->type, message->length ? message->data : "",
                              message->length, writer->scratch, &out->encoding,
                              &out->data, &out->len);
}

/* A name that cannot be taken apart goes as it is, and is refused. */
static apr_status_t append_to(commserver_writer *writer,
                              const commserver_writer_message *message,
                              const csq_message *stored, apr_time_t now,
                              apr_status_t *refused, csq_appended *out)
{
    csq_key keys[COMMSERVER_WRITER_MAX_TO];
    int i;

    for (i = 0; i < message->to_count; i++) {
        char *buffer = apr_palloc(writer->scratch, CSQ_CLIENT_MAX + 1);

        if (csq_key_parse(message->to[i], buffer, &keys[i]) != APR_SUCCESS) {
            keys[i].client = message->to[i];
            keys[i].device = NULL;
        }
        keys[i].realm = writer->realm;
    }
    return csq_append(writer->queue, stored, keys, message->to_count, now, refused, out);
}

/* What is lenient and was queued for nobody was refused, or came too soon. */
static apr_status_t append(commserver_writer *writer,
                           const commserver_writer_message *message,
                           apr_status_t *refused, csq_appended *out)
{
    csq_message stored = { .realm = NULL };
    apr_time_t now = apr_time_now();
    apr_status_t rv = make_stored(writer, message, now, &stored);

    if (rv != APR_SUCCESS)
        return rv;
    if (message->to_count)
        rv = append_to(writer, message, &stored, now, refused, out);
    else
        rv = csq_append_group(writer->queue, &stored, message->group, now, NULL, NULL,
                              out);
    if (rv != APR_SUCCESS || out->queues)
        return rv;
    if (out->refused)
        return CSQ_REFUSED;
    return message->flags & COMMSERVER_WRITER_NOW ? CSQ_EMPTY : APR_SUCCESS;
}

static void tell_statuses(const commserver_writer_message *message, apr_status_t rv,
                          const apr_status_t *refused, int *statuses)
{
    int lenient = (message->flags & COMMSERVER_WRITER_LENIENT) != 0;
    int i;

    if (!statuses || !(rv == CSQ_REFUSED || (rv == APR_SUCCESS && lenient)))
        return;
    for (i = 0; i < message->to_count; i++)
        statuses[i] = to_status(refused[i]);
}

int commserver_writer_publish(commserver_writer *writer,
                              const commserver_writer_message *given, int *statuses,
                              char *out_id)
{
    apr_status_t refused[COMMSERVER_WRITER_MAX_TO];
    commserver_writer_message message;
    csq_appended out = { .queues = 0 };
    apr_status_t rv = CSQ_NO_SERVER;
    int status;

    if (!writer || !take_message(given, &message) || !is_complete(&message))
        return COMMSERVER_WRITER_BAD_ARGUMENT;
    if (writer->queue)
        rv = append(writer, &message, refused, &out);
    if (rv == CSQ_CLOSED || rv == CSQ_NO_SERVER) {
        status = attach(writer);
        if (status != COMMSERVER_WRITER_OK)
            return status;
        rv = append(writer, &message, refused, &out);
    }
    writer->queued = rv == APR_SUCCESS ? out.receivers : 0;
    writer->refused = rv == APR_SUCCESS || rv == CSQ_REFUSED ? out.refused : 0;
    tell_statuses(&message, rv, refused, statuses);
    if (rv == APR_SUCCESS && out_id)
        csq_id_format(out.id, out_id);
    apr_pool_clear(writer->scratch);
    return to_status(rv);
}

unsigned commserver_writer_queued(const commserver_writer *writer)
{
    return writer ? writer->queued : 0;
}

unsigned commserver_writer_refused(const commserver_writer *writer)
{
    return writer ? writer->refused : 0;
}

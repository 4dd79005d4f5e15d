/* SPDX-License-Identifier: Apache-2.0
 * cc_local.c - the Unix socket to which local applications connect.
 */
#include "cc_compat.h"
#include "cc_local.h"
#include "cc_activation.h"
#include "cc_log.h"
#include "cc_paths.h"
#include "cc_peer.h"
#include "cc_time.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <event2/event.h>

#define BACKLOG      64
#define ACCEPT_PAUSE 1       /* s, when there are no descriptors                  */
#define NO_ROOM_LINE 3600000 /* ms between two lines about that                */
#define REFUSED_MAX  8       /* refused connections of a user at once, that hear why */
#define SAID_MAX     256     /* users of whom the log said that they were refused */
#define LOCK_TRIES   20
#define LOCK_STEP    50000 /* us between two of them                          */

typedef struct connection {
    TAILQ_ENTRY(connection) link;
    cc_local *local;
    cc_peer *peer;
    uid_t user;
} connection;

struct cc_local {
    char *path;
    struct event_base *base;
    const cc_config *config;
    cc_dispatch *dispatch;
    cc_outbox *outbox;
    void (*status)(void *baton, cc_buffer *out);
    void *baton;
    struct event *acceptable;
    struct event *retry;
    TAILQ_HEAD(, connection) connections;
    unsigned count;
    uid_t said[SAID_MAX]; /* who was refused something                       */
    unsigned said_count;
    int64_t no_room_said; /* ms, monotonic: that connections cannot be taken  */
    int made_directory;   /* for the socket, just now                          */
    int lock;             /* descriptor, -1: none                                */
    int listener;         /* descriptor, -1: none                                */
    int bound;            /* the socket file is ours                             */
};

static char *format_error(const char *path, const char *what, int code)
{
    cc_buffer text = { NULL, 0, 0 };

    cc_buffer_format(&text, "socket '%s' %s", path, what);
    if (code != 0)
        cc_buffer_format(&text, ": %s", strerror(code));
    return text.data;
}

/* ---- connections ----------------------------------------------------- */

static void write_status(void *baton, cc_buffer *out)
{
    connection *c = baton;

    c->local->status(c->local->baton, out);
}

static void forget_connection(void *baton, cc_peer *peer)
{
    connection *c = baton;

    (void)peer;
    TAILQ_REMOVE(&c->local->connections, c, link);
    c->local->count--;
    free(c);
}

/* Once for each user. */
static void say_refused(cc_local *local, uid_t user, const char *what)
{
    unsigned i;

    for (i = 0; i < local->said_count; i++) {
        if (local->said[i] == user)
            return;
    }
    if (local->said_count == SAID_MAX)
        return;
    local->said[local->said_count++] = user;
    cc_log(CC_LOG_WARNING, "user %lu is refused: %s; 'users' in [app NAME] says who may",
           (unsigned long)user, what);
}

static void note_refused(void *baton, const char *what)
{
    connection *c = baton;

    say_refused(c->local, c->user, what);
}

/* For each user but those who may do all anyway. */
static int may_keep(void *baton)
{
    const connection *c = baton, *other;
    size_t kept = 0;

    if (cc_config_may_control(c->user))
        return 1;
    TAILQ_FOREACH(other, &c->local->connections, link)
    kept += other->user == c->user ? cc_peer_kept(other->peer) : 0;
    return kept <= CC_PEERS_LINES * cc_dispatch_max_line(c->local->dispatch);
}

static const cc_peer_calls peer_calls = { write_status, note_refused, may_keep,
                                          forget_connection };

static unsigned count_of_user(const cc_local *local, uid_t user)
{
    const connection *c;
    unsigned count = 0;

    TAILQ_FOREACH(c, &local->connections, link)
    count += c->user == user;
    return count;
}

/* How many connections this user may have now. */
static unsigned limit_for(const cc_local *local, uid_t user)
{
    if (cc_config_may_control(user))
        return local->count < CC_PEERS_MAX ? CC_PEERS_MAX : 0;
    if (!cc_config_may_connect(local->config, user) || local->count >= CC_PEERS_OTHERS)
        return 0;
    return CC_PEERS_PER_USER;
}

static connection *add_connection(cc_local *local, int descriptor, uid_t user)
{
    connection *c = cc_alloc(sizeof(*c));

    c->local = local;
    c->user = user;
    c->peer = cc_peer_create(descriptor, user, local->base, local->dispatch,
                             local->outbox, &peer_calls, c);
    TAILQ_INSERT_TAIL(&local->connections, c, link);
    local->count++;
    return c;
}

/* Who is refused hears why, but cannot take the room of others by that. */
static void take_connection(cc_local *local, int descriptor)
{
    struct ucred who;
    socklen_t len = sizeof(who);
    unsigned count, limit;
    connection *c;

    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &who, &len) != 0) {
        close(descriptor);
        return;
    }
    count = count_of_user(local, who.uid);
    limit = limit_for(local, who.uid);
    if (count >= limit + REFUSED_MAX && !cc_config_may_control(who.uid)) {
        close(descriptor);
        return;
    }
    c = add_connection(local, descriptor, who.uid);
    if (count < limit)
        return;
    if (cc_config_may_connect(local->config, who.uid)) {
        cc_peer_refuse(c->peer, CC_ERROR_BUSY);
        return;
    }
    say_refused(local, who.uid, "the socket");
    cc_peer_refuse(c->peer, CC_ERROR_NOT_PERMITTED);
}

/* As when there are no descriptors: those who connect wait until there are. Said
 * once an hour at most. */
static void say_no_room(cc_local *local, int code)
{
    int64_t now = cc_time_monotonic();

    if (local->no_room_said != 0 && now - local->no_room_said < NO_ROOM_LINE)
        return;
    local->no_room_said = now;
    cc_log(CC_LOG_ERROR,
           "local connections cannot be taken: %s; trying again every second",
           strerror(code));
}

static void on_acceptable(evutil_socket_t ignored, short what, void *baton)
{
    cc_local *local = baton;
    struct timeval pause = { ACCEPT_PAUSE, 0 };
    int descriptor;

    (void)what;
    (void)ignored;
    descriptor = accept4(local->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor >= 0) {
        take_connection(local, descriptor);
    }
    else if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED) {
        say_no_room(local, errno);
        event_add(local->retry, &pause);
        return;
    }
    event_add(local->acceptable, NULL);
}

/* ---- the socket ------------------------------------------------------ */

/* A program that a killed agent was about to run holds its lock for a moment. */
static int lock_soon(int descriptor, const struct flock *lock)
{
    int tries = LOCK_TRIES, rv;

    while ((rv = fcntl(descriptor, F_OFD_SETLK, lock)) != 0 && --tries > 0)
        usleep(LOCK_STEP);
    return rv;
}

static cc_status take_lock(cc_local *local, char **out_error)
{
    cc_buffer path = { NULL, 0, 0 };
    struct flock lock;
    cc_status status = CC_OK;

    cc_buffer_format(&path, "%s.lock", local->path);
    memset(&lock, 0, sizeof(lock));
    lock.l_type = F_WRLCK;
    lock.l_whence = SEEK_SET;
    local->lock = open(path.data, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (local->lock < 0) {
        *out_error = format_error(local->path, "cannot be locked", errno);
        status = CC_SYSTEM;
    }
    else if (lock_soon(local->lock, &lock) != 0) {
        *out_error = format_error(local->path, "is in use by another agent", 0);
        status = CC_IN_USE;
    }
    cc_buffer_clear(&path);
    return status;
}

/* With the lock held, a socket there is what a dead agent left. */
static cc_status remove_stale(cc_local *local, char **out_error)
{
    struct stat info;

    if (lstat(local->path, &info) != 0)
        return CC_OK;
    if (!S_ISSOCK(info.st_mode)) {
        *out_error = format_error(local->path, "is there, but is no socket", 0);
        return CC_NOT_PERMITTED;
    }
    if (cc_activation_is_listened(local->path)) {
        *out_error = format_error(local->path,
                                  "is held by a service manager or another program: start"
                                  " that service ('systemctl --user start commclient'),"
                                  " or stop its socket",
                                  0);
        return CC_IN_USE;
    }
    if (unlink(local->path) != 0) {
        *out_error =
            format_error(local->path, "of a former agent cannot be removed", errno);
        return CC_SYSTEM;
    }
    return CC_OK;
}

static cc_status bind_socket(cc_local *local, char **out_error)
{
    struct sockaddr_un address;
    mode_t mask;
    int rv;

    memset(&address, 0, sizeof(address));
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, local->path);
    local->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (local->listener < 0) {
        *out_error = format_error(local->path, "cannot be made", errno);
        return CC_SYSTEM;
    }
    mask = umask(0177);
    rv = bind(local->listener, (struct sockaddr *)&address, sizeof(address));
    umask(mask);
    if (rv == 0) {
        local->bound = 1;
        rv = listen(local->listener, BACKLOG);
    }
    if (rv == 0)
        return CC_OK;
    *out_error = format_error(local->path, "cannot be opened", errno);
    return CC_SYSTEM;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    if (slash == NULL)
        return cc_copy(".");
    return cc_copy_bytes(path, slash > path ? (size_t)(slash - path) : 1);
}

static int is_directory_there(const char *path)
{
    char *directory = directory_of(path);
    int there = access(directory, F_OK) == 0;

    free(directory);
    return there;
}

static cc_status open_socket(cc_local *local, char **out_error)
{
    struct sockaddr_un address;
    cc_status status;

    if (strlen(local->path) >= sizeof(address.sun_path)) {
        *out_error = format_error(local->path, "has a path of more than 107 bytes", 0);
        return CC_SYSTEM;
    }
    local->made_directory = !is_directory_there(local->path);
    if (cc_paths_make_parent(local->path) != CC_OK) {
        *out_error = format_error(local->path, "cannot have its directory made", errno);
        return CC_SYSTEM;
    }
    status = take_lock(local, out_error);
    if (status == CC_OK && local->listener >= 0)
        return CC_OK;
    if (status == CC_OK)
        status = remove_stale(local, out_error);
    return status == CC_OK ? bind_socket(local, out_error) : status;
}

/* ---- who may reach it ------------------------------------------------ */

/* The first directory on the way that others cannot pass; NULL: none. To be
 * freed. */
static char *closed_directory(const char *path)
{
    char *copy = cc_copy(path), *slash = copy;
    struct stat info;

    while ((slash = strchr(slash + 1, '/')) != NULL) {
        *slash = '\0';
        if (stat(copy, &info) == 0 && !(info.st_mode & S_IXOTH))
            return copy;
        *slash = '/';
    }
    free(copy);
    return NULL;
}

static void warn_of_closed(const cc_local *local)
{
    char *directory = closed_directory(local->path);
    struct stat info;

    if (directory != NULL)
        cc_log(CC_LOG_WARNING,
               "other users cannot reach the socket: the directory '%s' is closed to them"
               " ('chmod o+x' opens it)",
               directory);
    else if (stat(local->path, &info) == 0 && (info.st_mode & 0006) != 0006)
        cc_log(CC_LOG_WARNING,
               "other users cannot connect to the socket '%s': say SocketMode=0666 in the"
               " unit that made it",
               local->path);
    free(directory);
}

/* Never of what somebody else has put in its place. */
static void change_mode(const char *path, mode_t mode)
{
    if (fchmodat(AT_FDCWD, path, mode, AT_SYMLINK_NOFOLLOW) != 0)
        cc_log(CC_LOG_ERROR, "the mode of '%s' cannot be changed: %s", path,
               strerror(errno));
}

/* A socket that a service manager made is left as it is, and so are directories
 * that were there. */
static void set_mode(cc_local *local)
{
    int open_to_others = cc_config_has_users(local->config);
    char *directory;

    if (local->bound)
        change_mode(local->path, open_to_others ? 0666 : 0600);
    if (!open_to_others)
        return;
    if (local->made_directory) {
        directory = directory_of(local->path);
        change_mode(directory, 0711);
        free(directory);
    }
    warn_of_closed(local);
}

void cc_local_config_set(cc_local *local, const cc_config *config)
{
    connection *c;

    local->config = config;
    set_mode(local);
    TAILQ_FOREACH(c, &local->connections, link)
    {
        if (!cc_config_may_connect(config, c->user))
            cc_peer_refuse(c->peer, CC_ERROR_NOT_PERMITTED);
        else
            cc_peer_check_user(c->peer);
    }
}

/* ---- life ------------------------------------------------------------ */

cc_status cc_local_open(const char *path, int passed, struct event_base *base,
                        const cc_config *config, cc_dispatch *dispatch, cc_outbox *outbox,
                        void (*status)(void *baton, cc_buffer *out), void *baton,
                        cc_local **out_local, char **out_error)
{
    cc_local *local = cc_alloc(sizeof(*local));
    cc_status result;

    *out_error = NULL;
    local->path = cc_copy(path);
    local->base = base;
    local->config = config;
    local->dispatch = dispatch;
    local->outbox = outbox;
    local->status = status;
    local->baton = baton;
    local->lock = -1;
    local->listener = passed;
    TAILQ_INIT(&local->connections);
    result = open_socket(local, out_error);
    if (result != CC_OK) {
        cc_local_close(local);
        return result;
    }
    local->acceptable = event_new(base, local->listener, EV_READ, on_acceptable, local);
    local->retry = evtimer_new(base, on_acceptable, local);
    event_add(local->acceptable, NULL);
    set_mode(local);
    *out_local = local;
    return CC_OK;
}

void cc_local_close(cc_local *local)
{
    connection *c;

    if (local == NULL)
        return;
    while ((c = TAILQ_FIRST(&local->connections)) != NULL) {
        cc_peer_destroy(c->peer);
        forget_connection(c, NULL);
    }
    if (local->acceptable != NULL)
        event_free(local->acceptable);
    if (local->retry != NULL)
        event_free(local->retry);
    if (local->bound)
        unlink(local->path);
    if (local->listener >= 0)
        close(local->listener);
    if (local->lock >= 0)
        close(local->lock);
    free(local->path);
    free(local);
}

unsigned cc_local_count(const cc_local *local)
{
    return local->count;
}

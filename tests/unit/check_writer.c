/* SPDX-License-Identifier: Apache-2.0
 * check_writer.c - libcommserver and commsend against a segment of our own.
 */
#include "cs_compat.h"
#include "csq_fixture.h"
#include "writer/commserver_writer.h"

#include <fcntl.h>
#include <signal.h>
#include <pwd.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

static char output[4096];       /* of commsend, both streams                   */
static const char *redirection; /* a shell's, for commsend; NULL: none         */

static void setup(void)
{
    static const char *const realms[] = { "realm" };

    redirection = NULL;
    unsetenv("COMMSERVER_SEGMENT");
    unsetenv("COMMSERVER_REALM");
    fixture_setup();
    ck_ok(csq_realms_set(fx.q, realms, 1));
}

/* ---- the library --------------------------------------------------------- */

static commserver_writer *open_writer(void)
{
    commserver_writer *writer;

    ck_assert_int_eq(commserver_writer_open(fx.path, NULL, &writer),
                     COMMSERVER_WRITER_OK);
    return writer;
}

static int publish_to(commserver_writer *writer, const char *client, const char *type,
                      const char *data, char *id)
{
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;

    message.app = "orders";
    message.to = &client;
    message.to_count = 1;
    message.type = type;
    message.data = data;
    message.length = strlen(data);
    message.ttl = 60;
    return commserver_writer_publish(writer, &message, NULL, id);
}

START_TEST(what_is_published_is_in_the_queue)
{
    commserver_writer *writer = open_writer();
    char id[COMMSERVER_WRITER_ID_SIZE];
    char text[CSQ_ID_TEXT + 1];
    const csq_view *view;
    struct passwd *user = getpwuid(geteuid());

    ck_assert_int_eq(publish_to(writer, "alice", "application/json", "{\"a\":1}", id),
                     COMMSERVER_WRITER_OK);
    ck_ok(get("alice", NULL));
    view = csq_batch_get(fx.batch, 0);
    csq_id_format(view->id, text);
    ck_assert_str_eq(text, id);
    ck_assert_str_eq(view->app, "orders");
    ck_assert_str_eq(view->type, "application/json");
    ck_assert_int_eq(view->expires - view->time, 60 * SECOND);
    ck_assert_int_eq(strncmp(view->sender, "local:", 6), 0);
    if (user)
        ck_assert_str_eq(view->sender + 6, user->pw_name);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(several_get_it_or_none)
{
    commserver_writer *writer = open_writer();
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    const char *to[3] = { "alice", "bob", "alice" };
    const char *bad[3] = { "alice", "a/b/c", "bob" };
    int statuses[3];

    message.app = "orders";
    message.to = to;
    message.to_count = 3;
    message.data = "x";
    message.length = 1;
    message.sender = "me";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, statuses, NULL),
                     COMMSERVER_WRITER_OK);
    message.to = bad;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, statuses, NULL),
                     COMMSERVER_WRITER_REFUSED);
    ck_assert_int_eq(statuses[0], COMMSERVER_WRITER_OK);
    ck_assert_int_eq(statuses[1], COMMSERVER_WRITER_BAD_NAME);
    ck_assert_int_eq(statuses[2], COMMSERVER_WRITER_OK);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_str_eq(csq_batch_get(fx.batch, 0)->sender, "me");
    commserver_writer_close(writer);
}
END_TEST

START_TEST(wrong_arguments_are_refused)
{
    commserver_writer *writer = open_writer();
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    char large[CSQ_REALM_MAX + 2];
    char *data;
    commserver_writer *other;

    memset(large, 'r', sizeof large - 1);
    large[sizeof large - 1] = '\0';
    ck_assert_int_eq(commserver_writer_open(fx.path, large, &other),
                     COMMSERVER_WRITER_BAD_NAME);
    ck_assert_int_eq(commserver_writer_open(fx.path, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    ck_assert_int_eq(commserver_writer_publish(NULL, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    ck_assert_int_eq(publish_to(writer, "alice", "application/json", "{", NULL),
                     COMMSERVER_WRITER_BAD_JSON);
    ck_assert_int_eq(publish_to(writer, "..", NULL, "x", NULL),
                     COMMSERVER_WRITER_BAD_NAME);
    data = apr_palloc(fx.pool, commserver_writer_max_message(writer) + 2);
    memset(data, 'x', commserver_writer_max_message(writer) + 1);
    data[commserver_writer_max_message(writer) + 1] = '\0';
    ck_assert_int_eq(publish_to(writer, "alice", NULL, data, NULL),
                     COMMSERVER_WRITER_TOO_LARGE);
    data[commserver_writer_max_message(writer)] = '\0';
    ck_assert_int_eq(publish_to(writer, "alice", NULL, data, NULL), COMMSERVER_WRITER_OK);
    commserver_writer_close(writer);
    commserver_writer_close(NULL);
}
END_TEST

START_TEST(the_environment_says_where_and_for_whom)
{
    commserver_writer *writer;
    csq_key key = { "elsewhere", "alice", NULL };
    csq_fetch what = { .max_messages = 1, .max_bytes = 100 };
    static const char *const realms[] = { "realm", "elsewhere", NULL };

    ck_assert_str_eq(commserver_writer_segment("/x"), "/x");
    setenv("COMMSERVER_SEGMENT", fx.path, 1);
    ck_assert_str_eq(commserver_writer_segment(NULL), fx.path);
    ck_ok(csq_realms_set(fx.q, realms, 2));
    ck_assert_int_eq(commserver_writer_open(NULL, NULL, &writer),
                     COMMSERVER_WRITER_NO_REALM);
    ck_assert_ptr_null(writer);
    setenv("COMMSERVER_REALM", "elsewhere", 1);
    ck_assert_int_eq(commserver_writer_open(NULL, NULL, &writer), COMMSERVER_WRITER_OK);
    ck_assert_int_eq(publish_to(writer, "alice", NULL, "x", NULL), COMMSERVER_WRITER_OK);
    ck_ok(csq_fetch_batch(fx.q, &key, &what, fx.now, fx.batch));
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_realm_that_the_server_does_not_have_is_refused)
{
    static const char *const realms[] = { "realm", "elsewhere", NULL };
    commserver_writer *writer;
    char only[COMMSERVER_WRITER_REALM_SIZE];

    ck_assert_int_eq(commserver_writer_open(fx.path, "nope", &writer),
                     COMMSERVER_WRITER_OTHER_REALM);
    ck_assert_ptr_null(writer);
    setenv("COMMSERVER_REALM", "nope", 1);
    ck_assert_int_eq(commserver_writer_open(fx.path, NULL, &writer),
                     COMMSERVER_WRITER_OTHER_REALM);
    ck_assert_int_eq(commserver_writer_realm(fx.path, only), COMMSERVER_WRITER_OK);
    ck_assert_str_eq(only, "realm");
    ck_assert_int_eq(commserver_writer_realm(fx.path, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    ck_assert_int_eq(commserver_writer_realm("/none/q", only),
                     COMMSERVER_WRITER_NO_SERVER);
    ck_ok(csq_realms_set(fx.q, realms, 2));
    ck_assert_int_eq(commserver_writer_realm(fx.path, only), COMMSERVER_WRITER_NO_REALM);
}
END_TEST

START_TEST(the_smallest_limit_is_the_limit)
{
    commserver_writer *writer = open_writer();

    ck_assert_uint_eq(commserver_writer_max_message(writer), fx.limits.max_message);
    fx.limits.max_message = 4 * FIXTURE_SIZE;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_assert_uint_eq(commserver_writer_max_message(writer), fx.limits.max_queue_bytes);
    fx.limits.max_queue_bytes = 4 * FIXTURE_SIZE;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_assert_uint_lt(commserver_writer_max_message(writer), FIXTURE_SIZE);
    ck_assert_uint_gt(commserver_writer_max_message(writer), FIXTURE_SIZE / 4);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(senders_and_types_are_text)
{
    commserver_writer *writer = open_writer();
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    const char *to = "alice";

    ck_assert_int_eq(publish_to(writer, to, "a\nb", "x", NULL),
                     COMMSERVER_WRITER_BAD_NAME);
    ck_assert_int_eq(publish_to(writer, to, "\xff", "x", NULL),
                     COMMSERVER_WRITER_BAD_NAME);
    message.app = "orders";
    message.to = &to;
    message.to_count = 1;
    message.sender = "shop\x1b[2J";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_NAME);
    message.sender = "J\xc3\xbcrgen's shop";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_OK);
    commserver_writer_close(writer);
}
END_TEST

static commserver_writer_message message_to(const char *const *to, int count)
{
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;

    message.app = "orders";
    message.to = to;
    message.to_count = count;
    message.data = "x";
    message.length = 1;
    return message;
}

START_TEST(topic_urgency_and_receipt_are_carried)
{
    commserver_writer *writer = open_writer();
    const char *to = "alice";
    commserver_writer_message message = message_to(&to, 1);
    const csq_view *view;

    message.topic = "weather";
    message.urgency = COMMSERVER_WRITER_HIGH;
    message.flags = COMMSERVER_WRITER_RECEIPT;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    message.data = "y";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 1);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    view = csq_batch_get(fx.batch, 0);
    ck_assert_str_eq(text_of(0), "y");
    ck_assert_str_eq(view->topic, "weather");
    ck_assert_int_eq(view->urgency, CSQ_HIGH);
    ck_assert_int_eq(view->receipt, 1);
    message.topic = "b b";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_NAME);
    message.topic = NULL;
    message.urgency = 2;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    message.urgency = 0;
    message.flags = 16;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_device_gets_what_is_for_it_alone)
{
    commserver_writer *writer = open_writer();
    static const char *const to[] = { "alice/phone", "alice/desk" };
    commserver_writer_message message = message_to(to, 1);
    csq_key key = { "realm", "alice", "desk" };
    csq_client_info info;

    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_status(csq_client_info_get(fx.q, &key, &info), CSQ_EMPTY);
    message.to_count = 2;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 2);
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 1);
    key.device = "phone";
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 2);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_message_for_now_needs_somebody_there)
{
    commserver_writer *writer = open_writer();
    static const char *const to[] = { "alice", "bob" };
    commserver_writer_message message = message_to(to, 2);

    message.flags = COMMSERVER_WRITER_NOW;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_NOBODY);
    fx.now = apr_time_now();
    ck_status(get("bob", NULL), CSQ_EMPTY);
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 1);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_lenient_message_goes_where_it_can)
{
    commserver_writer *writer = open_writer();
    static const char *const to[] = { "alice", "a/b/c", "bob" };
    commserver_writer_message message = message_to(to, 3);
    int statuses[3];

    message.flags = COMMSERVER_WRITER_LENIENT;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, statuses, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 2);
    ck_assert_uint_eq(commserver_writer_refused(writer), 1);
    ck_assert_int_eq(statuses[0], COMMSERVER_WRITER_OK);
    ck_assert_int_eq(statuses[1], COMMSERVER_WRITER_BAD_NAME);
    ck_assert_int_eq(statuses[2], COMMSERVER_WRITER_OK);
    message.to = to + 1;
    message.to_count = 1;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, statuses, NULL),
                     COMMSERVER_WRITER_REFUSED);
    ck_assert_int_eq(statuses[0], COMMSERVER_WRITER_BAD_NAME);
    commserver_writer_close(writer);
}
END_TEST

static void join(const char *client)
{
    csq_key key = { "realm", client, NULL };
    int changed;

    ck_ok(csq_group_add(fx.q, &key, "orders", "night", fx.now, &changed));
}

START_TEST(groups_and_all_are_receivers)
{
    commserver_writer *writer = open_writer();
    commserver_writer_message message = message_to(NULL, 0);
    static const char *const to[] = { "carol" };

    join("alice");
    join("bob");
    message.group = "night";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 2);
    ck_ok(get("bob", NULL));
    message.group = "none";
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 0);
    message.flags = COMMSERVER_WRITER_ALL;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    message.group = NULL;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    ck_assert_uint_eq(commserver_writer_queued(writer), 2);
    message.to = to;
    message.to_count = 1;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    commserver_writer_close(writer);
}
END_TEST

/* What a program built with the first header passes: members behind its size are
 * not looked at. */
START_TEST(a_short_message_is_taken)
{
    commserver_writer *writer = open_writer();
    const char *to = "alice";
    commserver_writer_message message = message_to(&to, 1);

    message.size = offsetof(commserver_writer_message, topic);
    message.topic = "b b";
    message.urgency = 77;
    message.flags = 77;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL), 0);
    message.size--;
    ck_assert_int_eq(commserver_writer_publish(writer, &message, NULL, NULL),
                     COMMSERVER_WRITER_BAD_ARGUMENT);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_writer_follows_a_restarted_server)
{
    static const char *const realms[] = { "realm" };
    commserver_writer *writer = open_writer();
    apr_pool_t *pool;

    ck_assert_int_eq(publish_to(writer, "alice", NULL, "x", NULL), COMMSERVER_WRITER_OK);
    apr_pool_create(&pool, NULL);
    csq_batch_destroy(fx.batch);
    apr_pool_destroy(fx.pool);
    fx.pool = pool;
    fx.batch = csq_batch_create();
    ck_assert_int_eq(publish_to(writer, "alice", NULL, "x", NULL),
                     COMMSERVER_WRITER_NO_SERVER);
    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
    ck_ok(csq_realms_set(fx.q, realms, 1));
    ck_assert_int_eq(publish_to(writer, "alice", NULL, "again", NULL),
                     COMMSERVER_WRITER_OK);
    ck_ok(get("alice", NULL));
    ck_assert_str_eq(text_of(0), "again");
    commserver_writer_close(writer);
}
END_TEST

START_TEST(a_restarted_server_may_have_other_realms)
{
    static const char *const realms[] = { "one", "two", NULL };
    commserver_writer *writer = open_writer();
    apr_pool_t *pool;

    apr_pool_create(&pool, NULL);
    csq_batch_destroy(fx.batch);
    apr_pool_destroy(fx.pool);
    fx.pool = pool;
    fx.batch = csq_batch_create();
    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
    ck_ok(csq_realms_set(fx.q, realms, 2));
    ck_assert_int_eq(publish_to(writer, "alice", NULL, "x", NULL),
                     COMMSERVER_WRITER_NO_REALM);
    ck_assert_int_eq(publish_to(writer, "alice", NULL, "x", NULL),
                     COMMSERVER_WRITER_NO_REALM);
    commserver_writer_close(writer);
}
END_TEST

START_TEST(every_status_has_a_text)
{
    int status;

    for (status = COMMSERVER_WRITER_OK; status <= COMMSERVER_WRITER_DEVICES_FULL;
         status++)
        ck_assert_str_ne(commserver_writer_text(status), "unknown status");
    ck_assert_str_eq(commserver_writer_text(-1), "unknown status");
    ck_assert_str_eq(commserver_writer_text(COMMSERVER_WRITER_DEVICES_FULL + 1),
                     "unknown status");
    ck_assert_int_eq(commserver_writer_version(), COMMSERVER_WRITER_VERSION);
}
END_TEST

/* ---- the command --------------------------------------------------------- */

static void read_output(int fd)
{
    size_t used = 0;
    ssize_t n;

    while ((n = read(fd, output + used, sizeof output - 1 - used)) > 0)
        used += (size_t)n;
    output[used] = '\0';
    close(fd);
}

/* arguments[0..2] are the shell's, arguments[3] is the program. */
static void exec_commsend(char **arguments, int in, int out)
{
    const char *top = getenv("top_builddir");
    char program[4096];
    char script[128];

    snprintf(script, sizeof script, "exec \"$0\" \"$@\" %s",
             redirection ? redirection : "");
    snprintf(program, sizeof program, "%s/mod_commserver/writer/commsend",
             top ? top : "..");
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    arguments[2] = script;
    arguments[3] = program;
    execv("/bin/sh", arguments);
    perror("sh");
    _exit(127);
}

/* Run commsend --segment ... with these options and this input. */
static int commsend(const char *input, size_t len, const char *const *options)
{
    char *arguments[32] = { (char *)"sh", (char *)"-c",        NULL,
                            NULL,         (char *)"--segment", fx.path };
    int in[2];
    int out[2];
    int n = 6;
    int status;
    pid_t child;

    while (*options)
        arguments[n++] = (char *)*options++;
    ck_assert_int_eq(pipe(in), 0);
    ck_assert_int_eq(pipe(out), 0);
    child = fork();
    if (child == 0) {
        close(in[1]);
        close(out[0]);
        exec_commsend(arguments, in[0], out[1]);
    }
    close(in[0]);
    close(out[1]);
    signal(SIGPIPE, SIG_IGN);
    if (write(in[1], input, len) < 0)
        output[0] = '\0';
    close(in[1]);
    read_output(out[0]);
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert(WIFEXITED(status));
    return WEXITSTATUS(status);
}

#define RUN(input, ...)                                                                  \
    commsend(input, sizeof(input) - 1, (const char *const[]){ __VA_ARGS__, NULL })

START_TEST(commsend_publishes_its_input)
{
    char text[CSQ_ID_TEXT + 2];

    ck_assert_int_eq(RUN("{\"order\":4711}\n", "--app", "orders", "--to", "alice",
                         "--to=bob", "--type", "application/json", "--ttl", "5"),
                     EX_OK);
    ck_ok(get("bob", NULL));
    ck_assert_str_eq(apr_pstrmemdup(fx.pool, csq_batch_get(fx.batch, 0)->data,
                                    csq_batch_get(fx.batch, 0)->len),
                     "{\"order\":4711} ");
    csq_id_format(csq_batch_get(fx.batch, 0)->id, text);
    strcat(text, "\n");
    ck_assert_str_eq(output, text);
    ck_assert_int_eq(csq_batch_get(fx.batch, 0)->expires
                         - csq_batch_get(fx.batch, 0)->time,
                     5 * SECOND);
    ck_ok(get("alice", NULL));
    ck_assert_int_eq(RUN("a\0b", "--app", "orders", "--to", "carol"), EX_OK);
    ck_ok(get("carol", NULL));
    ck_assert_int_eq(csq_batch_get(fx.batch, 0)->encoding, CSQ_BINARY);
}
END_TEST

START_TEST(commsend_explains_itself)
{
    ck_assert_int_eq(RUN("", "--help"), EX_OK);
    ck_assert_ptr_nonnull(strstr(output, "exit status:"));
    ck_assert_int_eq(RUN("", "--version"), EX_OK);
    ck_assert_int_eq(strncmp(output, "commsend ", 9), 0);
    ck_assert_int_eq(RUN("", "--app", "a"), EX_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "--to is missing"));
    ck_assert_int_eq(RUN("", "--to", "a"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "--ttl", "-1"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "--ttl", ""), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "--urgency", "1"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "--all"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--group", "b", "--all"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--group", "b", "--to", "c"), EX_USAGE);
    ck_assert_ptr_nonnull(strstr(output, "only one of"));
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "--ttl", "1x"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "b", "message"), EX_USAGE);
    ck_assert_int_eq(RUN("", "--what"), EX_USAGE);
}
END_TEST

START_TEST(commsend_names_the_names_that_are_bad)
{
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice", "--to", "alice/-"),
                     EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "client 'alice/-': a name is not allowed"));
    ck_assert_ptr_null(strstr(output, "client 'alice':"));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice/"), EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "'alice/'"));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice", "--topic", "b b"),
                     EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "topic 'b b'"));
    ck_assert_int_eq(RUN("x", "--app", "a", "--group", "-"), EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "group '-'"));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice", "--type", "a\tb"),
                     EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "type 'a\tb'"));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice", "--realm", "nope"),
                     EX_CONFIG);
    ck_assert_str_eq(output, "commsend: realm 'nope': the only realm of the server is "
                             "'realm'\n");
    ck_status(get("alice", NULL), CSQ_EMPTY);
}
END_TEST

START_TEST(commsend_needs_an_input)
{
    redirection = "<&-";
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "alice"), EX_NOINPUT);
    ck_assert_str_eq(output, "commsend: standard input is closed\n");
    ck_assert_int_eq(RUN("", "--version"), EX_OK);
    redirection = "</";
    ck_assert_int_eq(RUN("", "--app", "a", "--to", "alice"), EX_NOINPUT);
    ck_status(get("alice", NULL), CSQ_EMPTY);
}
END_TEST

/* A status that says "failed" would make the caller send it again. */
START_TEST(commsend_without_output_has_sent_once)
{
    char text[CSQ_ID_TEXT + 1];

    redirection = ">&-";
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "alice"), EX_OK);
    ck_ok(get("alice", NULL));
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    csq_id_format(csq_batch_get(fx.batch, 0)->id, text);
    ck_assert_ptr_nonnull(strstr(output, "queued"));
    ck_assert_ptr_nonnull(strstr(output, text));
    redirection = ">/dev/full";
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "bob"), EX_OK);
    ck_ok(get("bob", NULL));
    ck_assert_ptr_nonnull(strstr(output, "No space left"));
    redirection = ">&- 2>&-";
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "carol"), EX_OK);
    ck_ok(get("carol", NULL));
}
END_TEST

START_TEST(commsend_says_what_a_message_is_like)
{
    const csq_view *view;

    ck_assert_int_eq(RUN("x", "--app", "orders", "--to", "alice", "--topic", "t",
                         "--urgency", "low", "--receipt"),
                     EX_OK);
    ck_ok(get("alice", NULL));
    view = csq_batch_get(fx.batch, 0);
    ck_assert_str_eq(view->topic, "t");
    ck_assert_int_eq(view->urgency, CSQ_LOW);
    ck_assert_int_eq(view->receipt, 1);
    ck_assert_int_eq(RUN("x", "--app", "orders", "--to", "bob", "--ttl", "0"),
                     EX_TEMPFAIL);
    ck_assert_str_eq(output, "commsend: message for 'bob': nobody is there now\n");
    ck_assert_int_eq(
        RUN("x", "--app", "orders", "--to", "bob", "--ttl", "0", "--ttl", "9"), EX_OK);
}
END_TEST

START_TEST(commsend_reaches_groups_and_all)
{
    join("alice");
    ck_assert_int_eq(RUN("hello", "--app", "orders", "--group", "night"), EX_OK);
    ck_assert_uint_eq(strlen(output), CSQ_ID_TEXT + 1);
    ck_ok(get("alice", NULL));
    ck_assert_int_eq(RUN("hello", "--app", "orders", "--group", "none"), EX_OK);
    ck_assert_ptr_nonnull(strstr(output, "there is nobody to get it\n"));
    fx.limits.max_queue = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_assert_int_eq(
        RUN("x", "--app", "orders", "--to", "alice", "--to", "bob", "--lenient"), EX_OK);
    ck_assert_ptr_nonnull(strstr(output, "client 'alice': the client's queue"));
    ck_assert_ptr_nonnull(strstr(output, "queued for 1, not queued for 1\n"));
    ck_assert_int_eq(RUN("x", "--app", "orders", "--all"), EX_TEMPFAIL);
    ck_assert_ptr_nonnull(strstr(output, "queued for none"));
}
END_TEST

START_TEST(commsend_tells_the_limit_that_applies)
{
    static char large[1200];

    fx.limits.max_queue_bytes = 1000;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    memset(large, 'x', sizeof large);
    ck_assert_int_eq(RUN(large, "--app", "a", "--to", "b"), EX_DATAERR);
    ck_assert_str_eq(output, "commsend: the message is too large: at most 1000 bytes are "
                             "allowed\n");
    ck_assert_int_eq(
        commsend(large, 999, (const char *const[]){ "--app", "a", "--to", "b", NULL }),
        EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "1000 bytes are allowed, text as quoted"));
    ck_assert_int_eq(
        commsend(large, 998, (const char *const[]){ "--app", "a", "--to", "b", NULL }),
        EX_OK);
}
END_TEST

START_TEST(commsend_tells_errors_apart)
{
    static const char *const realms[] = { "one", "two", NULL };
    static char large[300000];

    ck_assert_int_eq(RUN("{", "--app", "a", "--to", "b", "--type", "application/json"),
                     EX_DATAERR);
    ck_assert_int_eq(RUN("x", "--app", "-", "--to", "b"), EX_DATAERR);
    ck_assert_int_eq(RUN(large, "--app", "a", "--to", "b"), EX_DATAERR);
    ck_assert_ptr_nonnull(strstr(output, "at most 262144 bytes"));
    fx.limits.max_queue = 1;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "b"), EX_OK);
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "b"), EX_TEMPFAIL);
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "b", "--to", "c"), EX_TEMPFAIL);
    ck_assert_ptr_nonnull(strstr(output, "client 'b': the client's queue"));
    ck_ok(csq_realms_set(fx.q, realms, 2));
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "c"), EX_CONFIG);
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "c", "--realm", "two"), EX_OK);
    fx.q->header->layout++;
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "c"), EX_PROTOCOL);
    fx.q->header->layout--;
    csq_close(fx.q);
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "c", "--realm", "two"),
                     EX_UNAVAILABLE);
    ck_assert_int_eq(RUN("x", "--app", "a", "--to", "c", "--segment", "/none/q"),
                     EX_UNAVAILABLE);
    ck_assert_str_eq(output, "commsend: segment '/none/q': no server runs there\n");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("writer");
    TCase *tc = tcase_create("writer");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, setup, fixture_teardown);
    tcase_add_test(tc, what_is_published_is_in_the_queue);
    tcase_add_test(tc, several_get_it_or_none);
    tcase_add_test(tc, wrong_arguments_are_refused);
    tcase_add_test(tc, the_environment_says_where_and_for_whom);
    tcase_add_test(tc, a_realm_that_the_server_does_not_have_is_refused);
    tcase_add_test(tc, the_smallest_limit_is_the_limit);
    tcase_add_test(tc, senders_and_types_are_text);
    tcase_add_test(tc, topic_urgency_and_receipt_are_carried);
    tcase_add_test(tc, a_device_gets_what_is_for_it_alone);
    tcase_add_test(tc, a_message_for_now_needs_somebody_there);
    tcase_add_test(tc, a_lenient_message_goes_where_it_can);
    tcase_add_test(tc, groups_and_all_are_receivers);
    tcase_add_test(tc, a_short_message_is_taken);
    tcase_add_test(tc, a_writer_follows_a_restarted_server);
    tcase_add_test(tc, a_restarted_server_may_have_other_realms);
    tcase_add_test(tc, every_status_has_a_text);
    tcase_add_test(tc, commsend_publishes_its_input);
    tcase_add_test(tc, commsend_explains_itself);
    tcase_add_test(tc, commsend_names_the_names_that_are_bad);
    tcase_add_test(tc, commsend_needs_an_input);
    tcase_add_test(tc, commsend_without_output_has_sent_once);
    tcase_add_test(tc, commsend_says_what_a_message_is_like);
    tcase_add_test(tc, commsend_reaches_groups_and_all);
    tcase_add_test(tc, commsend_tells_the_limit_that_applies);
    tcase_add_test(tc, commsend_tells_errors_apart);
    suite_add_tcase(suite, tc);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

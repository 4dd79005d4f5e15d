/* SPDX-License-Identifier: Apache-2.0
 * check_csq_segment.c - make, attach, refuse, take down; limits and realms;
 * damaged numbers.
 */
#include "cs_compat.h"
#include "csq_fixture.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static apr_status_t attach_again(csq **out_q)
{
    return csq_attach(fx.path, fx.pool, out_q);
}

START_TEST(who_attaches_sees_the_same_queues)
{
    csq *other;
    csq *first = fx.q;

    ck_ok(put("alice", "x"));
    ck_ok(attach_again(&other));
    fx.q = other;
    ck_ok(get("alice", NULL));
    ck_ok(put("bob", "y"));
    fx.q = first;
    ck_ok(get("bob", NULL));
}
END_TEST

START_TEST(the_folder_may_be_spelled_in_another_way)
{
    csq *other;
    char path[160];

    snprintf(path, sizeof path, "%s/../%s/q", fx.directory,
             strrchr(fx.directory, '/') + 1);
    ck_ok(csq_attach(path, fx.pool, &other));
}
END_TEST

START_TEST(two_servers_do_not_share_a_segment)
{
    csq *other;

    ck_status(csq_create(fx.path, FIXTURE_SIZE, 1, &fx.limits, fx.pool, &other),
              CSQ_IN_USE);
    ck_ok(put("alice", "x"));
}
END_TEST

START_TEST(files_belong_to_their_owner_alone)
{
    struct stat info;
    char path[160];
    csq_slot *slot;

    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    snprintf(path, sizeof path, "%s.lock", fx.path);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFREG | 0600);
    snprintf(path, sizeof path, "%s.bell.0", fx.path);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_mode, S_IFIFO | 0600);
}
END_TEST

START_TEST(a_new_header_of_another_version_is_refused)
{
    csq *other;

    fx.q->header->layout++;
    ck_status(attach_again(&other), CSQ_LAYOUT);
    fx.q->header->layout--;
    fx.q->header->build[3] ^= 1;
    ck_status(attach_again(&other), CSQ_LAYOUT);
    fx.q->header->build[3] ^= 1;
    fx.q->header->magic ^= 1;
    ck_status(attach_again(&other), CSQ_DAMAGED);
    fx.q->header->magic ^= 1;
    fx.q->header->chunk_count++;
    ck_status(attach_again(&other), CSQ_DAMAGED);
    fx.q->header->chunk_count--;
    ck_ok(attach_again(&other));
}
END_TEST

START_TEST(limits_and_realms_are_shared)
{
    static const char *const realms[] = { "one", "one", "two" };
    const char *realm;
    csq_limits limits;
    csq *other;

    ck_status(csq_realm_only(fx.q, fx.pool, &realm), CSQ_NO_REALM);
    ck_ok(csq_realms_set(fx.q, realms, 2));
    ck_ok(attach_again(&other));
    ck_ok(csq_realm_only(other, fx.pool, &realm));
    ck_assert_str_eq(realm, "one");
    ck_ok(csq_realms_set(fx.q, realms, 3));
    ck_status(csq_realm_only(other, fx.pool, &realm), CSQ_NO_REALM);
    ck_ok(csq_realms_set(fx.q, NULL, 0));
    ck_status(csq_realm_only(other, fx.pool, &realm), CSQ_NO_REALM);
    fx.limits.max_queue = 17;
    ck_ok(csq_limits_set(fx.q, &fx.limits));
    csq_limits_get(other, &limits);
    ck_assert_uint_eq(limits.max_queue, 17);
    fx.limits.max_queue = 0;
    ck_status(csq_limits_set(fx.q, &fx.limits), APR_EINVAL);
}
END_TEST

START_TEST(counters_and_slots_are_shared)
{
    csq_slot *slot;
    csq *other;

    ck_ok(attach_again(&other));
    csq_counter_add(fx.q, 3, 5);
    csq_counter_add(other, 3, 2);
    csq_counter_add(other, CSQ_COUNTERS, 2);
    ck_assert_uint_eq(stats_now().counters[3], 7);
    ck_ok(csq_slot_claim(fx.q, fx.pool, &slot));
    csq_slot_waiting_set(slot, 9);
    ck_assert_uint_eq(stats_now().waiting, 9);
}
END_TEST

START_TEST(a_client_tells_about_itself)
{
    csq_key key = { "realm", "alice", NULL };
    csq_client_info info;

    ck_status(csq_client_info_get(fx.q, &key, &info), CSQ_EMPTY);
    ck_ok(put("alice", "abc"));
    ck_ok(put("alice", "de"));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_uint_eq(info.queued, 2);
    ck_assert_uint_eq(info.bytes, 9);
    ck_assert_int_eq(info.oldest, fx.now / 1000 * 1000);
    ck_assert_int_eq(info.last_seen, 0);
    ck_ok(get("alice", NULL));
    ck_ok(csq_client_info_get(fx.q, &key, &info));
    ck_assert_int_eq(info.last_seen / SECOND, fx.now / SECOND);
}
END_TEST

/* ---- making and taking down --------------------------------------------- */

START_TEST(without_a_server_nobody_attaches)
{
    csq *q;
    apr_pool_t *pool;

    ck_status(csq_attach(fx.path, fx.pool, &q), CSQ_NO_SERVER);
    ck_status(csq_attach("/nonexistent/folder/q", fx.pool, &q), CSQ_NO_SERVER);
    apr_pool_create(&pool, fx.pool);
    ck_ok(csq_create(fx.path, FIXTURE_SIZE, 1, &fx.limits, pool, &q));
    apr_pool_destroy(pool);
    ck_status(csq_attach(fx.path, fx.pool, &q), CSQ_NO_SERVER);
}
END_TEST

START_TEST(a_writer_learns_that_its_server_has_gone)
{
    csq *q;
    csq *writer;
    apr_pool_t *pool;

    apr_pool_create(&pool, fx.pool);
    ck_ok(csq_create(fx.path, FIXTURE_SIZE, 1, &fx.limits, pool, &q));
    ck_ok(csq_attach(fx.path, fx.pool, &writer));
    fx.q = writer;
    ck_ok(put("alice", "x"));
    apr_pool_destroy(pool);
    ck_status(put("alice", "x"), CSQ_CLOSED);
    fx.now += 2 * SECOND;
    ck_status(put("alice", "x"), CSQ_NO_SERVER);
    fx.q = NULL;
}
END_TEST

START_TEST(a_child_that_ends_takes_nothing_down)
{
    int status;
    pid_t child;

    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
    child = fork();
    if (child == 0) {
        apr_pool_destroy(fx.pool);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    ck_ok(put("alice", "x"));
    ck_ok(attach_again(&fx.q));
    ck_ok(get("alice", NULL));
}
END_TEST

START_TEST(sizes_that_do_not_fit_are_refused)
{
    csq *q;

    ck_status(csq_create(fx.path, 1000, 1, &fx.limits, fx.pool, &q), APR_EINVAL);
    ck_status(csq_create(fx.path, FIXTURE_SIZE, 0, &fx.limits, fx.pool, &q), APR_EINVAL);
    ck_status(csq_create(fx.path, FIXTURE_SIZE, 5000, &fx.limits, fx.pool, &q),
              APR_EINVAL);
    ck_status(csq_create(fx.path, FIXTURE_SIZE, 1000, &fx.limits, fx.pool, &q),
              APR_EINVAL);
    fx.limits.max_queue = 0;
    ck_status(csq_create(fx.path, FIXTURE_SIZE, 1, &fx.limits, fx.pool, &q), APR_EINVAL);
}
END_TEST

#define CANNOT_MOUNT 2

/* In a mount namespace of its own, where /dev/shm has one megabyte. Containers
 * may forbid that even to root. */
START_TEST(more_memory_than_there_is_is_refused)
{
    int status;
    pid_t child = fork();

    if (child == 0) {
        csq *q;

        if (unshare(CLONE_NEWNS) != 0
            || mount("none", "/", "none", MS_REC | MS_PRIVATE, NULL) != 0
            || mount("none", "/dev/shm", "tmpfs", 0, "size=1m") != 0)
            _exit(CANNOT_MOUNT);
        if (csq_create(fx.path, FIXTURE_SIZE, 1, &fx.limits, fx.pool, &q)
            != CSQ_NO_MEMORY)
            _exit(1);
        _exit(csq_create(fx.path, FIXTURE_SIZE / 4, 1, &fx.limits, fx.pool, &q)
                      == APR_SUCCESS
                  ? (apr_pool_destroy(fx.pool), 0)
                  : 3);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT_MOUNT) {
        puts("more_memory_than_there_is_is_refused: mounts are not allowed here");
        return;
    }
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(another_user_is_refused)
{
    int status;
    pid_t child;

    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
    ck_assert_int_eq(chmod(fx.directory, 0711), 0);
    child = fork();
    if (child == 0) {
        csq *q;

        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        _exit(csq_attach(fx.path, fx.pool, &q) == APR_EACCES ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

START_TEST(a_segment_made_for_another_user_is_for_that_user)
{
    struct stat info;
    char path[160];
    int status;
    pid_t child;

    ck_assert_int_eq(chown(fx.directory, 65534, (gid_t)-1), 0);
    ck_assert_int_eq(seteuid(65534), 0);
    fixture_create(FIXTURE_SIZE, FIXTURE_SLOTS);
    ck_assert_int_eq(seteuid(0), 0);
    snprintf(path, sizeof path, "%s.lock", fx.path);
    ck_assert_int_eq(stat(path, &info), 0);
    ck_assert_uint_eq(info.st_uid, 65534);
    child = fork();
    if (child == 0) {
        csq *q;
        csq_slot *slot;

        if (setgid(65534) != 0 || setuid(65534) != 0)
            _exit(2);
        if (csq_slot_claim(fx.q, fx.pool, &slot) != APR_SUCCESS)
            _exit(3);
        _exit(csq_attach(fx.path, fx.pool, &q) == APR_SUCCESS ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
}
END_TEST

/* ---- damage -------------------------------------------------------------- */

static void fill_a_little(void)
{
    int i;

    for (i = 0; i < 20; i++)
        ck_ok(put(i % 2 ? "alice" : "bob", "some text"));
}

START_TEST(a_broken_link_is_reported_then_repaired_with_a_gap)
{
    const csq_gap *gaps;
    apr_uint32_t n;
    csq_cursor cursor;
    csq_queue *queue;
    csq_name name;
    csq_key key = { "realm", "alice", NULL };
    uint32_t number;

    fill_a_little();
    ck_ok(get_max("alice", NULL, 1));
    cursor = cursor_now();
    ck_ok(csq_name_make(fx.q, &key, &name));
    ck_ok(csq_client_find_locked(fx.q, &name, &number));
    queue = csq_queue_at(fx.q, csq_client_at(fx.q, number)->queues);
    csq_entry_at(fx.q, queue->head)->queue_next = 0x7fffffff;
    ck_status(csq_audit(fx.q, fx.pool, NULL), CSQ_DAMAGED);
    ck_status(get("alice", NULL), CSQ_DAMAGED);
    ck_ok(acknowledge("alice", &cursor));
    ck_assert_int_eq(csq_batch_gap(fx.batch, &gaps, &n), 1);
    ck_assert_uint_eq(csq_batch_count(fx.batch), 1);
    ck_assert_uint_eq(stats_now().repairs, 1);
}
END_TEST

static void add_root_tests(TCase *tc)
{
    if (geteuid() == 0) {
        tcase_add_test(tc, more_memory_than_there_is_is_refused);
        tcase_add_test(tc, another_user_is_refused);
        tcase_add_test(tc, a_segment_made_for_another_user_is_for_that_user);
    }
    else {
        fputs("skipped, since only root can mount and change its user: "
              "more_memory_than_there_is_is_refused, another_user_is_refused, "
              "a_segment_made_for_another_user_is_for_that_user\n",
              stderr);
    }
}

int main(void)
{
    Suite *suite = suite_create("csq_segment");
    TCase *tc = tcase_create("attached");
    TCase *bare = tcase_create("made");
    SRunner *runner;
    int failed;

    tcase_add_checked_fixture(tc, fixture_setup, fixture_teardown);
    tcase_add_test(tc, who_attaches_sees_the_same_queues);
    tcase_add_test(tc, the_folder_may_be_spelled_in_another_way);
    tcase_add_test(tc, two_servers_do_not_share_a_segment);
    tcase_add_test(tc, files_belong_to_their_owner_alone);
    tcase_add_test(tc, a_new_header_of_another_version_is_refused);
    tcase_add_test(tc, limits_and_realms_are_shared);
    tcase_add_test(tc, counters_and_slots_are_shared);
    tcase_add_test(tc, a_client_tells_about_itself);
    tcase_add_test(tc, a_broken_link_is_reported_then_repaired_with_a_gap);
    tcase_add_checked_fixture(bare, fixture_setup_bare, fixture_teardown);
    tcase_add_test(bare, without_a_server_nobody_attaches);
    tcase_add_test(bare, a_writer_learns_that_its_server_has_gone);
    tcase_add_test(bare, a_child_that_ends_takes_nothing_down);
    tcase_add_test(bare, sizes_that_do_not_fit_are_refused);
    add_root_tests(bare);
    suite_add_tcase(suite, tc);
    suite_add_tcase(suite, bare);
    runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}

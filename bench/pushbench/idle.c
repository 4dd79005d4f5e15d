/* SPDX-License-Identifier: Apache-2.0
 * idle.c - the mode idle: memory a waiting client.
 *
 * More clients than one process may have open files are held by helpers, each
 * with a slice of them.
 */
#include "pushbench.h"

/* More clients than one process may have open files: helper processes hold slices. */
static int helper_read[64], helper_write[64];
static double helper_cpu;
static void helper(int k, int rd, int wr)
{
    int lo = (int)((long)client_count * k / helper_count),
        hi = (int)((long)client_count * (k + 1) / helper_count);
    close(epoll_fd);
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    pollers += lo;
    client_count = hi - lo;
    connecting_max = connecting_max / helper_count + 1;
    open_subs();
    if (idle_after_response) {
        uint64_t t = now_ns();
        while (n_resp < (uint64_t)client_count && now_ns() - t < 20000000000ull)
            loop_once(t + 20000000000ull);
    }
    double r[3] = { self_cpu(), 0, 0 };
    if (write(wr, r, sizeof r) != sizeof r)
        _exit(1);
    fcntl(rd, F_SETFL, O_NONBLOCK);
    char x;
    for (;;) {
        ssize_t n = read(rd, &x, 1);
        if (n == 0)
            _exit(0); /* the parent is done, or gone */
        if (n == 1) {
            r[1] = r[2] = 0;
            for (int i = 0; i < client_count; i++)
                r[1] += pollers[i].state != STATE_CLOSED;
            r[2] = n_resp + n_reconn;
            if (write(wr, r, sizeof r) != sizeof r)
                _exit(1);
        }
        loop_once(now_ns() + 20000000);
    }
}

static double helpers_open(void)
{
    uint64_t t0 = now_ns();
    fflush(stdout);
    for (int k = 0; k < helper_count; k++) {
        int a[2], b[2];
        if (pipe2(a, O_CLOEXEC) || pipe2(b, O_CLOEXEC))
            die("pipe: %s", strerror(errno));
        pid_t p = fork();
        if (p < 0)
            die("fork: %s", strerror(errno));
        if (!p) {
            close(a[1]);
            close(b[0]);
            for (int j = 0; j < k; j++) {
                close(helper_read[j]);
                close(helper_write[j]);
            }
            helper(k, a[0], b[1]);
        }
        close(a[0]);
        close(b[1]);
        helper_write[k] = a[1];
        helper_read[k] = b[0];
    }
    for (int k = 0; k < helper_count; k++) {
        double r[3];
        if (read(helper_read[k], r, sizeof r) != sizeof r)
            die("a helper process failed");
        helper_cpu += r[0];
    }
    return (now_ns() - t0) / 1e9;
}

static void helpers_ask(double *alive, double *answered)
{
    *alive = *answered = 0;
    for (int k = 0; k < helper_count; k++) {
        double r[3];
        if (write(helper_write[k], "?", 1) != 1
            || read(helper_read[k], r, sizeof r) != sizeof r)
            die("a helper process failed");
        *alive += r[1];
        *answered += r[2];
    }
}

void mode_idle(void)
{
    double p0 = tree_pss(), k0 = sock_mem(), sl0 = slab_mem(), c0 = tree_cpu();
    double to = helpers_open(), al = 0, r0 = 0, r1 = 0;
    wait_quiet(10);
    double c1 = tree_cpu();
    helpers_ask(&al, &r0);
    loop_for(hold);
    double c2 = tree_cpu(), p1 = tree_pss(), k1 = sock_mem(), sl1 = slab_mem();
    helpers_ask(&al, &r1);
    int alive = (int)al;
    printf("RESULT mode=idle label=%s n=%d alive=%d open_s=%.2f pss_before_mb=%.1f "
           "pss_after_mb=%.1f pss_b_per_conn=%.0f sock_b_per_conn=%.0f "
           "slab_b_per_conn_both_ends=%.0f cpu_us_per_conn=%.1f hold_cpu_pct=%.2f "
           "answered_in_hold=%.0f client_cpu_us_per_conn=%.1f client_procs=%d\n",
           label, client_count, alive, to, p0 / 1024, p1 / 1024,
           (p1 - p0) * 1024 / (alive ? alive : 1), (k1 - k0) * 1024 / (alive ? alive : 1),
           (sl1 - sl0) * 1024 / (alive ? alive : 1), (c1 - c0) * 1e6 / client_count,
           (c2 - c1) / hold * 100, r1 - r0, helper_cpu * 1e6 / client_count,
           helper_count);
}

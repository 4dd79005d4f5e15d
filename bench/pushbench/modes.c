/* SPDX-License-Identifier: Apache-2.0
 * modes.c - the modes latency, throughput, fanout, drain and exec.
 */
#include "pushbench.h"

static void print_counters(void)
{
    printf(" sent=%llu acked=%llu delivered=%llu lost=%lld dup=%llu reord=%llu "
           "puberr=%llu pollerr=%llu empty=%llu nodata=%llu corrupt=%llu misrouted=%llu "
           "stale=%llu reconn=%llu connerr=%llu",
           (unsigned long long)n_sent, (unsigned long long)n_acked,
           (unsigned long long)n_delivered, (long long)(n_acked - n_delivered),
           (unsigned long long)n_dup, (unsigned long long)n_reord,
           (unsigned long long)n_puberr, (unsigned long long)n_pollerr,
           (unsigned long long)n_empty, (unsigned long long)n_nodata,
           (unsigned long long)n_corrupt, (unsigned long long)n_misroute,
           (unsigned long long)n_stale, (unsigned long long)n_reconn,
           (unsigned long long)n_connerr);
    if (last_badstatus)
        printf(" last_bad_status=%d", last_badstatus);
    printf("\n");
}

static void print_samples(const char *nm, samples *s)
{
    samples_sort(s);
    printf(" %s_n=%zu %s_p50_us=%.0f %s_p90_us=%.0f %s_p99_us=%.0f %s_p999_us=%.0f "
           "%s_max_us=%.0f",
           nm, s->n, nm, percentile(s, 50), nm, percentile(s, 90), nm, percentile(s, 99),
           nm, percentile(s, 99.9), nm, s->n ? s->v[s->n - 1] / 10.0 : 0);
}

void mode_latency(void)
{
    open_subs();
    wait_quiet(10);
    mode = MODE_LATENCY;
    open_pubs();
    double ivl = 1e9 / rate, acc = 0;
    uint64_t t0 = now_ns(), tw = t0 + (uint64_t)(warmup * 1e9),
             te = tw + (uint64_t)(duration * 1e9);
    double c0 = 0, m0 = 0;
    uint64_t d0 = 0, s0 = 0, maxback = 0;
    int began = 0;
    while (1) {
        uint64_t n = now_ns();
        if (!began && n >= tw) {
            began = 1;
            sampling = 1;
            c0 = tree_cpu();
            m0 = self_cpu();
            d0 = n_delivered;
            s0 = n_sent;
        }
        if (n >= te)
            break;
        while (t0 + (uint64_t)acc <= n) {
            enqueue(random_next() % client_count, t0 + (uint64_t)acc);
            acc += ivl;
        }
        if (n_sent - n_delivered > maxback)
            maxback = n_sent - n_delivered;
        loop_once(t0 + (uint64_t)acc);
    }
    uint64_t t1 = now_ns();
    double c1 = tree_cpu(), m1 = self_cpu(), d = n_delivered - d0;
    uint64_t ss = n_sent - s0;
    drain_all();
    double el = (t1 - tw) / 1e9;
    printf("RESULT mode=latency label=%s n=%d rate=%.0f sent_rate=%.0f del_rate=%.0f",
           label, client_count, rate, ss / el, d / el);
    print_samples("lat", &latencies);
    print_samples("ack", &ack_times);
    printf(" srv_cpu_s_per_1m=%.2f srv_cpu_pct=%.1f cli_cpu_s_per_1m=%.2f "
           "max_outstanding=%llu",
           d ? (c1 - c0) * 1e6 / d : 0, (c1 - c0) / el * 100, d ? (m1 - m0) * 1e6 / d : 0,
           (unsigned long long)maxback);
    print_counters();
}

void mode_throughput(void)
{
    open_subs();
    wait_quiet(5);
    publishers_stop = 0;
    if (!window_size)
        window_size = client_count;
    open_pubs();
    uint64_t t0 = now_ns(), tw = t0 + (uint64_t)(warmup * 1e9),
             te = tw + (uint64_t)(duration * 1e9), tm = 0;
    double c0 = 0, m0 = 0;
    uint64_t d0 = 0, pl0 = 0, bi0 = 0, bo0 = 0, stalls = 0;
    int began = 0;
    last_delivery = t0;
    while (1) {
        uint64_t n = now_ns();
        if (!began && n >= tw) {
            began = 1;
            sampling = 1;
            c0 = tree_cpu();
            m0 = self_cpu();
            tm = now_ns();
            d0 = n_delivered;
            pl0 = n_polls;
            bi0 = bytes_in;
            bo0 = bytes_out;
        }
        if (n >= te)
            break;
        if (n - last_delivery > (uint64_t)(stall_ms * 1e6) && !window_open()) {
            n_forgiven = n_sent - n_delivered - n_puberr;
            stalls++;
            last_delivery = n;
        }
        for (int i = 0; i < publisher_count; i++)
            if (publishers[i].ring_len < depth)
                publisher_go_on(&publishers[i]);
        loop_once(te);
    }
    uint64_t t1 = now_ns();
    double c1 = tree_cpu(), m1 = self_cpu(), d = n_delivered - d0, pl = n_polls - pl0,
           bi = bytes_in - bi0, bo = bytes_out - bo0;
    sampling = 0;
    publishers_stop = 1;
    drain_all();
    double el = (t1 - tm) / 1e9;
    printf("RESULT mode=throughput label=%s n=%d pubs=%d window=%d depth=%d size=%d "
           "msg_s=%.0f srv_cpu_s_per_1m=%.2f srv_cpu_pct=%.1f cli_cpu_s_per_1m=%.2f "
           "cli_cpu_pct=%.1f polls_per_msg=%.2f sub_bytes_in_per_msg=%.0f "
           "sub_bytes_out_per_msg=%.0f stalls=%llu",
           label, client_count, publisher_count, window_size, depth, size, d / el,
           d ? (c1 - c0) * 1e6 / d : 0, (c1 - c0) / el * 100, d ? (m1 - m0) * 1e6 / d : 0,
           (m1 - m0) / el * 100, d ? pl / d : 0, d ? bi / d : 0, d ? bo / d : 0,
           (unsigned long long)stalls);
    print_samples("lat", &latencies);
    print_samples("ack", &ack_times);
    print_counters();
}

void mode_fanout(void)
{
    if (!fanout_channel[0])
        strcpy(fanout_channel, "all");
    open_subs();
    wait_quiet(10);
    open_pubs();
    samples last = { 0 };
    double c0 = tree_cpu(), m0 = self_cpu();
    uint64_t missed = 0;
    for (int r = 1; r <= rounds; r++) {
        if (r == 2 || rounds == 1) {
            sampling = 1;
            c0 = tree_cpu();
            m0 = self_cpu();
            fanout_delivered = 0;
        }
        uint64_t want_ = n_delivered + client_count, t0 = now_ns();
        enqueue(0, t0);
        while (n_delivered < want_ && now_ns() - t0 < 10000000000ull)
            loop_once(t0 + 10000000000ull);
        if (n_delivered < want_)
            missed += want_ - n_delivered;
        if (sampling && n_delivered >= want_)
            samples_add(&last, last_delivery - t0);
        loop_for(0.15);
    }
    double c1 = tree_cpu(), m1 = self_cpu();
    printf("RESULT mode=fanout label=%s n=%d rounds=%d srv_cpu_us_per_delivery=%.2f "
           "cli_cpu_us_per_delivery=%.2f missed=%llu",
           label, client_count, rounds,
           fanout_delivered ? (c1 - c0) * 1e6 / fanout_delivered : 0,
           fanout_delivered ? (m1 - m0) * 1e6 / fanout_delivered : 0,
           (unsigned long long)missed);
    print_samples("last", &last);
    print_samples("each", &latencies);
    n_acked = n_acked * client_count;
    print_counters();
}

void mode_drain(void)
{
    if (driver == DRIVER_MQTT) { /* make the persistent session first */
        open_subs();
        pollers_stop = 1;
        for (int i = 0; i < client_count; i++) {
            connection_send(&pollers[i], "\xe0\0", 2);
            connection_close(&pollers[i]);
            pollers[i].opened = 0;
        }
        n_opened = 0;
        next_open = 0;
        open_target = 0;
        pollers_stop = 0;
        loop_for(0.2);
    }
    open_pubs();
    double cp0 = tree_cpu(), ps0 = tree_pss();
    uint64_t t0 = now_ns();
    for (int m = 0; m < messages; m++) {
        for (int i = 0; i < client_count; i++)
            enqueue(i, now_ns());
        if (m % 64 == 0)
            loop_once(0);
    }
    while (pubs_busy() && now_ns() - t0 < 60000000000ull)
        loop_once(t0 + 60000000000ull);
    double tp = (now_ns() - t0) / 1e9;
    wait_quiet(3);
    double c0 = tree_cpu(), ps1 = tree_pss();
    n_polls = 0;
    bytes_in = bytes_out = 0;
    t0 = now_ns();
    last_delivery = t0;
    open_target = client_count;
    open_more();
    uint64_t tot = n_acked;
    while (n_delivered < tot && now_ns() - last_delivery < 5000000000ull
           && now_ns() - t0 < 60000000000ull)
        loop_once(t0 + 60000000000ull);
    double td = (last_delivery - t0) / 1e9;
    double c1 = tree_cpu(), d = n_delivered;
    printf("RESULT mode=drain label=%s n=%d messages=%d size=%d publish_s=%.3f "
           "publish_cpu_s_per_1m=%.2f store_b_per_msg=%.0f drain_s=%.3f drain_msg_s=%.0f "
           "srv_cpu_s_per_1m=%.2f polls_per_msg=%.3f bytes_in_per_msg=%.0f "
           "bytes_out_per_msg=%.0f",
           label, client_count, messages, size, tp,
           (c0 - cp0) * 1e6 / (n_acked ? n_acked : 1),
           (ps1 - ps0) * 1024 / (n_acked ? n_acked : 1), td, d / (td > 0 ? td : 1),
           d ? (c1 - c0) * 1e6 / d : 0, d ? n_polls / d : 0, d ? bytes_in / d : 0,
           d ? bytes_out / d : 0);
    print_counters();
}

int mode_exec(char **av)
{ /* run a command, report the server tree's CPU meanwhile */
    double c0 = tree_cpu();
    uint64_t t0 = now_ns();
    pid_t p = fork();
    if (!p) {
        execvp(av[0], av);
        _exit(127);
    }
    int state;
    waitpid(p, &state, 0);
    double el = (now_ns() - t0) / 1e9;
    struct rusage r;
    getrusage(RUSAGE_CHILDREN, &r);
    printf(
        "RESULT mode=exec label=%s elapsed_s=%.3f srv_cpu_s=%.3f cli_cpu_s=%.3f rc=%d\n",
        label, el, tree_cpu() - c0,
        r.ru_utime.tv_sec + r.ru_stime.tv_sec
            + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6,
        WEXITSTATUS(state));
    return WEXITSTATUS(state);
}

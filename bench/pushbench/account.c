/* SPDX-License-Identifier: Apache-2.0
 * account.c - what the process tree of the server has used: CPU, memory.
 */
#include "pushbench.h"

static int tree[8192], n_tree;
static long clock_ticks;

void account_start(void)
{
    clock_ticks = sysconf(_SC_CLK_TCK);
}
static void tree_scan(void)
{
    static int pid[65536], pp[65536];
    int n = 0;
    DIR *d = opendir("/proc");
    struct dirent *e;
    while (d && (e = readdir(d)) && n < 65536) {
        if (!isdigit((unsigned char)e->d_name[0]))
            continue;
        char f[64], b[1024];
        snprintf(f, sizeof f, "/proc/%.20s/stat", e->d_name);
        int fd = open(f, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        int r = read(fd, b, sizeof b - 1);
        close(fd);
        if (r <= 0)
            continue;
        b[r] = 0;
        char *q = strrchr(b, ')');
        if (!q)
            continue;
        pid[n] = atoi(b);
        pp[n++] = atoi(q + 4);
    }
    if (d)
        closedir(d);
    n_tree = 0;
    for (int i = 0; i < n_root; i++)
        tree[n_tree++] = root_pids[i];
    for (int i = 0; i < n_tree; i++)
        for (int j = 0; j < n && n_tree < 8000; j++)
            if (pp[j] == tree[i]) {
                int k;
                for (k = 0; k < n_tree && tree[k] != pid[j]; k++)
                    ;
                if (k == n_tree)
                    tree[n_tree++] = pid[j];
            }
}

double tree_cpu(void)
{ /* user+sys (+ reaped children) in seconds */
    double t = 0;
    tree_scan();
    for (int i = 0; i < n_tree; i++) {
        char f[64], b[1024];
        snprintf(f, sizeof f, "/proc/%d/stat", tree[i]);
        int fd = open(f, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
            continue;
        int r = read(fd, b, sizeof b - 1);
        close(fd);
        if (r <= 0)
            continue;
        b[r] = 0;
        char *q = strrchr(b, ')');
        unsigned long u, s;
        long cu_, cs;
        if (q
            && sscanf(q + 2,
                      "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu %ld %ld", &u,
                      &s, &cu_, &cs)
                   == 4)
            t += (double)(u + s + cu_ + cs) / clock_ticks;
    }
    return t;
}

double tree_pss(void)
{ /* KiB */
    double t = 0;
    tree_scan();
    for (int i = 0; i < n_tree; i++) {
        char f[64], l[256];
        snprintf(f, sizeof f, "/proc/%d/smaps_rollup", tree[i]);
        FILE *fp = fopen(f, "r");
        long k;
        if (!fp)
            continue;
        while (fgets(l, sizeof l, fp))
            if (sscanf(l, "Pss: %ld", &k) == 1)
                t += k;
        fclose(fp);
    }
    return t;
}

double sock_mem(void)
{ /* KiB of TCP buffer pages, both ends */
    char l[256];
    double k = 0;
    FILE *fp = fopen("/proc/net/sockstat", "r");
    long m;
    if (!fp)
        return 0;
    while (fgets(l, sizeof l, fp)) {
        char *q = strstr(l, " mem ");
        if (!strncmp(l, "TCP:", 4) && q && sscanf(q, " mem %ld", &m) == 1)
            k = m * (sysconf(_SC_PAGESIZE) / 1024);
    }
    fclose(fp);
    return k;
}

double slab_mem(void)
{ /* KiB of kernel slab, whole machine */
    char l[256];
    long m = 0;
    FILE *fp = fopen("/proc/meminfo", "r");
    if (!fp)
        return 0;
    while (fgets(l, sizeof l, fp))
        if (sscanf(l, "Slab: %ld", &m) == 1)
            break;
    fclose(fp);
    return m;
}

double self_cpu(void)
{
    struct rusage r;
    getrusage(RUSAGE_SELF, &r);
    return r.ru_utime.tv_sec + r.ru_stime.tv_sec
           + (r.ru_utime.tv_usec + r.ru_stime.tv_usec) / 1e6;
}

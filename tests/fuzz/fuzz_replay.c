/* SPDX-License-Identifier: Apache-2.0
 * fuzz_replay.c - runs a fuzz target without libFuzzer, with any compiler.
 *
 *   fuzz_NAME [FILE|FOLDER...]
 *
 * Without arguments: all files of $srcdir/fuzz/seeds/NAME, each as it is and
 * then FUZZ_ROUNDS mutations of it. With arguments only those, as they are.
 * The mutations depend on FUZZ_SEED (a number), the file and the round, so
 * what failed fails again; FUZZ_KEEP=FILE writes the input that fails there.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fuzz.h"

#define ROUNDS_USUAL 1000
#define INPUT_MAX    (1024 * 1024)
#define FILES_MAX    4096
#define INPUT_LIMIT  30 /* seconds for one input, times TEST_TIME_SCALE     */

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

typedef struct seed_file {
    char *path;
    uint8_t *data;
    size_t len;
} seed_file;

static seed_file files[FILES_MAX];
static int n_files;

/* What runs now, for who reports the end of it.                             */
static struct {
    const char *path;
    char line[1024];
    size_t line_len;
    const uint8_t *data;
    size_t len;
} current;

#pragma weak fuzz_rounds
#pragma weak LLVMFuzzerInitialize
#pragma weak __sanitizer_set_death_callback
void __sanitizer_set_death_callback(void (*callback)(void));

/* ---- what failed ----------------------------------------------------------- */

/* Only what a signal handler may call. */
static void report_end(void)
{
    const char *keep = getenv("FUZZ_KEEP");
    ssize_t ignored = write(STDERR_FILENO, current.line, current.line_len);

    if (keep != NULL) {
        int fd = open(keep, O_WRONLY | O_CREAT | O_TRUNC, 0600);

        if (fd >= 0) {
            ignored = write(fd, current.data, current.len);
            close(fd);
        }
    }
    (void)ignored;
}

static void on_signal(int number)
{
    static const char slow[] = "an input took too long\n";

    if (number == SIGALRM) {
        ssize_t ignored = write(STDERR_FILENO, slow, sizeof(slow) - 1);

        (void)ignored;
    }
    report_end();
    signal(number, SIG_DFL);
    raise(number);
}

/* A sanitizer has handlers of its own, and tells before it ends. */
static void watch(void)
{
    static const int crashes[] = { SIGSEGV, SIGBUS, SIGFPE, SIGILL };
    size_t i;

    signal(SIGALRM, on_signal);
    signal(SIGABRT, on_signal);
    if (SANITIZED) {
        if (__sanitizer_set_death_callback != NULL) {
            __sanitizer_set_death_callback(report_end);
        }
        return;
    }
    for (i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        signal(crashes[i], on_signal);
    }
}

static unsigned input_limit(void)
{
    const char *scale = getenv("TEST_TIME_SCALE");

    return INPUT_LIMIT * (scale != NULL && atoi(scale) > 0 ? (unsigned)atoi(scale) : 1);
}

static void run_input(const seed_file *file, const uint8_t *data, size_t len,
                      unsigned round, uint64_t seed)
{
    /* Exactly as long as it is, as libFuzzer has it. */
    uint8_t *copy = malloc(len + (len == 0));

    if (copy == NULL) {
        abort();
    }
    memcpy(copy, data, len);
    current.data = copy;
    current.len = len;
    current.line_len = (size_t)snprintf(current.line, sizeof(current.line),
                                        "failed: %.900s, round %u, FUZZ_SEED=%llu\n",
                                        file->path, round, (unsigned long long)seed);
    alarm(input_limit());
    LLVMFuzzerTestOneInput(copy, len);
    alarm(0);
    free(copy);
}

/* ---- seeds ------------------------------------------------------------------ */

static void fail(const char *what, const char *path)
{
    fprintf(stderr, "%s '%s': %s\n", what, path, strerror(errno));
    exit(1);
}

static void read_file(const char *path)
{
    seed_file *file = &files[n_files];
    FILE *stream = fopen(path, "rb");

    if (n_files == FILES_MAX) {
        fprintf(stderr, "more than %d seeds\n", FILES_MAX);
        exit(1);
    }
    file->path = strdup(path);
    file->data = malloc(INPUT_MAX);
    if (stream == NULL || file->path == NULL || file->data == NULL) {
        fail("cannot read", path);
    }
    file->len = fread(file->data, 1, INPUT_MAX, stream);
    fclose(stream);
    file->data = realloc(file->data, file->len + 1);
    n_files++;
}

static int is_seed(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void read_path(const char *path)
{
    struct dirent **entries;
    struct stat info;
    int n, i;

    if (stat(path, &info) != 0) {
        fail("no seeds at", path);
    }
    if (!S_ISDIR(info.st_mode)) {
        read_file(path);
        return;
    }
    n = scandir(path, &entries, is_seed, alphasort);
    if (n < 0) {
        fail("cannot read", path);
    }
    for (i = 0; i < n; i++) {
        char name[4096];

        snprintf(name, sizeof(name), "%s/%s", path, entries[i]->d_name);
        read_file(name);
        free(entries[i]);
    }
    free(entries);
}

static void read_own_seeds(const char *program)
{
    const char *slash = strrchr(program, '/');
    const char *name = slash != NULL ? slash + 1 : program;
    const char *srcdir = getenv("srcdir");
    char path[4096];

    name = strstr(name, "fuzz_") != NULL ? strstr(name, "fuzz_") + 5 : name;
    snprintf(path, sizeof(path), "%s/fuzz/seeds/%s", srcdir != NULL ? srcdir : ".", name);
    read_path(path);
}

/* ---- mutations -------------------------------------------------------------- */

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static size_t draw_below(uint64_t *state, size_t limit)
{
    return limit > 0 ? (size_t)(draw(state) % limit) : 0;
}

static uint64_t hash_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    uint64_t hash = 0xCBF29CE484222325u;

    while (*name != '\0') {
        hash = (hash ^ (uint8_t)*name++) * 0x100000001B3u;
    }
    return hash;
}

typedef struct mutant {
    uint8_t data[INPUT_MAX];
    size_t len;
} mutant;

/* Numbers at which code that counts goes wrong. */
static uint64_t draw_number(uint64_t *random)
{
    uint64_t number = (uint64_t)1 << draw_below(random, 64);

    switch (draw_below(random, 4)) {
    case 0:
        return number - 1;
    case 1:
        return ~number + 1;
    case 2:
        return draw_below(random, 256);
    default:
        return number + draw_below(random, 3);
    }
}

static void change_byte(mutant *m, uint64_t *random)
{
    uint8_t *byte = &m->data[draw_below(random, m->len)];

    switch (draw_below(random, 4)) {
    case 0:
        *byte ^= (uint8_t)(1u << draw_below(random, 8));
        break;
    case 1:
        *byte = (uint8_t)draw(random);
        break;
    case 2:
        *byte = (uint8_t)(*byte + draw_below(random, 9) - 4);
        break;
    default:
        *byte = (uint8_t) "\0\n\r\t \"%&'+,-./0:;<=>?[\\]{}\177\200\377"[draw_below(
            random, 32)];
    }
}

static void change_number(mutant *m, uint64_t *random)
{
    size_t bytes = (size_t)1 << draw_below(random, 4);
    uint64_t number = draw_number(random);
    size_t at;

    if (m->len < bytes) {
        return;
    }
    at = draw_below(random, m->len - bytes + 1);
    memcpy(m->data + at, &number, bytes);
}

static void change_digits(mutant *m, uint64_t *random)
{
    size_t at = draw_below(random, m->len), from = at;

    while (at < m->len && (m->data[at] < '0' || m->data[at] > '9')) {
        at++;
    }
    for (from = at; at < m->len && m->data[at] >= '0' && m->data[at] <= '9'; at++) {
        m->data[at] = (uint8_t)('0' + draw_below(random, 10));
        if (at - from > 20) {
            return;
        }
    }
}

static void make_room(mutant *m, size_t at, size_t len)
{
    memmove(m->data + at + len, m->data + at, m->len - at);
    m->len += len;
}

static void put_in(mutant *m, uint64_t *random, const uint8_t *source, size_t source_len)
{
    static uint8_t piece[4096];
    size_t from = draw_below(random, source_len), at = draw_below(random, m->len + 1);
    size_t most = source_len - from < sizeof(piece) ? source_len - from : sizeof(piece);
    size_t len = most > 0 ? 1 + draw_below(random, most) : 0;

    if (len == 0 || m->len + len > INPUT_MAX) {
        return;
    }
    memcpy(piece, source + from, len);
    if (draw_below(random, 2) == 0 || at + len > m->len) {
        make_room(m, at, len);
    }
    memcpy(m->data + at, piece, len);
}

static void take_out(mutant *m, uint64_t *random)
{
    size_t at = draw_below(random, m->len);
    size_t most = draw_below(random, 4) == 0 ? m->len - at : 16;
    size_t len = 1 + draw_below(random, most);

    if (len > m->len - at) {
        len = m->len - at;
    }
    memmove(m->data + at, m->data + at + len, m->len - at - len);
    m->len -= len;
}

static void repeat_byte(mutant *m, uint64_t *random)
{
    size_t at = draw_below(random, m->len);
    size_t len = 1 + draw_below(random, 300);
    uint8_t byte = m->data[at];

    if (m->len + len <= INPUT_MAX) {
        make_room(m, at, len);
        memset(m->data + at, byte, len);
    }
}

static void mutate(mutant *m, uint64_t *random)
{
    size_t steps = 1 + draw_below(random, 6);
    const seed_file *other;

    while (steps-- > 0) {
        switch (m->len == 0 ? 6 : draw_below(random, 9)) {
        case 0:
        case 1:
        case 2:
            change_byte(m, random);
            break;
        case 3:
            change_number(m, random);
            break;
        case 4:
            change_digits(m, random);
            break;
        case 5:
            put_in(m, random, m->data, m->len);
            break;
        case 6:
            other = &files[draw_below(random, (size_t)n_files)];
            put_in(m, random, other->data, other->len);
            break;
        case 7:
            take_out(m, random);
            break;
        default:
            repeat_byte(m, random);
        }
    }
}

static void run_mutants(const seed_file *file, unsigned rounds, uint64_t seed)
{
    static mutant m;
    unsigned round;

    for (round = 1; round <= rounds; round++) {
        uint64_t random = seed ^ hash_name(file->path) ^ ((uint64_t)round << 32);

        memcpy(m.data, file->data, file->len);
        m.len = file->len;
        mutate(&m, &random);
        run_input(file, m.data, m.len, round, seed);
    }
}

/* ---- the run ---------------------------------------------------------------- */

static uint64_t number_of(const char *variable, uint64_t otherwise)
{
    const char *text = getenv(variable);

    return text != NULL && *text != '\0' ? strtoull(text, NULL, 0) : otherwise;
}

static void set_up(int *argc, char ***argv)
{
    if (LLVMFuzzerInitialize != NULL) {
        LLVMFuzzerInitialize(argc, argv);
    }
    watch();
}

static unsigned usual_rounds(void)
{
    return &fuzz_rounds != NULL ? fuzz_rounds : ROUNDS_USUAL;
}

int main(int argc, char **argv)
{
    unsigned rounds = (unsigned)number_of("FUZZ_ROUNDS", argc > 1 ? 0 : usual_rounds());
    uint64_t seed = number_of("FUZZ_SEED", 1);
    int i;

    set_up(&argc, &argv);
    if (argc > 1) {
        for (i = 1; i < argc; i++) {
            read_path(argv[i]);
        }
    }
    else {
        read_own_seeds(argv[0]);
    }
    for (i = 0; i < n_files; i++) {
        run_input(&files[i], files[i].data, files[i].len, 0, seed);
    }
    for (i = 0; i < n_files; i++) {
        run_mutants(&files[i], rounds, seed);
    }
    printf("%d seeds, %u mutations of each, FUZZ_SEED=%llu\n", n_files, rounds,
           (unsigned long long)seed);
    for (i = 0; i < n_files; i++) {
        free(files[i].path);
        free(files[i].data);
    }
    return n_files == 0;
}

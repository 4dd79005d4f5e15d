/* SPDX-License-Identifier: Apache-2.0
 * power_cut.c - see power_cut.h.
 */
#include "power_cut.h"
#include "support/support.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 16
#define NAMES_MAX 64
#define SECTOR    512

/* What a file holds. */
typedef struct content {
    char *data;
    size_t len;
} content;

typedef struct name {
    char path[256]; /* "": no more                                           */
    int file;       /* number of the file                                     */
} name;

struct power_disk {
    content files[FILES_MAX]; /* as they are synced                            */
    int count;
    name names[FILES_MAX];
};

static void set_length(content *c, size_t len)
{
    c->data = realloc(c->data, len + 1);
    if (len > c->len)
        memset(c->data + c->len, 0, len - c->len);
    c->len = len;
}

static void write_at(content *c, int64_t offset, const char *data, size_t len)
{
    if ((size_t)offset + len > c->len)
        set_length(c, (size_t)offset + len);
    memcpy(c->data + offset, data, len);
}

/* ---- directories --------------------------------------------------------- */

static void each_file(const char *directory, void (*fn)(void *baton, const char *path),
                      void *baton)
{
    DIR *list = opendir(directory);
    const struct dirent *entry;

    ck_assert_ptr_nonnull(list);
    while ((entry = readdir(list)) != NULL) {
        if (entry->d_name[0] != '.')
            fn(baton, support_text("%s/%s", directory, entry->d_name));
    }
    closedir(list);
}

static void remove_file(void *baton, const char *path)
{
    (void)baton;
    unlink(path);
}

void power_empty(const char *directory)
{
    each_file(directory, remove_file, NULL);
}

static void read_file(void *baton, const char *path)
{
    power_disk *disk = baton;
    content *c = &disk->files[disk->count];
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;

    ck_assert_int_lt(disk->count, FILES_MAX);
    ck_assert_int_eq(fstat(descriptor, &info), 0);
    set_length(c, (size_t)info.st_size);
    ck_assert_int_eq(pread(descriptor, c->data, c->len, 0), (ssize_t)c->len);
    close(descriptor);
    snprintf(disk->names[disk->count].path, sizeof(disk->names[0].path), "%s", path);
    disk->names[disk->count].file = disk->count;
    disk->count++;
}

power_disk *power_disk_read(const char *directory)
{
    power_disk *disk = calloc(1, sizeof(*disk));

    each_file(directory, read_file, disk);
    return disk;
}

void power_disk_free(power_disk *disk)
{
    int i;

    for (i = 0; i < FILES_MAX; i++)
        free(disk->files[i].data);
    free(disk);
}

/* ---- playing it through -------------------------------------------------- */

/* Names are followed twice: as the program sees them, to know which file a change
 * is about, and as they are on the disk. */
typedef struct playing {
    power_disk disk; /* names as the program sees them                          */
    name durable[FILES_MAX];
    const step_change *renames[NAMES_MAX]; /* not on the disk yet               */
    int rename_files[NAMES_MAX];
    int rename_count;
    const step_change *writes[4096]; /* the same                                */
    int write_files[4096];
    int write_count;
    unsigned seed;
} playing;

static name *find_name(name *names, const char *path)
{
    int i;

    for (i = 0; i < FILES_MAX; i++) {
        if (strcmp(names[i].path, path) == 0)
            return &names[i];
    }
    return NULL;
}

static void set_name(name *names, const char *path, int file)
{
    name *place = find_name(names, path);

    if (place == NULL)
        place = find_name(names, "");
    ck_assert_ptr_nonnull(place);
    snprintf(place->path, sizeof(place->path), "%s", path);
    place->file = file;
}

static void drop_name(name *names, const char *path)
{
    name *place = find_name(names, path);

    if (place != NULL)
        place->path[0] = '\0';
}

static void apply_name(name *names, const step_change *c, int file)
{
    if (c->kind == STEP_MAKE)
        set_name(names, c->path, file);
    if (c->kind == STEP_LINK || c->kind == STEP_RENAME)
        set_name(names, c->to, file);
    if (c->kind == STEP_REMOVE || c->kind == STEP_RENAME)
        drop_name(names, c->path);
}

static void sync_names(playing *p, int count)
{
    int i;

    for (i = 0; i < count; i++)
        apply_name(p->durable, p->renames[i], p->rename_files[i]);
    p->rename_count = 0;
}

static void change_names(playing *p, const step_change *c)
{
    const name *found = find_name(p->disk.names, c->path);
    int file = found != NULL ? found->file : -1;

    if (c->kind == STEP_MAKE) {
        ck_assert_int_lt(p->disk.count, FILES_MAX);
        file = p->disk.count++;
    }
    if (file < 0)
        return;
    ck_assert_int_lt(p->rename_count, NAMES_MAX);
    p->renames[p->rename_count] = c;
    p->rename_files[p->rename_count++] = file;
    apply_name(p->disk.names, c, file);
}

static void apply_write(playing *p, const step_change *c, int file, size_t len)
{
    if (c->kind == STEP_LENGTH)
        set_length(&p->disk.files[file], (size_t)c->offset);
    else
        write_at(&p->disk.files[file], c->offset, c->data, len);
}

static void sync_file(playing *p, int file)
{
    int i, kept = 0;

    for (i = 0; i < p->write_count; i++) {
        if (p->write_files[i] == file) {
            apply_write(p, p->writes[i], file, p->writes[i]->len);
            continue;
        }
        p->writes[kept] = p->writes[i];
        p->write_files[kept++] = p->write_files[i];
    }
    p->write_count = kept;
}

static void play(playing *p, const step_change *c, const char *directory)
{
    const name *found = find_name(p->disk.names, c->path);

    switch (c->kind) {
    case STEP_WRITE:
    case STEP_LENGTH:
        if (found == NULL)
            return;
        ck_assert_int_lt(p->write_count, 4096);
        p->writes[p->write_count] = c;
        p->write_files[p->write_count++] = found->file;
        break;
    case STEP_SYNC:
        if (strcmp(c->path, directory) == 0)
            sync_names(p, p->rename_count);
        else if (found != NULL)
            sync_file(p, found->file);
        break;
    default:
        change_names(p, c);
    }
}

/* Some of what was not synced is there, some of it in part. */
static void lose(playing *p)
{
    int i;

    for (i = 0; i < p->write_count; i++) {
        const step_change *c = p->writes[i];
        size_t len = c->len;
        int chance = rand_r(&p->seed) % 4;

        if (chance < 2)
            continue;
        if (chance == 2 && len > SECTOR)
            len = (size_t)rand_r(&p->seed) % (len / SECTOR) * SECTOR;
        apply_write(p, c, p->write_files[i], len);
    }
    if (p->rename_count > 0)
        sync_names(p, rand_r(&p->seed) % (p->rename_count + 1));
}

static void write_out(const playing *p, const char *directory)
{
    int i, descriptor;

    power_empty(directory);
    for (i = 0; i < FILES_MAX; i++) {
        const name *n = &p->durable[i];
        const content *c = &p->disk.files[n->file];

        if (n->path[0] == '\0')
            continue;
        descriptor = open(n->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
        ck_assert_int_ge(descriptor, 0);
        ck_assert_int_eq(pwrite(descriptor, c->data ? c->data : "", c->len, 0),
                         (ssize_t)c->len);
        close(descriptor);
    }
}

void power_cut(const power_disk *disk, const step_log *log, size_t count, unsigned seed,
               const char *directory)
{
    playing *p = calloc(1, sizeof(*p));
    size_t i;

    p->disk = *disk;
    p->seed = seed;
    memcpy(p->durable, disk->names, sizeof(p->durable));
    for (i = 0; i < (size_t)disk->count; i++) {
        p->disk.files[i].data = NULL;
        p->disk.files[i].len = 0;
        write_at(&p->disk.files[i], 0, disk->files[i].data, disk->files[i].len);
    }
    for (i = 0; i < count; i++)
        play(p, &log->list[i], directory);
    lose(p);
    write_out(p, directory);
    for (i = 0; i < FILES_MAX; i++)
        free(p->disk.files[i].data);
    free(p);
}

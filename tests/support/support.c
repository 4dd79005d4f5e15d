/* SPDX-License-Identifier: Apache-2.0
 * support.c - see support.h.
 */
#include "support.h"

#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd_config.h"

#define RING       64
#define RING_BYTES 8192
#define SKIP       77

int support_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    int failed;

    signal(SIGPIPE, SIG_IGN);
    reaper_lifeline_open();
    srunner_run_all(runner, CK_ENV);
    failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    reaper_lifeline_wait();
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

void support_skip(const char *reason)
{
    printf("skipped: %s\n", reason);
    fflush(stdout);
    _exit(SKIP); /* suites that were made are no leak */
}

int support_sanitized(void)
{
    return SANITIZER_PRELOAD[0] != '\0';
}

int support_wrapped(void)
{
    const char *wrapper = getenv("TEST_WRAPPER");

    return wrapper && *wrapper;
}

void support_need_httpd(void)
{
    if (!httpd_program())
        support_skip("there is no httpd here (Debian: install apache2)");
}

void support_fail(const char *format, ...)
{
    char text[RING_BYTES];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    fprintf(stderr, "failed: %s\n", text);
    ck_abort_msg("%s", text);
}

const char *support_text(const char *format, ...)
{
    static char ring[RING][RING_BYTES];
    static unsigned next;
    char text[RING_BYTES];
    va_list arguments;
    char *slot;
    int len;

    /* Arguments may lie in the ring: format first, then choose the slot. */
    va_start(arguments, format);
    len = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (len < 0 || len >= RING_BYTES)
        ck_abort_msg("a text of %d bytes does not fit support_text()", len);
    slot = ring[next++ % RING];
    memcpy(slot, text, len + 1);
    return slot;
}

unsigned support_seed(const char *variable)
{
    const char *text = getenv(variable);
    unsigned seed = text != NULL ? (unsigned)strtoul(text, NULL, 10)
                                 : (unsigned)process_now_ms() ^ (unsigned)getpid();

    fprintf(stderr, "%s=%u\n", variable, seed);
    return seed;
}

const char *support_build_path(const char *relative)
{
    return support_text("%s/%s", TEST_BUILD_DIR, relative);
}

const char *support_program(const char *relative)
{
    const char *slash = strrchr(relative, '/');
    int folder = slash ? (int)(slash + 1 - relative) : 0;
    const char *real = support_build_path(
        support_text("%.*s.libs/%s", folder, relative, relative + folder));

    return access(real, X_OK) == 0 ? real : support_build_path(relative);
}

const char *support_source_path(const char *relative)
{
    return support_text("%s/%s", TEST_SOURCE_DIR, relative);
}

/* One step of a path: a member of an object, or an index of an array. */
static struct json_object *descend(struct json_object *from, const char *name, size_t len)
{
    char key[128];
    struct json_object *member = NULL;

    snprintf(key, sizeof key, "%.*s", (int)len, name);
    if (json_object_is_type(from, json_type_array))
        return json_object_array_get_idx(from, atoi(key));
    json_object_object_get_ex(from, key, &member);
    return member;
}

const char *support_json(const char *json, const char *path)
{
    struct json_object *root = json_tokener_parse(json);
    struct json_object *at = root;
    const char *text = NULL;

    while (at && *path) {
        size_t len = strcspn(path, ".");

        at = descend(at, path, len);
        path += len + (path[len] == '.');
    }
    if (at)
        text = support_text(
            "%s", json_object_is_type(at, json_type_string)
                      ? json_object_get_string(at)
                      : json_object_to_json_string_ext(at, JSON_C_TO_STRING_PLAIN));
    json_object_put(root);
    return text;
}

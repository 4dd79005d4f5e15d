/* SPDX-License-Identifier: Apache-2.0
 * fuzz_ctl_text.c - what the verbs print of what others said.
 *
 * Nothing steers the terminal, lines are as wide as was asked for, JSON is the
 * same value as before; times and sizes say what they were made of. The first
 * byte says how wide, the second whether there are colors.
 */
#include "cc_fuzz.h"
#include "cc_json.h"
#include "cc_time.h"
#include "ctl/ctl_status_view.h"
#include "ctl/ctl_text.h"

#include <locale.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include <json.h>

#define ESCAPE_MOST 10 /* columns of one character, escaped                   */
#define NOW         1764000000000
#define LATEST      253402300800000 /* ms; the year 10000 begins              */

/* Another count than that of the product; -1: a character that has none. */
static long width_of(const char *text, size_t len)
{
    mbstate_t state;
    long width = 0;
    wchar_t c;
    size_t n;

    memset(&state, 0, sizeof(state));
    for (; len > 0; text += n, len -= n) {
        n = mbrtowc(&c, text, len, &state);
        if (n == 0 || n > len || wcwidth(c) <= 0)
            return -1;
        width += wcwidth(c);
    }
    return width;
}

/* Every line can be shown, and none is wider than `most`; 0: as it is. */
static void check_lines(const cc_buffer *out, size_t most)
{
    const char *line = out->data, *end;
    long width;

    while (line != NULL && *line != '\0') {
        end = line + strcspn(line, "\n");
        width = width_of(line, (size_t)(end - line));
        CC_FUZZ_CHECK(width >= 0, "a terminal is steered");
        CC_FUZZ_CHECK(most == 0 || (size_t)width <= most, "a line is too wide");
        line = *end != '\0' ? end + 1 : end;
    }
    CC_FUZZ_CHECK(out->len == 0 || strlen(out->data) == out->len, "a NUL is printed");
}

static void check_added(const char *text, size_t columns)
{
    cc_buffer all = { NULL, 0, 0 }, again = { NULL, 0, 0 }, some = { NULL, 0, 0 };
    size_t width = ctl_text_add(&all, text, 0);

    cc_buffer_add_text(&all, "");
    CC_FUZZ_CHECK(width_of(all.data, all.len) == (long)width, "columns are miscounted");
    CC_FUZZ_CHECK(ctl_text_width(text) == width, "two counts of columns");
    ctl_text_add(&again, all.data, 0);
    CC_FUZZ_CHECK(again.len == all.len && (all.len == 0 || !strcmp(again.data, all.data)),
                  "harmless text is changed");
    if (columns > 0) {
        width = ctl_text_add(&some, text, columns);
        CC_FUZZ_CHECK(width <= columns && width_of(some.data, some.len) == (long)width,
                      "more columns than there are");
    }
    cc_buffer_clear(&all);
    cc_buffer_clear(&again);
    cc_buffer_clear(&some);
}

static void check_wrapped(const char *text, size_t width)
{
    cc_buffer out = { NULL, 0, 0 };
    size_t indent = width % 4;

    cc_buffer_format(&out, "%*s", (int)indent, "");
    ctl_text_wrap(&out, text, indent, width);
    check_lines(&out, width > indent + ESCAPE_MOST ? width : 0);
    cc_buffer_clear(&out);
}

static void check_table(char *text, size_t width)
{
    static const ctl_column columns[] = { { "APP", 0, 0, 0 }, { "URL", 0, 1, 6 } };
    ctl_table table = { columns, 2, NULL, 0 };
    cc_buffer out = { NULL, 0, 0 };
    char *rest = text, *cell;

    while ((cell = strsep(&rest, "\n")) != NULL)
        ctl_table_add(&table, cell, CTL_RED);
    ctl_table_write(&table, width, 0, &out);
    check_lines(&out, width >= 8 ? width : 0);
    ctl_table_clear(&table);
    cc_buffer_clear(&out);
}

/* ---- JSON ----------------------------------------------------------------- */

static struct json_object *parse(const char *data, size_t len)
{
    struct json_tokener *tokener = json_tokener_new_ex(64);
    struct json_object *value = json_tokener_parse_ex(tokener, data, (int)len);

    json_tokener_free(tokener);
    return value;
}

static int is_json(const char *data, size_t len)
{
    cc_json json;

    cc_json_init(&json, data, len);
    return cc_json_skip(&json, NULL, NULL) == CC_OK && cc_json_finish(&json) == CC_OK;
}

static void check_json(const char *data, size_t len)
{
    cc_buffer out = { NULL, 0, 0 };
    struct json_object *before, *after;

    ctl_text_json(&out, data, len);
    CC_FUZZ_CHECK(out.len == 0 || !cc_fuzz_is_raw(out.data, out.len),
                  "JSON steers a terminal");
    if (is_json(data, len)) {
        CC_FUZZ_CHECK(is_json(out.data, out.len), "JSON is none any more");
        before = parse(data, len);
        after = parse(out.data, out.len);
        CC_FUZZ_CHECK(json_object_equal(before, after), "JSON is another value");
        json_object_put(before);
        json_object_put(after);
    }
    cc_buffer_clear(&out);
}

/* Take the colors out, which are ours. */
static void remove_colors(cc_buffer *out)
{
    char *to = out->data, *from = out->data;

    while (from != NULL && *from != '\0') {
        if (from[0] == '\033' && from[1] == '[' && strspn(from + 2, "01234") == 1
            && from[3] == 'm')
            from += 4;
        else if (from[0] == '\033' && from[1] == '[' && strspn(from + 2, "01234") == 2
                 && from[4] == 'm')
            from += 5;
        else
            *to++ = *from++;
    }
    if (to != NULL)
        *to = '\0';
    out->len = (size_t)(to - out->data);
}

static void check_page(const char *data, size_t len, size_t width, int colored)
{
    ctl_view view = { width, colored, NOW };
    struct json_object *status = parse(data, len);
    cc_buffer out = { NULL, 0, 0 };

    ctl_status_write(&view, status, &out);
    if (colored)
        remove_colors(&out);
    check_lines(&out, 0);
    json_object_put(status);
    cc_buffer_clear(&out);
}

/* ---- numbers -------------------------------------------------------------- */

/* No more than rounding apart. */
static void check_bytes(uint64_t number)
{
    static const char *const units[] = { "bytes", "KB", "MB", "GB", "TB" };
    long long bytes = (long long)(number >> 1);
    double value, low;
    char text[32], unit[8];
    size_t i = 0;

    ctl_text_bytes(bytes, text, sizeof(text));
    CC_FUZZ_CHECK(sscanf(text, "%lf %7s", &value, unit) == 2, "a size is cut off");
    while (i < 4 && strcmp(unit, units[i]) != 0) {
        value *= 1024;
        i++;
    }
    low = value < (double)bytes ? value : (double)bytes;
    CC_FUZZ_CHECK(value + (double)bytes - 2 * low <= 0.06 * (double)bytes,
                  "a size says another number");
}

static void check_time(const char *data, size_t len)
{
    char text[CC_TIME_TEXT];
    int64_t time, again;

    if (cc_time_parse(data, len, &time) != CC_OK)
        return;
    CC_FUZZ_CHECK(time >= 0 && time < LATEST, "a time out of its limits");
    cc_time_format(time, text);
    CC_FUZZ_CHECK(cc_time_parse(text, strlen(text), &again) == CC_OK && again == time,
                  "a time is written as another");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    fuzz_input input = { data, size };
    size_t width = fuzz_take_byte(&input), len;
    int colored = fuzz_take_byte(&input) & 1;
    fuzz_input number = input;
    char *bytes, *text;

    CC_FUZZ_CHECK(setlocale(LC_CTYPE, "C.UTF-8") != NULL, "no locale");
    check_bytes(fuzz_take_number(&number, 8));
    bytes = (char *)fuzz_take_bytes(&input, input.left, &len);
    text = cc_copy_bytes(bytes, len);
    check_time(bytes, len);
    check_json(bytes, len);
    check_page(bytes, len, width, colored);
    check_added(text, width);
    check_wrapped(text, width);
    check_table(text, width);
    free(text);
    free(bytes);
    return 0;
}

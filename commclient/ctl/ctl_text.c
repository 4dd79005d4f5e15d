/* SPDX-License-Identifier: Apache-2.0
 * ctl_text.c - text for a terminal: names from elsewhere made harmless, columns
 * counted, colors.
 */
#include "cc_compat.h"
#include "ctl_text.h"
#include "cc_utf8.h"

#include <langinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

int ctl_text_colored(int descriptor)
{
    const char *refused = getenv("NO_COLOR"), *terminal = getenv("TERM");

    return isatty(descriptor) && (refused == NULL || refused[0] == '\0')
           && terminal != NULL && strcmp(terminal, "dumb") != 0;
}

/* One character, as it is shown. */
typedef struct piece {
    const char *text;
    size_t len;
    size_t columns;
    char escaped[16];
} piece;

/* What begins at `at`, `len` bytes are left. Returns the bytes it takes. */
static size_t take_piece(const char *at, size_t len, piece *out)
{
    mbstate_t state;
    wchar_t c = 0;
    size_t n;
    int columns;

    memset(&state, 0, sizeof(state));
    n = mbrtowc(&c, at, len, &state);
    columns = n == 0 || n > len ? -1 : wcwidth(c);
    if (columns > 0) {
        out->text = at;
        out->len = n;
        out->columns = (size_t)columns;
        return n;
    }
    if (n == 0 || n > len) {
        n = 1;
        c = (unsigned char)*at;
    }
    snprintf(out->escaped, sizeof(out->escaped),
             c < 0x80 || n == 1 ? "\\x%02lx" : "\\u%04lx", (unsigned long)c);
    out->text = out->escaped;
    out->len = out->columns = strlen(out->escaped);
    return n;
}

size_t ctl_text_width(const char *text)
{
    size_t len = strlen(text), n, width = 0;
    piece next;

    for (; len > 0; text += n, len -= n) {
        n = take_piece(text, len, &next);
        width += next.columns;
    }
    return width;
}

static const char *ellipsis(void)
{
    return strcmp(nl_langinfo(CODESET), "UTF-8") == 0 ? "\xe2\x80\xa6" : "~";
}

static size_t add_bytes(cc_buffer *out, const char *text, size_t len, size_t columns)
{
    size_t n, width = 0;
    piece next;

    for (; len > 0; text += n, len -= n) {
        n = take_piece(text, len, &next);
        if (width + next.columns > columns)
            break;
        cc_buffer_add(out, next.text, next.len);
        width += next.columns;
    }
    return width;
}

size_t ctl_text_add(cc_buffer *out, const char *text, size_t columns)
{
    size_t width;

    if (columns == 0 || ctl_text_width(text) <= columns)
        return add_bytes(out, text, strlen(text), (size_t)-1);
    width = add_bytes(out, text, strlen(text), columns - 1);
    cc_buffer_add_text(out, ellipsis());
    return width + 1;
}

/* ---- JSON ------------------------------------------------------------- */

/* Of the character of `n` bytes. */
static unsigned long code_of(const char *at, size_t n)
{
    static const unsigned char masks[] = { 0, 0x7f, 0x1f, 0x0f, 0x07 };
    unsigned long code = (unsigned char)*at & masks[n];

    while (--n > 0)
        code = code << 6 | ((unsigned char)*++at & 0x3f);
    return code;
}

static void add_json_escape(cc_buffer *out, unsigned long code)
{
    if (code < 0x10000) {
        cc_buffer_format(out, "\\u%04lx", code);
        return;
    }
    code -= 0x10000;
    cc_buffer_format(out, "\\u%04lx\\u%04lx", 0xd800 + (code >> 10),
                     0xdc00 + (code & 0x3ff));
}

/* Outside strings all is ASCII, and a carriage return is a blank. */
void ctl_text_json(cc_buffer *out, const char *data, size_t len)
{
    int wide = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    const char *end = data + len;
    unsigned long code;
    size_t n;

    for (; data < end; data += n) {
        n = cc_utf8_length(data, end);
        code = n > 0 ? code_of(data, n) : 0xfffd;
        if (code == '\r')
            cc_buffer_add_text(out, " ");
        else if (code == '\n' || code == '\t' || (code >= 0x20 && code < 0x7f)
                 || (n > 1 && wide && wcwidth((wchar_t)code) > 0))
            cc_buffer_add(out, data, n);
        else
            add_json_escape(out, code);
        n += n == 0;
    }
}

/* ---- lines ------------------------------------------------------------ */

static void begin_line(cc_buffer *out, size_t indent)
{
    cc_buffer_format(out, "\n%*s", (int)indent, "");
}

/* A word that is longer than a line goes on in the next. */
static size_t add_long_word(cc_buffer *out, const char *word, size_t len, size_t indent,
                            size_t width)
{
    size_t n, at = indent;
    piece next;

    for (; len > 0; word += n, len -= n) {
        n = take_piece(word, len, &next);
        if (at + next.columns > width && at > indent) {
            begin_line(out, indent);
            at = indent;
        }
        cc_buffer_add(out, next.text, next.len);
        at += next.columns;
    }
    return at;
}

static size_t width_of_bytes(const char *text, size_t len)
{
    size_t n, width = 0;
    piece next;

    for (; len > 0; text += n, len -= n) {
        n = take_piece(text, len, &next);
        width += next.columns;
    }
    return width;
}

void ctl_text_wrap(cc_buffer *out, const char *text, size_t indent, size_t width)
{
    size_t at = indent, len, columns;

    while (*(text += strspn(text, " ")) != '\0') {
        len = strcspn(text, " ");
        columns = width_of_bytes(text, len);
        if (width > 0 && at > indent && at + 1 + columns > width) {
            begin_line(out, indent);
            at = indent;
        }
        if (at > indent) {
            cc_buffer_add_text(out, " ");
            at++;
        }
        if (width > indent && at == indent && at + columns > width)
            at = add_long_word(out, text, len, indent, width);
        else
            at += add_bytes(out, text, len, (size_t)-1);
        text += len;
    }
}

void ctl_text_color(cc_buffer *out, int colored, ctl_color color)
{
    static const char *const starts[CTL_COLOR_COUNT] = { "",         "\033[1m",
                                                         "\033[2m",  "\033[31m",
                                                         "\033[32m", "\033[33m" };

    if (colored)
        cc_buffer_add_text(out, starts[color]);
}

void ctl_text_plain(cc_buffer *out, int colored, ctl_color color)
{
    if (colored && color != CTL_PLAIN)
        cc_buffer_add_text(out, "\033[0m");
}

void ctl_text_bytes(long long bytes, char *out, size_t size)
{
    static const char *const units[] = { "bytes", "KB", "MB", "GB", "TB" };
    double value = (double)bytes;
    size_t unit = 0;

    while (value >= 1024 && unit < 4) {
        value /= 1024;
        unit++;
    }
    snprintf(out, size, unit > 0 && value < 10 ? "%.1f %s" : "%.0f %s", value,
             units[unit]);
}

/* ---- tables ----------------------------------------------------------- */

#define GAP         2  /* columns between two                                */
#define FIRST_LEAST 8  /* columns that the first is shortened to at last    */
#define FIRST_GOOD  24 /* columns of it before others are left out          */

/* What of a table fits. */
typedef struct layout {
    size_t widths[CTL_TABLE_COLUMNS]; /* 0: left out                        */
} layout;

void ctl_table_add(ctl_table *table, const char *text, ctl_color color)
{
    ctl_cell *cell;

    table->cells = cc_realloc(table->cells, (table->cell_count + 1) * sizeof(*cell));
    cell = &table->cells[table->cell_count++];
    cell->text = cc_copy(text);
    cell->color = color;
}

static size_t total_of(const layout *l, size_t count)
{
    size_t i, total = 0;

    for (i = 0; i < count; i++) {
        if (l->widths[i] > 0)
            total += l->widths[i] + (i > 0 ? GAP : 0);
    }
    return total;
}

static void measure(const ctl_table *table, layout *out)
{
    size_t i, columns;

    for (i = 0; i < table->count; i++)
        out->widths[i] = ctl_text_width(table->columns[i].title);
    for (i = 0; i < table->cell_count; i++) {
        columns = ctl_text_width(table->cells[i].text);
        if (columns > out->widths[i % table->count])
            out->widths[i % table->count] = columns;
    }
}

/* Columns that are missing when the first one has `first`. */
static size_t missing_with(const layout *l, size_t count, size_t first, size_t width)
{
    size_t total = total_of(l, count) - l->widths[0] + first;

    return total > width ? total - width : 0;
}

/* Returns 1 when that is enough. */
static int shorten(layout *l, size_t column, size_t least, size_t missing)
{
    if (least == 0 || l->widths[column] < least + missing)
        return 0;
    l->widths[column] -= missing;
    return 1;
}

static void lay_out(const ctl_table *table, size_t width, layout *out)
{
    size_t i, wanted, missing;

    measure(table, out);
    if (width == 0)
        return;
    wanted = out->widths[0] < FIRST_GOOD ? out->widths[0] : FIRST_GOOD;
    for (i = table->count; i-- > 1;) {
        missing = missing_with(out, table->count, wanted, width);
        if (missing == 0 || !table->columns[i].may_go)
            continue;
        if (!shorten(out, i, table->columns[i].least, missing))
            out->widths[i] = 0;
    }
    missing = missing_with(out, table->count, out->widths[0], width);
    out->widths[0] -= missing < out->widths[0] ? missing : out->widths[0];
    if (missing > 0 && out->widths[0] < FIRST_LEAST)
        out->widths[0] = FIRST_LEAST;
}

static void write_cell(const char *text, size_t width, int to_right, int is_last,
                       cc_buffer *out)
{
    size_t columns = ctl_text_width(text);
    int pad = columns < width ? (int)(width - columns) : 0;

    if (to_right)
        cc_buffer_format(out, "%*s", pad, "");
    ctl_text_add(out, text, width);
    if (!to_right && !is_last)
        cc_buffer_format(out, "%*s", pad, "");
}

static size_t last_of(const layout *l, size_t count)
{
    while (count > 1 && l->widths[count - 1] == 0)
        count--;
    return count - 1;
}

static void write_row(const ctl_table *table, const layout *l, const ctl_cell *cells,
                      int colored, cc_buffer *out)
{
    size_t i, last = last_of(l, table->count);

    for (i = 0; i < table->count; i++) {
        ctl_color color = cells != NULL ? cells[i].color : CTL_DIM;

        if (l->widths[i] == 0)
            continue;
        if (i > 0)
            cc_buffer_format(out, "%*s", GAP, "");
        ctl_text_color(out, colored, color);
        write_cell(cells != NULL ? cells[i].text : table->columns[i].title, l->widths[i],
                   table->columns[i].is_number, i == last, out);
        ctl_text_plain(out, colored, color);
    }
    cc_buffer_add_text(out, "\n");
}

void ctl_table_write(const ctl_table *table, size_t width, int colored, cc_buffer *out)
{
    layout l;
    size_t i;

    lay_out(table, width, &l);
    write_row(table, &l, NULL, colored, out);
    for (i = 0; i + table->count <= table->cell_count; i += table->count)
        write_row(table, &l, table->cells + i, colored, out);
}

void ctl_table_clear(ctl_table *table)
{
    size_t i;

    for (i = 0; i < table->cell_count; i++)
        free(table->cells[i].text);
    free(table->cells);
    table->cells = NULL;
    table->cell_count = 0;
}

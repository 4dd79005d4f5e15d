/* SPDX-License-Identifier: Apache-2.0
 * ctl_text.h - text for a terminal: names from elsewhere made harmless, columns
 * counted, colors.
 *
 * Columns are counted as the locale says; call setlocale(LC_CTYPE, "") first.
 */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include "cc_compat.h"
#include "cc_memory.h"

typedef enum {
    CTL_PLAIN,
    CTL_BOLD,
    CTL_DIM,
    CTL_RED,
    CTL_GREEN,
    CTL_YELLOW,
    CTL_COLOR_COUNT
} ctl_color;

/** Colors for what is written to `descriptor`? 1 on a terminal, unless NO_COLOR
 *  is set to something or TERM says "dumb". */
int ctl_text_colored(int descriptor);

/** Columns that `text` takes after ctl_text_add(). */
size_t ctl_text_width(const char *text);

/** Add text that nothing in it can steer the terminal by: control characters,
 *  characters of no width (that turn the direction of writing, for example) and
 *  bytes that are no text come as \xNN and \uNNNN.
 *  @param columns  at most so many, the last then being an ellipsis; 0: all
 *  @return columns taken */
size_t ctl_text_add(cc_buffer *out, const char *text, size_t columns);

/** Add a JSON value, written so that nothing in it can steer the terminal, and
 *  that it is the same value: what ctl_text_add() would escape comes as \uNNNN.
 *  Bytes that are no UTF-8, which JSON never has, come as \ufffd. */
void ctl_text_json(cc_buffer *out, const char *data, size_t len);

/** Add text, broken between words.
 *  @param indent  columns that stand before it in the line already, and that
 *                 each further line begins with, as blanks
 *  @param width   columns of a line; 0: no limit
 *  Ends without a line feed. */
void ctl_text_wrap(cc_buffer *out, const char *text, size_t indent, size_t width);

/** Begin and end a color; both add nothing when `colored` is 0. */
void ctl_text_color(cc_buffer *out, int colored, ctl_color color);
void ctl_text_plain(cc_buffer *out, int colored, ctl_color color);

/** A number of bytes for people: "512 bytes", "1.5 MB". */
void ctl_text_bytes(long long bytes, char *out, size_t size);

/* ---- tables ----------------------------------------------------------- */

#define CTL_TABLE_COLUMNS 8

typedef struct ctl_column {
    const char *title;
    int is_number; /* set to the right                                      */
    int may_go;    /* left out, the last first, where there is no room      */
    size_t least;  /* columns to which it is shortened before that; 0: not  */
} ctl_column;

typedef struct ctl_cell {
    char *text; /* owned                                                    */
    ctl_color color;
} ctl_cell;

/* Cells are added row after row. All zero but `columns` and `count` is an
 * empty table. */
typedef struct ctl_table {
    const ctl_column *columns;
    size_t count; /* of columns, up to CTL_TABLE_COLUMNS                    */
    ctl_cell *cells;
    size_t cell_count;
} ctl_table;

void ctl_table_add(ctl_table *table, const char *text, ctl_color color);

/** Titles, then rows, each with a line feed. Columns that may go are left out
 *  and the first one is shortened where `width` is not enough; 0: no limit. */
void ctl_table_write(const ctl_table *table, size_t width, int colored, cc_buffer *out);
void ctl_table_clear(ctl_table *table);

#endif

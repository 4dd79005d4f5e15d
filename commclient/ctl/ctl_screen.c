/* SPDX-License-Identifier: Apache-2.0
 * ctl_screen.c - a terminal taken for a page that is drawn again and again, and
 * given back as it was.
 */
#include "cc_compat.h"
#include "ctl_screen.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

/* Second screen, no cursor, lines cut instead of wrapped; and back. */
#define ENTER "\033[?1049h\033[?25l\033[?7l"
#define LEAVE "\033[?7h\033[?25h\033[?1049l"
#define HOME  "\033[H"
#define WIPE  "\033[K" /* to the end of the line                             */
#define BELOW "\033[J" /* to the end of the screen                           */

#define COLUMNS_MAX 10000

static volatile sig_atomic_t ending, stopping, lost;
static int is_open, has_keys;
static struct termios former;

static void on_end(int number)
{
    (void)number;
    ending = 1;
}

static void on_stop(int number)
{
    (void)number;
    stopping = 1;
}

static void on_resize(int number)
{
    (void)number;
    lost = 1;
}

static void catch_signal(int number, void (*handler)(int number))
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = handler;
    sigaction(number, &action, NULL);
}

void ctl_screen_size(int descriptor, size_t *out_columns, size_t *out_lines)
{
    const char *columns = getenv("COLUMNS");
    struct winsize size;

    memset(&size, 0, sizeof(size));
    *out_columns = *out_lines = 0;
    if (!isatty(descriptor))
        return;
    if (ioctl(descriptor, TIOCGWINSZ, &size) == 0) {
        *out_columns = size.ws_col;
        *out_lines = size.ws_row;
    }
    if (columns != NULL && atoi(columns) > 0 && atoi(columns) <= COLUMNS_MAX)
        *out_columns = (size_t)atoi(columns);
}

static void write_all(const char *data, size_t len)
{
    ssize_t n;

    while (len > 0 && (n = write(STDOUT_FILENO, data, len)) > 0) {
        data += n;
        len -= (size_t)n;
    }
}

static void write_text(const char *text)
{
    write_all(text, strlen(text));
}

/* Keys are taken one by one and not shown; Ctrl-C is still a signal. */
static void take_terminal(void)
{
    struct termios ours;

    write_text(ENTER);
    has_keys = isatty(STDIN_FILENO) && tcgetpgrp(STDIN_FILENO) == getpgrp()
               && tcgetattr(STDIN_FILENO, &former) == 0;
    if (has_keys) {
        ours = former;
        ours.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
        tcsetattr(STDIN_FILENO, TCSANOW, &ours);
    }
    is_open = 1;
}

void ctl_screen_close(void)
{
    if (!is_open)
        return;
    is_open = 0;
    if (has_keys)
        tcsetattr(STDIN_FILENO, TCSANOW, &former);
    write_text(LEAVE);
}

void ctl_screen_catch(void)
{
    catch_signal(SIGINT, on_end);
    catch_signal(SIGTERM, on_end);
    catch_signal(SIGHUP, on_end);
    catch_signal(SIGPIPE, SIG_IGN);
}

void ctl_screen_open(void)
{
    ctl_screen_catch();
    catch_signal(SIGTSTP, on_stop);
    catch_signal(SIGWINCH, on_resize);
    take_terminal();
}

void ctl_screen_draw(const cc_buffer *page)
{
    cc_buffer out = { NULL, 0, 0 };
    const char *at = page->data != NULL ? page->data : "";
    size_t columns, lines, line = 0, len;

    ctl_screen_size(STDOUT_FILENO, &columns, &lines);
    cc_buffer_add_text(&out, HOME);
    for (; *at != '\0' && (lines == 0 || line < lines); line++) {
        len = strcspn(at, "\n");
        if (line > 0)
            cc_buffer_add_text(&out, "\r\n");
        cc_buffer_add(&out, at, len);
        cc_buffer_add_text(&out, WIPE);
        at += len + (at[len] == '\n');
    }
    cc_buffer_add_text(&out, BELOW);
    write_all(out.data, out.len);
    cc_buffer_clear(&out);
}

/* The handler is put away for the moment, so that the signal works. */
static void stop_here(void)
{
    stopping = 0;
    ctl_screen_close();
    raise(SIGSTOP);
    take_terminal();
    lost = 1;
}

static int wants_end(void)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));

    if (n <= 0)
        has_keys = 0;
    return n > 0
           && (memchr(keys, 'q', (size_t)n) != NULL
               || memchr(keys, 'Q', (size_t)n) != NULL);
}

int ctl_screen_take_lost(void)
{
    int was_lost = lost;

    lost = 0;
    return was_lost;
}

int ctl_screen_is_ending(void)
{
    return ending;
}

int ctl_screen_wait(int ms)
{
    struct pollfd keys = { is_open && has_keys ? STDIN_FILENO : -1, POLLIN, 0 };

    if (!ending && !stopping && poll(&keys, 1, ms) > 0 && wants_end())
        return 0;
    if (stopping && is_open)
        stop_here();
    return !ending;
}

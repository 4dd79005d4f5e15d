/* SPDX-License-Identifier: Apache-2.0
 * ctl_prompt.c - ask the user at the terminal.
 */
#include "cc_compat.h"
#include "ctl_prompt.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

/* Bytes up to the line feed or the end, at most size - 1. */
static cc_status read_line(int descriptor, char *out, size_t size)
{
    size_t len = 0;
    ssize_t n = 1;

    while (n > 0 && len < size && (len == 0 || out[len - 1] != '\n')) {
        n = read(descriptor, out + len, 1);
        if (n > 0)
            len++;
    }
    if (n < 0 || (n == 0 && len == 0))
        return CC_CLOSED;
    if (len == size)
        return CC_TOO_LARGE;
    out[len] = '\0';
    out[strcspn(out, "\r\n")] = '\0';
    return CC_OK;
}

static void write_text(int descriptor, const char *text)
{
    ssize_t ignored = write(descriptor, text, strlen(text));

    (void)ignored;
}

/* The terminal is set right again before the signal counts. */
static cc_status read_hidden(int terminal, char *out, size_t size)
{
    struct sigaction action, formers[2];
    struct termios shown, hidden;
    cc_status status;

    memset(&action, 0, sizeof(action));
    action.sa_handler = on_signal;
    sigaction(SIGINT, &action, &formers[0]);
    sigaction(SIGTERM, &action, &formers[1]);
    if (tcgetattr(terminal, &shown) != 0) {
        status = CC_NOT_FOUND;
    }
    else {
        hidden = shown;
        hidden.c_lflag &= ~(tcflag_t)ECHO;
        tcsetattr(terminal, TCSAFLUSH, &hidden);
        status = read_line(terminal, out, size);
        tcsetattr(terminal, TCSAFLUSH, &shown);
        write_text(terminal, "\n");
    }
    sigaction(SIGINT, &formers[0], NULL);
    sigaction(SIGTERM, &formers[1], NULL);
    return interrupted ? CC_CLOSED : status;
}

cc_status ctl_prompt(const char *question, int hidden, char *out, size_t size)
{
    int terminal = open("/dev/tty", O_RDWR | O_CLOEXEC);
    cc_status status;

    if (terminal < 0)
        return CC_NOT_FOUND;
    write_text(terminal, question);
    status = hidden ? read_hidden(terminal, out, size) : read_line(terminal, out, size);
    close(terminal);
    return status;
}

cc_status ctl_prompt_file(const char *path, char *out, size_t size)
{
    int is_input = strcmp(path, "-") == 0, code;
    int descriptor = is_input ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    char more;
    cc_status status;

    if (descriptor < 0)
        return CC_NOT_FOUND;
    errno = 0;
    status = read_line(descriptor, out, size);
    code = errno;
    if (status == CC_OK && read(descriptor, &more, 1) > 0)
        status = CC_MALFORMED;
    if (!is_input)
        close(descriptor);
    errno = code;
    if (status == CC_CLOSED && code != 0)
        return CC_NOT_FOUND;
    return status == CC_OK && ctl_prompt_is_secret(out) ? CC_OK : CC_MALFORMED;
}

int ctl_prompt_is_secret(const char *text)
{
    const char *c;

    for (c = text; *c != '\0'; c++) {
        if ((unsigned char)*c < 0x20 || *c == 0x7f)
            return 0;
    }
    return c > text;
}

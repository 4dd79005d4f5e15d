/* SPDX-License-Identifier: Apache-2.0
 * cc_notify.c - tell systemd how it goes.
 *
 * One datagram to the Unix socket in NOTIFY_SOCKET; a leading '@' stands for
 * the NUL of the abstract namespace.
 */
#include "cc_compat.h"
#include "cc_notify.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

void cc_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address;
    socklen_t len;
    int descriptor;

    memset(&address, 0, sizeof(address));
    if (path == NULL || (path[0] != '/' && path[0] != '@')
        || strlen(path) >= sizeof(address.sun_path))
        return;
    address.sun_family = AF_UNIX;
    strcpy(address.sun_path, path);
    len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(path));
    if (path[0] == '@')
        address.sun_path[0] = '\0';
    else
        len++;
    descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return;
    (void)!sendto(descriptor, text, strlen(text), MSG_NOSIGNAL,
                  (struct sockaddr *)&address, len);
    close(descriptor);
}

/* SPDX-License-Identifier: Apache-2.0
 * cc_notify.h - tell systemd how it goes (sd_notify, without the library).
 */
#ifndef CC_NOTIFY_H
#define CC_NOTIFY_H

/** Send `text`, for example "READY=1". Does nothing without NOTIFY_SOCKET. */
void cc_notify(const char *text);

#endif

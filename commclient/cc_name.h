/* SPDX-License-Identifier: Apache-2.0
 * cc_name.h - what names, ids and cursors may look like. Pure functions.
 */
#ifndef CC_NAME_H
#define CC_NAME_H

#include "cc_compat.h"
#include "cc_status.h"

#define CC_APP_MAX    64  /* bytes, as in the protocol                       */
#define CC_DEVICE_MAX 32  /* bytes, as in the protocol                       */
#define CC_SERVER_MAX 64  /* bytes of the NAME in [server NAME]              */
#define CC_ID_MAX     64  /* bytes; the server's have 22                     */
#define CC_CURSOR_MAX 128 /* bytes; the server's have up to 37               */

/** App, device and server: [A-Za-z0-9][A-Za-z0-9._-]*, up to `max` bytes.
 *  @return CC_OK or CC_BAD_NAME. */
cc_status cc_name_check(const char *data, size_t len, size_t max);

/** Id of a message: [A-Za-z0-9_-]+. It has no dot, so that ids of the agent's
 *  own (of gaps) can never be those of a message. */
cc_status cc_name_id_check(const char *data, size_t len);

/** A cursor goes into a header line: printable ASCII without blanks. */
cc_status cc_name_cursor_check(const char *data, size_t len);

/** Whether a payload of this Content-Type is JSON: application/json and all that
 *  end in +json, parameters apart. Of any other a string stands for text. */
int cc_name_type_is_json(const char *type);

/** The host name of this machine as a device name, "device" if it has none. */
void cc_name_default_device(char out[CC_DEVICE_MAX + 1]);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * cc_credentials.h - the files of a [server], looked at before it is polled.
 *
 * Password, token and private key belong to this user or to root and are
 * closed to all others; certificates may be read by all. A file that is not
 * there, or holds something else, is told at the start and not by a TLS error
 * of the first poll.
 */
#ifndef CC_CREDENTIALS_H
#define CC_CREDENTIALS_H

#include "cc_compat.h"
#include "cc_config.h"
#include "cc_status.h"

/**
 * Check that all files the section names can be used.
 * @param out_error  text for the user, to be freed; NULL when CC_OK
 * @return CC_OK or CC_BAD_CONFIG
 */
cc_status cc_credentials_check(const cc_server_config *server, char **out_error);

#endif

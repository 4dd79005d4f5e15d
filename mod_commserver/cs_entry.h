/* SPDX-License-Identifier: Apache-2.0
 * cs_entry.h - what every handler does first.
 */
#ifndef CS_ENTRY_H
#define CS_ENTRY_H

#include "cs_private.h"

/**
 * Is r for the handler of this kind, and may it go on? Otherwise it has been
 * answered.
 * @param out_path    what follows the base: "" or "/..."
 * @param out_result  what the handler must return when it may not go on
 * @return not 0: go on.
 */
int cs_entry_check(request_rec *r, cs_kind kind, const char **out_path,
                   int *out_result);

/** Hook header_parser: the browser rules, before any authentication. */
int cs_entry_header_parser(request_rec *r);

/** Hook fixups: tell CGI programs where the segment and the realm are. */
int cs_entry_fixups(request_rec *r);

/** What the resource that r names allows, as in Allow. */
const char *cs_entry_methods(request_rec *r, cs_kind kind);

/** Not 0: r's method is among them, and is not OPTIONS. */
int cs_entry_allows(request_rec *r, const char *methods);

#endif

/* SPDX-License-Identifier: Apache-2.0
 * cs_compat.h - config.h, made safe to include before httpd's headers.
 *
 * Included first by every .c of the module, the queue and the writer. httpd
 * and APR define PACKAGE_* of their own.
 */
#ifndef CS_COMPAT_H
#define CS_COMPAT_H

#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#undef PACKAGE_BUGREPORT
#undef PACKAGE_NAME
#undef PACKAGE_STRING
#undef PACKAGE_TARNAME
#undef PACKAGE_URL
#undef PACKAGE_VERSION

#endif

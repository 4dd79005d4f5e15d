/* SPDX-License-Identifier: Apache-2.0
 * mod_commserver.c - module record and hooks; the listing of what httpd calls.
 */
#include "cs_compat.h"
#include "cs_config.h"
#include "cs_entry.h"
#include "cs_hooks.h"
#include "cs_lifecycle.h"
#include "cs_park.h"
#include "cs_private.h"

#include <http_protocol.h>
#include <http_request.h>
#include <mpm_common.h>

static void register_hooks(apr_pool_t *p)
{
    cs_hooks_register();
    cs_park_register_hooks(p);

    ap_hook_post_config(cs_lifecycle_post_config, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_child_init(cs_lifecycle_child_init, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_monitor(cs_lifecycle_monitor, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_translate_name(cs_direct_translate, NULL, NULL, APR_HOOK_LAST);
    ap_hook_map_to_storage(cs_direct_storage, NULL, NULL, APR_HOOK_LAST);
    ap_hook_type_checker(cs_direct_type, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_header_parser(cs_entry_header_parser, NULL, NULL, APR_HOOK_FIRST);
    ap_hook_fixups(cs_entry_fixups, NULL, NULL, APR_HOOK_MIDDLE);

    ap_hook_handler(cs_poll_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(cs_publish_handler, NULL, NULL, APR_HOOK_MIDDLE);
    ap_hook_handler(cs_status_handler, NULL, NULL, APR_HOOK_MIDDLE);
}

AP_DECLARE_MODULE(commserver) = {
    STANDARD20_MODULE_STUFF,
    cs_config_dir_create,
    cs_config_dir_merge,
    cs_config_server_create,
    cs_config_server_merge,
    cs_config_commands,
    register_hooks,
    AP_MODULE_FLAG_NONE
};

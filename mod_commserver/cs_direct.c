/* SPDX-License-Identifier: Apache-2.0
 * cs_direct.c - CommServerDirect: no walk through the file system.
 *
 * httpd maps every URL to a file and looks for Directory sections and
 * .htaccess on the way, which costs more than all we do. Where the Location
 * says so, the request is taken out of that: last of all translators, so that
 * mod_rewrite, mod_alias and mod_proxy have had their say, and never by
 * looking at the URL, but only where the merged configuration has one of our
 * handlers. map_to_storage runs without that configuration; it goes by what
 * translate_name noted.
 */
#include "cs_compat.h"
#include "cs_config.h"

int cs_direct_translate(request_rec *r)
{
    if (cs_config_dir_get(r)->direct != 1 || !cs_handler_is_ours(r))
        return DECLINED;
    cs_state_get(r)->direct = 1;
    r->filename = r->uri;
    return OK;
}

int cs_direct_storage(request_rec *r)
{
    const cs_state *state = ap_get_module_config(r->request_config, &commserver_module);

    return state && state->direct ? OK : DECLINED;
}

/* First, before mod_mime makes an encoding of the end of a client's name.   */
int cs_direct_type(request_rec *r)
{
    return cs_direct_storage(r);
}

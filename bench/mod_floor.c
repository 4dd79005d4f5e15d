/* SPDX-License-Identifier: Apache-2.0
 * mod_floor.c - the cheapest possible handler of httpd: what a server module
 * cannot be cheaper than. /floor204 has no body, /floor200 twenty bytes.
 */
#include <string.h>

#include <httpd.h>
#include <http_config.h>
#include <http_protocol.h>

static int is_ours(const request_rec *r)
{
    return strncmp(r->uri, "/floor20", 8) == 0;
}

static int handler(request_rec *r)
{
    int rc;

    if (strcmp(r->uri, "/floor204") == 0) {
        r->status = HTTP_NO_CONTENT;
        return OK;
    }
    if (strcmp(r->uri, "/floor200") != 0)
        return DECLINED;
    rc = ap_discard_request_body(r);
    if (rc != OK)
        return rc;
    ap_set_content_type(r, "text/plain");
    ap_set_content_length(r, 20);
    ap_rwrite("12345678901234567890", 20, r);
    return OK;
}

/* These two skip the walk through the file system. */
static int map(request_rec *r)
{
    if (!is_ours(r))
        return DECLINED;
    r->filename = "floor";
    return OK;
}

static int no_walk(request_rec *r)
{
    return is_ours(r) ? OK : DECLINED;
}

static void hooks(apr_pool_t *pool)
{
    (void)pool;
    ap_hook_handler(handler, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_translate_name(map, NULL, NULL, APR_HOOK_REALLY_FIRST);
    ap_hook_map_to_storage(no_walk, NULL, NULL, APR_HOOK_REALLY_FIRST);
}

AP_DECLARE_MODULE(floor) = {
    STANDARD20_MODULE_STUFF, NULL, NULL, NULL, NULL, NULL, hooks, 0
};

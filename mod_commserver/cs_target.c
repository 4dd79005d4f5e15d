/* SPDX-License-Identifier: Apache-2.0
 * cs_target.c - what a path below the base of a publish handler names.
 */
#include "cs_compat.h"
#include "cs_target.h"
#include "cs_request.h"

#include <apr_strings.h>

#include <string.h>

static const char bad_path[] =
    "the path is {app}?to={client}, {app}/{client}, {app}/{client}/{device}, "
    "{app}/-/all, {app}/-/groups/{group}, {app}/-/groups/{group}/{client} or "
    "{app}/-/messages/{id}";
static const char bad_app[] =
    "an application name is 1 to 64 letters, digits, '.', '_' or '-' and begins with a "
    "letter or digit";
static const char bad_group[] =
    "a group name is 1 to 64 letters, digits, '.', '_' or '-' and begins with a letter "
    "or digit";
static const char bad_id[] = "the id of a message is 22 characters, as it was given";

static apr_status_t fail(const char **out_detail, const char *detail)
{
    *out_detail = detail;
    return APR_EINVAL;
}

/* The segment at *rest, which moves on behind it; NULL: there is none.      */
static const char *take_segment(const char **rest, apr_pool_t *p)
{
    apr_size_t len;
    const char *segment;

    if (**rest != '/')
        return NULL;
    len = strcspn(*rest + 1, "/");
    segment = apr_pstrmemdup(p, *rest + 1, len);
    *rest += 1 + len;
    return segment;
}

static apr_status_t parse_client(const char *name, const char *rest, apr_pool_t *p,
                                 cs_target *target, const char **out_detail)
{
    if (csq_client_check(name, strlen(name)) != APR_SUCCESS)
        return fail(out_detail, CS_BAD_CLIENT);
    target->kind = CS_TARGET_CLIENT;
    target->client = name;
    target->device = take_segment(&rest, p);
    if (*rest
        || (target->device
            && csq_device_check(target->device, strlen(target->device)) != APR_SUCCESS))
        return fail(out_detail, CS_BAD_DEVICE);
    return APR_SUCCESS;
}

static apr_status_t parse_group(const char *rest, apr_pool_t *p, cs_target *target,
                                const char **out_detail)
{
    target->kind = CS_TARGET_GROUP;
    target->group = take_segment(&rest, p);
    if (!target->group
        || csq_app_check(target->group, strlen(target->group)) != APR_SUCCESS)
        return fail(out_detail, bad_group);
    target->client = take_segment(&rest, p);
    if (!target->client)
        return APR_SUCCESS;
    target->kind = CS_TARGET_MEMBER;
    if (*rest || csq_client_check(target->client, strlen(target->client)) != APR_SUCCESS)
        return fail(out_detail, CS_BAD_CLIENT);
    return APR_SUCCESS;
}

static apr_status_t parse_message(const char *rest, apr_pool_t *p, cs_target *target,
                                  const char **out_detail)
{
    const char *id = take_segment(&rest, p);

    target->kind = CS_TARGET_MESSAGE;
    if (!id || *rest || csq_id_parse(id, strlen(id), target->id) != APR_SUCCESS)
        return fail(out_detail, bad_id);
    return APR_SUCCESS;
}

/* What stands behind {app}/-                                                */
static apr_status_t parse_special(const char *rest, apr_pool_t *p, cs_target *target,
                                  const char **out_detail)
{
    const char *word = take_segment(&rest, p);

    if (word && !strcmp(word, "groups"))
        return parse_group(rest, p, target, out_detail);
    if (word && !strcmp(word, "messages"))
        return parse_message(rest, p, target, out_detail);
    if (!word || strcmp(word, "all") || *rest)
        return fail(out_detail, bad_path);
    target->kind = CS_TARGET_ALL;
    return APR_SUCCESS;
}

apr_status_t cs_target_parse(const char *path, apr_pool_t *p, cs_target *out_target,
                             const char **out_detail)
{
    const char *name;

    memset(out_target, 0, sizeof(*out_target));
    out_target->app = take_segment(&path, p);
    if (!out_target->app)
        return fail(out_detail, bad_path);
    if (csq_app_check(out_target->app, strlen(out_target->app)) != APR_SUCCESS)
        return fail(out_detail, bad_app);
    name = take_segment(&path, p);
    if (!name) {
        out_target->kind = CS_TARGET_SEVERAL;
        return APR_SUCCESS;
    }
    if (!strcmp(name, "-"))
        return parse_special(path, p, out_target, out_detail);
    return parse_client(name, path, p, out_target, out_detail);
}

const char *cs_target_methods(cs_target_kind kind)
{
    switch (kind) {
    case CS_TARGET_MEMBER:
        return "PUT, DELETE, OPTIONS";
    case CS_TARGET_MESSAGE:
        return "GET, HEAD, DELETE, OPTIONS";
    default:
        return "POST, OPTIONS";
    }
}

/* SPDX-License-Identifier: Apache-2.0
 * cc_name.c - what names, ids and cursors may look like.
 */
#include "cc_compat.h"
#include "cc_name.h"

#include <string.h>
#include <strings.h>
#include <unistd.h>

static int is_alphanumeric(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

static int is_name_character(char c)
{
    return is_alphanumeric(c) || c == '.' || c == '_' || c == '-';
}

cc_status cc_name_check(const char *data, size_t len, size_t max)
{
    size_t i;

    if (len == 0 || len > max || !is_alphanumeric(data[0]))
        return CC_BAD_NAME;
    for (i = 1; i < len; i++) {
        if (!is_name_character(data[i]))
            return CC_BAD_NAME;
    }
    return CC_OK;
}

cc_status cc_name_id_check(const char *data, size_t len)
{
    size_t i;

    if (len == 0 || len > CC_ID_MAX)
        return CC_BAD_NAME;
    for (i = 0; i < len; i++) {
        if (!is_alphanumeric(data[i]) && data[i] != '_' && data[i] != '-')
            return CC_BAD_NAME;
    }
    return CC_OK;
}

cc_status cc_name_cursor_check(const char *data, size_t len)
{
    size_t i;

    if (len == 0 || len > CC_CURSOR_MAX)
        return CC_BAD_NAME;
    for (i = 0; i < len; i++) {
        if (data[i] <= 0x20 || data[i] >= 0x7f)
            return CC_BAD_NAME;
    }
    return CC_OK;
}

int cc_name_type_is_json(const char *type)
{
    size_t len = strcspn(type, ";");

    while (len > 0 && (type[len - 1] == ' ' || type[len - 1] == '\t'))
        len--;
    if (len == 16 && strncasecmp(type, "application/json", 16) == 0)
        return 1;
    return len > 5 && strncasecmp(type + len - 5, "+json", 5) == 0;
}

void cc_name_default_device(char out[CC_DEVICE_MAX + 1])
{
    char host[256] = "";
    size_t n = 0;
    const char *c;

    gethostname(host, sizeof(host) - 1);
    host[strcspn(host, ".")] = '\0';
    for (c = host; *c != '\0' && n < CC_DEVICE_MAX; c++) {
        if (n > 0 ? is_name_character(*c) : is_alphanumeric(*c))
            out[n++] = *c;
    }
    out[n] = '\0';
    if (n == 0)
        strcpy(out, "device");
}

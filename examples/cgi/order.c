/* SPDX-License-Identifier: Apache-2.0
 * order.c - a CGI program in C that tells a client of a new order.
 *
 *   GET /cgi-bin/order?tea      sends alice {"item":"tea"}
 *
 * httpd exports where the queues are (COMMSERVER_SEGMENT, COMMSERVER_REALM),
 * so the writer needs to be told nothing.
 *
 *   cc order.c -o order $(pkg-config --cflags --libs libcommserver)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <commserver_writer.h>

/* What of the query is safe to stand in JSON as it is. */
static const char safe[] = "abcdefghijklmnopqrstuvwxyz"
                           "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 .,_-";

static int publish(const char *body, char *out_id)
{
    static const char *const to[] = { "alice" };
    commserver_writer_message message = COMMSERVER_WRITER_MESSAGE_INIT;
    commserver_writer *writer;
    int status = commserver_writer_open(NULL, NULL, &writer);

    if (status != COMMSERVER_WRITER_OK)
        return status;
    message.app = "orders";
    message.to = to;
    message.to_count = 1;
    message.type = "application/json";
    message.data = body;
    message.length = strlen(body);
    status = commserver_writer_publish(writer, &message, NULL, out_id);
    commserver_writer_close(writer);
    return status;
}

int main(void)
{
    const char *item = getenv("QUERY_STRING");
    char id[COMMSERVER_WRITER_ID_SIZE];
    char body[128];
    int status;

    if (!item || !*item)
        item = "something";
    snprintf(body, sizeof body, "{\"item\":\"%.*s\"}", (int)strspn(item, safe), item);
    status = publish(body, id);
    if (status == COMMSERVER_WRITER_OK)
        printf("Status: 202 Accepted\r\nContent-Type: text/plain\r\n\r\nqueued %s\n", id);
    else
        printf("Status: 503 Service Unavailable\r\nContent-Type: text/plain\r\n\r\n%s\n",
               commserver_writer_text(status));
    return 0;
}

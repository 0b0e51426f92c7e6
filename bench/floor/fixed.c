/* The kernel's floor: a fixed answer, no parsing, no Python. `fixed PORT BODY_LENGTH` */

#include "loop.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char fixed[ANSWER_ROOM];
static size_t fixed_length;

static size_t answer(const char *head, size_t length, char *out)
{
    (void)head;
    (void)length;
    memcpy(out, fixed, fixed_length);
    return fixed_length;
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: fixed PORT BODY_LENGTH\n");
        return 2;
    }
    size_t body = strtoul(argv[2], NULL, 10);
    int head = snprintf(fixed, sizeof fixed,
                        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n"
                        "Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nServer: floor\r\n\r\n",
                        body);
    if (body > sizeof fixed - (size_t)head) {
        fprintf(stderr, "fixed: a body of %zu bytes is too long\n", body);
        return 2;
    }
    memset(fixed + head, 'x', body);
    fixed_length = (size_t)head + body;
    return serve(atoi(argv[1]), answer);
}

/* The least that a server on one core can do: epoll, one read and one write for each batch of requests.
   Knows nothing of HTTP but that an empty line ends a head; knows no Python. */

#ifndef FLOOR_LOOP_H
#define FLOOR_LOOP_H

#include <stddef.h>

/* Writes the answer to one request, whose head is `length` bytes at `head`, to `out`, which has room for
   ANSWER_ROOM bytes. Returns how many it wrote. */
typedef size_t (*answer_function)(const char *head, size_t length, char *out);

enum { ANSWER_ROOM = 16 * 1024 };

/* Serves 127.0.0.1:port until it is killed. Returns only if something failed. */
int serve(int port, answer_function answer);

/* The same with as many threads, for answers that wait: one thread at a time waits for sockets and reads, and lets the
   next one do so while it answers. */
int serve_with_threads(int port, int threads, answer_function answer);

#endif

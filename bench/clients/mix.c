/* A load generator that tells fast answers from slow ones, which wrk can't: each connection asks for /fast, but
   every EVERYth request of all asks for /slow. `mix PORT CONNECTIONS SECONDS EVERY`; 0 asks for no slow ones.
   wrk also adds the requests that it would have sent had an answer not been late to its percentiles; this one
   counts each answer once. Linux only. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 4096, EVENTS = 256 };

struct connection {
    int socket;
    bool slow;
    uint64_t asked;
    size_t filled;
    char input[ROOM + 1];
};

struct latencies {
    uint32_t *microseconds;
    size_t count, room;
};

static struct latencies fast, slow;
static unsigned long port, every, requests, faults;
static int poll_descriptor;

static uint64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void give_up(const char *what)
{
    perror(what);
    exit(1);
}

static void note(struct latencies *latencies, uint64_t taken)
{
    if (latencies->count == latencies->room) {
        latencies->room = latencies->room ? latencies->room * 2 : 4096;
        latencies->microseconds = realloc(latencies->microseconds, latencies->room * sizeof(uint32_t));
        if (latencies->microseconds == NULL)
            give_up("mix: no memory");
    }
    latencies->microseconds[latencies->count++] = (uint32_t)(taken / 1000);
}

static void ask(struct connection *connection)
{
    static const char fast_request[] = "GET /fast HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    static const char slow_request[] = "GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    connection->slow = every > 0 && ++requests % every == 0;
    connection->filled = 0;
    connection->asked = nanoseconds();
    const char *request = connection->slow ? slow_request : fast_request;
    /* A request this short fits; where the server has closed, reading says so. */
    (void)!send(connection->socket, request, strlen(request), MSG_NOSIGNAL);
}

static void open_connection(struct connection *connection)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->socket < 0 || connect(connection->socket, (struct sockaddr *)&address, sizeof address) < 0)
        give_up("mix: cannot connect");
    setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    if (epoll_ctl(poll_descriptor, EPOLL_CTL_ADD, connection->socket, &event) < 0)
        give_up("mix: cannot poll");
    ask(connection);
}

static void open_anew(struct connection *connection)
{
    close(connection->socket);
    open_connection(connection);
}

/* Where the answer ends: 0 as long as that can't be told. It has to have a Content-Length. */
static size_t answer_length(const char *input)
{
    const char *end = strstr(input, "\r\n\r\n");
    const char *field = strcasestr(input, "\r\nContent-Length:");
    if (end == NULL || field == NULL || field > end)
        return 0;
    return (size_t)(end - input) + 4 + strtoul(field + strlen("\r\nContent-Length:"), NULL, 10);
}

static void turn(struct connection *connection)
{
    ssize_t got = recv(connection->socket, connection->input + connection->filled, ROOM - connection->filled,
                       MSG_DONTWAIT);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        faults++;
        open_anew(connection);
        return;
    }
    connection->filled += (size_t)got;
    connection->input[connection->filled] = 0;
    size_t whole = answer_length(connection->input);
    if (connection->filled == ROOM || (whole > 0 && connection->filled > whole)) {
        faults++;
        open_anew(connection);
        return;
    }
    if (whole == 0 || connection->filled < whole)
        return;
    if (strncmp(connection->input, "HTTP/1.1 200 ", 13) != 0)
        faults++;
    note(connection->slow ? &slow : &fast, nanoseconds() - connection->asked);
    if (strcasestr(connection->input, "\r\nConnection: close") != NULL)
        open_anew(connection);
    else
        ask(connection);
}

static int compare(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return (a > b) - (a < b);
}

static double milliseconds(struct latencies *latencies, double share)
{
    if (latencies->count == 0)
        return 0;
    return latencies->microseconds[(size_t)((double)(latencies->count - 1) * share)] / 1000.0;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "usage: mix PORT CONNECTIONS SECONDS EVERY\n");
        return 2;
    }
    port = strtoul(argv[1], NULL, 10);
    size_t count = strtoul(argv[2], NULL, 10);
    uint64_t length = (uint64_t)(strtod(argv[3], NULL) * 1e9);
    every = strtoul(argv[4], NULL, 10);
    poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    struct connection *connections = calloc(count, sizeof *connections);
    if (poll_descriptor < 0 || connections == NULL)
        give_up("mix: cannot begin");
    uint64_t began = nanoseconds();
    for (size_t i = 0; i < count; i++)
        open_connection(&connections[i]);
    uint64_t now;
    while ((now = nanoseconds()) < began + length) {
        struct epoll_event events[EVENTS];
        int ready = epoll_wait(poll_descriptor, events, EVENTS, (int)((began + length - now) / 1000000) + 1);
        for (int i = 0; i < ready; i++)
            turn(events[i].data.ptr);
    }
    double seconds = (double)(now - began) / 1e9;
    qsort(fast.microseconds, fast.count, sizeof(uint32_t), compare);
    qsort(slow.microseconds, slow.count, sizeof(uint32_t), compare);
    printf("{\"requests\": %zu, \"slow\": %zu, \"seconds\": %.6f, \"fast_p50\": %.3f, \"fast_p99\": %.3f, "
           "\"slow_p50\": %.3f, \"faults\": %lu}\n",
           fast.count + slow.count, slow.count, seconds, milliseconds(&fast, 0.5), milliseconds(&fast, 0.99),
           milliseconds(&slow, 0.5), faults);
    return 0;
}

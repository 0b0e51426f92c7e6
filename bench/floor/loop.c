#define _GNU_SOURCE
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_ROOM = 64 * 1024, BATCH = 32, EVENTS = 256 };

struct connection {
    int socket;
    size_t filled; /* bytes of an unfinished head at the start of `input` */
    char input[INPUT_ROOM];
};

static char output[BATCH * ANSWER_ROOM];

static void close_connection(struct connection *connection)
{
    close(connection->socket);
    free(connection);
}

/* Loopback sockets take these answers whole unless the client stalls; then it has to wait, like everyone. */
static int write_all(int socket, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t written = send(socket, bytes, length, MSG_NOSIGNAL);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (written < 0)
            return -1;
        bytes += written;
        length -= (size_t)written;
    }
    return 0;
}

/* Reads once, which is enough for a level-triggered epoll, and answers every request that is whole. */
static void turn(struct connection *connection, answer_function answer)
{
    ssize_t got = recv(connection->socket, connection->input + connection->filled,
                       INPUT_ROOM - connection->filled, 0);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0) {
        close_connection(connection);
        return;
    }
    char *head = connection->input;
    size_t left = connection->filled + (size_t)got;
    size_t ready = 0;
    char *end;
    while ((end = memmem(head, left, "\r\n\r\n", 4)) != NULL) {
        size_t length = (size_t)(end - head) + 4;
        ready += answer(head, length, output + ready);
        head += length;
        left -= length;
        if (ready > sizeof output - ANSWER_ROOM) {
            if (write_all(connection->socket, output, ready) < 0) {
                close_connection(connection);
                return;
            }
            ready = 0;
        }
    }
    if (left == INPUT_ROOM || (ready > 0 && write_all(connection->socket, output, ready) < 0)) {
        close_connection(connection);
        return;
    }
    if (left > 0)
        memmove(connection->input, head, left);
    connection->filled = left;
}

int serve(int port, answer_function answer)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 1024) < 0) {
        perror("floor: cannot listen");
        return 1;
    }
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, listener, &event) < 0) {
        perror("floor: cannot poll");
        return 1;
    }
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL) {
                turn(events[i].data.ptr, answer);
                continue;
            }
            int accepted;
            while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
                struct connection *connection = malloc(sizeof *connection);
                if (connection == NULL) {
                    close(accepted);
                    continue;
                }
                connection->socket = accepted;
                connection->filled = 0;
                setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                event.data.ptr = connection;
                epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
            }
        }
    }
}

#define _GNU_SOURCE
#include "loop.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
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
    atomic_int holders; /* the poll, and with threads whoever answers */
    char input[INPUT_ROOM];
};

static char output[BATCH * ANSWER_ROOM];

static void close_connection(struct connection *connection)
{
    close(connection->socket);
    free(connection);
}

/* The last one closes it. */
static void let_go(struct connection *connection)
{
    if (atomic_fetch_sub(&connection->holders, 1) == 1)
        close_connection(connection);
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

/* Listens, and polls the listener: the poll's descriptor, with the listener's in `listener`; -1 if something failed. */
static int begin(int port, int *listener)
{
    int on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    *listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(*listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(*listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(*listener, 1024) < 0) {
        perror("floor: cannot listen");
        return -1;
    }
    int poll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    if (poll < 0 || epoll_ctl(poll, EPOLL_CTL_ADD, *listener, &event) < 0) {
        perror("floor: cannot poll");
        return -1;
    }
    return poll;
}

static void accept_all(int poll, int listener, uint32_t events)
{
    int on = 1;
    int accepted;
    while ((accepted = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        struct connection *connection = malloc(sizeof *connection);
        if (connection == NULL) {
            close(accepted);
            continue;
        }
        connection->socket = accepted;
        connection->filled = 0;
        atomic_init(&connection->holders, 1);
        setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        struct epoll_event event = {.events = events, .data.ptr = connection};
        epoll_ctl(poll, EPOLL_CTL_ADD, accepted, &event);
    }
}

int serve(int port, answer_function answer)
{
    int listener;
    int poll = begin(port, &listener);
    if (poll < 0)
        return 1;
    for (;;) {
        struct epoll_event events[EVENTS];
        int count = epoll_wait(poll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            if (events[i].data.ptr != NULL)
                turn(events[i].data.ptr, answer);
            else
                accept_all(poll, listener, EPOLLIN);
        }
    }
}

/* What the threads share. Whoever has the lock waits for sockets. */
static struct {
    pthread_mutex_t lead;
    int poll, listener;
    answer_function answer;
} shared = {.lead = PTHREAD_MUTEX_INITIALIZER};

/* Reads one request and answers it: who waits for an answer has one under way. */
static void *lead_and_answer(void *unused)
{
    (void)unused;
    char answer[ANSWER_ROOM];
    for (;;) {
        struct epoll_event event;
        struct connection *connection = NULL;
        ssize_t got = -1;
        pthread_mutex_lock(&shared.lead);
        if (epoll_wait(shared.poll, &event, 1, -1) == 1) {
            connection = event.data.ptr;
            if (connection == NULL) {
                accept_all(shared.poll, shared.listener, EPOLLIN | EPOLLET);
            } else {
                got = recv(connection->socket, connection->input, INPUT_ROOM, 0);
                if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
                    /* Its end may be told twice, and its memory be gone the second time. */
                    epoll_ctl(shared.poll, EPOLL_CTL_DEL, connection->socket, NULL);
                    let_go(connection);
                } else if (got > 0)
                    atomic_fetch_add(&connection->holders, 1);
            }
        }
        pthread_mutex_unlock(&shared.lead);
        if (got <= 0)
            continue;
        char *end = memmem(connection->input, (size_t)got, "\r\n\r\n", 4);
        if (end != NULL) {
            size_t length = shared.answer(connection->input, (size_t)(end - connection->input) + 4, answer);
            /* A client that has gone is found by the read of its end. */
            write_all(connection->socket, answer, length);
        }
        let_go(connection);
    }
    return NULL;
}

int serve_with_threads(int port, int threads, answer_function answer)
{
    shared.poll = begin(port, &shared.listener);
    if (shared.poll < 0)
        return 1;
    shared.answer = answer;
    for (int i = 1; i < threads; i++) {
        pthread_t thread;
        if (pthread_create(&thread, NULL, lead_and_answer, NULL) != 0) {
            perror("floor: no thread");
            return 1;
        }
    }
    lead_and_answer(NULL);
    return 0;
}

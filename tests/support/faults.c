/* Preloaded into a server by a test: makes system calls fail and moves the wall clock, as the shared file says that FAULTS names.
 * The layout is the one of faults.py. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

struct faults {
    _Atomic int64_t clock_seconds;   /* added to the wall clock */
    _Atomic int32_t accept_error;    /* what accepting fails with */
    _Atomic int32_t accept_times;    /* how often it still does */
    _Atomic int32_t write_error;     /* what writing to a regular file fails with */
    _Atomic int32_t write_times;     /* how often it still does */
    _Atomic int32_t interrupting;    /* every other call is interrupted */
    _Atomic int32_t interrupted;     /* how many were */
};

static struct faults none;
static struct faults *faults = &none;

__attribute__((constructor)) static void start(void) {
    const char *name = getenv("FAULTS");
    int file = name == NULL ? -1 : open(name, O_RDWR | O_CLOEXEC);
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (shared != MAP_FAILED) faults = shared;
}

static int fails(_Atomic int32_t *times, _Atomic int32_t *error) {
    int32_t left = atomic_load(times);
    while (left > 0) {
        if (atomic_compare_exchange_weak(times, &left, left - 1)) {
            errno = atomic_load(error);
            return 1;
        }
    }
    return 0;
}

static int interrupts(void) {
    static _Thread_local int turn;
    if (!atomic_load(&faults->interrupting) || (turn ^= 1) == 0) return 0;
    atomic_fetch_add(&faults->interrupted, 1);
    errno = EINTR;
    return 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t clock, struct timespec *now) {
    static __typeof__(&clock_gettime) real;
    if (real == NULL) real = REAL(clock_gettime);
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += atomic_load(&faults->clock_seconds);
    return result;
}

int accept4(int socket, struct sockaddr *address, socklen_t *length, int flags) {
    static __typeof__(&accept4) real;
    if (real == NULL) real = REAL(accept4);
    if (interrupts() || fails(&faults->accept_times, &faults->accept_error)) return -1;
    return real(socket, address, length, flags);
}

ssize_t write(int file, const void *bytes, size_t count) {
    static __typeof__(&write) real;
    if (real == NULL) real = REAL(write);
    struct stat found;
    int saved = errno;
    if (fstat(file, &found) == 0 && S_ISREG(found.st_mode)
        && (interrupts() || fails(&faults->write_times, &faults->write_error)))
        return -1;
    errno = saved;
    return real(file, bytes, count);
}

ssize_t recv(int socket, void *bytes, size_t count, int flags) {
    static __typeof__(&recv) real;
    if (real == NULL) real = REAL(recv);
    return interrupts() ? -1 : real(socket, bytes, count, flags);
}

ssize_t send(int socket, const void *bytes, size_t count, int flags) {
    static __typeof__(&send) real;
    if (real == NULL) real = REAL(send);
    return interrupts() ? -1 : real(socket, bytes, count, flags);
}

ssize_t sendmsg(int socket, const struct msghdr *message, int flags) {
    static __typeof__(&sendmsg) real;
    if (real == NULL) real = REAL(sendmsg);
    return interrupts() ? -1 : real(socket, message, flags);
}

ssize_t pread64(int file, void *bytes, size_t count, off64_t offset) {
    static __typeof__(&pread64) real;
    if (real == NULL) real = REAL(pread64);
    return interrupts() ? -1 : real(file, bytes, count, offset);
}

int epoll_wait(int poll, struct epoll_event *events, int most, int timeout) {
    static __typeof__(&epoll_wait) real;
    if (real == NULL) real = REAL(epoll_wait);
    return interrupts() ? -1 : real(poll, events, most, timeout);
}

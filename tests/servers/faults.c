/* Makes calls on files fail as a bad disk does. Loaded with LD_PRELOAD; TACHO_FAULTS names a file of lines
 *     CALL PART ACTION NUMBER
 * CALL: write, sync, open, clock (PART -, ACTION step, NUMBER seconds that the wall clock is wrong); PART: what the file's path must contain; ACTION: errno, short, sleep (NUMBER is milliseconds).
 * The first line that fits counts. The file is read at each call, so that a test can change its mind.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static __thread int busy;

static int look(const char *call, const char *path, char *action, int *number) {
    const char *name = getenv("TACHO_FAULTS");
    char line[512], c[16], part[256];
    int found = 0;
    if (busy || name == NULL) return 0;
    busy = 1;
    FILE *file = fopen(name, "r");
    while (file != NULL && !found && fgets(line, sizeof line, file) != NULL)
        found = sscanf(line, "%15s %255s %15s %d", c, part, action, number) == 4
            && strcmp(c, call) == 0 && strstr(path, part) != NULL;
    if (file != NULL) fclose(file);
    busy = 0;
    return found;
}

static int look_fd(const char *call, int fd, char *action, int *number) {
    char link[64], path[PATH_MAX];
    if (busy) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return path[0] == '/' && look(call, path, action, number);
}

static void wait_ms(int milliseconds) {
    struct timespec time = {milliseconds / 1000, milliseconds % 1000 * 1000000L};
    nanosleep(&time, NULL);
}

#define REAL(type, name, ...) static type (*real)(__VA_ARGS__); if (real == NULL) real = dlsym(RTLD_NEXT, name)

ssize_t writev(int fd, const struct iovec *pieces, int count) {
    REAL(ssize_t, "writev", int, const struct iovec *, int);
    char action[16]; int number;
    if (look_fd("write", fd, action, &number)) {
        if (strcmp(action, "errno") == 0) { errno = number; return -1; }
        if (strcmp(action, "short") == 0) {
            struct iovec one = pieces[0];
            if (one.iov_len > (size_t)number) one.iov_len = number;
            return real(fd, &one, 1);
        }
        wait_ms(number);
    }
    return real(fd, pieces, count);
}

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, "write", int, const void *, size_t);
    char action[16]; int number;
    if (look_fd("write", fd, action, &number)) {
        if (strcmp(action, "errno") == 0) { errno = number; return -1; }
        if (strcmp(action, "short") == 0 && size > (size_t)number) size = number;
        if (strcmp(action, "sleep") == 0) wait_ms(number);
    }
    return real(fd, data, size);
}

int fdatasync(int fd) {
    REAL(int, "fdatasync", int);
    char action[16]; int number;
    if (look_fd("sync", fd, action, &number)) {
        if (strcmp(action, "errno") == 0) { errno = number; return -1; }
        if (strcmp(action, "sleep") == 0) wait_ms(number);
    }
    return real(fd);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    REAL(int, "clock_gettime", clockid_t, struct timespec *);
    char action[16]; int number;
    int result = real(clock, now);
    if (clock == CLOCK_REALTIME && look("clock", "-", action, &number)) now->tv_sec += number;
    return result;
}

static int opened(const char *path, int flags, char *action, int *number) {
    return (flags & O_CREAT) && look("open", path, action, number) && strcmp(action, "errno") == 0;
}

int open(const char *path, int flags, ...) {
    REAL(int, "open", const char *, int, ...);
    char action[16]; int number;
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    if (opened(path, flags, action, &number)) { errno = number; return -1; }
    return real(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    REAL(int, "open64", const char *, int, ...);
    char action[16]; int number;
    va_list more; va_start(more, flags); mode_t mode = va_arg(more, mode_t); va_end(more);
    if (opened(path, flags, action, &number)) { errno = number; return -1; }
    return real(path, flags, mode);
}

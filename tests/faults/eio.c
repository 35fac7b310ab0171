/* Makes the Nth call of one kind on files under a folder fail with EIO. Loaded before the C library; configured by the environment:
   EIO_CALL (write, sync or rename), EIO_NTH (from 1; 0 only counts), EIO_PREFIX (the folder), EIO_COUNT (a file for the number of calls). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static atomic_long calls;

static int fails(const char *kind, const char *path) {
    const char *wanted = getenv("EIO_CALL"), *prefix = getenv("EIO_PREFIX"), *nth = getenv("EIO_NTH"), *count = getenv("EIO_COUNT");
    if (!wanted || !prefix || strcmp(wanted, kind) || strncmp(path, prefix, strlen(prefix))) return 0;
    long number = atomic_fetch_add(&calls, 1) + 1;
    if (count && !atol(nth)) {
        FILE *file = fopen(count, "w");
        if (file) { fprintf(file, "%ld", number); fclose(file); }
    }
    if (number != atol(nth)) return 0;
    errno = EIO;
    return 1;
}

static int descriptor_fails(const char *kind, int descriptor) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return fails(kind, path);
}

#define REAL(result, name, ...) static result (*real)(__VA_ARGS__); if (!real) real = (result (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t write(int fd, const void *data, size_t size) {
    REAL(ssize_t, write, int, const void *, size_t);
    return descriptor_fails("write", fd) ? -1 : real(fd, data, size);
}
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    return descriptor_fails("write", fd) ? -1 : real(fd, data, size, at);
}
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    return descriptor_fails("write", fd) ? -1 : real(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    return descriptor_fails("write", fd) ? -1 : real(fd, parts, count);
}
int fsync(int fd) {
    REAL(int, fsync, int);
    return descriptor_fails("sync", fd) ? -1 : real(fd);
}
int fdatasync(int fd) {
    REAL(int, fdatasync, int);
    return descriptor_fails("sync", fd) ? -1 : real(fd);
}
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    return fails("rename", to) ? -1 : real(from, to);
}

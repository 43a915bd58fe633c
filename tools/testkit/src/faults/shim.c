/* Loaded into a server under test by LD_PRELOAD (see faults.rs): sits between it and libc, and answers for a bad
 * disk or a wrong clock while the words of a shared file say so. It counts every time that it really did. It touches
 * the disk only under the directory that the command line names after --data. Never part of the product. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

/* The words of the file, 64 bits each; faults.rs knows the same order. */
enum {
    DISK_ERRNO,      /* what writing answers; 0: it is done */
    WRITE_MS,        /* how long a write takes */
    SYNC_MS,         /* how long a sync takes */
    SYNCS_TO_FAIL,   /* this many more syncs answer EIO */
    CLOCK_SECONDS,   /* the wall clock is wrong by this much */
    RANDOM_TO_FAIL,  /* this many more times there are no random numbers */
    FIRST_COUNTER = 16,
    REFUSED_WRITES = FIRST_COUNTER,
    SLOWED_WRITES,
    SLOWED_SYNCS,
    FAILED_SYNCS,
    BENT_CLOCK_READS,
    FAILED_RANDOM,
    STARTS,
    WORDS
};

static _Atomic int64_t idle[WORDS];
static _Atomic int64_t *words = idle;
static char data[PATH_MAX];
static size_t data_length;

#define REAL(name) \
    static __typeof__(name) *real; \
    if (!real) real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)

static int64_t word(int index) { return atomic_load_explicit(&words[index], memory_order_relaxed); }
static void count(int index) { atomic_fetch_add_explicit(&words[index], 1, memory_order_relaxed); }

/* Takes one of those left. */
static int take(int index) {
    int64_t left = word(index);
    while (left > 0)
        if (atomic_compare_exchange_weak(&words[index], &left, left - 1)) return 1;
    return 0;
}

static void find_data(void) {
    static char line[PATH_MAX * 4];
    int file = syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t length = file < 0 ? 0 : syscall(SYS_read, file, line, sizeof line - 1);
    if (file >= 0) syscall(SYS_close, file);
    for (char *at = line; at < line + length; at += strlen(at) + 1)
        if (!strcmp(at, "--data") && at + 7 < line + length) {
            if (!realpath(at + 7, data)) snprintf(data, sizeof data, "%s", at + 7);
            data_length = strlen(data);
        }
}

__attribute__((constructor)) static void begin(void) {
    const char *control = getenv("FAULTS_CONTROL");
    int file = control ? syscall(SYS_openat, AT_FDCWD, control, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) {
        fprintf(stderr, "faults: no file to be steered by\n");
        _exit(99);
    }
    void *map = mmap(NULL, WORDS * sizeof *words, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    if (map == MAP_FAILED) _exit(99);
    find_data();
    words = map;
    count(STARTS);
}

static int path_is_data(const char *path) {
    return data_length && !strncmp(path, data, data_length) && (path[data_length] == '/' || !path[data_length]);
}

static int is_data(int file) {
    char link[32], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length <= 0) return 0;
    path[length] = 0;
    return path_is_data(path);
}

static int64_t monotonic_ms(void) {
    struct timespec now;
    syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Looks again every few milliseconds whether the disk is still slow, so that it can be made quick at once. */
static void dawdle(int which) {
    for (int64_t begun = monotonic_ms(); monotonic_ms() - begun < word(which);) {
        struct timespec nap = {0, 2 * 1000 * 1000};
        syscall(SYS_nanosleep, &nap, NULL);
    }
}

/* Whether a write to this file is refused; errno says why. Waits as long as a write takes. */
static int refuses(int file) {
    if (!word(DISK_ERRNO) && !word(WRITE_MS)) return 0;
    int before = errno;
    if (!is_data(file)) {
        errno = before;
        return 0;
    }
    if (word(WRITE_MS)) {
        count(SLOWED_WRITES);
        dawdle(WRITE_MS);
    }
    int64_t why = word(DISK_ERRNO);
    errno = why ? (int)why : before;
    if (why) count(REFUSED_WRITES);
    return why != 0;
}

ssize_t write(int file, const void *from, size_t length) {
    REAL(write);
    return refuses(file) ? -1 : real(file, from, length);
}
ssize_t writev(int file, const struct iovec *from, int pieces) {
    REAL(writev);
    return refuses(file) ? -1 : real(file, from, pieces);
}
ssize_t pwrite(int file, const void *from, size_t length, off_t at) {
    REAL(pwrite);
    return refuses(file) ? -1 : real(file, from, length, at);
}
ssize_t pwrite64(int file, const void *from, size_t length, off64_t at) {
    REAL(pwrite64);
    return refuses(file) ? -1 : real(file, from, length, at);
}
int ftruncate(int file, off_t length) {
    REAL(ftruncate);
    return refuses(file) ? -1 : real(file, length);
}
int ftruncate64(int file, off64_t length) {
    REAL(ftruncate64);
    return refuses(file) ? -1 : real(file, length);
}
int fallocate(int file, int mode, off_t from, off_t length) {
    REAL(fallocate);
    return refuses(file) ? -1 : real(file, mode, from, length);
}
int fallocate64(int file, int mode, off64_t from, off64_t length) {
    REAL(fallocate64);
    return refuses(file) ? -1 : real(file, mode, from, length);
}
int posix_fallocate(int file, off_t from, off_t length) {
    REAL(posix_fallocate);
    return refuses(file) ? errno : real(file, from, length);
}
int posix_fallocate64(int file, off64_t from, off64_t length) {
    REAL(posix_fallocate64);
    return refuses(file) ? errno : real(file, from, length);
}

/* A full disk makes no new file; a read-only one opens none for writing. */
static int refuses_to_open(const char *path, int flags) {
    int64_t why = word(DISK_ERRNO);
    if (!why || !path || !path_is_data(path)) return 0;
    int is_new = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    if (!is_new && !(why == EROFS && (flags & O_ACCMODE) != O_RDONLY)) return 0;
    count(REFUSED_WRITES);
    errno = (int)why;
    return 1;
}
#define OPEN_MODE \
    mode_t mode = 0; \
    if (flags & (O_CREAT | __O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }
int open(const char *path, int flags, ...) {
    REAL(open);
    OPEN_MODE
    return refuses_to_open(path, flags) ? -1 : real(path, flags, mode);
}
int open64(const char *path, int flags, ...) {
    REAL(open64);
    OPEN_MODE
    return refuses_to_open(path, flags) ? -1 : real(path, flags, mode);
}
int openat(int directory, const char *path, int flags, ...) {
    REAL(openat);
    OPEN_MODE
    return refuses_to_open(path, flags) ? -1 : real(directory, path, flags, mode);
}
int openat64(int directory, const char *path, int flags, ...) {
    REAL(openat64);
    OPEN_MODE
    return refuses_to_open(path, flags) ? -1 : real(directory, path, flags, mode);
}

static int fails_to_sync(int file) {
    if ((!word(SYNC_MS) && !word(SYNCS_TO_FAIL)) || !is_data(file)) return 0;
    if (word(SYNC_MS)) {
        count(SLOWED_SYNCS);
        dawdle(SYNC_MS);
    }
    if (!take(SYNCS_TO_FAIL)) return 0;
    count(FAILED_SYNCS);
    errno = EIO;
    return 1;
}
int fsync(int file) {
    REAL(fsync);
    return fails_to_sync(file) ? -1 : real(file);
}
int fdatasync(int file) {
    REAL(fdatasync);
    return fails_to_sync(file) ? -1 : real(file);
}

int clock_gettime(clockid_t which, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int done = real ? real(which, now) : (int)syscall(SYS_clock_gettime, which, now);
    int64_t wrong = which == CLOCK_REALTIME || which == CLOCK_REALTIME_COARSE ? word(CLOCK_SECONDS) : 0;
    if (!done && wrong) {
        now->tv_sec += wrong;
        count(BENT_CLOCK_READS);
    }
    return done;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    struct timespec precise;
    int done = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return done;
}
time_t time(time_t *into) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    if (into) *into = precise.tv_sec;
    return precise.tv_sec;
}

ssize_t getrandom(void *into, size_t length, unsigned flags) {
    if (take(RANDOM_TO_FAIL)) {
        count(FAILED_RANDOM);
        errno = EIO;
        return -1;
    }
    return syscall(SYS_getrandom, into, length, flags);
}

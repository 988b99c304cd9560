/* Stands between a process and its disk: LD_PRELOAD=shim.so. Python's side is tests/faults/shim.py.
 *
 * Looks at calls that change files below FAULTS_FOLDER. FAULTS_CONTROL is a file of int64 words that both sides map:
 * the shim counts calls there, and reads what it shall do at which of them. To FAULTS_TRACE, if it is set, it appends
 * what was done, in the order in which it was done. Files named "acks" are traced but not counted. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { CALLS, AT, ACTION, ERRNO, MASK, CLOCK_STEP_NS, FIRED, WORDS };
enum { NOTHING, KILL_BEFORE, KILL_AFTER, KILL_WITHIN, FAIL_ONCE, FAIL_ALWAYS };
enum { OP_WRITE = 1, OP_SYNC = 2, OP_TRUNCATE = 4, OP_RENAME = 8, OP_UNLINK = 16, OP_CREATE = 32 };
enum { SECTOR_BYTES = 512 };
enum { FAILED = 1 }; /* Stands as the length of a sync that failed. */
enum { CONTROL_BYTES = 4096, FIRED_PATH = 1024, PATH_BYTES = 1024 };

struct event {
    uint32_t op, path_bytes;
    uint64_t inode, offset, length, data_bytes;
};

static volatile int64_t *control;
static const char *folder;
static size_t folder_bytes;
static int trace = -1;
static pthread_mutex_t turn = PTHREAD_MUTEX_INITIALIZER;

__attribute__((constructor)) static void begin(void) {
    const char *control_path = getenv("FAULTS_CONTROL"), *trace_path = getenv("FAULTS_TRACE");
    folder = getenv("FAULTS_FOLDER");
    if (!folder || !control_path) return;
    folder_bytes = strlen(folder);
    int fd = syscall(SYS_openat, AT_FDCWD, control_path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) abort();
    void *words = mmap(NULL, CONTROL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (words == MAP_FAILED) abort();
    control = words;
    syscall(SYS_close, fd);
    if (trace_path) trace = syscall(SYS_openat, AT_FDCWD, trace_path, O_WRONLY | O_APPEND | O_CLOEXEC, 0);
}

static int is_ours(const char *path) {
    return control && !strncmp(path, folder, folder_bytes) && (path[folder_bytes] == '/' || !path[folder_bytes]);
}

static int is_counted(const char *path) {
    const char *name = strrchr(path, '/');
    return !name || strcmp(name + 1, "acks");
}

static int path_of(int fd, char *path) {
    char link[64];
    if (!control) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = syscall(SYS_readlinkat, AT_FDCWD, link, path, PATH_BYTES - 1);
    if (bytes < 0) return 0;
    path[bytes] = 0;
    return is_ours(path);
}

static void absolute(const char *path, char *result) {
    if (path[0] == '/') {
        snprintf(result, PATH_BYTES, "%s", path);
        return;
    }
    result[0] = 0;
    if (getcwd(result, PATH_BYTES)) {
        size_t used = strlen(result);
        snprintf(result + used, PATH_BYTES - used, "/%s", path);
    }
}

static void note(uint32_t op, const char *path, uint64_t inode, uint64_t offset, uint64_t length, const void *data,
                 size_t data_bytes) {
    if (trace < 0) return;
    struct event event = {op, strlen(path), inode, offset, length, data_bytes};
    struct iovec parts[] = {{&event, sizeof event}, {(void *)path, event.path_bytes}, {(void *)data, data_bytes}};
    if (syscall(SYS_writev, trace, parts, 3) < 0) abort();
}

static uint64_t inode_of(int fd) {
    struct stat found;
    return fstat(fd, &found) ? 0 : found.st_ino;
}

/* Counts the call and says what is to become of it. */
static int64_t verdict(uint32_t op, const char *path) {
    if (!(control[MASK] & op) || !is_counted(path)) return NOTHING;
    int64_t call = ++control[CALLS];
    if (!control[AT] || call < control[AT] || (call > control[AT] && control[ACTION] != FAIL_ALWAYS)) return NOTHING;
    control[FIRED]++;
    snprintf((char *)control + FIRED_PATH, PATH_BYTES, "%u %s", op, path);
    return control[ACTION];
}

static void die(void) {
    syscall(SYS_kill, getpid(), SIGKILL);
    for (;;) pause();
}

static int fails(int64_t action) {
    if (action == KILL_BEFORE) die();
    if (action != FAIL_ONCE && action != FAIL_ALWAYS) return 0;
    errno = control[ERRNO];
    return 1;
}

/* A write is torn between two sectors, if at all: neither a kill nor a disk cuts within one. */
static size_t half(off_t offset, size_t bytes) {
    off_t edge = (offset + (off_t)bytes / 2) / SECTOR_BYTES * SECTOR_BYTES;
    return edge > offset ? (size_t)(edge - offset) : 0;
}

static ssize_t do_write(int fd, const void *data, size_t bytes, off_t offset, int is_at) {
    char path[PATH_BYTES];
    if (!path_of(fd, path)) {
        return is_at ? syscall(SYS_pwrite64, fd, data, bytes, offset) : syscall(SYS_write, fd, data, bytes);
    }
    pthread_mutex_lock(&turn);
    int64_t action = verdict(OP_WRITE, path);
    ssize_t written = -1;
    if (!fails(action)) {
        if (!is_at) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR);
        size_t wanted = action == KILL_WITHIN ? half(offset, bytes) : bytes;
        written = is_at ? syscall(SYS_pwrite64, fd, data, wanted, offset) : syscall(SYS_write, fd, data, wanted);
        if (!is_at) offset = syscall(SYS_lseek, fd, 0, SEEK_CUR) - written;
        if (written >= 0) note(OP_WRITE, path, inode_of(fd), offset, written, data, written);
        if (action == KILL_AFTER || action == KILL_WITHIN) die();
    }
    pthread_mutex_unlock(&turn);
    return written;
}

ssize_t write(int fd, const void *data, size_t bytes) { return do_write(fd, data, bytes, 0, 0); }
ssize_t pwrite(int fd, const void *data, size_t bytes, off_t offset) { return do_write(fd, data, bytes, offset, 1); }
ssize_t pwrite64(int fd, const void *data, size_t bytes, off64_t offset) { return do_write(fd, data, bytes, offset, 1); }

/* The other calls: ``real`` runs unless the verdict is that it fails. */
#define INTERPOSED(op, path, real, inode, length, data, data_bytes)                     \
    pthread_mutex_lock(&turn);                                                          \
    int64_t action = verdict(op, path);                                                 \
    int result = -1;                                                                    \
    if (!fails(action)) {                                                               \
        if (action == KILL_WITHIN) die();                                               \
        result = (real);                                                                \
        if (result >= 0) note(op, path, inode, 0, length, data, data_bytes);            \
        if (action == KILL_AFTER) die();                                                \
    } else if (op == OP_SYNC) {                                                         \
        note(op, path, inode, 0, FAILED, data, data_bytes);                             \
    }                                                                                   \
    pthread_mutex_unlock(&turn);                                                        \
    return result

static int do_sync(int fd, long call) {
    char path[PATH_BYTES];
    if (!path_of(fd, path)) return syscall(call, fd);
    INTERPOSED(OP_SYNC, path, syscall(call, fd), inode_of(fd), 0, NULL, 0);
}

int fsync(int fd) { return do_sync(fd, SYS_fsync); }
int fdatasync(int fd) { return do_sync(fd, SYS_fdatasync); }

int ftruncate(int fd, off_t length) {
    char path[PATH_BYTES];
    if (!path_of(fd, path)) return syscall(SYS_ftruncate, fd, length);
    INTERPOSED(OP_TRUNCATE, path, syscall(SYS_ftruncate, fd, length), inode_of(fd), length, NULL, 0);
}
int ftruncate64(int fd, off64_t length) { return ftruncate(fd, length); }

int rename(const char *from, const char *to) {
    char path[PATH_BYTES], target[PATH_BYTES];
    absolute(from, path);
    absolute(to, target);
    if (!is_ours(path)) return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    INTERPOSED(OP_RENAME, path, syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0), 0, 0, target, strlen(target));
}

int unlink(const char *name) {
    char path[PATH_BYTES];
    absolute(name, path);
    if (!is_ours(path)) return syscall(SYS_unlinkat, AT_FDCWD, name, 0);
    INTERPOSED(OP_UNLINK, path, syscall(SYS_unlinkat, AT_FDCWD, name, 0), 0, 0, NULL, 0);
}

static int do_open(int at, const char *name, int flags, mode_t mode) {
    char path[PATH_BYTES];
    if (!control || at != AT_FDCWD || !(flags & (O_CREAT | O_TRUNC))) return syscall(SYS_openat, at, name, flags, mode);
    absolute(name, path);
    if (!is_ours(path)) return syscall(SYS_openat, at, name, flags, mode);
    int is_there = syscall(SYS_faccessat, AT_FDCWD, path, F_OK) == 0;
    if (is_there && !(flags & O_TRUNC)) return syscall(SYS_openat, at, name, flags, mode);
    uint32_t op = is_there ? OP_TRUNCATE : OP_CREATE;
    INTERPOSED(op, path, syscall(SYS_openat, at, name, flags, mode), inode_of(result), 0, NULL, 0);
}

#define WITH_MODE                                  \
    mode_t mode = 0;                               \
    if (flags & (O_CREAT | O_TMPFILE)) {           \
        va_list rest;                              \
        va_start(rest, flags);                     \
        mode = va_arg(rest, mode_t);               \
        va_end(rest);                              \
    }

int open(const char *name, int flags, ...) { WITH_MODE return do_open(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { WITH_MODE return do_open(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int at, const char *name, int flags, ...) { WITH_MODE return do_open(at, name, flags, mode); }
int openat64(int at, const char *name, int flags, ...) { WITH_MODE return do_open(at, name, flags | O_LARGEFILE, mode); }

int clock_gettime(clockid_t clock, struct timespec *time) {
    int result = syscall(SYS_clock_gettime, clock, time);
    if (!result && control && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t ns = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + control[CLOCK_STEP_NS];
        time->tv_sec = ns / 1000000000;
        time->tv_nsec = ns % 1000000000;
    }
    return result;
}

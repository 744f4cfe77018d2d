/* Notes what a process does to the files below a directory, and every byte that it sends over sockets, in one order.

   Preloaded into a store. Each call is made and noted under one lock, so the notes of all threads have one order; only
   a sync is noted twice, when it begins and when it ends, since others write meanwhile. The notes go to a file by plain
   write(2): they are there even if the process is killed. recorder.py reads them.

   Syncs are not passed on: the disk is the model's, and how long it takes for a sync is what the test says. What the
   notes could not express (writing through a mapping, for example) is noted as unknown, and refused by the reader. What
   glibc writes by itself (fwrite) is seen only if that is asked for: LevelDB's LOG is for people, Redis's files are not.

   A forked child is noted as well. Its calls and its parent's stand in the order of their notes; neither waits for the
   other between a call and its note, so what the two do to one file at one time has no order that can be relied on. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { CREATED = 1, DIRECTORY, WRITTEN, CUT, SYNC_BEGUN, SYNCED, RENAMED, UNLINKED, LINKED, SENT, UNKNOWN, MARK, TICK };

struct note {
    unsigned kind, path_size;
    long long position; /* in the file; for a sync the thread, for a message the descriptor */
    unsigned long long inode;
    long long time; /* monotonic, ns */
    unsigned long long size;
};

/* Shared with the test: see `Control` in recorder.py. */
static volatile struct {
    long long count, kill_at, sync_time; /* notes so far; the note to be killed at; microseconds */
    long long table_time;                /* microseconds, besides, for a table of LevelDB */
    long long calls, fail_at, fail_for, error; /* calls so far that may fail; the first that does, how many, errno */
} *control;

enum { DESCRIPTORS = 65536, PARTS = 1024, TICK_TIME = 20000000 /* ns */ };

static int record = -1, with_streams;
static pid_t owner;
static char root[PATH_MAX];
static size_t root_size;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned char inside[DESCRIPTORS];

static void start_ticking(void);

static void take_lock(void)
{
    pthread_mutex_lock(&lock);
}

static void give_lock_back(void)
{
    pthread_mutex_unlock(&lock);
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("RQ_LEVELDB_TEST_RECORD"), *page = getenv("RQ_LEVELDB_TEST_CONTROL");
    const char *directory = getenv("RQ_LEVELDB_TEST_ROOT");
    if (!path || !page || !directory)
        return;
    root_size = strlen(directory);
    memcpy(root, directory, root_size + 1);
    int descriptor = syscall(SYS_openat, AT_FDCWD, page, O_RDWR | O_CLOEXEC);
    control = mmap(0, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    syscall(SYS_close, descriptor);
    if (control != MAP_FAILED)
        record = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CLOEXEC);
    with_streams = getenv("RQ_LEVELDB_TEST_STREAMS") != 0;
    owner = getpid();
    if (record >= 0) {
        /* Another thread may be at a note while this one forks. */
        pthread_atfork(take_lock, give_lock_back, give_lock_back);
        start_ticking();
    }
}

/* -- the order */

/* A signal's handler may write as well, and must not find the lock taken by the thread that it interrupts. */
static sigset_t enter(int *dying)
{
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_mutex_lock(&lock);
    long long count = __atomic_add_fetch(&control->count, 1, __ATOMIC_SEQ_CST);
    *dying = control->kill_at && count >= control->kill_at;
    return before;
}

static void leave(const sigset_t *before, int dying)
{
    int error = errno;
    if (dying) {
        control->kill_at = 0;
        syscall(SYS_kill, owner, SIGKILL);
        syscall(SYS_kill, getpid(), SIGKILL);
        for (;;)
            pause();
    }
    pthread_mutex_unlock(&lock);
    pthread_sigmask(SIG_SETMASK, before, 0);
    errno = error;
}

static void put(enum kind kind, long long position, unsigned long long inode, const char *path, size_t path_size,
                const struct iovec *data, int parts, size_t size)
{
    int error = errno;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct note note = {kind, path_size, position, inode, now.tv_sec * 1000000000LL + now.tv_nsec, size};
    struct iovec all[PARTS + 2] = {{&note, sizeof note}, {(void *)path, path_size}};
    int used = 2;
    for (size_t left = size; left && parts; data++, parts--) {
        all[used] = *data;
        if (all[used].iov_len > left)
            all[used].iov_len = left;
        left -= all[used++].iov_len;
    }
    if (syscall(SYS_writev, record, all, used) != (long)(sizeof note + path_size + size))
        _exit(99); /* a record with a gap proves nothing */
    errno = error;
}

/* Time as this process has it: on a busy machine it gets no processor for a while, and its timers are late as well. */
static void *tick(void *unused)
{
    struct timespec time = {0, TICK_TIME};
    for (;;) {
        int dying;
        syscall(SYS_nanosleep, &time, 0);
        sigset_t before = enter(&dying);
        put(TICK, 0, 0, 0, 0, 0, 0, 0);
        leave(&before, dying);
    }
    return unused;
}

static void start_ticking(void)
{
    pthread_t thread;
    sigset_t every, before;
    sigfillset(&every);
    pthread_sigmask(SIG_SETMASK, &every, &before);
    pthread_create(&thread, 0, tick, 0);
    pthread_sigmask(SIG_SETMASK, &before, 0);
}

/* -- descriptors and names */

static int is_inside(int descriptor)
{
    return record >= 0 && descriptor >= 0 && descriptor < DESCRIPTORS && inside[descriptor];
}

static int is_socket(int descriptor)
{
    struct stat status;
    return record >= 0 && fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode);
}

static unsigned long long inode_of(int descriptor)
{
    struct stat status;
    return fstat(descriptor, &status) == 0 ? status.st_ino : 0;
}

static size_t path_of(int descriptor, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    return path[size < 0 ? 0 : size] = 0, size < 0 ? 0 : size;
}

/* The whole path if it is the root or lies below it, else 0. */
static size_t resolve(int directory, const char *name, char *path)
{
    if (record < 0)
        return 0;
    size_t size = 0;
    if (name[0] != '/') {
        size = directory == AT_FDCWD ? (getcwd(path, PATH_MAX) ? strlen(path) : 0) : path_of(directory, path);
        path[size++] = '/';
    }
    size_t rest = strlen(name);
    if (size + rest >= PATH_MAX)
        return 0;
    memcpy(path + size, name, rest + 1);
    size += rest;
    return size >= root_size && !memcmp(path, root, root_size) && (size == root_size || path[root_size] == '/') ? size : 0;
}

static void unknown(const char *call)
{
    int dying;
    sigset_t before = enter(&dying);
    put(UNKNOWN, 0, 0, call, strlen(call), 0, 0, 0);
    leave(&before, dying);
}

/* -- errors */

/* Whether a call on something below the root has to fail now; errno says why. */
static int fails(void)
{
    if (record < 0)
        return 0;
    long long call = __atomic_add_fetch(&control->calls, 1, __ATOMIC_SEQ_CST);
    if (!control->fail_at || call < control->fail_at || call >= control->fail_at + control->fail_for)
        return 0;
    errno = control->error;
    return 1;
}

/* What is mounted read-only can be read, and has nothing to sync. */
static int is_read_only(void)
{
    return control->error == EROFS;
}

static int only_reads(int flags)
{
    return record >= 0 && is_read_only() && (flags & O_ACCMODE) == O_RDONLY && !(flags & O_CREAT);
}

/* -- contents */

static ssize_t written(int descriptor, const struct iovec *parts, int count, long long position)
{
    if (!is_inside(descriptor)) {
        if (position >= 0)
            return syscall(SYS_pwrite64, descriptor, parts->iov_base, parts->iov_len, position);
        int dying = 0, told = is_socket(descriptor);
        sigset_t before;
        if (told)
            before = enter(&dying);
        ssize_t result = count == 1 ? syscall(SYS_write, descriptor, parts->iov_base, parts->iov_len)
                                    : syscall(SYS_writev, descriptor, parts, count);
        if (told) {
            if (result > 0)
                put(SENT, descriptor, 0, 0, 0, parts, count, result);
            leave(&before, dying);
        }
        return result;
    }
    int failing = fails();
    if (failing && (errno != ENOSPC || parts->iov_len < 2))
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    struct iovec first = *parts;
    if (dying || failing) {
        /* A kill may end a write in its middle, and what comes before a full disk is written. */
        first.iov_len = 1 + (size_t)control->count * 2654435761u % (first.iov_len ? first.iov_len : 1);
        if (first.iov_len > parts->iov_len)
            first.iov_len = parts->iov_len;
        parts = &first;
        count = 1;
    }
    ssize_t result = position >= 0 ? syscall(SYS_pwrite64, descriptor, parts->iov_base, parts->iov_len, position)
                                   : syscall(SYS_writev, descriptor, parts, count);
    if (result > 0) {
        if (position < 0)
            position = lseek(descriptor, 0, SEEK_CUR) - result;
        put(WRITTEN, position, inode_of(descriptor), 0, 0, parts, count, result);
    }
    leave(&before, dying);
    return result;
}

ssize_t write(int descriptor, const void *data, size_t size)
{
    struct iovec part = {(void *)data, size};
    return written(descriptor, &part, 1, -1);
}

ssize_t writev(int descriptor, const struct iovec *parts, int count)
{
    return written(descriptor, parts, count, -1);
}

ssize_t pwrite(int descriptor, const void *data, size_t size, off_t position)
{
    struct iovec part = {(void *)data, size};
    return written(descriptor, &part, 1, position);
}

ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t position)
{
    return pwrite(descriptor, data, size, position);
}

static int was_cut(int descriptor, long long size)
{
    if (!is_inside(descriptor))
        return syscall(SYS_ftruncate, descriptor, size);
    if (fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    int result = syscall(SYS_ftruncate, descriptor, size);
    if (result == 0)
        put(CUT, size, inode_of(descriptor), 0, 0, 0, 0, 0);
    leave(&before, dying);
    return result;
}

int ftruncate(int descriptor, off_t size)
{
    return was_cut(descriptor, size);
}

int ftruncate64(int descriptor, off64_t size)
{
    return was_cut(descriptor, size);
}

int truncate(const char *name, off_t size)
{
    char path[PATH_MAX];
    if (!resolve(AT_FDCWD, name, path))
        return syscall(SYS_truncate, name, size);
    if (fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    struct stat status;
    int result = syscall(SYS_truncate, name, size);
    if (result == 0 && stat(name, &status) == 0)
        put(CUT, size, status.st_ino, 0, 0, 0, 0, 0);
    leave(&before, dying);
    return result;
}

int truncate64(const char *name, off64_t size)
{
    return truncate(name, size);
}

int posix_fallocate(int descriptor, off_t start, off_t size)
{
    if (is_inside(descriptor))
        unknown("posix_fallocate");
    return syscall(SYS_fallocate, descriptor, 0, start, size) ? errno : 0;
}

int fallocate(int descriptor, int mode, off_t start, off_t size)
{
    if (is_inside(descriptor))
        unknown("fallocate");
    return syscall(SYS_fallocate, descriptor, mode, start, size);
}

ssize_t sendfile(int out, int in, off_t *position, size_t size)
{
    if (is_inside(out) || is_socket(out))
        unknown("sendfile");
    return syscall(SYS_sendfile, out, in, position, size);
}

ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags)
{
    if (is_inside(out))
        unknown("copy_file_range");
    return syscall(SYS_copy_file_range, in, from, out, to, size, flags);
}

void *mmap(void *address, size_t size, int access, int flags, int descriptor, off_t position)
{
    if (is_inside(descriptor) && (access & PROT_WRITE) && (flags & MAP_TYPE) != MAP_PRIVATE)
        unknown("mmap");
    return (void *)syscall(SYS_mmap, address, size, access, flags, descriptor, position);
}

void *mmap64(void *address, size_t size, int access, int flags, int descriptor, off64_t position)
{
    return mmap(address, size, access, flags, descriptor, position);
}

/* -- syncs */

static int synced(int descriptor, long call)
{
    if (!is_inside(descriptor))
        return syscall(call, descriptor);
    if (!is_read_only() && fails())
        return -1;
    char path[PATH_MAX];
    size_t path_size = path_of(descriptor, path);
    unsigned long long inode = inode_of(descriptor);
    long thread = syscall(SYS_gettid);
    int dying;
    sigset_t before = enter(&dying);
    put(SYNC_BEGUN, thread, inode, path, path_size, 0, 0, 0);
    leave(&before, dying);
    int is_table = path_size > 4 && !memcmp(path + path_size - 4, ".ldb", 4);
    long long wait = control->sync_time + (is_table ? control->table_time : 0);
    struct timespec time = {wait / 1000000, wait % 1000000 * 1000};
    if (wait)
        syscall(SYS_nanosleep, &time, 0);
    before = enter(&dying);
    put(SYNCED, thread, inode, path, path_size, 0, 0, 0);
    leave(&before, dying);
    return 0;
}

int fsync(int descriptor)
{
    return synced(descriptor, SYS_fsync);
}

int fdatasync(int descriptor)
{
    return synced(descriptor, SYS_fdatasync);
}

int syncfs(int descriptor)
{
    if (is_inside(descriptor))
        unknown("syncfs");
    return syscall(SYS_syncfs, descriptor);
}

/* These two promise nothing that survives a loss of power by themselves: sync_file_range(2), and a mapping that nobody
   writes to. */
int sync_file_range(int descriptor, off64_t start, off64_t size, unsigned flags)
{
    return syscall(SYS_sync_file_range, descriptor, start, size, flags);
}

int msync(void *address, size_t size, int flags)
{
    return syscall(SYS_msync, address, size, flags);
}

/* -- names */

static int opened(int directory, const char *name, int flags, mode_t mode)
{
    char path[PATH_MAX];
    size_t path_size = resolve(directory, name, path);
    if (!path_size)
        return syscall(SYS_openat, directory, name, flags, mode);
    if (!only_reads(flags) && fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    struct stat status;
    int existed = syscall(SYS_newfstatat, directory, name, &status, 0) == 0;
    int descriptor = syscall(SYS_openat, directory, name, flags, mode);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) {
        inside[descriptor] = 1;
        if (!existed)
            put(CREATED, 0, inode_of(descriptor), path, path_size, 0, 0, 0);
        else if ((flags & O_TRUNC) && (flags & O_ACCMODE) != O_RDONLY)
            put(CUT, 0, inode_of(descriptor), 0, 0, 0, 0, 0);
    }
    leave(&before, dying);
    return descriptor;
}

#define MODE(flags)                                        \
    mode_t mode = 0;                                       \
    if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) { \
        va_list rest;                                      \
        va_start(rest, flags);                             \
        mode = va_arg(rest, int);                          \
        va_end(rest);                                      \
    }

int open(const char *name, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, name, flags, mode);
}

int open64(const char *name, int flags, ...)
{
    MODE(flags)
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode);
}

int openat(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return opened(directory, name, flags, mode);
}

int openat64(int directory, const char *name, int flags, ...)
{
    MODE(flags)
    return opened(directory, name, flags | O_LARGEFILE, mode);
}

int creat(const char *name, mode_t mode)
{
    return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode);
}

/* What the fortified headers make of calls without a mode. */
int __open_2(const char *name, int flags)
{
    return opened(AT_FDCWD, name, flags, 0);
}

int __open64_2(const char *name, int flags)
{
    return opened(AT_FDCWD, name, flags | O_LARGEFILE, 0);
}

int close(int descriptor)
{
    if (is_inside(descriptor))
        inside[descriptor] = 0;
    return syscall(SYS_close, descriptor);
}

/* -- streams: what glibc would write by itself is written by the calls above */

static ssize_t stream_read(void *cookie, char *data, size_t size)
{
    return syscall(SYS_read, (int)(long)cookie, data, size);
}

static ssize_t stream_write(void *cookie, const char *data, size_t size)
{
    size_t done = 0;
    while (done < size) {
        ssize_t result = write((int)(long)cookie, data + done, size - done);
        if (result <= 0)
            break; /* a count that is too small is an error to glibc */
        done += result;
    }
    return done;
}

static int stream_seek(void *cookie, off64_t *position, int whence)
{
    off64_t result = lseek64((int)(long)cookie, *position, whence);
    return result < 0 ? -1 : (*position = result, 0);
}

static int stream_close(void *cookie)
{
    return close((int)(long)cookie);
}

FILE *fopen(const char *name, const char *mode)
{
    char path[PATH_MAX];
    int plain = mode[0] == 'r' && !strchr(mode, '+');
    if (plain || !with_streams || !resolve(AT_FDCWD, name, path)) {
        FILE *(*next)(const char *, const char *) = (FILE *(*)(const char *, const char *))dlsym(RTLD_NEXT, "fopen64");
        return next(name, mode);
    }
    int flags = strchr(mode, '+') ? O_RDWR : O_WRONLY;
    flags |= mode[0] == 'w' ? O_CREAT | O_TRUNC : mode[0] == 'a' ? O_CREAT | O_APPEND : 0;
    int descriptor = opened(AT_FDCWD, name, flags, 0666);
    if (descriptor < 0)
        return 0;
    cookie_io_functions_t calls = {stream_read, stream_write, stream_seek, stream_close};
    FILE *stream = fopencookie((void *)(long)descriptor, mode, calls);
    if (stream)
        stream->_fileno = descriptor; /* for fileno(3) */
    else
        close(descriptor);
    return stream;
}

FILE *fopen64(const char *name, const char *mode)
{
    return fopen(name, mode);
}

static int made(int directory, const char *name, mode_t mode)
{
    char path[PATH_MAX];
    size_t path_size = resolve(directory, name, path);
    if (!path_size)
        return syscall(SYS_mkdirat, directory, name, mode);
    if (fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    int result = syscall(SYS_mkdirat, directory, name, mode);
    if (result == 0)
        put(DIRECTORY, 0, 0, path, path_size, 0, 0, 0);
    leave(&before, dying);
    return result;
}

int mkdir(const char *name, mode_t mode)
{
    return made(AT_FDCWD, name, mode);
}

int mkdirat(int directory, const char *name, mode_t mode)
{
    return made(directory, name, mode);
}

static int unlinked(int directory, const char *name, int flags)
{
    char path[PATH_MAX];
    size_t path_size = resolve(directory, name, path);
    if (!path_size)
        return syscall(SYS_unlinkat, directory, name, flags);
    if (fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    int result = syscall(SYS_unlinkat, directory, name, flags);
    if (result == 0)
        put(UNLINKED, 0, 0, path, path_size, 0, 0, 0);
    leave(&before, dying);
    return result;
}

int unlink(const char *name)
{
    return unlinked(AT_FDCWD, name, 0);
}

int unlinkat(int directory, const char *name, int flags)
{
    return unlinked(directory, name, flags);
}

int rmdir(const char *name)
{
    return unlinked(AT_FDCWD, name, AT_REMOVEDIR);
}

/* Two names: the second stands where a write has its data. */
static int named(enum kind kind, int old_directory, const char *old, int new_directory, const char *new, int flags)
{
    char first[PATH_MAX], second[PATH_MAX];
    size_t first_size = resolve(old_directory, old, first), second_size = resolve(new_directory, new, second);
    long call = kind == LINKED ? SYS_linkat : SYS_renameat2;
    if (!first_size && !second_size)
        return syscall(call, old_directory, old, new_directory, new, flags);
    if (!first_size || !second_size || (kind == RENAMED && flags))
        unknown("rename or link across the root, or with flags");
    if (fails())
        return -1;
    int dying;
    sigset_t before = enter(&dying);
    int result = syscall(call, old_directory, old, new_directory, new, flags);
    if (result == 0) {
        struct iovec data = {second, second_size};
        put(kind, 0, 0, first, first_size, &data, 1, second_size);
    }
    leave(&before, dying);
    return result;
}

int rename(const char *old, const char *new)
{
    return named(RENAMED, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int renameat(int old_directory, const char *old, int new_directory, const char *new)
{
    return named(RENAMED, old_directory, old, new_directory, new, 0);
}

int renameat2(int old_directory, const char *old, int new_directory, const char *new, unsigned flags)
{
    return named(RENAMED, old_directory, old, new_directory, new, flags);
}

int link(const char *old, const char *new)
{
    return named(LINKED, AT_FDCWD, old, AT_FDCWD, new, 0);
}

int linkat(int old_directory, const char *old, int new_directory, const char *new, int flags)
{
    return named(LINKED, old_directory, old, new_directory, new, flags);
}

/* -- messages */

ssize_t send(int descriptor, const void *data, size_t size, int flags)
{
    return sendto(descriptor, data, size, flags, 0, 0);
}

ssize_t sendto(int descriptor, const void *data, size_t size, int flags, const struct sockaddr *to, socklen_t to_size)
{
    if (record < 0)
        return syscall(SYS_sendto, descriptor, data, size, flags, to, to_size);
    int dying;
    sigset_t before = enter(&dying);
    ssize_t result = syscall(SYS_sendto, descriptor, data, size, flags, to, to_size);
    struct iovec part = {(void *)data, size};
    if (result > 0)
        put(SENT, descriptor, 0, 0, 0, &part, 1, result);
    leave(&before, dying);
    return result;
}

ssize_t sendmsg(int descriptor, const struct msghdr *message, int flags)
{
    if (record < 0)
        return syscall(SYS_sendmsg, descriptor, message, flags);
    int dying;
    sigset_t before = enter(&dying);
    ssize_t result = syscall(SYS_sendmsg, descriptor, message, flags);
    if (result > 0)
        put(SENT, descriptor, 0, 0, 0, message->msg_iov, message->msg_iovlen, result);
    leave(&before, dying);
    return result;
}

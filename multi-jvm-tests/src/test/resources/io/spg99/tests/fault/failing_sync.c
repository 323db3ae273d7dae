/*
 * To be preloaded: makes one fsync or fdatasync fail with EIO.
 *
 * SPG99_FAIL_SYNC names a file. While it is there, the next sync of a file whose path contains the text in it fails, once:
 * the file is removed. If the same open file is synced again afterwards, the file SPG99_FAIL_SYNC.retried is made: after a
 * failed sync the kernel takes the pages to be clean, so that a second one says nothing about what the first one lost.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int failed_fd = -1;

static int
read_text(const char *path, char *text, size_t size)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t length;

    if (file < 0)
        return 0;
    length = read(file, text, size - 1);
    close(file);
    text[length < 0 ? 0 : length] = '\0';
    return length > 0;
}

static int
fails(int fd)
{
    const char *order = getenv("SPG99_FAIL_SYNC");
    char wanted[256], link[64], path[4096];
    ssize_t length;

    if (order == NULL)
        return 0;
    if (__atomic_load_n(&failed_fd, __ATOMIC_SEQ_CST) == fd)
    {
        char retried[4096];

        snprintf(retried, sizeof(retried), "%s.retried", order);
        close(open(retried, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        return 0;
    }
    if (!read_text(order, wanted, sizeof(wanted)))
        return 0;
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    length = readlink(link, path, sizeof(path) - 1);
    if (length < 0)
        return 0;
    path[length] = '\0';
    if (strstr(path, wanted) == NULL || unlink(order) != 0)
        return 0;
    __atomic_store_n(&failed_fd, fd, __ATOMIC_SEQ_CST);
    errno = EIO;
    return 1;
}

int
fsync(int fd)
{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fsync");

    return fails(fd) ? -1 : next(fd);
}

int
fdatasync(int fd)
{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "fdatasync");

    return fails(fd) ? -1 : next(fd);
}

int
close(int fd)
{
    int (*next)(int) = (int (*)(int)) dlsym(RTLD_NEXT, "close");
    int mine = fd;

    __atomic_compare_exchange_n(&failed_fd, &mine, -1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    return next(fd);
}

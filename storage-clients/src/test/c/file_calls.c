/*
 * Does to files what it is told, a line of standard input at a time, and answers each with a line: what the call returned,
 * or the name of the error. Paths are relative to its working directory, as PostgreSQL's are.
 *
 *   open <path>             descriptor
 *   create <path>           the same, with O_CREAT
 *   read <fd> <offset> <n>  bytes read, and the sum of all bytes
 *   vector <fd> <offset> <n>  the same with preadv in parts of 8 kB
 *   stream <fd> <n>         the same with read()
 *   write <fd> <offset> <n> <byte>
 *   truncate <fd> <length>, truncate-path <path> <length>, size <fd>, stat <path>, prefetch <fd> <offset> <n>
 *   close <fd>, unlink <path>, rename <from> <to>, rmdir <path>, list <path> (number of names)
 *   fork <command>          a child does it, and answers
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

static unsigned char buffer[1 << 20];

static void answer(long result)
{
    if (result < 0)
        printf("%s\n", strerrorname_np(errno));
    else
        printf("%ld\n", result);
}

static void answer_content(long got)
{
    unsigned long sum = 0;

    if (got < 0)
    {
        answer(got);
        return;
    }
    for (long i = 0; i < got; i++)
        sum += buffer[i];
    printf("%ld %lu\n", got, sum);
}

static long count_names(const char *path)
{
    DIR *directory = opendir(path);
    long count = 0;

    if (directory == NULL)
        return -1;
    for (struct dirent *entry = readdir(directory); entry != NULL; entry = readdir(directory))
        count += entry->d_name[0] != '.';
    closedir(directory);
    return count;
}

static void run(const char *line)
{
    char word[32];
    char path[256];
    char other[256];
    int fd;
    long long offset;
    size_t n;
    int byte;
    struct stat status;

    if (sscanf(line, "%31s", word) != 1)
        return;
    if (strcmp(word, "open") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(open(path, O_RDWR));
    else if (strcmp(word, "create") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(open(path, O_RDWR | O_CREAT, 0600));
    else if (strcmp(word, "read") == 0 && sscanf(line, "%*s %d %lld %zu", &fd, &offset, &n) == 3)
        answer_content(pread(fd, buffer, n, offset));
    else if (strcmp(word, "vector") == 0 && sscanf(line, "%*s %d %lld %zu", &fd, &offset, &n) == 3)
    {
        struct iovec parts[32];
        int count = 0;

        for (size_t at = 0; at < n && count < 32; at += 8192, count++)
            parts[count] = (struct iovec){buffer + at, n - at < 8192 ? n - at : 8192};
        answer_content(preadv(fd, parts, count, offset));
    }
    else if (strcmp(word, "stream") == 0 && sscanf(line, "%*s %d %zu", &fd, &n) == 2)
        answer_content(read(fd, buffer, n));
    else if (strcmp(word, "write") == 0 && sscanf(line, "%*s %d %lld %zu %d", &fd, &offset, &n, &byte) == 4)
    {
        memset(buffer, byte, n);
        answer(pwrite(fd, buffer, n, offset));
    }
    else if (strcmp(word, "truncate") == 0 && sscanf(line, "%*s %d %lld", &fd, &offset) == 2)
        answer(ftruncate(fd, offset));
    else if (strcmp(word, "truncate-path") == 0 && sscanf(line, "%*s %255s %lld", path, &offset) == 2)
        answer(truncate(path, offset));
    else if (strcmp(word, "size") == 0 && sscanf(line, "%*s %d", &fd) == 1)
        answer(lseek(fd, 0, SEEK_END));
    else if (strcmp(word, "stat") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(stat(path, &status) == 0 ? (long) status.st_size : -1);
    else if (strcmp(word, "prefetch") == 0 && sscanf(line, "%*s %d %lld %zu", &fd, &offset, &n) == 3)
        answer(posix_fadvise(fd, offset, (off_t) n, POSIX_FADV_WILLNEED));
    else if (strcmp(word, "close") == 0 && sscanf(line, "%*s %d", &fd) == 1)
        answer(close(fd));
    else if (strcmp(word, "unlink") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(unlink(path));
    else if (strcmp(word, "rename") == 0 && sscanf(line, "%*s %255s %255s", path, other) == 2)
        answer(rename(path, other));
    else if (strcmp(word, "rmdir") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(rmdir(path));
    else if (strcmp(word, "list") == 0 && sscanf(line, "%*s %255s", path) == 1)
        answer(count_names(path));
    else
        printf("not a command\n");
}

int main(void)
{
    char line[1024];

    while (fgets(line, sizeof(line), stdin) != NULL)
    {
        if (strncmp(line, "fork ", 5) == 0)
        {
            pid_t child = fork();

            if (child == 0)
            {
                run(line + 5);
                fflush(stdout);
                _exit(0);
            }
            waitpid(child, NULL, 0);
        }
        else
            run(line);
        fflush(stdout);
    }
    return 0;
}

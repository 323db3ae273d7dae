/*
 * Gives disk space back: spg99_punch <directory>, then on standard input a line "<path> <offset> <length>" for each part
 * of a file to punch out, in bytes; answers each line with "ok" or with the error. Java cannot do this by itself.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    char line[256];

    if (argc != 2 || chdir(argv[1]) != 0)
    {
        perror("spg99_punch: directory");
        return 1;
    }
    while (fgets(line, sizeof(line), stdin) != NULL)
    {
        char path[128];
        long long offset;
        long long length;
        int error = EINVAL;

        if (sscanf(line, "%127s %lld %lld", path, &offset, &length) == 3)
        {
            int fd = open(path, O_RDWR | O_CLOEXEC);

            /* A file that is not there takes no space. */
            error = fd < 0 ? (errno == ENOENT ? 0 : errno)
                    : fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, offset, length) == 0 ? 0
                                                                                                       : errno;
            if (fd >= 0)
                close(fd);
        }
        puts(error == 0 ? "ok" : strerror(error));
        fflush(stdout);
    }
    return 0;
}

/*
 * Loaded into PostgreSQL by LD_PRELOAD. Recovery from pg_wal alone needs a restore_command that always fails, and runs it
 * for every file it looks for: each segment, and the history file of every generation there ever was. That is a shell
 * each time, some 0.7 ms, and grows with the number of generations. Here that one command fails without a shell.
 *
 * It needs nothing but libc: the variable is set for setsid and setpriv too, which start PostgreSQL.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>
#include <string.h>

__attribute__((visibility("default"))) int
system(const char *command)
{
    /* As in postgresql.conf; the result is what wait() says of a process that exited with 1. */
    if (command != NULL && strcmp(command, "false") == 0)
        return 1 << 8;

    int (*next)(const char *) = (int (*)(const char *)) dlsym(RTLD_NEXT, "system");
    return next != NULL ? next(command) : -1;
}

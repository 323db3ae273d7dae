/*
 * The guard (rule W8): no commit becomes visible that the quorum does not have.
 *
 * Loaded by shared_preload_libraries into stock PostgreSQL 17. It closes three ways around synchronous replication:
 *
 *  1. A cancel or a termination that reaches a backend waiting for the quorum. PostgreSQL reports a WARNING and makes
 *     the commit visible at once. The report passes through emit_log_hook before that happens: we do not return from
 *     the hook until the quorum has the commit.
 *  2. synchronous_commit, which any session may set. Every word is made to mean "on".
 *  3. A postmaster that dies under waiting backends: each of them would make its commit visible to those still
 *     running. The kernel kills client backends together with their postmaster.
 *
 * It also lets a server be started before its database is known, and promotes it when it has replayed what WAL there is.
 * With spg99.hold_recovery = on the postmaster says so and waits, its shared memory made, no socket open and no child started,
 * on its standard input for settings, a line name=value each, up to an empty line. Meanwhile its directory may be renamed and
 * pg_control exchanged for another of the same making.
 *
 * And it spares the first connection of such a server the making of PostgreSQL's relation cache files, where those are known that
 * the last server left when it had shut down at this end of the WAL: PostgreSQL removes them at every start.
 *
 * No PostgreSQL headers are needed: what is used is declared here, as PostgreSQL 17 has it on 64-bit Linux. Layouts do
 * not change within a major version; the magic block makes PostgreSQL refuse this library in any other one, and
 * _PG_init checks what it can before it touches anything. Refusing to load means that the server does not start.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

_Static_assert(sizeof(void *) == 8, "64-bit only");

/* fmgr.h: the magic block. PostgreSQL compares it byte by byte. */
typedef struct
{
    int len;
    int version;      /* major version * 100 */
    int funcmaxargs;
    int indexmaxkeys;
    int namedatalen;
    int float8byval;
    char abi_extra[32];
} Pg_magic_struct;

EXPORT const Pg_magic_struct *Pg_magic_func(void);

const Pg_magic_struct *
Pg_magic_func(void)
{
    static const Pg_magic_struct magic = {sizeof(Pg_magic_struct), 1700, 100, 32, 64, true, "PostgreSQL"};

    return &magic;
}

/* elog.h: the head of ErrorData, up to what we use. */
typedef struct
{
    int elevel;
    bool output_to_server;
    bool output_to_client;
    bool hide_stmt;
    bool hide_ctx;
    const char *filename;
    int lineno;
    const char *funcname;
    const char *domain;
    const char *context_domain;
    int sqlerrcode;
    char *message;
} ErrorData;

typedef void (*emit_log_hook_type)(ErrorData *edata);
extern emit_log_hook_type emit_log_hook;

#define LOG 15
#define WARNING 19
#define FATAL 22

extern bool errstart_cold(int elevel, const char *domain);
extern int errmsg_internal(const char *fmt, ...);
extern void errfinish(const char *filename, int lineno, const char *funcname);

/* xlog.h: end of the last record this backend wrote; while it waits, that is its commit record. */
typedef uint64_t XLogRecPtr;
extern XLogRecPtr XactLastRecEnd;

/* walsender_private.h: the head of WalSndCtlData. Index 1 is SYNC_REP_WAIT_FLUSH. */
typedef struct
{
    struct
    {
        void *prev;
        void *next;
    } SyncRepQueue[3];
    XLogRecPtr lsn[3];
    uint8_t sync_standbys_status;
} WalSndCtlData;

extern WalSndCtlData *WalSndCtl;

#define SYNC_REP_WAIT_FLUSH 1

/* miscadmin.h, auth.h */
extern int PostmasterPid;
extern bool IsUnderPostmaster;
extern bool process_shared_preload_libraries_in_progress;

typedef void (*ClientAuthentication_hook_type)(void *port, int status);
extern ClientAuthentication_hook_type ClientAuthentication_hook;

/* guc.h, guc_tables.h: a GUC record of type enum. */
struct config_enum_entry
{
    const char *name;
    int val;
    bool hidden;
};

struct config_generic
{
    const char *name;
    int context;
    int group;
    const char *short_desc;
    const char *long_desc;
    int flags;
    int vartype;
    int status;
    int source;
    int reset_source;
    int scontext;
    int reset_scontext;
    uint32_t srole;
    uint32_t reset_srole;
    void *stack;
    void *extra;
    void *nondef_link[2];
    void *stack_link;
    void *report_link;
    char *last_reported;
    char *sourcefile;
    int sourceline;
};

struct config_enum
{
    struct config_generic gen;
    int *variable;
    int boot_val;
    const struct config_enum_entry *options;
};

#define PGC_ENUM 4

extern struct config_generic *find_option(const char *name, bool create_placeholders, bool skip_errors, int elevel);
extern int synchronous_commit;

/* ipc.h, shmem.h, miscadmin.h, guc.h */
#define PGC_POSTMASTER 1
#define PGC_S_OVERRIDE 10
extern void *ShmemInitStruct(const char *name, size_t size, bool *found);
extern void SetDataDir(const char *dir);
extern void AddToDataDirLockFile(int target_line, const char *str);
#define LOCK_FILE_LINE_DATA_DIR 2
#define LOCK_FILE_LINE_PORT 4
typedef void (*shmem_startup_hook_type)(void);
extern shmem_startup_hook_type shmem_startup_hook;
extern void SetConfigOption(const char *name, const char *value, int context, int source);
extern const char *GetConfigOption(const char *name, bool missing_ok, bool restrict_privileged);

/* autovacuum.h: the setting autovacuum. */
extern bool autovacuum_start_daemon;

/* xact.h: SyncCommitLevel; "on" is REMOTE_FLUSH. */
#define SYNCHRONOUS_COMMIT_REMOTE_FLUSH 3

/* guc_tables.c: what we expect to find. */
static const struct config_enum_entry expected_options[] = {
    {"local", 1, false}, {"remote_write", 2, false}, {"remote_apply", 4, false}, {"on", 3, false},
    {"off", 0, false},   {"true", 3, true},          {"false", 0, true},         {"yes", 3, true},
    {"no", 0, true},     {"1", 3, true},             {"0", 0, true},             {NULL, 0, false}};

/* What we put in its place. "on" comes first: SHOW prints the first word with the value. */
#define ALWAYS SYNCHRONOUS_COMMIT_REMOTE_FLUSH
static const struct config_enum_entry guarded_options[] = {
    {"on", ALWAYS, false},           {"local", ALWAYS, true}, {"remote_write", ALWAYS, true},
    {"remote_apply", ALWAYS, true},  {"off", ALWAYS, true},   {"true", ALWAYS, true},
    {"false", ALWAYS, true},         {"yes", ALWAYS, true},   {"no", ALWAYS, true},
    {"1", ALWAYS, true},             {"0", ALWAYS, true},     {NULL, 0, false}};

/* How often a held commit looks whether the quorum has it, in microseconds: rare, so latency beats elegance. */
#define HOLD_INTERVAL_US 5000

static emit_log_hook_type next_emit_log_hook;
static ClientAuthentication_hook_type next_authentication_hook;
static shmem_startup_hook_type next_shmem_startup_hook;
static char *shared_control; /* in shared memory; set while the postmaster is to be held */
static bool promote_when_replayed = false;
static bool was_held = false;

static void
refuse(const char *reason)
{
    if (errstart_cold(FATAL, NULL))
    {
        errmsg_internal("spg99_guard: %s", reason);
        errfinish(__FILE__, __LINE__, __func__);
    }
    _exit(1);
}

/*
 * Returns once the quorum has this backend's last record. SIGQUIT (immediate shutdown) ends the process in its handler;
 * when the postmaster is gone the process ends here, for nobody would ever move the position again.
 */
static void
hold_until_quorum(void)
{
    for (;;)
    {
        if (__atomic_load_n(&WalSndCtl->lsn[SYNC_REP_WAIT_FLUSH], __ATOMIC_ACQUIRE) >= XactLastRecEnd)
            return;
        if (getppid() != PostmasterPid)
            _exit(2);
        usleep(HOLD_INTERVAL_US);
    }
}

/*
 * Runs in the startup process, before it replays anything. It looks for a promotion only where it finds no more WAL. What
 * pg_ctl promote does: a file, and SIGUSR2 to this process.
 */
static void
request_promotion(void)
{
    int file = open("promote", O_WRONLY | O_CREAT, 0600);

    promote_when_replayed = false;
    if (file < 0)
        refuse("the file promote cannot be made");
    close(file);
    raise(SIGUSR2);
}

#define REPLAYED "selected new timeline ID"
#define RELATION_CACHE "pg_internal.init"
#define LEFT RELATION_CACHE ".left"

/* A file that is not there is not needed. */
static void
give_back(const char *directory)
{
    char from[64];
    char to[64];

    if (snprintf(from, sizeof(from), "%s/" LEFT, directory) < (int) sizeof(from) &&
        snprintf(to, sizeof(to), "%s/" RELATION_CACHE, directory) < (int) sizeof(to))
        rename(from, to);
}

/*
 * Runs in the startup process when everything is replayed: the catalogs are those that the files were made from, for the agent gives
 * none that were left anywhere but at this end. They have other names until then, as recovery removes what has theirs.
 */
static void
give_back_relation_cache(void)
{
    DIR *base = opendir("base");
    struct dirent *database;
    char directory[64];

    give_back("global");
    while (base != NULL && (database = readdir(base)) != NULL)
    {
        if (database->d_name[0] != '.' &&
            snprintf(directory, sizeof(directory), "base/%s", database->d_name) < (int) sizeof(directory))
            give_back(directory);
    }
    if (base != NULL)
        closedir(base);
}

static void hold_recovery(void);

static void
guard_emit_log(ErrorData *edata)
{
    if (edata->elevel == WARNING && edata->funcname != NULL && strcmp(edata->funcname, "SyncRepWaitForLSN") == 0)
    {
        hold_until_quorum();
        /* "committed locally, but might not have been replicated" is no longer true. */
        edata->output_to_client = false;
        edata->output_to_server = false;
        return;
    }
    /* "starting PostgreSQL": the last word before it listens. */
    if (shared_control != NULL && edata->funcname != NULL && strcmp(edata->funcname, "PostmasterMain") == 0)
        hold_recovery();
    if (promote_when_replayed && edata->funcname != NULL && strcmp(edata->funcname, "InitWalRecovery") == 0)
        request_promotion();
    if (was_held && edata->funcname != NULL && strcmp(edata->funcname, "StartupXLOG") == 0 &&
        edata->message != NULL && strncmp(edata->message, REPLAYED, strlen(REPLAYED)) == 0)
        give_back_relation_cache();
    if (next_emit_log_hook)
        next_emit_log_hook(edata);
}

/* Runs in every client backend before it is let in. */
static void
guard_authentication(void *port, int status)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != PostmasterPid)
        _exit(2); /* it died before the line above */
    if (next_authentication_hook)
        next_authentication_hook(port, status);
}

/* pg_control.h: sizeof(ControlFileData). */
#define CONTROL_FILE_SIZE 296

static void
read_control_file(char *content)
{
    int file = open("global/pg_control", O_RDONLY);

    if (file < 0 || read(file, content, CONTROL_FILE_SIZE) != CONTROL_FILE_SIZE)
        refuse("global/pg_control cannot be read");
    close(file);
}

/* The end of input means that whoever started us gave up. */
static void
read_line(char *line, size_t size)
{
    size_t length = 0;

    for (;;)
    {
        ssize_t count = read(STDIN_FILENO, line + length, 1);

        if (count < 0 && errno == EINTR)
            continue;
        if (count != 1 || length == size - 1)
            refuse("the start was given up");
        if (line[length] == '\n')
            break;
        length++;
    }
    line[length] = '\0';
}

/* Runs in the postmaster when its shared memory is made. */
static void
guard_find_control(void)
{
    char control[CONTROL_FILE_SIZE];
    bool found;

    if (next_shmem_startup_hook)
        next_shmem_startup_hook();
    shared_control = ShmemInitStruct("Control File", CONTROL_FILE_SIZE, &found);
    read_control_file(control);
    if (!found || memcmp(shared_control, control, CONTROL_FILE_SIZE) != 0)
        refuse("the control file is not where it is in PostgreSQL 17");
}

/* Runs in the postmaster, before its first child and before it listens. */
static void
hold_recovery(void)
{
    char line[4096];
    char *control = shared_control;

    shared_control = NULL;
    if (errstart_cold(LOG, NULL))
    {
        errmsg_internal("spg99_guard: held");
        errfinish(__FILE__, __LINE__, __func__);
    }
    for (;;)
    {
        char *value;

        read_line(line, sizeof(line));
        if (line[0] == '\0')
            break;
        value = strchr(line, '=');
        if (value == NULL)
            refuse("not a setting");
        *value++ = '\0';
        if (strcmp(line, "data_directory") == 0)
        {
            SetDataDir(value);
            AddToDataDirLockFile(LOCK_FILE_LINE_DATA_DIR, value);
        }
        else if (strcmp(line, "port") == 0)
            AddToDataDirLockFile(LOCK_FILE_LINE_PORT, value);
        SetConfigOption(line, value, PGC_POSTMASTER, PGC_S_OVERRIDE);
    }
    read_control_file(control);
    /* One process less while the first client waits. The agent has the configuration read again when that is over. */
    autovacuum_start_daemon = false;
    promote_when_replayed = true;
    was_held = true;
}

EXPORT void _PG_init(void);

void
_PG_init(void)
{
    struct config_generic *found;
    struct config_enum *option;
    const char *hold;
    int i;

    if (!process_shared_preload_libraries_in_progress)
        refuse("must be loaded by shared_preload_libraries");

    found = find_option("synchronous_commit", false, true, 0);
    if (found == NULL || strcmp(found->name, "synchronous_commit") != 0 || found->vartype != PGC_ENUM)
        refuse("synchronous_commit is not the record it is in PostgreSQL 17");
    option = (struct config_enum *) found;
    if (option->variable != &synchronous_commit || option->boot_val != SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
        refuse("synchronous_commit is not laid out as in PostgreSQL 17");
    for (i = 0; expected_options[i].name != NULL; i++)
    {
        const struct config_enum_entry *entry = &option->options[i];

        if (entry->name == NULL || strcmp(entry->name, expected_options[i].name) != 0 ||
            entry->val != expected_options[i].val)
            refuse("synchronous_commit has other values than in PostgreSQL 17");
    }
    if (option->options[i].name != NULL)
        refuse("synchronous_commit has more values than in PostgreSQL 17");
    if (synchronous_commit != SYNCHRONOUS_COMMIT_REMOTE_FLUSH)
        refuse("synchronous_commit must be on in postgresql.conf");

    option->options = guarded_options;
    next_emit_log_hook = emit_log_hook;
    emit_log_hook = guard_emit_log;
    next_authentication_hook = ClientAuthentication_hook;
    ClientAuthentication_hook = guard_authentication;
    hold = GetConfigOption("spg99.hold_recovery", true, false);
    if (hold != NULL && strcmp(hold, "on") == 0)
    {
        next_shmem_startup_hook = shmem_startup_hook;
        shmem_startup_hook = guard_find_control;
    }
}

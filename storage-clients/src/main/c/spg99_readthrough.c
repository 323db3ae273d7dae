/*
 * Read-through: relation files of which only some blocks are on the local disk.
 *
 * Preloaded (LD_PRELOAD) into the unmodified postgres. Every relation file of the data directory that the presence map
 * lists is a sparse file of the right size, made when it is first asked for. A read of a block that is missing asks the
 * agent, which writes the block into the file, and then goes on; a write of a whole block needs no fetch. Relation files
 * that are made later are added to the map, so that the agent may give back what a newer snapshot has of them. Anything
 * else goes straight to the C library.
 *
 * docs/READ-THROUGH.md describes the presence map and its states; io.spg99.storage.readthrough.PresenceMap is the other
 * reader and writer. All that the two share is in "The presence map" and "The agent" below.
 *
 * PostgreSQL's processes have one thread each, and file I/O is never done in their signal handlers: the static variables
 * here need no locks. They are copied by fork, as descriptors are. What several processes share is in the map, and is
 * changed by compare-and-swap only.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
/* On 64-bit Linux the functions with 64 in their names are the same ones; which of the names is used, the build decides. */
#define ALIAS(name, function) __asm__(".globl " #name "\n.type " #name ", %function\n.set " #name ", " #function)

_Static_assert(sizeof(off_t) == 8 && sizeof(void *) == 8, "64-bit only");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the map is little-endian");

#define BLOCK 8192

/*** The presence map ***/

#define MAP_MAGIC "SPG99RT2"

struct header
{
    char magic[8];
    uint64_t length;   /* of the map file, in bytes */
    uint32_t files;    /* number of listed entries, which follow the header */
    uint32_t limit_ms; /* how long a read waits for a block before it fails */
    uint64_t hits;     /* blocks that reads found local; added to in batches */
    uint32_t room;     /* for that many added entries, which follow the listed ones */
    uint32_t added;    /* of these, so many are taken; may go beyond room */
    uint32_t pages;    /* for that many pages of states of added blocks */
    uint32_t taken;    /* of these, so many are taken; may go beyond pages */
    uint64_t slots;    /* where in the map the numbers of pages begin: PAGES_OF_FILE u32 for each entry; 0 none, else 1 + number */
    uint64_t index;    /* where the index of added entries begins: 2 * room u32, hashed; 0 none, else 1 + number among the added */
    uint64_t states;   /* where the pages begin */
};

struct entry /* listed ones are sorted by the first three, as unsigned numbers */
{
    uint32_t database;     /* OID; 0 for global/ */
    uint32_t relation;     /* relfilenumber */
    uint32_t fork_segment; /* fork number << 24 | segment number */
    uint32_t blocks;       /* blocks of this file in the snapshot; 0 of an added one */
    uint32_t place;        /* PLACE_* */
    uint32_t evictions;    /* counted before blocks of this file are punched out */
    uint64_t states;       /* where in the map the states of these blocks begin, in bytes; a multiple of 4 */
};

/*
 * States of added blocks, whose number does not fit into the words for the snapshot's: pages of them, each for PAGE_BLOCKS
 * blocks of one file from a multiple of that on. A page is taken when one of its blocks is first written; all blocks without are
 * CUT, and so is what a page begins with. If there is no page left, those blocks are simply not looked after.
 */
#define PAGE_BYTES 4096
#define PAGE_BLOCKS (PAGE_BYTES * 2)
#define SEGMENT_BLOCKS 131072 /* RELSEG_SIZE: more has no relation file */
#define PAGES_OF_FILE (SEGMENT_BLOCKS / PAGE_BLOCKS)

_Static_assert(sizeof(struct header) == 72 && sizeof(struct entry) == 32, "as in PresenceMap");

enum
{
    PLACE_ABSENT = 0,   /* not made yet */
    PLACE_CREATING = 1, /* somebody is making it, or looks whether it is there */
    PLACE_HERE = 2,     /* a file in the data directory */
    PLACE_GONE = 3      /* removed: the name means an ordinary local file from now on, or none */
};

/* A block's state is four bits, eight states to a 32-bit word, the lowest bits first. With bit 3 it may be read. */
enum
{
    MISSING = 0,
    FILLING = 1, /* the agent has it: being written into the file, or punched out */
    WRITING = 2, /* a process has it: being overwritten */
    CHECKING = 3, /* the agent has it, dirty, and looks whether the source has it as well */
    USED = 1,    /* with READABLE: read or written since the agent last looked */
    CUT = 2,     /* with READABLE: truncated away once; local and never fetched again */
    DIRTY = 4,   /* with READABLE: newer than the snapshot */
    READABLE = 8
};

#define PER_WORD 8
#define EACH(state) (0x11111111u * (state))
#define UNTRACKED 16 /* no state: there was no page left for it */

/*** The agent: one request at a time on each connection; a hint has no reply ***/

struct request
{
    uint32_t kind; /* 1 need: reply when the blocks are there; 2 hint: they will be read soon */
    uint32_t file; /* index of the entry */
    uint32_t first;
    uint32_t count;
};

#define NEED 1
#define HINT 2

/* The reply is one 32-bit number: 0 look again, anything else: the blocks cannot be had. */

/* How much longer than the agent we wait for the agent. */
#define AGENT_SLACK_MS 5000

/*** Sequential reads ***/

#define AHEAD_AFTER 8 /* blocks read in a row before we read ahead */
#define AHEAD_MIN 32
#define AHEAD_MAX 512

/*** What this process knows ***/

#define MAX_FD 65536
#define NOT_WATCHED 0

static struct
{
    uint32_t watched; /* index of the entry + 1 */
    uint32_t next;    /* block after the last one read */
    uint32_t run;     /* blocks read one after the other up to there */
    uint32_t hinted;  /* end of what was asked for ahead of this run */
} fds[MAX_FD];

static char directory[sizeof(((struct sockaddr_un *) 0)->sun_path) - sizeof("/socket")]; /* empty: do nothing */
static struct header *map;
static struct entry *entries;
static int agent = -1;
static pid_t agent_owner; /* who opened it: a child must not use its parent's connection */
static uint64_t hits;     /* not yet in the map */
static bool made_directory;
static const int *backend_type; /* MyBackendType, if this is PostgreSQL */

#define HITS_BATCH 256
#define B_INVALID 0 /* miscadmin.h of PostgreSQL 17; what the postmaster has */
#define B_STARTUP 11

/*** The C library's own functions ***/

static int (*libc_open)(const char *, int, ...);
static int (*libc_openat)(int, const char *, int, ...);
static int (*libc_close)(int);
static int (*libc_dup)(int);
static int (*libc_dup2)(int, int);
static ssize_t (*libc_read)(int, void *, size_t);
static ssize_t (*libc_pread)(int, void *, size_t, off_t);
static ssize_t (*libc_preadv)(int, const struct iovec *, int, off_t);
static ssize_t (*libc_write)(int, const void *, size_t);
static ssize_t (*libc_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*libc_pwritev)(int, const struct iovec *, int, off_t);
static int (*libc_ftruncate)(int, off_t);
static int (*libc_truncate)(const char *, off_t);
static int (*libc_posix_fadvise)(int, off_t, off_t, int);
static int (*libc_unlink)(const char *);
static int (*libc_rename)(const char *, const char *);
static int (*libc_access)(const char *, int);
static int (*libc_mkdir)(const char *, mode_t);
static int (*libc_rmdir)(const char *);
static DIR *(*libc_opendir)(const char *);
/* Where the C library is older than 2.33, stat is an inline function that calls __xstat; both exist in newer ones. */
static int (*libc_stat)(const char *, struct stat *);
static int (*libc_lstat)(const char *, struct stat *);
static int (*libc_xstat)(int, const char *, struct stat *);
static int (*libc_lxstat)(int, const char *, struct stat *);

#define FIND(name, symbol) (*(void **) &(name) = dlsym(RTLD_NEXT, symbol))

static void find_libc(void)
{
    FIND(libc_openat, "openat");
    FIND(libc_close, "close");
    FIND(libc_dup, "dup");
    FIND(libc_dup2, "dup2");
    FIND(libc_read, "read");
    FIND(libc_pread, "pread");
    FIND(libc_preadv, "preadv");
    FIND(libc_write, "write");
    FIND(libc_pwrite, "pwrite");
    FIND(libc_pwritev, "pwritev");
    FIND(libc_ftruncate, "ftruncate");
    FIND(libc_truncate, "truncate");
    FIND(libc_posix_fadvise, "posix_fadvise");
    FIND(libc_unlink, "unlink");
    FIND(libc_rename, "rename");
    FIND(libc_access, "access");
    FIND(libc_mkdir, "mkdir");
    FIND(libc_rmdir, "rmdir");
    FIND(libc_opendir, "opendir");
    FIND(libc_stat, "stat");
    FIND(libc_lstat, "lstat");
    FIND(libc_xstat, "__xstat");
    FIND(libc_lxstat, "__lxstat");
    FIND(libc_open, "open");
}

/* Constructors of other libraries may call us before our own has run. */
#define LIBC(name) (__builtin_expect(libc_open == NULL, 0) ? find_libc() : (void) 0, libc_##name)

/*
 * PostgreSQL overwrites the memory of its environment with its process title, so what is needed of it is copied here.
 * Programs that PostgreSQL starts are none of our business: they do not get the variables.
 */
__attribute__((constructor)) static void prepare(void)
{
    const char *given = getenv("SPG99_READTHROUGH");

    if (libc_open == NULL)
        find_libc();
    backend_type = dlsym(RTLD_DEFAULT, "MyBackendType");
    if (given == NULL || given[0] == '\0')
        return;
    if (strlen(given) >= sizeof(directory))
    {
        fprintf(stderr, "spg99_readthrough: path too long for a Unix socket: %s\n", given);
        _exit(1);
    }
    strcpy(directory, given);
    unsetenv("SPG99_READTHROUGH");
    unsetenv("LD_PRELOAD");
}

static void count_hits(uint32_t blocks)
{
    hits += blocks;
    if (hits >= HITS_BATCH)
    {
        __atomic_fetch_add(&map->hits, hits, __ATOMIC_RELAXED);
        hits = 0;
    }
}

__attribute__((destructor)) static void finish(void)
{
    if (map != NULL && hits > 0)
        __atomic_fetch_add(&map->hits, hits, __ATOMIC_RELAXED);
}

/*** Time ***/

static int64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t) t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void nap(long microseconds)
{
    struct timespec t = {0, microseconds * 1000};

    nanosleep(&t, NULL);
}

/* For what another process finishes within microseconds, unless it was stopped or killed. Zero until the first wait. */
struct patience
{
    int64_t deadline_ms;
    long nap_us;
};

static int64_t limit_ms(void)
{
    return (int64_t) map->limit_ms + AGENT_SLACK_MS;
}

/* Waits a little; -1 and EIO once it has been too long. */
static int wait_more(struct patience *patience)
{
    if (patience->deadline_ms == 0)
    {
        patience->deadline_ms = now_ms() + limit_ms();
        patience->nap_us = 20;
    }
    else if (now_ms() > patience->deadline_ms)
    {
        errno = EIO;
        return -1;
    }
    nap(patience->nap_us);
    if (patience->nap_us < 2000)
        patience->nap_us *= 2;
    return 0;
}

/*** Finding files ***/

static bool enabled(void)
{
    return directory[0] != '\0';
}

/* Maps the map, which exists before PostgreSQL opens its first relation but not before PostgreSQL starts. */
static int attach(void)
{
    char path[sizeof(directory) + sizeof("/map")];
    struct header head;
    void *mapped;
    int fd;

    if (map != NULL)
        return 0;
    snprintf(path, sizeof(path), "%s/map", directory);
    fd = LIBC(open)(path, O_RDWR | O_CLOEXEC);
    if (fd < 0)
    {
        fprintf(stderr, "spg99_readthrough: presence map cannot be opened: %s: %m\n", path);
        errno = EIO;
        return -1;
    }
    if (LIBC(pread)(fd, &head, sizeof(head), 0) != (ssize_t) sizeof(head) ||
        memcmp(head.magic, MAP_MAGIC, sizeof(head.magic)) != 0)
    {
        fprintf(stderr, "spg99_readthrough: not a presence map of this version: %s\n", path);
        LIBC(close)(fd);
        errno = EIO;
        return -1;
    }
    mapped = mmap(NULL, head.length, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    LIBC(close)(fd);
    if (mapped == MAP_FAILED)
        return -1;
    entries = (struct entry *) ((char *) mapped + sizeof(struct header));
    map = mapped;
    return 0;
}

static bool parse_number(const char **text, uint32_t *number)
{
    uint64_t value = 0;
    const char *p = *text;

    while (*p >= '0' && *p <= '9' && value <= UINT32_MAX)
        value = value * 10 + (uint64_t) (*p++ - '0');
    if (p == *text || value > UINT32_MAX)
        return false;
    *number = (uint32_t) value;
    *text = p;
    return true;
}

/* base/<database> or global, and what follows it. PostgreSQL's working directory is its data directory. */
static bool parse_directory(const char *path, uint32_t *database, const char **rest)
{
    if (strncmp(path, "base/", 5) == 0)
    {
        path += 5;
        if (!parse_number(&path, database))
            return false;
    }
    else if (strncmp(path, "global", 6) == 0)
    {
        path += 6;
        *database = 0;
    }
    else
        return false;
    *rest = path;
    return true;
}

/* <relfilenumber>[_fsm|_vm|_init][.<segment>]; temporary relations have other names. */
static bool parse_relation(const char *path, struct entry *key)
{
    static const char *const forks[] = {"_fsm", "_vm", "_init"};
    uint32_t fork = 0;
    uint32_t segment = 0;

    if (!parse_directory(path, &key->database, &path) || *path++ != '/' || !parse_number(&path, &key->relation))
        return false;
    for (uint32_t i = 0; i < 3; i++)
    {
        size_t length = strlen(forks[i]);

        if (strncmp(path, forks[i], length) == 0)
        {
            fork = i + 1;
            path += length;
            break;
        }
    }
    if (*path == '.')
    {
        path++;
        if (!parse_number(&path, &segment) || segment >= 1u << 24)
            return false;
    }
    key->fork_segment = fork << 24 | segment;
    return *path == '\0';
}

static int compare(const struct entry *a, const struct entry *b)
{
    if (a->database != b->database)
        return a->database < b->database ? -1 : 1;
    if (a->relation != b->relation)
        return a->relation < b->relation ? -1 : 1;
    if (a->fork_segment != b->fork_segment)
        return a->fork_segment < b->fork_segment ? -1 : 1;
    return 0;
}

/* The first entry that is not before the key. */
static uint32_t lower_bound(const struct entry *key)
{
    uint32_t low = 0;
    uint32_t high = map->files;

    while (low < high)
    {
        uint32_t middle = low + (high - low) / 2;

        if (compare(&entries[middle], key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static uint32_t place_of(struct entry *entry)
{
    return __atomic_load_n(&entry->place, __ATOMIC_ACQUIRE);
}

static uint32_t hash(const struct entry *key)
{
    uint64_t mixed = ((uint64_t) key->database << 32 | key->relation) * 0x9E3779B97F4A7C15u;

    mixed = (mixed ^ key->fork_segment) * 0x9E3779B97F4A7C15u;
    return (uint32_t) (mixed >> 32);
}

/* Where in the index this key is, or would be: *found is its entry, or NULL. */
static uint32_t *look_up(const struct entry *key, struct entry **found)
{
    uint32_t *index = (uint32_t *) ((char *) map + map->index);
    uint32_t size = 2 * map->room;

    *found = NULL;
    for (uint32_t i = 0; i < size; i++)
    {
        uint32_t *place = &index[(hash(key) + i) % size];
        uint32_t number = __atomic_load_n(place, __ATOMIC_ACQUIRE);

        if (number == 0)
            return place;
        if (compare(&entries[map->files + number - 1], key) == 0)
        {
            *found = &entries[map->files + number - 1];
            return place;
        }
    }
    return NULL;
}

/*
 * Adds an entry for a file that is about to be made, whose place is CREATING: nobody may open it before it is known whether it was
 * there already. NULL if there is no room, or the file is in the map already: then *other is what was added for it, if it was.
 */
static struct entry *add(const struct entry *key, struct entry **other)
{
    struct entry *added;
    uint32_t number = lower_bound(key);

    *other = NULL;
    if (number < map->files && compare(&entries[number], key) == 0)
        return NULL; /* a listed one that is gone: the name is an ordinary one for ever */
    look_up(key, other);
    if (*other != NULL || __atomic_load_n(&map->added, __ATOMIC_RELAXED) >= map->room)
        return NULL;
    number = __atomic_fetch_add(&map->added, 1, __ATOMIC_RELAXED);
    if (number >= map->room)
        return NULL;
    added = &entries[map->files + number];
    added->database = key->database;
    added->relation = key->relation;
    added->fork_segment = key->fork_segment;
    __atomic_store_n(&added->place, PLACE_CREATING, __ATOMIC_RELEASE);
    for (;;)
    {
        uint32_t *place = look_up(key, other); /* the index has twice the room: there is one */
        uint32_t none = 0;

        if (*other != NULL)
        {
            __atomic_store_n(&added->place, PLACE_GONE, __ATOMIC_RELEASE);
            return NULL;
        }
        if (__atomic_compare_exchange_n(place, &none, number + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            return added;
    }
}

/* The entry of a file that is looked after; *entry is NULL for all others. -1 and errno if that cannot be known. */
static int find(const char *path, struct entry **entry)
{
    struct entry key;
    uint32_t index;

    *entry = NULL;
    if (!enabled() || path == NULL || !parse_relation(path, &key))
        return 0;
    if (attach() != 0)
        return -1;
    index = lower_bound(&key);
    if (index < map->files && compare(&entries[index], &key) == 0)
        *entry = &entries[index];
    else
        look_up(&key, entry);
    if (*entry != NULL && place_of(*entry) == PLACE_GONE)
        *entry = NULL;
    return 0;
}

static struct entry *watched(int fd)
{
    if (fd < 0 || fd >= MAX_FD || fds[fd].watched == NOT_WATCHED)
        return NULL;
    return &entries[fds[fd].watched - 1];
}

/* Makes the sparse file unless it is there. */
static int materialise(struct entry *entry)
{
    static const char *const forks[] = {"", "_fsm", "_vm", "_init"};
    struct patience patience = {0};
    char path[64];
    int length;
    int fd;
    int error;

    for (;;)
    {
        uint32_t place = place_of(entry);

        if (place == PLACE_HERE || place == PLACE_GONE)
            return 0;
        if (place == PLACE_ABSENT && __atomic_compare_exchange_n(&entry->place, &place, PLACE_CREATING, false,
                                                                 __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            break;
        if (wait_more(&patience) != 0)
            return -1;
    }
    if (entry->database == 0)
        length = snprintf(path, sizeof(path), "global/%u", entry->relation);
    else
        length = snprintf(path, sizeof(path), "base/%u/%u", entry->database, entry->relation);
    length += snprintf(path + length, sizeof(path) - (size_t) length, "%s", forks[entry->fork_segment >> 24 & 3]);
    if ((entry->fork_segment & 0xFFFFFF) != 0)
        snprintf(path + length, sizeof(path) - (size_t) length, ".%u", entry->fork_segment & 0xFFFFFF);
    fd = LIBC(open)(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    error = fd < 0 || LIBC(ftruncate)(fd, (off_t) entry->blocks * BLOCK) != 0 ? errno : 0;
    if (fd >= 0)
        LIBC(close)(fd);
    __atomic_store_n(&entry->place, error == 0 ? PLACE_HERE : PLACE_ABSENT, __ATOMIC_RELEASE);
    errno = error;
    return error == 0 ? 0 : -1;
}

/* Before a look at a name: the file is there if PostgreSQL expects it. */
static int materialise_path(const char *path)
{
    struct entry *entry;

    if (find(path, &entry) != 0)
        return -1;
    return entry == NULL ? 0 : materialise(entry);
}

/*** Block states ***/

/* The states of the snapshot's blocks fill whole words; so many blocks have one there. */
static uint32_t packed(const struct entry *entry)
{
    return (entry->blocks + PER_WORD - 1) / PER_WORD * PER_WORD;
}

static uint32_t *slot_of(struct entry *entry, uint32_t block)
{
    uint32_t *slots = (uint32_t *) ((char *) map + map->slots);

    return &slots[(size_t) (entry - entries) * PAGES_OF_FILE + block / PAGE_BLOCKS];
}

static uint32_t *page(uint32_t number)
{
    return (uint32_t *) ((char *) map + map->states + (uint64_t) number * PAGE_BYTES);
}

/* NULL if the block is CUT and has no word. */
static uint32_t *word_of(struct entry *entry, uint32_t block)
{
    uint32_t slot;

    if (block < packed(entry))
        return (uint32_t *) ((char *) map + entry->states) + block / PER_WORD;
    slot = __atomic_load_n(slot_of(entry, block), __ATOMIC_ACQUIRE);
    return slot == 0 ? NULL : page(slot - 1) + block % PAGE_BLOCKS / PER_WORD;
}

/* The same, taking a page if need be; NULL if there is none left, which is so for ever then. */
static uint32_t *make_word_of(struct entry *entry, uint32_t block)
{
    uint32_t *word = word_of(entry, block);
    uint32_t none = 0;
    uint32_t number;

    if (word != NULL || __atomic_load_n(&map->taken, __ATOMIC_RELAXED) >= map->pages)
        return word;
    number = __atomic_fetch_add(&map->taken, 1, __ATOMIC_RELAXED);
    if (number >= map->pages)
        return word_of(entry, block);
    for (uint32_t i = 0; i < PAGE_BLOCKS / PER_WORD; i++)
        page(number)[i] = EACH(READABLE | CUT);
    /* If another process is faster, its page it is; this one is lost. */
    __atomic_compare_exchange_n(slot_of(entry, block), &none, number + 1, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    return word_of(entry, block);
}

/* Mask of the states of blocks first to end - 1 in the word that has block first; *next is the block after them. */
static uint32_t mask_of(uint32_t first, uint32_t end, uint32_t *next)
{
    uint32_t low = first % PER_WORD;
    uint32_t count = PER_WORD - low < end - first ? PER_WORD - low : end - first;

    *next = first + count;
    return (count == PER_WORD ? ~0u : (1u << (4 * count)) - 1) << (4 * low);
}

static uint32_t state_of(struct entry *entry, uint32_t block)
{
    uint32_t *word = word_of(entry, block);

    return word == NULL ? READABLE | CUT : __atomic_load_n(word, __ATOMIC_ACQUIRE) >> (4 * (block % PER_WORD)) & 15;
}

static bool change_state(struct entry *entry, uint32_t block, uint32_t from, uint32_t to)
{
    uint32_t *word = word_of(entry, block);
    uint32_t shift = 4 * (block % PER_WORD);
    uint32_t old;

    if (word == NULL)
        return false;
    old = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    while ((old >> shift & 15) == from)
    {
        if (__atomic_compare_exchange_n(word, &old, (old & ~(15u << shift)) | to << shift, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return true;
    }
    return false;
}

/* If blocks first to end - 1 can all be read, says that they are used; if not, which is the first that cannot. */
static bool readable(struct entry *entry, uint32_t first, uint32_t end, uint32_t *obstacle)
{
    while (first < end)
    {
        uint32_t next;
        uint32_t mask = mask_of(first, end, &next);
        uint32_t *word = word_of(entry, first);
        uint32_t old = word == NULL ? 0 : __atomic_load_n(word, __ATOMIC_ACQUIRE);

        while (word != NULL)
        {
            uint32_t lacking = ~old & mask & EACH(READABLE);

            if (lacking != 0)
            {
                *obstacle = first - first % PER_WORD + (uint32_t) __builtin_ctz(lacking) / 4;
                return false;
            }
            if ((old & mask & EACH(USED)) == (mask & EACH(USED)) ||
                __atomic_compare_exchange_n(word, &old, old | (mask & EACH(USED)), false, __ATOMIC_ACQ_REL,
                                            __ATOMIC_ACQUIRE))
                break;
        }
        first = next;
    }
    return true;
}

static bool any_missing(struct entry *entry, uint32_t first, uint32_t end)
{
    while (first < end)
    {
        uint32_t next;
        uint32_t mask = mask_of(first, end, &next);
        uint32_t *states = word_of(entry, first);
        uint32_t word = states == NULL ? EACH(READABLE) : __atomic_load_n(states, __ATOMIC_RELAXED);

        if ((~(word | word >> 1 | word >> 2 | word >> 3) & EACH(1) & mask) != 0)
            return true;
        first = next;
    }
    return false;
}

/* Makes all blocks from this one on local for ever, whatever they were: they are about to be cut off. */
static int cut(struct entry *entry, uint32_t first)
{
    struct patience patience = {0};

    while (first < SEGMENT_BLOCKS)
    {
        uint32_t next;
        uint32_t mask = mask_of(first, SEGMENT_BLOCKS, &next);
        uint32_t *word = word_of(entry, first);
        uint32_t old;
        uint32_t busy;

        if (word == NULL)
        {
            first = (first / PAGE_BLOCKS + 1) * PAGE_BLOCKS;
            continue;
        }
        old = __atomic_load_n(word, __ATOMIC_ACQUIRE);
        busy = (old | old >> 1) & ~(old >> 3) & EACH(1) & mask;
        if (busy != 0)
        {
            if (wait_more(&patience) != 0)
                return -1;
        }
        else if (__atomic_compare_exchange_n(word, &old, (old & ~mask) | (EACH(READABLE | CUT) & mask), false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
            first = next;
    }
    return 0;
}

/*** Asking the agent ***/

static void disconnect(void)
{
    LIBC(close)(agent);
    agent = -1;
}

static bool connected(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    if (agent >= 0 && agent_owner == getpid())
        return true;
    if (agent >= 0)
        disconnect();
    agent = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (agent < 0)
        return false;
    snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", directory);
    if (connect(agent, (struct sockaddr *) &address, sizeof(address)) != 0)
    {
        disconnect();
        return false;
    }
    agent_owner = getpid();
    return true;
}

static void hint(struct entry *entry, uint32_t first, uint32_t count)
{
    struct request request = {HINT, (uint32_t) (entry - entries), first, count};
    int before = errno;

    if (connected())
    {
        ssize_t sent = send(agent, &request, sizeof(request), MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent != (ssize_t) sizeof(request) && !(sent < 0 && (errno == EAGAIN || errno == EINTR)))
            disconnect();
    }
    errno = before;
}

/* 0 the agent has answered, 1 the connection was lost, -1 it is too late. */
static int receive(uint32_t *status, int64_t deadline_ms)
{
    for (;;)
    {
        struct pollfd ready = {.fd = agent, .events = POLLIN};
        int64_t left = deadline_ms - now_ms();
        ssize_t got;

        if (left <= 0)
            return -1;
        if (poll(&ready, 1, (int) left) <= 0)
            continue;
        got = recv(agent, status, sizeof(*status), MSG_DONTWAIT);
        if (got == (ssize_t) sizeof(*status))
            return 0;
        if (!(got < 0 && (errno == EAGAIN || errno == EINTR)))
            return 1;
    }
}

/* Returns when the agent says that the blocks are there; -1 and EIO when they cannot be had in time. */
static int need(struct entry *entry, uint32_t first, uint32_t count, int64_t deadline_ms)
{
    struct request request = {NEED, (uint32_t) (entry - entries), first, count};
    long nap_us = 1000;

    while (now_ms() < deadline_ms)
    {
        uint32_t status;

        if (connected() && send(agent, &request, sizeof(request), MSG_NOSIGNAL) == (ssize_t) sizeof(request))
        {
            int outcome = receive(&status, deadline_ms);

            if (outcome == 0 && status == 0)
                return 0;
            if (outcome == 0)
                break;
        }
        /* Not there, or restarting. An answer that comes too late must not be taken for another one's. */
        if (agent >= 0)
            disconnect();
        nap(nap_us);
        if (nap_us < 64000)
            nap_us *= 2;
    }
    errno = EIO;
    return -1;
}

/* Waits until blocks first to end - 1 can be read. They may be punched out again at any time: see read_blocks. */
static int ensure(struct entry *entry, uint32_t first, uint32_t end)
{
    struct patience patience = {0};
    int64_t deadline_ms = 0;

    while (!readable(entry, first, end, &first))
    {
        if (deadline_ms == 0)
            deadline_ms = now_ms() + limit_ms();
        if (place_of(entry) == PLACE_GONE)
        {
            errno = EIO;
            return -1;
        }
        if (state_of(entry, first) == WRITING)
        {
            if (wait_more(&patience) != 0)
                return -1;
        }
        else if (need(entry, first, end - first, deadline_ms) != 0)
            return -1;
        else if ((state_of(entry, first) & READABLE) == 0 && wait_more(&patience) != 0)
            return -1;
    }
    return 0;
}

/*** Reading ***/

struct range /* of blocks that may have a state */
{
    uint32_t first;
    uint32_t end;
};

static struct range range_of(off_t offset, size_t length)
{
    uint64_t first = (uint64_t) offset / BLOCK;
    uint64_t end = ((uint64_t) offset + length + BLOCK - 1) / BLOCK;
    struct range range = {0, 0};

    if (offset < 0 || length == 0 || first >= SEGMENT_BLOCKS)
        return range;
    range.first = (uint32_t) first;
    range.end = end < SEGMENT_BLOCKS ? (uint32_t) end : SEGMENT_BLOCKS;
    return range;
}

/* Asks for what a sequential scan will read next. */
static void look_ahead(int fd, struct entry *entry, struct range range)
{
    uint32_t window;
    uint32_t from;
    uint32_t to;

    if (range.first != fds[fd].next)
    {
        fds[fd].run = 0;
        fds[fd].hinted = 0;
    }
    fds[fd].next = range.end;
    fds[fd].run += range.end - range.first;
    if (fds[fd].run < AHEAD_AFTER)
        return;
    window = fds[fd].run * 2;
    window = window < AHEAD_MIN ? AHEAD_MIN : window > AHEAD_MAX ? AHEAD_MAX : window;
    if (fds[fd].hinted >= range.end + window / 2)
        return;
    from = fds[fd].hinted > range.end ? fds[fd].hinted : range.end;
    to = range.end + window < SEGMENT_BLOCKS ? range.end + window : SEGMENT_BLOCKS;
    if (from < to && any_missing(entry, from, to))
        hint(entry, from, to - from);
    fds[fd].hinted = range.end + window;
}

struct io
{
    int fd;
    void *buffer; /* or NULL, and: */
    const struct iovec *iov;
    int iovcnt;
    off_t offset;
    size_t length;
};

static size_t iov_length(const struct iovec *iov, int iovcnt)
{
    size_t length = 0;

    for (int i = 0; i < iovcnt; i++)
        length += iov[i].iov_len;
    return length;
}

static ssize_t do_read(const struct io *io)
{
    return io->buffer != NULL ? LIBC(pread)(io->fd, io->buffer, io->length, io->offset)
                              : LIBC(preadv)(io->fd, io->iov, io->iovcnt, io->offset);
}

static ssize_t read_blocks(struct entry *entry, const struct io *io)
{
    struct range range = range_of(io->offset, io->length);
    bool hit = true;

    if (range.first == range.end)
        return do_read(io);
    for (;;)
    {
        uint32_t evictions = __atomic_load_n(&entry->evictions, __ATOMIC_ACQUIRE);
        uint32_t obstacle;
        ssize_t got;

        if (!readable(entry, range.first, range.end, &obstacle))
        {
            hit = false;
            if (ensure(entry, range.first, range.end) != 0)
                return -1;
            continue;
        }
        got = do_read(io);
        /* The agent counts before it punches: if the number is the same, nothing was punched out under our read. */
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (__atomic_load_n(&entry->evictions, __ATOMIC_ACQUIRE) != evictions)
            continue;
        if (hit)
            count_hits(range.end - range.first);
        look_ahead(io->fd, entry, range);
        return got;
    }
}

/*** Writing ***/

#define MAX_WRITE 4096 /* blocks in one call; PostgreSQL writes 32 at most */

static ssize_t do_write(const struct io *io)
{
    return io->buffer != NULL ? LIBC(pwrite)(io->fd, io->buffer, io->length, io->offset)
                              : LIBC(pwritev)(io->fd, io->iov, io->iovcnt, io->offset);
}

/* Takes a block for a write; *old is the state it had. One that is not overwritten whole must be there first. */
static int claim(struct entry *entry, uint32_t block, bool whole, uint32_t *old)
{
    struct patience patience = {0};

    if (make_word_of(entry, block) == NULL)
    {
        *old = UNTRACKED;
        return 0;
    }
    for (;;)
    {
        *old = state_of(entry, block);
        if ((*old & READABLE) != 0 || (*old == MISSING && whole))
        {
            if (change_state(entry, block, *old, WRITING))
                return 0;
        }
        else if (*old == MISSING)
        {
            if (ensure(entry, block, block + 1) != 0)
                return -1;
        }
        else if (wait_more(&patience) != 0)
            return -1;
    }
}

static ssize_t write_blocks(struct entry *entry, const struct io *io)
{
    struct range range = range_of(io->offset, io->length);
    uint64_t end = (uint64_t) io->offset + io->length;
    uint8_t old[MAX_WRITE];
    uint32_t claimed;
    ssize_t written;
    int error;

    if (range.first == range.end)
        return do_write(io);
    if (range.end - range.first > MAX_WRITE)
    {
        errno = EINVAL;
        return -1;
    }
    written = 0;
    for (claimed = range.first; claimed < range.end; claimed++)
    {
        bool whole = (uint64_t) claimed * BLOCK >= (uint64_t) io->offset && (uint64_t) (claimed + 1) * BLOCK <= end;
        uint32_t state;

        if (claim(entry, claimed, whole, &state) != 0)
        {
            written = -1;
            break;
        }
        old[claimed - range.first] = (uint8_t) state;
    }
    if (written == 0)
        written = do_write(io);
    error = errno;
    for (uint32_t block = range.first; block < claimed; block++)
    {
        bool done = written > 0 && (uint64_t) (block + 1) * BLOCK <= (uint64_t) io->offset + (uint64_t) written;
        uint32_t before = old[block - range.first];

        if (before == UNTRACKED)
            continue;
        /* What was not overwritten whole is as missing as it was; what was there stays there, and may have changed. */
        change_state(entry, block, WRITING,
                     done || (written > 0 && before != MISSING) ? READABLE | DIRTY | USED : before);
    }
    errno = error;
    return written;
}

/*** The first segment of a TLI ***/

/*
 * PostgreSQL begins a TLI with a copy of its parent's last segment. It writes the whole file, and beyond what it copies the
 * same block again and again: half of the time that a promotion takes. A block that repeats the one before it becomes a hole,
 * which means as little to PostgreSQL, since a page of WAL names its own position. Segments that it makes from nothing
 * have holes as well (wal_init_zero = off).
 */
#define NEW_SEGMENT "pg_wal/xlogtemp."

static struct
{
    int fd; /* of the segment that this process makes right now, or -1 */
    bool any;
    off_t hole; /* bytes that it ends with and that are not in the file */
    char last[BLOCK];
} segment = {.fd = -1};

static ssize_t write_segment(const void *block)
{
    ssize_t written;

    if (segment.any && memcmp(segment.last, block, BLOCK) == 0)
    {
        segment.hole += BLOCK;
        return BLOCK;
    }
    if (segment.hole > 0 && lseek(segment.fd, segment.hole, SEEK_CUR) < 0)
        return -1;
    segment.hole = 0;
    written = LIBC(write)(segment.fd, block, BLOCK);
    segment.any = written == BLOCK;
    memcpy(segment.last, block, BLOCK);
    return written;
}

/* Before it is closed: the file gets the length that was written. */
static int end_segment(void)
{
    int fd = segment.fd;

    segment.fd = -1;
    return segment.hole > 0 ? LIBC(ftruncate)(fd, lseek(fd, segment.hole, SEEK_CUR)) : 0;
}

/*** What PostgreSQL calls ***/

static int opened(int fd, struct entry *entry)
{
    if (fd < 0)
        return fd;
    if (fd >= MAX_FD)
    {
        if (entry == NULL)
            return fd;
        LIBC(close)(fd);
        errno = EMFILE;
        return -1;
    }
    fds[fd].watched = entry == NULL ? NOT_WATCHED : (uint32_t) (entry - entries) + 1;
    fds[fd].next = 0;
    fds[fd].run = 0;
    fds[fd].hinted = 0;
    return fd;
}

/* Before an open: makes the file, or cuts it to nothing. */
static int before_open(const char *path, int flags, struct entry **entry)
{
    if (find(path, entry) != 0)
        return -1;
    if (*entry == NULL)
        return 0;
    if (materialise(*entry) != 0)
        return -1;
    if (place_of(*entry) == PLACE_GONE)
    {
        *entry = NULL;
        return 0;
    }
    return (flags & O_TRUNC) != 0 ? cut(*entry, 0) : 0;
}

/*
 * An open that may make a file which the map does not have. It is added before it is there, and only if it was not: then nobody has
 * it open without looking at its states.
 */
static int create(const char *path, int flags, mode_t mode)
{
    struct entry key;
    struct entry *entry;
    struct entry *other;
    int fd;
    int error;

    if (!parse_relation(path, &key))
        return opened(LIBC(open)(path, flags, mode), NULL);
    entry = add(&key, &other);
    if (entry == NULL)
    {
        if (other != NULL && materialise(other) != 0)
            return -1;
        return opened(LIBC(open)(path, flags, mode),
                      other != NULL && place_of(other) != PLACE_GONE ? other : NULL);
    }
    fd = LIBC(open)(path, flags | O_EXCL, mode);
    error = errno;
    __atomic_store_n(&entry->place, fd >= 0 ? PLACE_HERE : PLACE_GONE, __ATOMIC_RELEASE);
    if (fd < 0 && error == EEXIST && (flags & O_EXCL) == 0)
        return opened(LIBC(open)(path, flags, mode), NULL);
    errno = error;
    return opened(fd, entry);
}

static mode_t mode_argument(int flags, va_list arguments)
{
    return (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(arguments, mode_t) : 0;
}

EXPORT int open(const char *path, int flags, ...)
{
    struct entry *entry;
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_argument(flags, arguments);
    va_end(arguments);
    if (before_open(path, flags, &entry) != 0)
        return -1;
    if (entry == NULL && (flags & O_CREAT) != 0 && enabled() && strncmp(path, NEW_SEGMENT, strlen(NEW_SEGMENT)) == 0)
    {
        segment.any = false;
        segment.hole = 0;
        return segment.fd = opened(LIBC(open)(path, flags, mode), NULL);
    }
    if (entry == NULL && map != NULL && (flags & O_CREAT) != 0)
        return create(path, flags, mode);
    return opened(LIBC(open)(path, flags, mode), entry);
}
ALIAS(open64, open);

EXPORT int openat(int at, const char *path, int flags, ...)
{
    struct entry *entry = NULL;
    va_list arguments;
    mode_t mode;

    va_start(arguments, flags);
    mode = mode_argument(flags, arguments);
    va_end(arguments);
    if (at == AT_FDCWD && before_open(path, flags, &entry) != 0)
        return -1;
    return opened(LIBC(openat)(at, path, flags, mode), entry);
}
ALIAS(openat64, openat);

EXPORT int close(int fd)
{
    int cut_off = fd >= 0 && fd == segment.fd ? end_segment() : 0;
    int error = errno;

    if (fd >= 0 && fd < MAX_FD)
        fds[fd].watched = NOT_WATCHED;
    if (LIBC(close)(fd) != 0)
        return -1;
    errno = error;
    return cut_off;
}

EXPORT int dup(int fd)
{
    return opened(LIBC(dup)(fd), watched(fd));
}

EXPORT int dup2(int fd, int other)
{
    return fd == other ? LIBC(dup2)(fd, other) : opened(LIBC(dup2)(fd, other), watched(fd));
}

EXPORT ssize_t pread(int fd, void *buffer, size_t length, off_t offset)
{
    struct entry *entry = watched(fd);
    struct io io = {fd, buffer, NULL, 0, offset, length};

    return entry == NULL || buffer == NULL ? LIBC(pread)(fd, buffer, length, offset) : read_blocks(entry, &io);
}
ALIAS(pread64, pread);

EXPORT ssize_t preadv(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    struct entry *entry = watched(fd);
    struct io io = {fd, NULL, iov, iovcnt, offset, entry == NULL ? 0 : iov_length(iov, iovcnt)};

    return entry == NULL ? LIBC(preadv)(fd, iov, iovcnt, offset) : read_blocks(entry, &io);
}
ALIAS(preadv64, preadv);

EXPORT ssize_t read(int fd, void *buffer, size_t length)
{
    struct entry *entry = watched(fd);
    off_t offset;
    ssize_t got;

    if (entry == NULL || buffer == NULL)
        return LIBC(read)(fd, buffer, length);
    offset = lseek(fd, 0, SEEK_CUR);
    got = read_blocks(entry, &(struct io){fd, buffer, NULL, 0, offset, length});
    if (got > 0)
        lseek(fd, offset + got, SEEK_SET);
    return got;
}

/* Fortified builds call this one. */
EXPORT ssize_t __read_chk(int fd, void *buffer, size_t length, size_t room);
EXPORT ssize_t __read_chk(int fd, void *buffer, size_t length, size_t room)
{
    if (length > room)
        abort();
    return read(fd, buffer, length);
}

EXPORT ssize_t pwrite(int fd, const void *buffer, size_t length, off_t offset)
{
    struct entry *entry = watched(fd);
    struct io io = {fd, (void *) (uintptr_t) buffer, NULL, 0, offset, length};

    return entry == NULL || buffer == NULL ? LIBC(pwrite)(fd, buffer, length, offset) : write_blocks(entry, &io);
}
ALIAS(pwrite64, pwrite);

EXPORT ssize_t pwritev(int fd, const struct iovec *iov, int iovcnt, off_t offset)
{
    struct entry *entry = watched(fd);
    struct io io = {fd, NULL, iov, iovcnt, offset, entry == NULL ? 0 : iov_length(iov, iovcnt)};

    return entry == NULL ? LIBC(pwritev)(fd, iov, iovcnt, offset) : write_blocks(entry, &io);
}
ALIAS(pwritev64, pwritev);

EXPORT ssize_t write(int fd, const void *buffer, size_t length)
{
    struct entry *entry = watched(fd);
    off_t offset;
    ssize_t written;

    if (fd >= 0 && fd == segment.fd && length == BLOCK)
        return write_segment(buffer);
    if (entry == NULL || buffer == NULL)
        return LIBC(write)(fd, buffer, length);
    offset = lseek(fd, 0, SEEK_CUR);
    written = write_blocks(entry, &(struct io){fd, (void *) (uintptr_t) buffer, NULL, 0, offset, length});
    if (written > 0)
        lseek(fd, offset + written, SEEK_SET);
    return written;
}

/* Before the end of a file moves to this length: nothing beyond it may be fetched again. */
static int before_truncate(struct entry *entry, off_t length)
{
    uint64_t first = ((uint64_t) length + BLOCK - 1) / BLOCK;

    if (length < 0 || first > SEGMENT_BLOCKS)
        return 0;
    if (length % BLOCK != 0 && ensure(entry, (uint32_t) first - 1, (uint32_t) first) != 0)
        return -1;
    return cut(entry, (uint32_t) first);
}

EXPORT int ftruncate(int fd, off_t length)
{
    struct entry *entry = watched(fd);

    if (entry != NULL && before_truncate(entry, length) != 0)
        return -1;
    return LIBC(ftruncate)(fd, length);
}
ALIAS(ftruncate64, ftruncate);

EXPORT int truncate(const char *path, off_t length)
{
    struct entry *entry;

    if (find(path, &entry) != 0)
        return -1;
    if (entry != NULL && (materialise(entry) != 0 || before_truncate(entry, length) != 0))
        return -1;
    return LIBC(truncate)(path, length);
}
ALIAS(truncate64, truncate);

EXPORT int posix_fadvise(int fd, off_t offset, off_t length, int advice)
{
    struct entry *entry = watched(fd);

    if (entry != NULL && advice == POSIX_FADV_WILLNEED)
    {
        struct range range = range_of(offset, (size_t) length);

        if (any_missing(entry, range.first, range.end))
        {
            hint(entry, range.first, range.end - range.first);
            return 0; /* the kernel would read zeros ahead */
        }
    }
    return LIBC(posix_fadvise)(fd, offset, length, advice);
}
ALIAS(posix_fadvise64, posix_fadvise);

/* The name means nothing of ours any more. */
static int forget(struct entry *entry)
{
    if (cut(entry, 0) != 0)
        return -1;
    __atomic_store_n(&entry->place, PLACE_GONE, __ATOMIC_RELEASE);
    return 0;
}

EXPORT int unlink(const char *path)
{
    struct entry *entry;

    if (find(path, &entry) != 0)
        return -1;
    if (entry != NULL)
    {
        uint32_t absent = PLACE_ABSENT;

        if (cut(entry, 0) != 0)
            return -1;
        if (__atomic_compare_exchange_n(&entry->place, &absent, PLACE_GONE, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE))
            return 0;
        if (materialise(entry) != 0) /* waits for one who makes it right now */
            return -1;
    }
    if (LIBC(unlink)(path) != 0)
        return -1;
    return entry == NULL ? 0 : forget(entry);
}

/* PostgreSQL does not rename relation files; should somebody do it, the file is made whole first. */
EXPORT int rename(const char *from, const char *to)
{
    struct entry *source;
    struct entry *target;

    if (find(from, &source) != 0 || find(to, &target) != 0)
        return -1;
    if (source != NULL && (materialise(source) != 0 || ensure(source, 0, SEGMENT_BLOCKS) != 0))
        return -1;
    if ((source != NULL && forget(source) != 0) || (target != NULL && forget(target) != 0))
        return -1;
    return LIBC(rename)(from, to);
}

EXPORT int access(const char *path, int mode)
{
    return materialise_path(path) != 0 ? -1 : LIBC(access)(path, mode);
}

EXPORT int stat(const char *path, struct stat *result)
{
    return materialise_path(path) != 0 ? -1 : LIBC(stat)(path, result);
}
ALIAS(stat64, stat);

EXPORT int lstat(const char *path, struct stat *result)
{
    return materialise_path(path) != 0 ? -1 : LIBC(lstat)(path, result);
}
ALIAS(lstat64, lstat);

EXPORT int __xstat(int version, const char *path, struct stat *result);
EXPORT int __xstat(int version, const char *path, struct stat *result)
{
    return materialise_path(path) != 0 ? -1 : LIBC(xstat)(version, path, result);
}
ALIAS(__xstat64, __xstat);

EXPORT int __lxstat(int version, const char *path, struct stat *result);
EXPORT int __lxstat(int version, const char *path, struct stat *result)
{
    return materialise_path(path) != 0 ? -1 : LIBC(lxstat)(version, path, result);
}
ALIAS(__lxstat64, __lxstat);

/*** Directories: DROP DATABASE, pg_database_size, CREATE DATABASE ... STRATEGY = FILE_COPY ***/

/* The entries of one directory of relations: from the result to *end. */
static uint32_t entries_in(uint32_t database, uint32_t *end)
{
    struct entry low = {.database = database};
    struct entry high = {.database = database, .relation = UINT32_MAX, .fork_segment = UINT32_MAX};

    *end = lower_bound(&high);
    return lower_bound(&low);
}

/* Whether this is a directory of relations. */
static bool is_directory(const char *path, uint32_t *database)
{
    const char *rest;

    return enabled() && path != NULL && parse_directory(path, database, &rest) &&
           (rest[0] == '\0' || (rest[0] == '/' && rest[1] == '\0'));
}

EXPORT int mkdir(const char *path, mode_t mode)
{
    uint32_t database;

    if (is_directory(path, &database))
        made_directory = true;
    return LIBC(mkdir)(path, mode);
}

/*
 * Whoever lists a directory gets all its files. Exceptions are the postmaster, which looks at every database for temporary
 * relations left behind, and the startup process, which looks for the init forks of unlogged relations (those are on disk from
 * the beginning): making all the other files would take as long as there are relations. When the latter replays a CREATE
 * DATABASE that copies files, it makes a directory first.
 */
EXPORT DIR *opendir(const char *path)
{
    uint32_t database;
    bool looks_only = backend_type != NULL &&
                      (*backend_type == B_INVALID || (*backend_type == B_STARTUP && !made_directory));

    if (is_directory(path, &database) && !looks_only)
    {
        uint32_t end;

        if (attach() != 0)
            return NULL;
        for (uint32_t i = entries_in(database, &end); i < end; i++)
        {
            if (materialise(&entries[i]) != 0)
                return NULL;
        }
    }
    return LIBC(opendir)(path);
}

EXPORT int rmdir(const char *path)
{
    uint32_t database;

    if (LIBC(rmdir)(path) != 0)
        return -1;
    if (is_directory(path, &database) && attach() == 0)
    {
        uint32_t end;

        for (uint32_t i = entries_in(database, &end); i < end; i++)
        {
            if (forget(&entries[i]) != 0)
                return -1;
        }
        end = __atomic_load_n(&map->added, __ATOMIC_RELAXED);
        end = map->files + (end < map->room ? end : map->room);
        for (uint32_t i = map->files; i < end; i++)
        {
            if (place_of(&entries[i]) == PLACE_HERE && entries[i].database == database && forget(&entries[i]) != 0)
                return -1;
        }
    }
    return 0;
}

/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The state file: the processes of an instance, for the nclust that follows
 * when this one is killed.  It is a table in a mapped file, so that each change
 * is in the file at once, also when a child makes it between clone and exec.
 *
 * Native byte order; it is read only on the same machine and in the same boot,
 * and never trusted: a pid counts only with its start time.
 */
#define STATE_ENTRIES_MAX 65536U

enum state_phase {
	STATE_FREE,
	STATE_CLAIMED, /* about to be born: the child itself writes its pid and start */
	STATE_STARTING,
	STATE_READY,
	STATE_STOPPING,
	STATE_PHASES,
};

enum state_flag {
	STATE_KEEP = 1,      /* the worker is to outlive nclust */
	STATE_TRAPPED = 2,   /* its bind(2) and listen(2) are trapped */
	STATE_LISTENING = 4, /* it was seen to listen */
	/* of the worker's message channel: */
	STATE_NODE = 8,      /* the worker speaks the protocol of Node's cluster module */
	STATE_IN_LINE = 16,  /* a part of a line was read */
	STATE_OUT_LINE = 32, /* a part of a line was sent */
	/* the worker is stopped, for a look at its connections */
	STATE_FROZEN = 64,
	STATE_HUNG = 128,       /* it hangs in a trapped call, which nobody may answer */
	STATE_GATED = 512,      /* a spare, which waits before it serves */
	STATE_SAID_READY = 256, /* READY=1 is being obeyed */
	STATE_LEADS = 1024,     /* the worker was told that it leads its cluster */
};

/* Only the new process itself writes here. */
struct state_birth {
	uint64_t start; /* process_facts.start; 0: unknown yet */
	int32_t pid;    /* 0: the process was never born */
	uint32_t spare; /* the same on all machines */
};

struct state_entry {
	uint32_t phase; /* enum state_phase */
	uint32_t flags;
	struct state_birth birth;
	uint64_t serial;
	uint32_t cluster; /* its number in the file `estate` */
	uint32_t slot;
	uint32_t generation;
	uint32_t restarts;
	int64_t born; /* nsec_t */
	int64_t ready_at;
	uint64_t uses; /* learned listeners, as in struct child */
	uint64_t listens;
	int32_t bound_by;
	uint32_t lane; /* number of the lane whose sockets the worker has */
	uint32_t user; /* the worker's uid + 1; 0: an older nclust did not write it */
	uint32_t spare[9];
};

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t entry_size;
	char boot[40];      /* the kernel's boot id */
	uint64_t spaces[3]; /* pid, net, mnt namespace */
	int32_t pid;        /* pid of the nclust that wrote the file */
	uint32_t spare[11];
};

struct statefile {
	int fd;
	void *map;      /* NULL: no file */
	unsigned count; /* entries that the file has room for */
	unsigned hint;  /* no entry below this one is free */
};

/* ---- what an earlier one has left ---- */

struct state_past {
	struct state_header header;
	struct state_entry *entries; /* heap; by their places */
	size_t count;
};

/* Read `state` in that directory.  1: there are entries; 0: no file, or only
 * processes that cannot be alive (of an earlier boot); -1 and `err`: the file cannot
 * be used. */
int statefile_read(int dirfd, struct state_past *past, struct error *err);
void state_past_fini(struct state_past *past);
/* Fill in the header for this machine and boot.  -1 and `err`: unknown. */
int state_header_here(struct state_header *h, struct error *err);
/* Read a state from memory, as statefile_read() does: 1, 0; -1 and `err`. */
int state_past_parse(struct state_past *past, const void *data, size_t size, struct error *err);

/* ---- our own ---- */

/* Open the file, as it is (`go_on`), or made anew in its place.  -1 and `err`; then
 * every claim fails. */
int statefile_open(struct statefile *f, int dirfd, bool go_on, struct error *err);
void statefile_close(struct statefile *f);
/* No entry is needed soon: unmap the pages from our memory.  They stay in the
 * kernel's cache, and come back when an entry is looked at. */
void statefile_rest(const struct statefile *f);
/* The file's name was removed: write its content to a new file. */
int statefile_renew(struct statefile *f, int dirfd, struct error *err);

/* A free entry, zeroed but for the phase CLAIMED, or NULL: all are used. */
struct state_entry *statefile_claim(struct statefile *f);
/* The entry at a place that an earlier nclust used, or NULL. */
struct state_entry *statefile_at(struct statefile *f, unsigned place);
void statefile_free(struct statefile *f, struct state_entry *entry);

/* ---- the other file, `estate`: for its content see supervisor/orphans/internal.h ---- */

/* Replace the file as a whole, or not at all.  -1 and errno. */
int orphan_state_write(int dirfd, const void *data, size_t size);
/* Read the file: heap; NULL and `err` (err->sys ENOENT: no such file). */
void *orphan_state_read(int dirfd, size_t *size, struct error *err);

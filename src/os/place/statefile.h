/* SPDX-License-Identifier: MIT */
#ifndef OS_STATEFILE_H
#define OS_STATEFILE_H

#include "base/error.h"
#include "base/nsec.h"

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
	STATE_CLAIMED, /* about to be born: pid and start come from itself */
	STATE_STARTING,
	STATE_READY,
	STATE_STOPPING,
	STATE_PHASES,
};

enum state_flag {
	STATE_KEEP = 1,      /* it is to outlive nclust */
	STATE_TRAPPED = 2,   /* its bind and listen are trapped */
	STATE_LISTENING = 4, /* it was seen to listen */
	/* of its message channel: */
	STATE_NODE = 8,      /* it speaks as Node's cluster does */
	STATE_IN_LINE = 16,  /* a part of a line was read … */
	STATE_OUT_LINE = 32, /* … or sent */
	/* it is stopped, for a look at its connections */
	STATE_FROZEN = 64,
	STATE_HUNG = 128,       /* with its trap, which nobody may touch */
	STATE_GATED = 512,      /* a spare, which waits before it serves */
	STATE_SAID_READY = 256, /* READY=1 is being obeyed */
	STATE_LEADS = 1024,     /* it was told that it leads its cluster */
};

/* Written by the new process itself only. */
struct state_birth {
	uint64_t start; /* process_facts.start; 0: not known yet */
	int32_t pid;    /* 0: it was never born */
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
	uint32_t lane; /* whose sockets it has */
	uint32_t user; /* its uid + 1; 0: an older nclust did not tell */
	uint32_t spare[9];
};

struct state_header {
	char magic[8];
	uint32_t version;
	uint32_t entry_size;
	char boot[40];      /* the kernel's id of it */
	uint64_t spaces[3]; /* pid, net, mnt namespace */
	int32_t pid;        /* of the nclust that wrote it */
	uint32_t spare[11];
};

struct statefile {
	int fd;
	void *map;      /* NULL: there is none */
	unsigned count; /* entries that the file has room for */
	unsigned hint;  /* none below is free */
};

/* ---- what an earlier one has left ---- */

struct state_past {
	struct state_header header;
	struct state_entry *entries; /* heap; by their places */
	size_t count;
};

/* Read `state` in that directory.  1: something is there; 0: nothing, or
 * nothing that could still be alive (of an earlier boot); -1 and `err`: it is
 * there and cannot be used. */
int statefile_read(int dirfd, struct state_past *past, struct error *err);
void state_past_fini(struct state_past *past);
/* Fill in the header for this machine and boot.  -1 and `err`: not known. */
int state_header_here(struct state_header *h, struct error *err);
/* Read a state from memory, as statefile_read() does: 1, 0; -1 and `err`. */
int state_past_parse(struct state_past *past, const void *data, size_t size, struct error *err);

/* ---- our own ---- */

/* Open it, as it is (`go_on`), or made anew in its place.  -1 and `err`; then
 * there is none, and every claim fails. */
int statefile_open(struct statefile *f, int dirfd, bool go_on, struct error *err);
void statefile_close(struct statefile *f);
/* No entry is needed soon: their pages leave our memory.  They stay in the kernel's
 * cache, and come back when an entry is looked at. */
void statefile_rest(const struct statefile *f);
/* The file's name was removed: write its content to a new file. */
int statefile_renew(struct statefile *f, int dirfd, struct error *err);

/* A free entry, zeroed but for the phase CLAIMED, or NULL: there is none. */
struct state_entry *statefile_claim(struct statefile *f);
/* The entry at a place that an earlier one used, or NULL. */
struct state_entry *statefile_at(struct statefile *f, unsigned place);
void statefile_free(struct statefile *f, struct state_entry *entry);

/* ---- the other file, `estate`: for its content see protocol/estate.h ---- */

/* Replace the file as a whole, or not at all.  -1 and errno. */
int estatefile_write(int dirfd, const void *data, size_t size);
/* Read it: heap; NULL and `err` (err->sys ENOENT: there is none). */
void *estatefile_read(int dirfd, size_t *size, struct error *err);

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * Memory for several processes, in a file without a name (memfd_create(2)).  Its
 * size is sealed, because a mapping of a part that was cut off would raise
 * SIGBUS; each process that has the descriptor can write.  Pages are zero, and
 * are allocated when they are first written to.
 */
struct sharedmem_facts {
	uint64_t size; /* whole pages */
	uint64_t used; /* bytes in pages that are allocated */
	uint64_t dev;  /* dev and ino identify the segment while a process has it */
	uint64_t ino;
};

/*
 * Make a segment of at least `size` bytes.  `mode`: which of the users that can
 * open the file may write.  CLOEXEC; the caller's.
 * -1 and `err`: the machine has not enough memory, now or at all.
 */
int sharedmem_make(const char *name, uint64_t size, mode_t mode, struct error *err);

/* -1 and errno; EINVAL: no such segment, or its size could be changed. */
int sharedmem_look(int fd, struct sharedmem_facts *facts);

/* Device and inode in one word, as a key of existing segments. */
static inline uint64_t sharedmem_id(uint64_t dev, uint64_t ino)
{
	return dev << 48 ^ ino;
}

/* Could a descriptor with this target in /proc be a segment? */
bool sharedmem_is_target(const char *target);

/* ---- linering ---- */

/*
 * The latest lines of a text, in a file without a name.
 * The file is never mapped, so it is not part of the process's own memory, and it
 * lasts as long as a process has the descriptor.  One process writes.  If the
 * writer is killed in the midst of a line, that line is absent and all others are
 * whole: a line counts once the head of the file says where it ends, and it
 * overwrites only lines so old that they are not read any more.
 *
 * Others may read meanwhile.  A process that reads what another one with other
 * rights writes cannot rely on any content, but is safe with whatever it is.
 */
struct linering_kind {
	uint32_t size;  /* of the file */
	uint32_t block; /* bytes that one line has at most, newline included */
};
extern const struct linering_kind linering_events; /* 128 KiB */
/* What a worker writes (protocol/logwire.h): 64 KiB. */
#define LINERING_OUTPUT_BLOCK (12U * 1024)
extern const struct linering_kind linering_output;

struct linering {
	const struct linering_kind *kind;
	int fd;       /* -1: no ring */
	uint64_t end; /* bytes that were ever added */
};

/* `name`: for people who look at the descriptors of a process. */
int linering_make(
	struct linering *r, const struct linering_kind *kind, const char *name, struct error *err);
/* Continue a ring that another process has written.  False: the descriptor is no
 * such ring, and stays the caller's. */
bool linering_take(struct linering *r, const struct linering_kind *kind, int fd);
void linering_close(struct linering *r);
/* Another process writes: update `end`.  -1: the file is no such ring any more. */
int linering_look(struct linering *r);

/* Add a line, given without its newline; or several, each with its newline.  -1 and
 * errno: nothing was added. */
int linering_add(struct linering *r, const char *line, size_t len);
int linering_put(struct linering *r, const char *lines, size_t len);

/* A copy of the ring's text: whole lines, each with its newline. */
struct linering_text {
	const char *text;
	size_t len;
	uint64_t at; /* place of the text's beginning in all that was ever written */
	void *map;
	size_t size;
};
/* Read from a place on: 0, or one where a line began or is to begin.  If that place
 * is overwritten, from the oldest line on.  -1 and errno. */
int linering_read(const struct linering *r, uint64_t from, struct linering_text *t);
void linering_drop(struct linering_text *t);

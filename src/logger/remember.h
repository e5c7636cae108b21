/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_REMEMBER_H
#define LOGGER_REMEMBER_H

#include "logger/lines.h"
#include "os/place/linering.h"
#include "protocol/logline.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The latest lines of each slot, for `nclust logs`: in a file that nclust has
 * made and keeps (os/place/linering.h, protocol/logline.h).  The lines of one
 * read are written in one piece.  When much has come at once, only the last lines
 * are written, because the others would be overwritten soon; the next line says
 * how many were left out.
 */
#define REMEMBER_BLOCK LINERING_OUTPUT_BLOCK
#define REMEMBER_MUCH ((size_t)32 * 1024)
#define REMEMBER_NEAR ((size_t)4 * 1024)

/* Of one slot; several workers have it while they replace each other. */
struct memory {
	struct memory *next;
	struct linering ring;
	uint64_t dev;
	uint64_t ino;
	unsigned uses;
};

struct memories {
	struct memory *list; /* heap */
	/* The lines of one read, until they are written. */
	struct memory *to; /* NULL: no read is under way */
	unsigned stream;
	int pid;
	bool much;
	unsigned long left_out; /* lines that were left out since the last written one */
	bool headed;            /* the line being written has its head */
	size_t used;
	char block[REMEMBER_BLOCK];
};

/* The memory behind this descriptor, which is taken over; NULL: it is no such file,
 * and stays the caller's. */
struct memory *remember_get(struct memories *m, int *fd);
void remember_release(struct memories *m, struct memory *memory);

/* Begin lines of one stream of a worker, of which so many bytes have come at once. */
void remember_begin(struct memories *m, struct memory *to, unsigned stream, int pid, size_t len);
void remember_note(struct memories *m, const struct line *line);
void remember_end(struct memories *m);

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include "logger/source.h"
#include "os/fdpass.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * The keeper's part of the logger: it holds descriptors that must outlive the
 * supervisor (listeners, pidfds and channels of workers), and hands them to the
 * next supervisor.  The keeper itself uses only the pidfds, to see which workers
 * live.
 */
struct logger;

struct held {
	struct held *next;
	struct logwire_packet name; /* the packet that brought it */
	int fds[LOGWIRE_FDS_MAX];
};

struct keep {
	bool lacks;  /* not all can be held, which was logged */
	uid_t owner; /* the supervisor's user, and the next one's */
	int socket;  /* -1: nothing is kept */
	int dir;
	struct stat place; /* of the socket's file */
	struct ev_io callers;
	struct ev_timer look; /* does a worker live, and is our socket's file still ours? */
	bool needless;        /* not at the last look */
	struct held *list;    /* heap */
	struct logger *logger;
};

void keep_init(struct keep *k, uid_t owner, struct logger *logger);
void keep_fini(struct keep *k);

/* Handle a packet of the supervisor, which was checked, and take its descriptors (-1
 * then). false: the packet is not for the keeper. */
bool keep_take(struct keep *k, const struct logwire_packet *p, struct fdpass_message *m);
/* The supervisor is gone. false: nothing is held, so that the logger ends. */
bool keep_wait(struct keep *k);

/* ---- remember ---- */

/*
 * The latest lines of each slot, for `nclust logs` and as last words of a worker: in a file that
 * nclust has made and keeps (os/place/sharedmem.h, protocol/logwire.h).  The lines of one
 * read are written in one piece.  When much has come at once, only the last lines
 * are written, because the others would be overwritten soon; the next line says
 * how many were left out.  Several workers have the file of one slot while they replace each
 * other.
 */
#define REMEMBER_BLOCK LINERING_OUTPUT_BLOCK
#define REMEMBER_MUCH ((size_t)32 * 1024)
#define REMEMBER_NEAR TAIL_NEAR

/* The lines of one read, until they are written. */
struct remember {
	struct source_pipe *pipe; /* whose lines they are */
	bool much;
	bool headed; /* the line being written has its head */
	size_t used;
	char block[REMEMBER_BLOCK];
};

/* Begin lines of a pipe, of which so many bytes have come at once. */
void remember_begin(struct remember *m, struct source_pipe *pipe, size_t len);
void remember_note(struct remember *m, const struct line *line);
void remember_flush(struct remember *m);

/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_OFFLOAD_H
#define LOGGER_OFFLOAD_H

#include <ev.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * A thread makes calls that may wait for ever.  A process of another user holds the lock of
 * a pipe while the kernel copies from its memory, which may be a file of its own file
 * server (FUSE); read(2), tee(2) and the last close(2) of that pipe wait for the lock, and
 * no signal ends the wait.  TIOCSWINSZ and the last close of a terminal may wait in the
 * same way, and write(2) to a file whose server or disk does not answer.
 *
 * The loop waits for the thread, but not for long: a call that hangs is left to its thread,
 * and the next call is made by another one.  For a write the loop does not wait at all.
 * The result of a call for which the loop has not waited goes to goes_on() later.
 */
#define OFFLOAD_DATA ((size_t)64 * 1024)
#define OFFLOAD_MOST 64  /* calls that may hang at once */
#define OFFLOAD_OF_ONE 8 /* calls of one cluster that may hang at once */

enum offload_kind { OFFLOAD_CLOSE, OFFLOAD_PEEK, OFFLOAD_READ, OFFLOAD_WRITE, OFFLOAD_WINSIZE };

struct offload_call {
	enum offload_kind kind;
	bool is_safe; /* the call cannot hang: the loop makes it */
	void *about;  /* the caller's; NULL: the result is not wanted */
	int fd;
	const char *from; /* to be written; unchanged until the call returns */
	size_t len;
	bool by_pieces;        /* read on: a terminal gives 4 KiB at a time */
	unsigned long request; /* of ioctl(2) */
	struct winsize size;
	char *data; /* what was read; a peek leaves it in the pipe */
	ssize_t got;
	int error;
};

struct offload_thread;

struct offload {
	struct ev_loop *loop;
	struct ev_async returned;
	bool has_threads;
	struct offload_thread *here;           /* the thread of the loop itself */
	struct offload_thread *idle;           /* heap */
	_Atomic(struct offload_thread *) late; /* threads whose late calls have returned */
	unsigned stuck;                        /* threads with calls that are not waited for */
	const struct offload_call *last;       /* the call that has returned in time last */

	void *owner;
	/* A call for which the loop has not waited has returned. */
	void (*goes_on)(void *owner, const struct offload_call *call);
};

/* -1 and errno.  The caller sets `owner` and `goes_on`. */
int offload_init(struct offload *o, struct ev_loop *loop);
/* Allowed only if no thread was ever made. */
void offload_fini(struct offload *o);
/* Returns the call's result; or -1 and EINPROGRESS: the call hangs. */
ssize_t offload_run(struct offload *o, const struct offload_call *call);
/* Begin a call without waiting. false: no thread can be made now. */
bool offload_begin(struct offload *o, const struct offload_call *call);
/* Close a descriptor; while too many calls hang it stays open. */
void offload_close(struct offload *o, int *fd, bool is_safe);

#endif

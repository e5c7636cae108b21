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
 * Calls that may wait for ever are made by a thread.  A process of another user holds
 * the lock of a pipe while the kernel copies from its memory, which may be a file of its
 * own file server (FUSE); read(2), tee(2) and the last close(2) of that pipe wait for
 * the lock, and no signal ends that.  So do TIOCSWINSZ and the last close of a terminal;
 * and so may write(2) to a file whose server or disk does not answer.
 *
 * The loop waits for the thread, but not for long: a call that hangs is left to its
 * thread, and the next one is made by another.  For a write it does not wait at all.
 * The result of a call for which it has not waited goes to goes_on() then.
 */
#define OFFLOAD_DATA ((size_t)64 * 1024)
#define OFFLOAD_MOST 64  /* calls that hang: more are not risked */
#define OFFLOAD_OF_ONE 8 /* … and of a cluster */

enum offload_kind { OFFLOAD_CLOSE, OFFLOAD_PEEK, OFFLOAD_READ, OFFLOAD_WRITE, OFFLOAD_WINSIZE };

struct offload_call {
	enum offload_kind kind;
	bool is_safe; /* it cannot hang: the loop makes it */
	void *about;  /* the caller's; NULL: nobody waits for the result */
	int fd;
	const char *from; /* to be written; it stays as it is until the call returns */
	size_t len;
	bool by_pieces;        /* as long as a terminal has more: it gives 4 KiB at most */
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
	struct offload_thread *here;           /* the loop's own */
	struct offload_thread *idle;           /* heap */
	_Atomic(struct offload_thread *) late; /* their calls have returned */
	unsigned stuck;                        /* calls that are not waited for */
	const struct offload_call *last;       /* that has returned in time */

	void *owner;
	/* A call that was not waited for has returned. */
	void (*goes_on)(void *owner, const struct offload_call *call);
};

/* -1 and errno.  The caller has set `owner` and `goes_on`. */
int offload_init(struct offload *o, struct ev_loop *loop);
/* Only if there never were threads. */
void offload_fini(struct offload *o);
/* What the call returns; or -1 and EINPROGRESS: it hangs. */
ssize_t offload_run(struct offload *o, const struct offload_call *call);
/* Do not wait for it.  false: no thread can be made now. */
bool offload_begin(struct offload *o, const struct offload_call *call);
/* While too many calls hang the descriptor stays open. */
void offload_close(struct offload *o, int *fd, bool is_safe);

#endif

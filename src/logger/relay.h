/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_RELAY_H
#define LOGGER_RELAY_H

#include <ev.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * Calls that a process of another user can make wait for ever.  It holds the lock of
 * a pipe while the kernel copies from its memory, which may be a file of its own
 * file server (FUSE).  read(2), tee(2) and the last close(2) of that pipe wait for
 * the lock, and no signal ends that.  So do TIOCSWINSZ and the last close of a
 * terminal; and so may write(2) to a file whose server or disk does not answer.
 *
 * One thread runs the loop.  It makes these calls itself, so that they cost no more
 * than before.  Another thread watches it while it is at work.  If one call takes
 * too long, the watching thread takes over the loop and makes the next one that
 * watches.  When the call returns, its result is handed to the loop, and its thread
 * waits for its next turn.  Only the thread of the loop touches what is not here.
 */
#define RELAY_DATA ((size_t)64 * 1024)
#define HUNG_OF_ONE 8 /* so many of a cluster may hang */
#define RELAY_MOST 64 /* calls that hang: more are not risked */

enum relay_kind { RELAY_CLOSE, RELAY_PEEK, RELAY_READ, RELAY_WRITE, RELAY_IOCTL };

struct relay_call {
	enum relay_kind kind;
	void *about; /* the caller's; NULL: nobody waits for the result */
	char *data;  /* what was read */
	ssize_t got;
	int error;
};

struct relay_runner {
	struct relay_runner *next;
	struct relay *relay;
	jmp_buf base; /* its first frame */
	pid_t tid;
	int peek[2]; /* a pipe of its own, for what is in another and stays there */
	struct relay_call call;
	char data[RELAY_DATA];
};

struct relay {
	bool on;                      /* somebody watches */
	atomic_ulong turn;            /* odd: in such a call */
	atomic_bool asleep;           /* who watches waits for a call */
	pthread_mutex_t post;         /* held by who watches */
	pthread_mutex_t lock;         /* of the following */
	pthread_cond_t wake;          /* asleep is false again */
	unsigned spare;               /* threads that wait for the post */
	struct relay_runner *back;    /* they have returned; not taken yet */
	struct relay_runner *running; /* the loop */
	struct ev_loop *loop;
	struct ev_async returned;
	unsigned stuck; /* calls */
	int *closing;   /* heap: descriptors to be closed */
	size_t closing_count;
	size_t closing_room;

	void *owner;
	void (*serve)(void *owner); /* runs the loop until all is over */
	/* That call hangs, and serve() is called next, in another thread. */
	void (*hangs)(void *owner, const struct relay_call *call);
	void (*goes_on)(void *owner, const struct relay_call *call);
};

/* -1 and errno.  The functions above are to be set. */
int relay_init(struct relay *r, struct ev_loop *loop);
void relay_fini(struct relay *r); /* if nobody ever watched */
/* Calls serve(). */
void relay_run(struct relay *r);
/* From now on somebody watches; that thread cannot be made: the next time. */
void relay_watch(struct relay *r);

/* read(2) to running->data; by pieces, as long as a terminal has more, because that
 * gives 4 KiB at most each time.  If the call hangs, this does not return. */
ssize_t relay_read(struct relay *r, void *about, int fd, size_t len, bool by_pieces);
/* tee(2) to running->peek, which is to be emptied then. */
ssize_t relay_peek(struct relay *r, void *about, int fd);
/* ioctl(2) with running->data, of a terminal; `about`: as in struct relay_call. */
int relay_ioctl(struct relay *r, void *about, int fd, unsigned long request);
/* write(2) of data that stays as it is until the call returns. */
ssize_t relay_write(struct relay *r, void *about, int fd, const char *data, size_t len);
/* Close it in relay_close_all(), or at once if nobody watches. */
void relay_close(struct relay *r, int *fd);
void relay_close_all(struct relay *r);

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <sys/types.h>

/*
 * Threads make calls that may hang, where no signal ends them: write(2) to a file whose server or
 * disk does not answer; and what wants the lock of the pipe or terminal of another user's worker,
 * who keeps it while the kernel copies from its memory, if that is a file of its own file server.
 */
#define OFFLOAD_DATA ((size_t)64 * 1024)
struct offload_thread;
struct source_pipe;

struct offload_call {
	ssize_t (*make)(const struct offload_call *call);
	/* it has returned, and the loop has not waited for that */
	void (*returned)(struct ev_loop *loop, const struct offload_call *call);
	void *about; /* the caller's */
	int fd;
	char *data;       /* to be filled: the thread has OFFLOAD_DATA there, until its next call */
	const char *from; /* to be written, unchanged until the call returns */
	size_t len;
	struct winsize size;
	ssize_t got;
	int error;
};

struct offload {
	struct ev_loop *loop;
	struct ev_async returned;
	struct offload_thread *threads; /* heap */
	unsigned busy;                  /* threads whose call is not waited for */
};

void offload_init(struct offload *o, struct ev_loop *loop);
/* Let a thread make the call. false: no thread can be made now. */
bool offload_begin(struct offload *o, const struct offload_call *call);
/* The same, and wait for it, but not for long. false: it hangs, and is left to its thread. */
bool offload_run(struct offload *o, struct offload_call *call);
/* Make the call here. */
void offload_make(struct offload_call *call);

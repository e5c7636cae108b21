/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_KEEP_H
#define LOGGER_KEEP_H

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
struct held {
	struct logwire_packet *name; /* heap: the packet that brought it */
	int fds[LOGWIRE_FDS_MAX];
};

struct keep {
	struct ev_loop *loop;
	bool on;
	bool lacks;  /* not all can be held, which was logged */
	uid_t owner; /* the supervisor's user, and the next one's */
	int socket;
	int dir;
	struct stat place; /* of the socket's file */
	int ends;          /* an epoll set of the workers' pidfds */
	struct ev_io callers;
	struct ev_io deaths;
	struct ev_timer grace; /* runs while no worker lives */
	struct ev_timer look;  /* is our socket's file still there, and ours? */
	struct held *list;
	size_t count;
	size_t cap;

	/* Functions of the logger. */
	void *logger;
	void (*close)(void *logger, int *fd); /* a descriptor that other processes have, too */
	/* The read ends of a worker's pipes, -1 where there is none; the logger keeps them. */
	void (*pipes)(void *logger, const struct logwire_packet *worker, int fds[2]);
	void (*resume)(void *logger, int channel); /* a supervisor has taken over */
	void (*give_up)(void *logger);             /* no worker is left to wait for */
};

void keep_init(struct keep *k, struct ev_loop *loop, uid_t owner, void *logger);
void keep_fini(struct keep *k);

/* Handle a packet of the supervisor, which was checked, and take its descriptors (-1
 * then). false: the packet is not for the keeper. */
bool keep_take(struct keep *k, const struct logwire_packet *p, struct fdpass_message *m);
/* The supervisor is gone. false: nothing is held, so that the logger ends. */
bool keep_wait(struct keep *k);

#endif

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
 * next supervisor.  Of these it uses only the pidfds, to see which workers
 * live.
 */
struct held {
	struct logwire_packet *name; /* heap: as it came */
	int fds[LOGWIRE_FDS_MAX];
};

struct keep {
	struct ev_loop *loop;
	bool on;
	bool told;   /* that not all can be held */
	uid_t owner; /* who the supervisor is, and the next one */
	int socket;
	int dir;
	struct stat place; /* our socket's */
	int ends;          /* epoll: the workers' pidfds */
	struct ev_io callers;
	struct ev_io deaths;
	struct ev_timer grace; /* no worker lives */
	struct ev_timer look;  /* is our place still there, and ours? */
	struct held *list;
	size_t count;
	size_t cap;

	/* What the logger does. */
	void *logger;
	void (*close)(void *logger, int *fd); /* one that others have, too */
	/* The read ends of a worker, -1 where there is none; they stay its. */
	void (*pipes)(void *logger, const struct logwire_packet *worker, int fds[2]);
	void (*resume)(void *logger, int channel); /* taken over */
	void (*give_up)(void *logger);             /* nobody is left to wait for */
};

void keep_init(struct keep *k, struct ev_loop *loop, uid_t owner, void *logger);
void keep_fini(struct keep *k);

/* A packet of the supervisor's, checked, whose descriptors are taken (and -1
 * then).  false: it is none for us. */
bool keep_take(struct keep *k, const struct logwire_packet *p, struct fdpass_message *m);
/* The supervisor is gone.  false: we keep nothing, so that all is over. */
bool keep_wait(struct keep *k);

#endif

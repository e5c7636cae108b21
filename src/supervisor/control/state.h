/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "os/socket/socket.h"
#include "supervisor/common/job.h"

#include <ev.h>
#include <stdbool.h>
#include <stdint.h>

/*
 * What only this room knows of the instance, of a cluster and of a worker.  These
 * structs are members of those in common/state.h.
 */
struct client;

/* The count of connections for a status (control.h). */
struct census {
	struct job job; /* the process that counts */
	int answer;     /* its memfd, while it runs */
	nsec_t counted; /* when the last process ended well, or was late; or 0 */
	nsec_t again;   /* time before which no new one starts */
};

struct control {
	ev_io listen; /* its fd: the control socket, or -1 */
	ev_timer bounds;
	struct socket_file file; /* of the control socket */
	struct client *first;    /* the oldest one; or NULL */
	struct census census;
	int reserve_fd;    /* closed at EMFILE, to accept a client and refuse it */
	uint64_t last_log; /* the last slotlog of which clients know */
};

/* How the last rollout has ended, and whether the last scale has failed. */
struct outcome {
	char *text;  /* heap: the sentence about it; or NULL */
	uint64_t of; /* the rollout; 0: none has ended.  Of a scale the last worker before it, or
			UINT64_MAX: no worker's end fails it */
	bool failed;
};

/* Values that a worker's last status has shown, and when. */
struct shown {
	nsec_t cpu_then; /* the worker's CPU time */
	nsec_t at;
};

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_WEB_STATE_H
#define SUPERVISOR_WEB_STATE_H

#include "base/nsec.h"
#include "os/socket/socket.h"

#include <ev.h>
#include <stdbool.h>
#include <sys/types.h>

/* What only this room knows of the instance: it is in struct supervisor of
 * common/state.h. */
struct web_socket {
	int fd;                  /* -1: there is none */
	char *path;              /* heap: of a unix socket; else NULL */
	struct socket_file file; /* so too */
};

struct web_change;

struct web {
	struct web_socket socket; /* where the web process listens: HTTP … */
	struct web_socket agent;  /* … and HAProxy's agent-check */
	pid_t pid;                /* 0: it does not run */
	int pidfd;
	nsec_t started;
	bool hurried; /* the one before ended just after its start */
	ev_io exit;
	ev_timer restart;
	struct web_change *change; /* heap: of a reload under way; or NULL */
};

#endif

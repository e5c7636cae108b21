/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/socket/socket.h"
#include "supervisor/common/role.h"

/* What only this room knows of the instance: it is in struct supervisor of
 * common/state.h. */
struct web_socket {
	int fd;                  /* -1: none */
	int also;                /* -1, or of a port alone: the same port at ::1 */
	char *path;              /* heap: of a unix socket; else NULL */
	struct socket_file file; /* of a unix socket */
};

/* What a reload has prepared for a socket. */
struct web_move {
	struct web_socket socket;
	bool moves; /* to `socket`; its fd -1: to none */
};

struct web_change {
	bool begun;   /* a reload is under way */
	bool renewed; /* the process must be replaced, as its arguments change */
	struct web_move http;
	struct web_move agent;
};

struct web {
	struct web_socket socket; /* where the web process listens for HTTP */
	struct web_socket agent;  /* where it listens for HAProxy's agent-check */
	struct role_life life;
	struct web_change change;
};

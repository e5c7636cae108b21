/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/control.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"

/*
 * The control socket and its clients.  All that a client can make grow is
 * bounded: a request line (64 KiB, 10 s), unread output (1 MiB, 10 s without
 * progress), the number of clients (64, of whom 48 may be readers, who have no
 * right to change anything; the next reader evicts the one that has been idle for
 * longest, or is refused, see admit.c).  No request has descriptors: a client that
 * sends one loses its connection.  A client that exceeds a bound gets an error
 * and is closed; other clients do not notice.  A client has one request under way
 * at a time; later requests wait in the socket.
 */
#define CLIENTS_MAX 64
#define READERS_MAX 48
#define CLIENT_PATIENCE (10 * SECOND)
#define CLIENT_OUT_MAX (1024U * 1024)
/* While more than this is unsent, the client's next request waits. */
#define CLIENT_UNSENT_MOST (64U * 1024)

enum client_state {
	CLIENT_IDLE,
	CLIENT_WAITING,   /* for the outcome of a change */
	CLIENT_STATUS,    /* for a census, before its status */
	CLIENT_FOLLOWING, /* events -f */
	CLIENT_CLOSING,   /* after what is queued is sent */
};

/* What a client that made a change waits for, in one cluster. */
struct expectation {
	struct service *service;
	unsigned rollout; /* the rollout, or a later one; 0: no rollout */
	bool settled;     /* scale: all wanted workers are ready, and no others are alive */
	bool fewer;       /* scale: no worker is left in a removed slot */
	bool ended;       /* stop: the cluster has ended */
};

struct client {
	struct supervisor *sup;
	ev_io io;
	struct client *next; /* oldest first */
	bool may_write;
	bool own;         /* one of nclust's roles: never evicted, nor counted */
	bool half_closed; /* the client will send no more */
	enum client_state state;
	struct buffer in;
	struct buffer out;
	nsec_t line_since;  /* when an unfinished line began; or NEVER */
	nsec_t stuck_since; /* output makes no progress; or NEVER */
	nsec_t idle_since;
	struct control_request request;
	struct expectation *expected;
	size_t expected_count;
	bool pending;       /* what concerns the whole instance is not over: moment_verb() */
	char outcome[600];  /* the sentence of the result or error */
	uint64_t missed;    /* messages of workers that were not shown */
	uint32_t only_slot; /* of a status, events or logs, with request.target */
};

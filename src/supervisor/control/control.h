/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/control.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

/* ---- clients ---- */

void control_on_status_worker(struct json_writer *w, const struct child *child);
void control_on_drop(struct service *service);
void control_on_go_on(struct supervisor *sup);
void control_on_shutdown(struct supervisor *sup);
/* Events are sent to the clients that want them, and answer those that wait. */
void control_on_told(struct supervisor *sup, struct service *service, const struct report *report,
	const char *json, const char *sentence);
int control_on_renew(struct supervisor *sup, struct error *err);
void control_on_verb(struct supervisor *sup, const struct verb_step *verb);

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

/* How clients go through an upgrade: the control socket, a client, and its expectations. */
extern const struct carried carried_control;
extern const struct carried carried_client;
extern const struct carried carried_expectation;
/* An empty client, the last of all; it is not watched yet.  NULL: out of memory. */
struct client *client_new(struct supervisor *sup);
int clients_init(struct supervisor *sup, struct error *err);
/* The other end of this stream is one of nclust's roles: add it as a reader.  Takes
 * over the descriptor.  -1: out of memory. */
int clients_add_own(struct supervisor *sup, int fd);
/* Close these connections.  Their peers can still read what was sent. */
void clients_drop_own(struct supervisor *sup);

/* After events: has an expectation come true, or is a further log kept? */
void clients_look(struct supervisor *sup);

/* For requests.c and status.c. */
void client_write(struct client *c); /* send what is queued, as far as the socket takes it */
void client_watch(struct client *c); /* give the client a later turn, if its state needs one */
void client_error(struct client *c, int code, const char *message);
void client_done(struct client *c); /* the request is answered */
/* Answer clients that wait for a census before their status. */
void clients_counted(struct supervisor *sup);
/* Tell the client how many messages it was not shown, because it reads too slowly. */
void client_tell_missed(struct client *c);

/* ---- census ---- */

/*
 * Counts, for a status, the connections that each worker has accepted and not
 * closed.  A process of its own counts, because workers may have very many
 * connections, and a worker may make a look at it wait: the loop never waits for it.
 */

/* True: counting has begun, and clients_counted() is called at its end; false: the
 * last census is new enough, or none is possible. */
bool census_begin(struct supervisor *sup);
/* The worker's connections; -1: unknown. */
long census_of(const struct child *child);

/* Stop counting. */
void census_fini(struct supervisor *sup);

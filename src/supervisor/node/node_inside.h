/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NODE_INSIDE_H
#define SUPERVISOR_NODE_INSIDE_H

#include "protocol/nodeipc.h"
#include "supervisor/node/node.h"

/* What the files node*.c share with each other alone. */

#define NODE_SERVERS_MAX 128 /* of a cluster */
#define NODE_USES_MAX 128    /* of a worker */
#define NODE_FLIGHTS_MAX 256 /* sent to a worker and not confirmed */

/* One address that workers have asked for, with the parameters of their
 * query. */
struct node_server {
	struct node_server *next;
	struct node_server *next_of_listener;
	struct node_cluster *cluster;
	uint64_t number; /* its key */
	struct listener *listener;
	enum nodeipc_family family;
	bool v6;
	bool rr;
	char *address; /* heap; abstract unix paths with '@'; NULL: none */
	uint16_t port; /* that was asked for */
	int fd;        /* NODEIPC_FD */
	unsigned flags;
	uint32_t index;
	char *data; /* heap: the first worker's, echoed to all; or NULL */

	/* workers that have the server, in the order in which they asked */
	struct node_worker **users;
	size_t user_count;
	size_t user_room;

	/* rr: */
	ev_io accept;              /* active while a worker has room */
	size_t turn;               /* index in `users` of the next worker */
	struct node_wait *waiting; /* accepted, and refused by a worker */
};

/* A connection that no worker has taken yet. */
struct node_wait {
	struct node_wait *next;
	int fd;
};

/* A worker's use of a server. */
struct node_use {
	struct node_server *server;
	bool listening;       /* the worker has reported that it listens */
	nsec_t refused_until; /* rr: offer it nothing before that; or 0 */
};

enum node_flight_kind {
	NODE_FLIGHT_ANSWER,     /* a shared socket */
	NODE_FLIGHT_CONNECTION, /* fd: kept until it is taken */
	NODE_FLIGHT_KINDS,
};

/* A descriptor that was sent and is not confirmed.  The worker acknowledges
 * them in the order in which they were sent; it takes or refuses connections in
 * any. */
struct node_flight {
	enum node_flight_kind kind;
	uint64_t server; /* its number */
	int64_t seq;
	int64_t ack;   /* ANSWER: number of the query */
	int fd;        /* CONNECTION: our descriptor of it */
	bool arrived;  /* acknowledged */
	unsigned lost; /* how often it was sent and did not arrive */
	nsec_t again;  /* when to send it again; or 0 */
};

enum node_stopping {
	NODE_RUNS,      /* so does 1, of an earlier version */
	NODE_STOPS = 2, /* asked to disconnect, in place of its stop signal */
	NODE_SIGNALLED,
	NODE_LEAVES, /* asked to disconnect, in place of its drain */
};

/* The cluster's half of a worker's channel. */
struct node_worker {
	struct child *child;
	bool online;
	char *queries; /* heap: of a spare, each with a newline; or NULL */
	bool bun;      /* Bun, which puts a byte before its lines */
	bool leaving;  /* it was asked to disconnect, or does so by itself */
	bool told_full;
	enum node_stopping stopping;
	int signal;       /* NODE_STOPS: the stop signal */
	nsec_t signal_at; /* when node_stop_due() has to act; or 0 */
	struct node_use *uses;
	size_t use_count;
	struct node_flight *flights;
	size_t flight_count;
	size_t flight_room;
	unsigned connections; /* rr: flights that are connections */
	nsec_t hold_until;    /* it ran out of descriptors: pause; or 0 */
	uint64_t taken;       /* rr: connections that it has taken so far */
};

struct node_cluster {
	struct service *service;
	struct node_server *servers;
	size_t server_count;
	uint64_t last_number;
	int64_t last_seq;
	ev_timer timer; /* the earliest deadline of all */
};

/* ---- node.c ---- */

/* The service's cluster, made on first use; NULL: no memory. */
struct node_cluster *node_cluster_of(struct service *service);
struct node_worker *node_worker_of(struct child *child);
struct nodeipc_writer node_writer(const struct node_worker *w, struct buffer *out);
/* Send `line` to the worker with `fd`, which is taken over in any case.  -1:
 * there is no channel, or it has no room. */
int node_send(struct node_worker *w, struct buffer *line, int fd);
int64_t node_next_seq(struct node_worker *w);
/* Call the due functions at that time, or before. */
void node_arm(struct node_cluster *n, nsec_t at);

/* ---- node_server.c ---- */

void node_query(struct node_worker *w, const struct nodeipc_message *m);
void node_listening(struct node_worker *w, const struct nodeipc_place *place);
void node_close(struct node_worker *w, const char *key);
struct node_server *node_server_numbered(const struct node_cluster *n, uint64_t number);
struct node_use *node_use_of(const struct node_worker *w, const struct node_server *s);
int node_use_add(struct node_worker *w, struct node_server *s);
/* Remove a use: the worker has `closed` its server, or is gone. */
void node_use_drop(struct node_worker *w, size_t i, bool closed);
struct node_server *node_server_new(struct node_cluster *n);
void node_server_link(struct node_server *s, struct listener *l);
void node_server_free(struct node_server *s);

/* ---- node_bind.c ---- */

/* The listener for an address: one that nclust holds, or a new one.  NULL:
 * *error says why, as an errno(3). */
struct listener *node_bind(
	struct node_worker *w, const struct nodeipc_place *place, const char *address, int *error);
/* Listen on it for the worker.  -1 and errno. */
int node_listen(const struct node_worker *w, const struct listener *l, int backlog);

/* ---- node_flight.c ---- */

/* Note a descriptor that was sent.  -1: no memory, or too many. */
int node_flight_add(struct node_worker *w, const struct node_flight *f);
void node_flight_acked(struct node_worker *w);
void node_flight_nacked(struct node_worker *w);
void node_flight_taken(struct node_worker *w, int64_t ack, bool accepted);
void node_flights_again(struct node_worker *w, nsec_t now);
void node_flights_drop(struct node_worker *w);
/* Answer a query with a shared socket. */
void node_answer_shared(struct node_worker *w, struct node_server *s, int64_t ack, unsigned lost);
void node_answer_error(struct node_worker *w, int64_t ack, int error);

/* ---- node_rr.c ---- */

/* Does nclust accept connections for workers of this generation (rr)? */
bool node_rr_wanted(const struct child *child);
int node_rr_begin(const struct node_worker *w, struct node_server *s, int backlog);
void node_rr_watch(struct node_server *s);
void node_rr_end(struct node_server *s);  /* no worker has it any more */
void node_rr_room(struct node_server *s); /* a worker may have room again */
void node_rr_room_of(struct node_worker *w);
/* Give a connection that a worker has refused to another one. */
void node_rr_again(struct node_server *s, int fd);
void node_rr_timer(struct node_server *s, nsec_t now);

/* ---- carry_node.c ---- */

extern const struct carried carried_node_server;
extern const struct carried carried_node_wait;
extern const struct carried carried_node_use;
extern const struct carried carried_node_flight;

/* ---- node_stop.c ---- */

/* Ask the worker to disconnect, in place of its stop signal.  False: it has no
 * servers, was asked already, or must get the signal. */
bool node_on_stop(struct child *child, int signal);
void node_stop_ended(struct node_worker *w); /* its channel was closed */
void node_stop_due(struct node_worker *w, nsec_t now);

#endif

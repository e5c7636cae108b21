/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_NODE_INSIDE_H
#define SUPERVISOR_NODE_INSIDE_H

#include "protocol/nodeipc.h"
#include "supervisor/node/node.h"

/* What the files node*.c share, and nobody else sees. */

#define NODE_SERVERS_MAX 128 /* of a cluster */
#define NODE_USES_MAX 128    /* of a worker */
#define NODE_FLIGHTS_MAX 256 /* to a worker, unanswered */

/* One place that workers have asked for, as they have asked for it. */
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

	/* those who have it, by the time they asked: pointers into workers */
	struct node_worker **users;
	size_t user_count;
	size_t user_room;

	/* rr: */
	ev_io accept;              /* active: somebody has room */
	size_t turn;               /* in users: who is next */
	struct node_wait *waiting; /* accepted, and refused by somebody */
};

/* A connection that nobody has taken yet. */
struct node_wait {
	struct node_wait *next;
	int fd;
};

/* A server of a worker. */
struct node_use {
	struct node_server *server;
	bool listening;       /* it has said so */
	nsec_t refused_until; /* rr: it takes nothing before that; or 0 */
};

enum node_flight_kind {
	NODE_FLIGHT_ANSWER,     /* a shared socket */
	NODE_FLIGHT_CONNECTION, /* fd: kept until it is taken */
	NODE_FLIGHT_KINDS,
};

/* A descriptor that was sent and is not answered: acknowledged in their order,
 * connections are taken or refused in any. */
struct node_flight {
	enum node_flight_kind kind;
	uint64_t server; /* its number */
	int64_t seq;
	int64_t ack;   /* ANSWER: the query */
	int fd;        /* CONNECTION */
	bool arrived;  /* acknowledged */
	unsigned lost; /* times that it has not arrived */
	nsec_t again;  /* it is sent again then; or 0 */
};

enum node_stopping {
	NODE_RUNS,
	NODE_DRAINS, /* it is emptied from outside, and does not know of it */
	NODE_STOPS,  /* told to disconnect, in place of its stop signal */
	NODE_SIGNALLED,
	NODE_PRESSED, /* told to disconnect while it is emptied */
};

/* The cluster's half of a worker's channel. */
struct node_worker {
	struct child *child;
	bool online;
	bool bun;     /* it puts a byte before its own lines */
	bool leaving; /* it was told to disconnect, or does it by itself */
	bool told_full;
	enum node_stopping stopping;
	int signal;       /* NODE_STOPS: the one that was due */
	nsec_t signal_at; /* the signal, the word that it is drained, or that
			     to disconnect comes then; or 0 */
	struct node_use *uses;
	size_t use_count;
	struct node_flight *flights;
	size_t flight_count;
	size_t flight_room;
	unsigned connections; /* rr: flights of that kind */
	nsec_t hold_until;    /* it has no descriptors left; or 0 */
	uint64_t taken;       /* rr: connections, so far */
};

struct node_cluster {
	struct service *service;
	struct node_server *servers;
	size_t server_count;
	uint64_t last_number;
	int64_t last_seq;
	ev_timer timer; /* the earliest of all that is to be done later */
};

/* ---- node.c ---- */

/* It, made if need be; NULL: no memory. */
struct node_cluster *node_cluster_of(struct service *service);
struct node_worker *node_worker_of(struct child *child);
struct nodeipc_writer node_writer(
	const struct node_worker *w, struct buffer *out);
/* Send what was written; `fd` is given away, in any case.  -1: it has no channel,
 * or no room in it. */
int node_send(struct node_worker *w, struct buffer *line, int fd);
int64_t node_next_seq(struct node_worker *w);
/* Wake up then. */
void node_arm(struct node_cluster *n, nsec_t at);
void node_each_worker(struct node_cluster *n,
	void (*deed)(struct node_worker *w, nsec_t now), nsec_t now);

/* ---- node_server.c ---- */

void node_query(struct node_worker *w, const struct nodeipc_message *m);
void node_listening(struct node_worker *w, const struct nodeipc_place *place);
void node_close(struct node_worker *w, const char *key);
struct node_server *node_server_numbered(
	const struct node_cluster *n, uint64_t number);
struct node_use *node_use_of(
	const struct node_worker *w, const struct node_server *s);
int node_use_add(struct node_worker *w, struct node_server *s);
/* It has it no more: `closed` by itself, else it is gone. */
void node_use_drop(struct node_worker *w, size_t i, bool closed);
struct node_server *node_server_new(struct node_cluster *n);
void node_server_link(struct node_server *s, struct listener *l);
void node_server_free(struct node_server *s);

/* ---- node_bind.c ---- */

/* The listener for a place: one that is held, or a new one.  NULL: *error is of
 * errno(3). */
struct listener *node_bind(struct node_worker *w,
	const struct nodeipc_place *place, const char *address, int *error);

/* ---- node_flight.c ---- */

/* Another descriptor was sent.  -1: no memory, or too many. */
int node_flight_add(struct node_worker *w, const struct node_flight *f);
void node_flight_acked(struct node_worker *w);
void node_flight_nacked(struct node_worker *w);
void node_flight_taken(struct node_worker *w, int64_t ack, bool accepted);
void node_flights_again(struct node_worker *w, nsec_t now);
void node_flights_drop(struct node_worker *w);
/* A shared socket, as the answer to a query. */
void node_answer_shared(struct node_worker *w, struct node_server *s,
	int64_t ack, unsigned lost);
void node_answer_error(struct node_worker *w, int64_t ack, int error);

/* ---- node_rr.c ---- */

/* Does this cluster spread connections so? */
bool node_rr_wanted(const struct child *child);
int node_rr_begin(struct node_server *s, int backlog);
void node_rr_watch(struct node_server *s);
void node_rr_end(struct node_server *s);  /* nobody has it any more */
void node_rr_room(struct node_server *s); /* somebody may have room again */
void node_rr_room_of(struct node_worker *w);
/* Give it to another one. */
void node_rr_again(struct node_server *s, int fd);
int node_rr_send(
	struct node_worker *w, struct node_server *s, int fd, unsigned lost);
void node_rr_timer(struct node_server *s, nsec_t now);

/* ---- carry_node.c ---- */

extern const struct carried carried_node_server;
extern const struct carried carried_node_wait;
extern const struct carried carried_node_use;
extern const struct carried carried_node_flight;

/* ---- node_stop.c ---- */

void node_on_drain(struct child *child, nsec_t span);
/* False: it has no servers, is at it already, or shall be stopped in another
 * way. */
bool node_on_stop(struct child *child, int signal);
void node_stop_ended(struct node_worker *w); /* its channel is */
void node_stop_due(struct node_worker *w, nsec_t now);

#endif

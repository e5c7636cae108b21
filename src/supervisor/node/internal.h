/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"
#include "protocol/nodeipc.h"

#include <ev.h>

/* Shared by the files node*.c alone. */

#define NODE_SERVERS_MAX 128 /* of a cluster */
#define NODE_USES_MAX 128    /* of a worker */

/* One address that workers have asked for. */
struct node_server {
	struct node_server *next;
	struct node_cluster *cluster;
	uint64_t number; /* its key */
	struct listener *listener;
	struct nodeipc_place place; /* of the query; `port` may be 0 */
	char *data; /* heap: data of the first worker's query, sent with all answers; or NULL */
	bool rr;

	/* rr: */
	ev_io accept;  /* active while a worker is free */
	uint32_t turn; /* the slot whose worker gets the next connection, if it is free */
	struct node_wait *waiting; /* accepted connections that no worker has */
};

/* An accepted connection that no worker has. */
struct node_wait {
	struct node_wait *next;
	int fd;
};

/* A worker's use of a server. */
struct node_use {
	uint64_t server; /* its number */
	int64_t query;   /* the number of the worker's message */
	int64_t sent;    /* number of nclust's answer, until its socket has arrived; else 0 */
};

/* What a worker has said and got on its channel, as a worker of Node's cluster. */
struct node_worker {
	struct child *child;
	bool online;
	char *queries;   /* heap: held queries of a spare, each with a newline; or NULL */
	bool bun;        /* Bun, which puts a byte before its lines */
	bool leaving;    /* it was asked to disconnect, or does so by itself */
	nsec_t leave_at; /* when to ask it to disconnect, or to see whether it has finished; or 0 */
	struct node_use *uses;
	size_t use_count;
	int closed; /* servers that it has closed, of an nclust that left no numbers of them */

	/* rr: */
	int given; /* a connection that the worker has not confirmed; or -1 */
	uint64_t given_by;
	int64_t given_seq;
	bool given_arrived; /* the worker has it, but has not said whether it takes it */
	nsec_t rests_until; /* the worker gets no connection until then */
	uint64_t taken;     /* connections that it has taken */
};

struct node_cluster {
	struct service *service;
	struct node_server *servers;
	size_t server_count;
	uint64_t last_number;
	int64_t last_seq;
	ev_timer timer; /* the earliest deadline of all workers */
};

/* ---- node.c ---- */

/* The service's servers and numbers, made on first use; NULL: no memory. */
struct node_cluster *node_cluster_of(struct service *service);
struct node_worker *node_worker_of(struct child *child);
struct nodeipc_writer node_writer(const struct node_worker *w, struct buffer *out);
/* Sends `line` to the worker with `fd`, which is taken over in any case.  -1: the worker has no
 * channel, or its channel has no room. */
int node_send(struct node_worker *w, struct buffer *line, int fd);
int64_t node_next_seq(struct node_worker *w);
/* Calls the due functions at that time, or before. */
void node_arm(struct node_cluster *n, nsec_t at);

/* ---- node_server.c ---- */

void node_query(struct node_worker *w, const struct nodeipc_message *m);
void node_listening(struct node_worker *w, const struct nodeipc_place *place);
void node_close(struct node_worker *w, const char *key);
struct node_server *node_server_numbered(const struct node_cluster *n, uint64_t number);
/* The i-th server that the worker uses; NULL: that server is gone. */
struct node_server *node_used(const struct node_worker *w, size_t i);
bool node_uses(const struct node_worker *w, const struct node_server *s);
struct node_server *node_server_new(struct node_cluster *n);
void node_server_free(struct node_server *s);

/* A socket or connection that was sent has arrived, or was lost: the worker had no descriptor. */
void node_handle_acked(struct node_worker *w);
void node_handle_nacked(struct node_worker *w);
void node_answer_error(struct node_worker *w, int64_t ack, int error);

/* ---- node_rr.c ---- */

/* node_rr_watch(): lets nclust accept for the server (`rr`). node_rr_rest(): accepts nothing for
 * now. node_rr_end(): drops what waits, too. */
void node_rr_watch(struct node_server *s);
void node_rr_rest(struct node_server *s);
void node_rr_end(struct node_server *s);
/* A worker may be free: accepts, if the server is of `rr`. */
void node_rr_go_on(struct node_server *s);
/* The worker takes the connection of that number, or refuses it. */
void node_rr_answered(struct node_worker *w, int64_t seq, bool accepted);
/* The worker will not take the connection that it was given, if any: another worker gets it. */
void node_rr_left(struct node_worker *w);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "logger/offload.h"
#include "logger/sink.h"
#include "os/fdpass.h"

#include <stdbool.h>
#include <stdint.h>

struct line;

/*
 * A cluster as the logger sees it.  The supervisor sends its routes, to which its output is written
 * (LOGWIRE_ROUTE).  Each second the logger reports how many of its lines were read and how many
 * were lost (LOGWIRE_LINES, LOGWIRE_DROPPED).
 * Lines of a cluster without a route go to stdout and stderr, with prefixes.
 */
struct route {
	enum logwire_to to;
	bool by_slot;
	uint64_t size; /* of a file that is full; 0: never */
	ev_tstamp age; /* the same */
	unsigned facility;
	bool old;
	bool timed;
	bool lacks[2];  /* stdout, stderr */
	char name[512]; /* the address as in the settings; "": it has not come yet */
};

struct cluster {
	struct cluster *next;
	char name[65];
	unsigned sources;
	unsigned hung;      /* calls for its workers' pipes */
	unsigned hung_most; /* at once until now */

	struct route list[LOGWIRE_ROUTES_MAX];
	size_t count;
	struct route staged[LOGWIRE_ROUTES_MAX]; /* the next list, until all of it has come */
	uint32_t version;   /* of the list: answers about older ones are ignored */
	struct sink *sinks; /* of all routes, and those whose route is gone until all is written */

	uint64_t lost; /* lines that were not reported yet */
	uint64_t read;
	ev_tstamp reported;
};

struct clusters {
	struct ev_loop *loop;
	struct offload *offload;
	struct ev_io *channel;
	struct sink own[2];      /* stdout and stderr */
	struct sink *streams[2]; /* the same one twice for `2>&1` */
	struct cluster *list;
	uint32_t versions; /* the last version of any cluster's list */
	ev_timer look;     /* runs while a sink is to be looked after, or lines to be reported */
	struct buffer scratch;
	size_t put;    /* bytes, to all sinks; it may run over */
	bool is_quiet; /* the worker whose output is put now writes little */
};

void clusters_init(
	struct clusters *all, struct ev_loop *loop, struct offload *offload, struct ev_io *channel);
/* Tell of all lines that wait and were lost. */
void clusters_end(const struct clusters *all);
/* Open and close stdout and stderr. */
void clusters_open(struct clusters *all, int out, int err);
void clusters_close(struct clusters *all);
struct cluster *clusters_find(const struct clusters *all, const char *name);
/* The cluster of that name, or a new one; NULL: out of memory. */
struct cluster *clusters_get(struct clusters *all, const char *name);
/* Handle a packet of the supervisor, which was checked. false: it is about something else. */
bool clusters_take(struct clusters *all, const struct logwire_packet *p, struct fdpass_message *m);

/* Open the sinks that the slot needs. */
void cluster_begin(struct clusters *all, struct cluster *c, uint32_t slot);
/* The routes of a cluster's lines; returns their number. */
size_t cluster_routes(struct cluster *c, struct route **routes);
/* The sink of a route for output of that slot, which came by that stream; NULL: out of memory. */
struct sink *cluster_sink(struct clusters *all, struct cluster *c, struct route *route,
	uint32_t slot, bool is_stderr);
/* Put a line to a sink, to a file as it is, elsewhere formatted, but without a prefix. */
void cluster_line(struct sink *o, const struct route *route, const struct line *line);
/* Send a line of nclust's own to a daemon. */
void cluster_tell(struct sink *o, const char *text, size_t len);
/* Write all that waits for stdout, stderr, and the cluster's own sinks. */
void cluster_flush(struct clusters *all, struct cluster *c);

/* Called each time before the loop waits. */
void clusters_turn(struct clusters *all);
bool clusters_are_empty(const struct clusters *all);
/* Let the loop turn again soon. */
void clusters_need(struct clusters *all);

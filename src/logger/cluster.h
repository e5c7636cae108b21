/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_CLUSTER_H
#define LOGGER_CLUSTER_H

#include "logger/format.h"
#include "logger/sink.h"
#include "os/fdpass.h"

/*
 * What the logger knows of each cluster: its sinks, which the supervisor names
 * (LOGWIRE_ROUTE), and what was read and lost of its lines, which is counted for the
 * supervisor.  Lost ones are reported at once, and all at most once a second
 * (LOGWIRE_DROPPED, LOGWIRE_LINES).  A cluster for which none is named goes where
 * LOGWIRE_SINK says.
 */
struct source_pipe;

struct route {
	enum sink_kind kind;
	bool by_slot;
	uint64_t size;
	ev_tstamp age;
	unsigned facility;
	bool old;
	char *name; /* heap: as it was given */
	struct sink *sinks;
};

/* Behind those that are named: lines with prefixes where none is, and copies. */
enum { ROUTE_STANDARD = LOGWIRE_ROUTES_MAX, ROUTE_COPY, ROUTES };

struct cluster {
	struct cluster *next;
	char name[65];
	unsigned sources;
	unsigned leaving; /* of its sinks */

	struct source_pipe *unread_pipes; /* that have something meanwhile */
	struct source_pipe **unread_end;
	unsigned hanging; /* pipes */
	bool told;        /* that one does */
	bool too_many;    /* … and so many that none is read */
	bool paused;      /* a sink of it is full */

	struct route list[ROUTES];
	size_t count;         /* of those that are named */
	struct route *staged; /* heap: until all have come */
	uint32_t version;     /* of that list: what was asked for before is no more */
	bool dirty;           /* something was put */
	unsigned writes;      /* to files of it, under way */
	size_t memory;        /* of its sinks */
	size_t resting;       /* lines without an end, in buffers of sources */

	uint64_t lost; /* lines, not reported yet */
	uint64_t read;
};

struct clusters {
	struct ev_loop *loop;
	struct offload *offload;
	struct ev_io *channel;
	struct stream *streams[2]; /* the same one twice for `2>&1` */
	struct cluster *list;
	uint32_t versions;    /* of all their lists */
	struct sink *leaving; /* until all of theirs is written */
	bool sweep;           /* one may be over */
	ev_timer look;        /* a sink is in need */
	ev_timer report;
	bool hurried; /* it reports, or has just reported, lost lines */
	struct buffer scratch;
	size_t memory; /* of all sinks */
	bool is_quiet; /* who has written what is put now says little */
	void *owner;
	void (*resume)(void *owner, struct cluster *c); /* its pipes are read again */
};

void clusters_init(
	struct clusters *all, struct ev_loop *loop, struct offload *offload, struct ev_io *channel);
void clusters_fini(struct clusters *all);
struct cluster *clusters_find(const struct clusters *all, const char *name);
/* The one of that name, or a new one; NULL: out of memory. */
struct cluster *clusters_get(struct clusters *all, const char *name);
/* That cluster has another name now.  What had that before has the old one. */
void clusters_rename(struct clusters *all, const char *from, const char *to);
/* A packet of the supervisor's, checked.  false: it is none for us. */
bool clusters_take(struct clusters *all, const struct logwire_packet *p, struct fdpass_message *m);
/* Another supervisor is there: what was asked for must be asked again. */
void clusters_forget_asked(struct clusters *all);

/* Open what that slot needs. */
void cluster_begin(struct clusters *all, struct cluster *c, uint32_t slot);
/* The sink of a route for that slot, or that stream; NULL: out of memory. */
struct sink *cluster_sink(
	struct clusters *all, struct cluster *c, struct route *route, uint32_t slot);
/* So many bytes of a pipe are put now, as lines or as they are: has it said little? */
void cluster_begin_lines(struct clusters *all, struct source_pipe *pipe, size_t len);
/* Bytes of a pipe, for sinks that take blocks. */
void cluster_put(struct clusters *all, struct source_pipe *pipe, const char *data, size_t len);
/* No more comes of it, or not soon: hand on the line that has no end yet. */
void cluster_end(struct clusters *all, struct source_pipe *pipe);
/* A line, for a sink that wants it formatted. */
void cluster_line(struct clusters *all, struct cluster *c, struct route *route,
	const struct format_line *line);
/* One of nclust's own, to a daemon. */
void cluster_tell(struct sink *o, const char *text, size_t len);

void cluster_lose(struct clusters *all, struct cluster *c, unsigned long lines);
void cluster_count_line(struct clusters *all, struct cluster *c); /* that was read */

/* Write where much has come together.  false: one takes no more now. */
bool cluster_flush_enough(struct clusters *all, struct cluster *c);
/* Write all that waits, and see whether its pipes may be read. */
void cluster_settle(struct clusters *all, struct cluster *c);
/* It has nearly all memory it may have: read and write little at a time. */
bool cluster_is_tight(const struct clusters *all, const struct cluster *c);
size_t clusters_share_of(const struct clusters *all, const struct cluster *c);
/* May one more write to a file be begun?  Not while too many are under way. */
bool cluster_may_write(const struct clusters *all, const struct cluster *c);
/* Is its file another one's, too? */
bool clusters_share_file(const struct sink *one);

/* Each time before the loop waits. */
void clusters_turn(struct clusters *all);
bool clusters_are_empty(const struct clusters *all);
/* Look after a sink soon. */
void clusters_need(struct clusters *all);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_CLUSTER_H
#define LOGGER_CLUSTER_H

#include "logger/format.h"
#include "logger/sink.h"
#include "os/fdpass.h"

/*
 * What the logger knows of each cluster: its sinks, which the supervisor names
 * (LOGWIRE_ROUTE), and how many of its lines were read and lost.  These numbers are
 * reported at most once a second, but the first lost lines at once (LOGWIRE_LINES,
 * LOGWIRE_DROPPED).  Lines of a cluster without a named sink go where LOGWIRE_SINK says.
 */
struct source_pipe;

struct route {
	enum sink_kind kind;
	bool by_slot;
	uint64_t size;
	ev_tstamp age;
	unsigned facility;
	bool old;
	char *name; /* heap: as the settings say it */
	struct sink *sinks;
};

/* After the named ones: one for lines with prefixes if there are none, one for copies. */
enum { ROUTE_STANDARD = LOGWIRE_ROUTES_MAX, ROUTE_COPY, ROUTES };

struct cluster {
	struct cluster *next;
	char name[65];
	unsigned sources;
	unsigned leaving; /* its sinks in the list of that name */

	struct source_pipe *unread_pipes; /* not watched, although they have something */
	struct source_pipe **unread_end;
	unsigned hanging; /* pipes of which a call hangs */
	bool told;        /* the log says that one does */
	bool too_many;    /* so many hang that none is read */
	bool paused;      /* none is read because a sink is full */

	struct route list[ROUTES];
	size_t count;         /* of the named ones */
	struct route *staged; /* heap: the next list, until all of it has come */
	uint32_t version;     /* of the list: answers about an older one are ignored */
	bool dirty;           /* something was put since it was last settled */
	unsigned writes;      /* under way to its files */
	size_t memory;        /* of its sinks */
	size_t resting;       /* bytes of unfinished lines, kept by its pipes */

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
	struct sink *leaving; /* removed ones, until what waits is written */
	bool sweep;           /* a cluster may be ready to be forgotten */
	ev_timer look;        /* while a sink is to be looked after */
	ev_timer report;
	bool hurried; /* it reports, or has just reported, lost lines */
	struct buffer scratch;
	size_t memory; /* of all sinks */
	bool is_quiet; /* the worker whose output is put now writes little */
	void *owner;
	void (*resume)(void *owner, struct cluster *c); /* its pipes are read again */
};

void clusters_init(
	struct clusters *all, struct ev_loop *loop, struct offload *offload, struct ev_io *channel);
void clusters_fini(struct clusters *all);
struct cluster *clusters_find(const struct clusters *all, const char *name);
/* The one of that name, or a new one; NULL: out of memory. */
struct cluster *clusters_get(struct clusters *all, const char *name);
/* That cluster has another name now.  If another cluster has that name it gets the old one. */
void clusters_rename(struct clusters *all, const char *from, const char *to);
/* A packet of the supervisor's, checked.  false: it is about something else. */
bool clusters_take(struct clusters *all, const struct logwire_packet *p, struct fdpass_message *m);
/* Another supervisor has taken over: what the old one did not answer is asked again. */
void clusters_forget_asked(struct clusters *all);

/* Open what that slot needs. */
void cluster_begin(struct clusters *all, struct cluster *c, uint32_t slot);
/* The sink of a route for that slot, or that stream; NULL: out of memory. */
struct sink *cluster_sink(
	struct clusters *all, struct cluster *c, struct route *route, uint32_t slot);
/* Before `len` bytes of a pipe are put: note whether its worker writes little. */
void cluster_begin_lines(struct clusters *all, struct source_pipe *pipe, size_t len);
/* Bytes of a pipe, for files. */
void cluster_put(struct clusters *all, struct source_pipe *pipe, const char *data, size_t len);
/* No more comes from the pipe, or not soon: put its unfinished line. */
void cluster_end(struct clusters *all, struct source_pipe *pipe);
/* A line, for a sink that wants it formatted. */
void cluster_line(struct clusters *all, struct cluster *c, struct route *route,
	const struct format_line *line);
/* A line of nclust's own, to a daemon. */
void cluster_tell(struct sink *o, const char *text, size_t len);

void cluster_lose(struct clusters *all, struct cluster *c, unsigned long lines);
void cluster_count_line(struct clusters *all, struct cluster *c); /* that was read */

/* Write to sinks for which much waits.  false: one of the sinks is full. */
bool cluster_flush_enough(struct clusters *all, struct cluster *c);
/* Write all that waits, and decide whether its pipes are read. */
void cluster_settle(struct clusters *all, struct cluster *c);
/* Its sinks have nearly all memory they may have: read and write little at a time. */
bool cluster_is_tight(const struct clusters *all, const struct cluster *c);
/* How much memory its sinks may have. */
size_t clusters_share_of(const struct clusters *all, const struct cluster *c);
/* May one more write to a file be begun?  Not while too many are under way. */
bool cluster_may_write(const struct clusters *all, const struct cluster *c);
/* Does another sink write to the same file? */
bool clusters_share_file(const struct sink *one);

/* Each time before the loop waits. */
void clusters_turn(struct clusters *all);
bool clusters_are_empty(const struct clusters *all);
/* Look after a sink soon. */
void clusters_need(struct clusters *all);

#endif

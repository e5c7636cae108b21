/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_ROUTE_H
#define LOGGER_ROUTE_H

#include "logger/format.h"
#include "logger/outlet.h"
#include "logger/source.h"
#include "os/fdpass.h"

/*
 * Which sinks each cluster has.  The supervisor names them (LOGWIRE_ROUTE), and this
 * opens those that are no standard output (logger/outlet.h).  A cluster that it has
 * named none of goes where LOGWIRE_SINK says.
 */
struct route {
	enum logwire_to kind;
	bool by_slot;
	uint64_t size;
	ev_tstamp age;
	unsigned facility;
	bool old;
	char *name; /* heap: as it was given */
	struct outlet *outlets;
};

struct routing {
	struct routing *next;
	char cluster[65];
	struct route list[LOGWIRE_ROUTES_MAX];
	size_t count;
	uint32_t version; /* of that list: what was asked for before is no more */
	bool used;        /* by a group of sources: for routes_sweep() */
	struct route staged[LOGWIRE_ROUTES_MAX]; /* until all have come */
	bool by_line;                            /* some want lines … */
	bool by_block;                           /* … and some blocks */
	bool dirty;                              /* something was put */
	bool paused;                             /* its pipes are not read now */
	unsigned writes;                         /* to files of it, under way */
	size_t memory;                           /* of its outlets */
	size_t resting;                          /* lines without an end, in buffers of sources */
};

struct routes {
	struct ev_loop *loop;
	struct offload *offload;
	struct ev_io *channel;
	struct drops *drops; /* the logger's */
	struct routing *list;
	uint32_t versions;      /* of all their lists */
	struct outlet *leaving; /* until all of theirs is written */
	ev_timer look;          /* an outlet is in need */
	struct buffer scratch;
	size_t memory; /* of all outlets */
	void *owner;
	void (*pause)(void *owner, const char *cluster, bool paused);
};

void routes_init(
	struct routes *r, struct ev_loop *loop, struct offload *offload, struct ev_io *channel);
void routes_fini(struct routes *r);
/* A packet of the supervisor's, checked.  false: it is none for us. */
bool routes_take(struct routes *r, const struct logwire_packet *p, struct fdpass_message *m);
/* Another supervisor is there: what was asked for must be asked again. */
void routes_forget_asked(struct routes *r);
/* That cluster has another name now.  What had that before has the old one. */
void routes_rename(struct routes *r, const char *from, const char *to);
/* The one of that cluster, or NULL. */
struct routing *routes_of(const struct routes *r, const char *cluster);
/* Free those that have no sinks and are not `used`, and set that of the others back. */
void routes_sweep(struct routes *r);
/* Open what that slot needs. */
void routes_begin(struct routes *r, struct routing *g, uint32_t slot);

/* Bytes of a pipe, for sinks that take blocks. */
void routes_put(struct routes *r, struct source_pipe *pipe, const char *data, size_t len);
/* No more comes of it, or not soon: hand on the line that has no end yet. */
void routes_end(struct routes *r, struct source_pipe *pipe);
/* A line, for the daemons among the sinks. */
void routes_line(struct routes *r, struct routing *g, const struct format_line *line);
/* One of nclust's own, to a daemon. */
void route_tell(struct outlet *o, const char *text, size_t len);

/* Write where much has come together.  false: one takes no more now. */
bool routes_flush_enough(struct routes *r, struct routing *g);
bool routes_have_room(struct routing *g);
/* The outlets of a cluster may have so much memory; they have nearly all of it: read and
 * write little at a time. */
size_t routes_share_of(const struct routes *r, const struct routing *g);
bool routes_are_tight(const struct routes *r, const struct routing *g);
/* Each time before the loop waits. */
void routes_turn(struct routes *r);
bool routes_are_empty(const struct routes *r);
/* Look after an outlet soon. */
void routes_need(struct routes *r);
/* Is its file another one's, too? */
bool routes_share(const struct outlet *o);
/* May one more write be begun?  Not while too many are under way. */
bool routes_may_write(const struct outlet *o);

#endif

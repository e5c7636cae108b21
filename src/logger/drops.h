/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_DROPS_H
#define LOGGER_DROPS_H

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Lines of each cluster, counted for the supervisor: those that were read, and those
 * that were lost on their way to a sink.  Lost ones are reported at once, and all at
 * most once a second (LOGWIRE_DROPPED, LOGWIRE_LINES).
 */
struct drops_of {
	struct drops_of *next;
	char cluster[65];
	uint64_t lines; /* lost, not reported yet */
	uint64_t read;  /* the same of all that were read */
	bool used;      /* for drops_sweep() */
};

struct drops {
	struct ev_loop *loop;
	int channel;           /* -1: there is nobody to tell */
	struct drops_of *list; /* heap */
	struct ev_timer told;  /* a second after that */
	bool hurried;          /* it reports, or has just reported, lost ones */
};

void drops_init(struct drops *d, struct ev_loop *loop, int channel);
void drops_fini(struct drops *d);
/* The counters of a cluster, until a sweep; NULL: no memory. */
struct drops_of *drops_of(struct drops *d, const char *cluster);
/* Free those that are not `used` and are reported, and set that of the others back. */
void drops_sweep(struct drops *d);
void drops_line(struct drops *d, struct drops_of *of); /* one was read */
void drops_add(struct drops *d, const char *cluster, unsigned long lines);
/* "nclust: 3 lines of output were dropped, WHY"; false: it does not fit. */
bool drops_say(char *to, size_t size, unsigned long lines, const char *why);
/* Lines with names before them ("web.2 | "), as a sink of the kind prefix has. */
void drops_add_named(struct drops *d, const char *text, size_t len);

#endif

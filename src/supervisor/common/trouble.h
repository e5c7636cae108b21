/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* Why a cluster does not run as it should, for `status`: how the last worker of each slot ended
 * unexpectedly, how many starts failed in a row, and why the last restart failed.  It is collected
 * from events, and goes through an upgrade. */

/* How a worker ended unexpectedly.  The texts are heap. */
struct trouble_end {
	uint32_t slot;
	uint64_t worker;
	nsec_t at; /* when the worker ended */
	nsec_t age;
	char *text;   /* such as "exit 1" */
	char *cause;  /* why, if nclust knows it; or NULL */
	char *output; /* the worker's last output; or NULL */
};

struct trouble {
	struct trouble_end *ends; /* heap: the last of each slot */
	size_t end_count;
	uint32_t last;  /* the slot whose worker ended last */
	unsigned tries; /* workers that never became ready, since the last worker did */
	char *restart;  /* heap: why the last restart failed; or NULL */
	nsec_t restart_at;
	unsigned restart_id;
	char *check; /* heap: that no worker passes the check; or NULL */
};

/* Take what this event says; its last output is known by now. */
void trouble_on_news(struct service *service, const struct news *n);

/* How that worker ended unexpectedly; NULL: it did not. */
const struct trouble_end *trouble_of(const struct service *service, uint32_t slot, uint64_t worker);

/* Write members of a status: "trouble" and "failed_restart" of a cluster; "last_failure" of a
 * slot. */
void trouble_put(struct json_writer *w, const struct service *service, nsec_t now);
/* Has the file other settings, which no rollout is bringing and a restart would not try again? */
bool trouble_needs_reload(const struct service *service);
void trouble_put_slot(
	struct json_writer *w, const struct service *service, uint32_t slot, nsec_t now);

/* The worker could not bind the port: log that once, and keep it as the cause of the worker's end.
 * `hint` says what a user can do, or which process has the port ("" or NULL: find out). */
void trouble_cannot_bind(struct child *child, int type, unsigned port, const char *what, int error,
	const char *hint);

/* May the worker of this exit have failed because it binds a port that nclust holds and does not
 * hand over? */
bool trouble_holds_port(const struct service *service, const struct report *r);

/* A worker wrote that an address is in use, and ended; nclust has not seen which address: guess the
 * cause. */
void trouble_guess_in_use(const struct service *service, uint64_t worker, char *to, size_t size);

/* A unix path that another worker of the cluster has bound; NULL: none. */
const char *trouble_path(const struct service *service, uint64_t worker);

/* The process that has the port, or what of nclust itself; "": not known. */
void trouble_find_holder(char who[HOLDER_TEXT], int type, unsigned port);

/* Set the cause to report when the worker ends, or forget it. */
void trouble_set_cause(struct child *child, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void trouble_forget_cause(struct child *child);

/* No worker seems to be able to pass the check, as `text` says; "": a worker has passed.  True:
 * this is new. */
bool trouble_set_check(struct service *service, const char *text);

extern const struct carried carried_trouble; /* of a cluster */
/* What the last failure of the cluster was, in short; NULL: none is known. */
const char *trouble_last(const struct service *service);
void trouble_free(struct service *service);

/* What to do if a second copy of a program can never become ready beside the first. */
#define TROUBLE_ONE_COPY \
	"if only one copy can run at a time: workers = 1, surge = 0, " \
	"max-unavailable = 1"

/* What to do with a program that ends, with success, at the end of its standard input. */
#define TROUBLE_INPUT \
	"if it ends with its standard input: that is /dev/null; to keep one open: " \
	"sh -c 'tail -f /dev/null | exec COMMAND'"

/* The first advice where that copy has bound a unix path. */
#define TROUBLE_SHARE_PATH "'-l unix:%s' if the program takes LISTEN_FDS"

/* What to do if a worker listens elsewhere because it finds that its port is open. */
#define TROUBLE_PROBES \
	"if it connects to its port first, to see if that is free: workers = 1, " \
	"intercept = off, ipc = off, surge = 0, max-unavailable = 1"

/* What to do with a program of Node that forks, or hears its workers. */
#define TROUBLE_OWN_PRIMARY \
	"nclust is the primary of Node's cluster module, and runs no code of one; to let the " \
	"program be its own: workers = 1, ipc = off"

/* The cause if a worker binds an address that nclust holds. */
#define TROUBLE_BINDS_ITSELF \
	"it binds the address itself, but nclust holds that: let it take its socket from " \
	"LISTEN_FDS, or as descriptor 3; a port is also shared with 'intercept = on'"

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TROUBLE_H
#define SUPERVISOR_TROUBLE_H

#include "supervisor/common/state.h"

/* Why a cluster does not run as it should, for `status`: how the last worker of each slot ended
 * unexpectedly, how many starts failed in a row, and why the last restart failed.  It is collected
 * from events (news.h), and goes through an upgrade. */

/* How a worker ended unexpectedly.  The texts are heap. */
struct trouble_end {
	uint64_t worker; /* 0: no worker of the slot ended so */
	nsec_t at;       /* when the worker ended */
	nsec_t age;
	char *text;   /* such as "exit 1" */
	char *cause;  /* why, if nclust knows it; or NULL */
	char *output; /* the worker's last output; or NULL */
};

struct trouble {
	struct trouble_end *ends; /* by slot; or NULL */
	uint32_t slots;
	uint32_t last;  /* the slot whose worker ended last */
	unsigned tries; /* workers that never became ready, since the last worker did */
	char *restart;  /* heap: why the last restart failed; or NULL */
	nsec_t restart_at;
	unsigned restart_id;
	char *check; /* heap: that no worker passes the check; or NULL */
};

struct news;
struct json_writer;
struct carried;

/* Take what this event says; its last output is known by now. */
void trouble_on_news(struct service *service, const struct news *n);

/* How that worker ended unexpectedly; NULL: it did not. */
const struct trouble_end *trouble_of(const struct service *service, uint32_t slot, uint64_t worker);

/* Write members of a status: "trouble" and "failed_restart" of a cluster; "last_failure" of a
 * slot. */
void trouble_put(struct json_writer *w, const struct service *service, nsec_t now);
void trouble_put_slot(
	struct json_writer *w, const struct service *service, uint32_t slot, nsec_t now);

/* The worker could not bind the port: log that once, and keep it as the cause of the worker's end.
 * `hint` says what a user can do, or which process has the port ("" or NULL: find out). */
void trouble_cannot_bind(struct child *child, int type, unsigned port, const char *what, int error,
	const char *hint);

/* A worker wrote that an address is in use, and ended; nclust has not seen which address.  Guess
 * the cause by ports in its last output. */
void trouble_guess_in_use(
	const struct service *service, uint64_t worker, char *to, size_t size, const char *output);

/* Set the cause to report when the worker ends; NULL: no cause. */
void trouble_set_cause(struct child *child, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* No worker seems to be able to pass the check, as `text` says; "": a worker has passed.  True:
 * this is new. */
bool trouble_set_check(struct service *service, const char *text);

extern const struct carried carried_trouble; /* of a cluster */
void trouble_free(struct service *service);

/* What to do if a second copy of a program can never become ready beside the first. */
#define TROUBLE_ONE_COPY "if only one copy can run at a time: surge = 0, max-unavailable = 1"

/* The cause if a worker binds a port that nclust holds. */
#define TROUBLE_BINDS_ITSELF \
	"it binds the port itself, but nclust holds that port: let it take " \
	"its socket from LISTEN_FDS, or set 'intercept = on'"

#endif

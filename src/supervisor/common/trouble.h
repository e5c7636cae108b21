/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_TROUBLE_H
#define SUPERVISOR_TROUBLE_H

#include "supervisor/common/state.h"

/*
 * Why a cluster does not run as it should, kept for `status`: how the last
 * worker of each slot ended unexpectedly, how often a start failed, and why the
 * last restart failed.  All of it comes from the news (news.h) and goes through
 * an upgrade.  A cluster that never had trouble has no struct.
 */

/* How a worker ended unexpectedly.  The texts are heap. */
struct trouble_end {
	uint64_t worker; /* 0: none ended so */
	nsec_t at;       /* when; and its age then */
	nsec_t age;
	char *text;   /* "exit 1" */
	char *cause;  /* why, as nclust knows it; or NULL */
	char *output; /* the last output that it left; or NULL */
};

struct trouble {
	struct trouble_end *ends; /* by slot; NULL: no worker ended so */
	uint32_t slots;
	uint32_t last;  /* the slot that ended last */
	unsigned tries; /* workers that never became ready, since one did */
	char *restart;  /* heap: "web.0: exit 1 …", of the last restart, if
			    that failed; or NULL */
	nsec_t restart_at;
	unsigned restart_id;
	char *check; /* heap: that nobody passes the check; or NULL */
};

struct news;
struct json_writer;
struct carried;

/* Take what this record says; its last output, if any, is known by now. */
void trouble_on_news(struct service *service, const struct news *n);

/* How that worker ended; NULL: it runs, or ended as it was asked to. */
const struct trouble_end *trouble_of(const struct service *service, uint32_t slot, uint64_t worker);

/* The members of a status: "trouble" and "failed_restart" of a cluster,
 * "last_failure" of a slot. */
void trouble_put(struct json_writer *w, const struct service *service, nsec_t now);
void trouble_put_slot(
	struct json_writer *w, const struct service *service, uint32_t slot, nsec_t now);

/* The worker could not bind the port: log it, once, and keep it as the cause of
 * its end.  `hint` says what a user can do, or who has the port ("" or NULL:
 * look for the process that has it). */
void trouble_cannot_bind(struct child *child, int type, unsigned port, const char *what, int error,
	const char *hint);

/* A worker, which has ended, wrote that an address is in use, but nclust has not seen
 * which one: find the cause from the port in its last output. */
void trouble_guess_in_use(
	const struct service *service, uint64_t worker, char *to, size_t size, const char *output);

/* Set the cause to report if the worker ends soon; NULL: none. */
void trouble_set_cause(struct child *child, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

/* No worker can pass the check, it seems; "": one has.  True: that is news. */
bool trouble_set_check(struct service *service, const char *text);

extern const struct carried carried_trouble; /* of a cluster */
void trouble_free(struct service *service);

/* What to do where a second copy can never become ready beside the first. */
#define TROUBLE_ONE_COPY "if only one copy can run at a time: surge = 0, max-unavailable = 1"

/* The cause for a worker that binds a port that nclust holds. */
#define TROUBLE_BINDS_ITSELF \
	"it binds the port itself, but nclust holds that port: let it take " \
	"its socket from LISTEN_FDS, or set 'intercept = on'"

#endif

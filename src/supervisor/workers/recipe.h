/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/environ.h"
#include "os/socket/endpoint.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/state.h"

#include <sched.h>

/* ---- what differs by worker ---- */

/* The protocol of a worker's message channel (messages/channel.h). */
enum channel_kind {
	CHANNEL_NONE,
	CHANNEL_PLAIN, /* NCLUST_CHANNEL_FD: every line is a message */
	CHANNEL_NODE,  /* NODE_CHANNEL_FD: the protocol of Node's cluster module */
	CHANNEL_KINDS,
};

/* What differs between workers of a generation. */
struct worker_place {
	const struct recipe *recipe;
	unsigned nth; /* index among the workers that are started at once */
	uint32_t slot;
	uint64_t serial;
	unsigned lane;    /* drain/steer.h */
	unsigned workers; /* how many workers the cluster is to have */
	int input;        /* its stdin; -1: /dev/null */
	int output[2];    /* write ends for stdout and stderr, or -1 */
	int notify;       /* its notify socket, or -1 */
	int ready;        /* it is to write a newline there once it is ready; or -1 */
	int ready_number;
	int channel;            /* the worker's end of its message channel, or -1 */
	enum channel_kind kind; /* of `channel` */
	int leader;             /* the file behind NCLUST_LEADER_FD, or -1 */

	/* accept = yes: the connection that the process serves */
	const struct peer *peer; /* NULL: no connection */
	int connection;
	const char *path; /* of a unix listener, or NULL */
	unsigned same;    /* connections from the same address; 0: not counted */
};

/* A worker that is about to be started: its place, and the plan of its spawn,
 * to which rooms add what they give it (moment_prepare()). */
struct birth {
	struct worker_place place;
	struct spawn_plan plan;
	struct spawn_trap trap; /* plan.trap, if the worker's calls are trapped */
};

/* ---- recipe ---- */

/* A recipe is what all workers of a generation have in common.  It is made when the generation
 * begins, so each rollout reads env-file and PATH anew, and dropped when no worker needs it. */

/* The recipe of a generation, made when it is needed first.  NULL and `err`. */
struct recipe *recipe_get(struct service *service, unsigned generation,
	const struct cluster_settings *settings, struct error *err);
/* Drop recipes that are not of the generation in force, of the rollout under way, or of the
 * settings in force: a recipe holds listeners, which must not outlive their settings. */
void recipes_trim(struct service *service);
/* After an upgrade: compute the limits from the settings. */
void recipe_limits(struct recipe *r, const struct rlimit *nofile);
void recipes_free(struct service *service);
/* After a failed rollout the former settings are in force again: use their listeners.  Listeners
 * that these settings alone have may be closed, and are opened again then. */
void recipes_follow_settings(struct service *service);
/* Open the listeners that new slots have for themselves, before their first worker; and release
 * the listeners of slots that are gone. */
int recipes_open_slots(struct service *service, size_t slots, struct error *err);
void recipes_close_slots(struct service *service);

/* A recipe for a command of nclust's own, with nclust's user, environment and limits.  It takes
 * nothing from a cluster, whose files a worker may have written.  NULL and `err`. */
struct recipe *recipe_ours(const struct supervisor *sup, struct error *err);
void recipe_free(struct recipe *r);
/* Fill a spawn plan with the user, directory and limits of a recipe's workers; the caller adds
 * command and descriptors. */
void recipe_plan(const struct supervisor *sup, struct spawn_plan *plan, const struct recipe *r);

/* Does nclust itself accept connections for Node's workers, and hand them out in turn?  The second
 * asks without a recipe; `policy` is NODE_CLUSTER_SCHED_POLICY or NULL. */
bool recipe_accepts(const struct recipe *r);
bool settings_accept(const struct cluster_settings *s, const char *policy);
/* Is the kernel to spread connections over a socket for each worker?  The second asks for settings,
 * and leaves out whether nclust accepts itself. */
bool recipe_spreads(const struct recipe *r);
bool settings_spread(const struct cluster_settings *s, enum node_runtime runtime);

/* The value of "KEY=" in the recipe's environment, or NULL. */
const char *recipe_env(const struct recipe *r, const char *key);
/* The paths at which a program may be, by PATH of the recipe's environment.  -1 and `err`. */
int recipe_candidates(
	struct strings *to, const struct recipe *r, const char *name, struct error *err);

/* Check before a start or reload that a recipe can be made of these settings, and that nclust has
 * the rights that they need.  `patient`: wait for file servers, because the loop does not run. */
int recipe_check(const struct supervisor *sup, const struct cluster_settings *settings,
	bool patient, struct error *err);

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LISTENER_H
#define SUPERVISOR_LISTENER_H

#include "supervisor/common/state.h"

/*
 * Listeners are owned by nclust: opened before the first worker, held while
 * anything may need them, counted by the sets that name them.  One shared
 * socket each.
 */

/* Take what our own LISTEN_FDS says is there (sd_listen_fds(3): only if
 * LISTEN_PID is us), and close every other descriptor that no `fd:N` of the
 * settings names.  Called first, when nothing of ours is open. */
int listeners_inherit(struct supervisor *sup, struct error *err);

/*
 * Open what `settings` names into *set.  A listener that `known` or another
 * service already holds for the same place is kept.  On failure nothing that
 * was opened here stays open.
 */
int listeners_open(struct supervisor *sup, struct listener_set *set,
	const struct cluster_settings *settings,
	const struct listener_set *known, struct error *err);
/* The set is in force now: names and backlogs of listeners that were kept
 * become those of the settings it was opened for. */
void listeners_adopt(const struct listener_set *set,
	const struct cluster_settings *settings);
/* Of that place; NULL: there is none (nor a set). */
struct listener *listeners_find(
	const struct listener_set *set, const struct address *address);
/* The listeners of these settings, in their order, among those that the
 * service and its recipes hold.  -1 and errno: out of memory, or one is not
 * there any more. */
int listeners_pick(struct listener_set *to,
	const struct cluster_settings *settings, const struct service *service);
/* Give a set back; a listener that nobody holds any more is closed, and its
 * file removed. */
void listeners_release(struct listener_set *set);
void listener_release(struct listener *l); /* one of a set */
int listeners_share(struct listener_set *to, const struct listener_set *from);

/* What it listens on, as "tcp:127.0.0.1:80" or "unix:/run/x".  The kernel knows
 * a path too long for a socket address only by another name. */
const char *listener_text(const struct listener *l);

/* The port of the one TCP listener (UDP if there is no TCP), or 0. */
uint16_t listeners_port(const struct listener_set *set);

#endif

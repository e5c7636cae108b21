/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LISTENER_H
#define SUPERVISOR_LISTENER_H

#include "supervisor/common/state.h"

/*
 * nclust owns the listeners: it opens them before it starts the first worker,
 * and holds them while anything may need them.  The sets that contain a
 * listener are counted.  Each has one shared socket (more while steering:
 * group.h).
 */

/* Take the descriptors that LISTEN_FDS passes to nclust (sd_listen_fds(3)), and
 * close all others but those that the settings name by `fd:N`.  Called first,
 * before nclust opens a descriptor. */
int listeners_inherit(struct supervisor *sup, struct error *err);

/* Open what `settings` names into *set, for so many slots (slot 0 always has what
 * it is to have).  A listener that `known` or another service already holds for the
 * same place is kept.  On failure nothing that was opened here stays open. */
int listeners_open(struct supervisor *sup, struct listener_set *set,
	const struct cluster_settings *settings, size_t slots, const struct listener_set *known,
	struct error *err);
/* For how many slots the set has listeners; SIZE_MAX: for any. */
size_t listeners_slots(const struct listener_set *set);
/* Whose is the one at that place of the list?  SLOT_ALL: all slots share it. */
uint32_t listeners_slot(const struct listener_set *set, size_t at);
/* The n-th one of that slot, in the order of `listen`; NULL: there is none. */
struct listener *listeners_at(const struct listener_set *set, uint32_t slot, size_t n);
/* Open what is missing in a set of that service (and of no other) for so many
 * slots.  -1 and `err`: nothing has changed. */
int listeners_grow(struct listener_set *set, const struct cluster_settings *settings, size_t slots,
	const struct service *service, struct error *err);
/* Release what slots from `slots` on have for themselves. */
void listeners_trim(struct listener_set *set, size_t slots);
/* One that both sets have, where one of them has some of each slot's own; or NULL. */
const struct listener *listeners_common(const struct listener_set *a, const struct listener_set *b);
/* The set is in force now: give listeners that were kept the names and backlogs
 * of the settings that it was opened for. */
void listeners_adopt(const struct listener_set *set, const struct cluster_settings *settings);
/* Bind what is to be no cluster's listener, with the same reasons on failure.
 * The descriptor, the caller's; or -1 and `err`. */
int listener_bind(const struct address *a, struct socket_file *made, struct error *err);
/* The same of a unix socket, with the rights of that user: clients are told its ids, and
 * not ours. */
struct vfork_user;
int listener_bind_as(const struct address *a, const struct vfork_user *user,
	struct socket_file *made, struct error *err);
/* The listener of that address; NULL: there is none (`set` may be NULL). */
struct listener *listeners_find(const struct listener_set *set, const struct address *address);
/* The listeners of these settings, in their order, among those that the
 * service and its recipes hold, for as many slots.  -1 and `err`: out of memory, or
 * one is not there any more. */
int listeners_pick(struct listener_set *to, const struct cluster_settings *settings,
	const struct service *service, struct error *err);
/* Release all listeners of a set.  One that is in no other set is closed, and
 * its file removed. */
void listeners_release(struct listener_set *set);
void listener_release(struct listener *l); /* the same for one of them */
int listeners_share(struct listener_set *to, const struct listener_set *from);

/* The listener's address, as "tcp:127.0.0.1:80" or "unix:/run/x". */
const char *listener_text(const struct listener *l);
/* The same, but what all slots have in common of an address of their own: that
 * with "{slot}". */
const char *listener_common_text(const struct listener *l);

/* The port of the one TCP listener (UDP if there is no TCP), or 0. */
uint16_t listeners_port(const struct listener_set *set);

#endif

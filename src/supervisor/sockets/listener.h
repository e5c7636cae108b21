/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/vfork.h"
#include "supervisor/common/carried.h"

/* nclust owns the listeners: it opens them before it starts the first worker, and closes each when
 * no set of listeners contains it any more.  A listener has one socket, which all workers share, or
 * several (group.h). */

/* Take the descriptors of LISTEN_FDS (sd_listen_fds(3)) and those that the settings name by `fd:N`,
 * and close all others.  Called before nclust opens any descriptor. */
int listeners_inherit(struct supervisor *sup, struct error *err);

/* Open the listeners of `settings` into *set, for so many slots (at least slot 0).  A listener of
 * the same address that `known` or another service has is used again.  On failure nothing that was
 * opened here stays open. */
int listeners_open(struct supervisor *sup, struct listener_set *set,
	const struct cluster_settings *settings, size_t slots, const struct listener_set *known,
	struct error *err);
/* The slot that alone has the listener at that index; SLOT_ALL: all slots share it. */
uint32_t listeners_slot(const struct listener_set *set, size_t at);
/* The n-th listener of that slot, in the order of `listen`; NULL: there is none. */
struct listener *listeners_at(const struct listener_set *set, uint32_t slot, size_t n);
/* Open what a set of the service lacks for so many slots, and take nothing of other services.  -1
 * and `err`: nothing has changed. */
int listeners_grow(struct listener_set *set, const struct cluster_settings *settings, size_t slots,
	const struct service *service, struct error *err);
/* Release what slots from `slots` on have for themselves alone. */
void listeners_trim(struct listener_set *set, size_t slots);
/* A listener that both sets contain, or NULL. */
const struct listener *listeners_common(const struct listener_set *a, const struct listener_set *b);
/* The set is in force now: its listeners get the names and backlogs of its settings. */
void listeners_adopt(const struct listener_set *set, const struct cluster_settings *settings);
/* Bind a socket that is no cluster's listener.  Returns the descriptor, which the caller owns; -1
 * and `err`: it says who has the port. */
int listener_bind(const struct address *a, struct socket_file *made, struct error *err);
/* The same for a unix socket, as that user: SO_PEERCRED gives clients the ids of who called
 * listen(2). */
int listener_bind_as(const struct address *a, const struct vfork_user *user,
	struct socket_file *made, struct error *err);
/* Make a set for these settings of listeners that the service and its recipes have, for all of its
 * slots; one that is closed already is opened again.  -1 and `err`. */
int listeners_pick(struct listener_set *to, const struct cluster_settings *settings,
	const struct service *service, struct error *err);
/* Release all listeners of a set.  A listener that is in no other set is closed, and its file
 * removed. */
void listeners_release(struct listener_set *set);
void listener_release(struct listener *l); /* the same for a single listener */
int listeners_share(struct listener_set *to, const struct listener_set *from);

/* The listener's address, as "tcp:127.0.0.1:80" or "unix:/run/x". */
const char *listener_text(const struct listener *l);
/* The same; but of a listener of a slot's own the text with "{slot}", as all slots have it. */
const char *listener_common_text(const struct listener *l);

/* The port of the only TCP listener (of the only UDP listener, if there is no TCP), or 0. */
uint16_t listeners_port(const struct listener_set *set);

/* ---- holding ---- */

/* Names a listener or a segment of shared memory for moment_let_go(); the other is NULL. */
struct holding {
	struct listener *listener;
	struct listener_socket *socket; /* one of the listener's sockets; NULL: all of them */
	struct segment *segment;
};

/* Walks over the listeners of a service: of the settings in force, of the recipes of other
 * generations, and learned listeners.  A listener that is in several of these sets
 * is visited several times. */
enum listener_sets {
	LISTENERS_ALL,
	LISTENERS_NAMED,    /* named by settings: those in force, or a recipe's */
	LISTENERS_IN_FORCE, /* of the settings in force, and learned listeners */
	LISTENERS_ONCE,     /* those in force, each once */
};
struct listener_walk {
	const struct service *service;
	enum listener_sets sets;
	const struct child *child; /* leave out what other slots have for themselves; or NULL */
	const struct listener_set *set; /* the set of `at`; NULL: the walk has not begun */
	const struct recipe *recipe;    /* its set comes next */
	size_t at;
};

struct listener_walk listeners_of(const struct service *service, enum listener_sets sets);
/* Walk over the listeners that this worker may have. */
struct listener_walk listeners_for(const struct child *child, enum listener_sets sets);
/* The next listener; NULL: there is none. */
struct listener *listener_next(struct listener_walk *walk);
#define for_each_listener(l, walk) \
	for (struct listener_walk l##_walk = (walk); ((l) = listener_next(&l##_walk)) != NULL;)
/* The first listener `l` that the condition is true of, or NULL. */
#define listener_find(l, walk, condition) \
	__extension__({ \
		struct listener_walk l##_walk = (walk); \
		__typeof__(listener_next(&l##_walk)) l = listener_next(&l##_walk); \
\
		while (l != NULL && !(condition)) \
			l = listener_next(&l##_walk); \
		l; \
	})

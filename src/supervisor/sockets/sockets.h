/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"
#include "supervisor/common/moment.h"
#include "supervisor/common/state.h"

/* ---- listener ---- */

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

/* ---- learned ---- */

/* Learned listeners: a worker has bound an address that no setting names, and nclust keeps the
 * socket for the workers after it.  The service owns its learned listeners, and closes one that no
 * worker has used for a while. */

/* Put all listeners with that key which the worker may have into `found`, each once, named ones
 * first.  Returns their number. */
size_t learned_find(const struct child *child, const struct socket_key *key,
	struct listener **found, size_t most);
/* The named listener for a worker that binds all addresses of a port, when the
 * user has named one of these addresses.  NULL: there is none. */
struct listener *learned_cover(const struct child *child, const struct socket_key *key);
/* The listener that a setting names for this worker and key (NULL: any), also by its port alone. */
struct listener *learned_named(const struct child *child, const struct socket_key *key);
/* Does a named socket of all addresses keep the worker from that address, and cannot serve it? */
bool learned_blocks(const struct child *child, const struct socket_key *key);
/* The listener that has a socket with this inode, or NULL. */
struct listener *learned_by_inode(const struct service *service, uint64_t inode);
/* Describe which listener of this nclust has what the worker cannot bind; "": none has. */
void learned_describe_holder(
	const struct child *child, const struct socket_key *key, char *to, size_t size);

/* Keep a bound socket; on success the listener owns `fd`.  NULL and `err`: too many listeners, or
 * no memory. */
struct listener *learned_add(
	struct service *service, const struct socket_key *key, int fd, struct error *err);
/* The same for a unix socket that nclust has bound for a worker ('@': abstract); and the listener,
 * named or learned, of such a path. */
struct listener *learned_add_unix(struct service *service, const char *path, int fd,
	const struct socket_file *made, struct error *err);
struct listener *learned_find_unix(const struct child *child, const char *path);
/* Is the listener learned, and has no reload named it since? */
static inline bool learned_only(const struct listener *l)
{
	return l->learned && l->users == 1;
}

/* Write the listeners that the worker uses into its entry of the state file. */
void learned_note(const struct child *child);
/* The worker's `thread` has bound this listener.  Users of learned listeners are counted. */
void learned_use(struct child *child, struct listener *l, pid_t thread);
/* The worker uses the listener no more.  True: it was the last worker that did. */
bool learned_unuse(struct child *child, struct listener *l);
bool learned_has(const struct child *child, const struct listener *l);
/* The same, or was the worker passed it?  Not if a reload has added the listener since. */
bool learned_or_passed(const struct child *child, const struct listener *l);
/* Close a listener that no worker uses any more.  `by` is the worker that caused that, or NULL. */
void learned_close(struct service *service, struct listener *l, struct child *by);
/* Does any worker but `not_this` (or NULL) use the listener? */
bool learned_is_used(const struct listener *l, const struct child *not_this);
/* The worker binds another address of this port: close the learned listeners of the port that no
 * worker uses.  True: there were some. */
bool learned_make_way(struct child *child, const struct socket_key *key);
void learned_drop(struct service *service, struct listener *l);
void learned_drop_all(struct service *service);

/* A worker is gone, and uses no listener any more. */
void learned_forget_worker(struct child *child);
/* After an upgrade, or when clients wait for workers alone again: close those that no worker uses
 * in time. */
void learned_resume(struct service *service);
void learned_init(struct supervisor *sup);

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

/* ---- segment ---- */

/*
 * `shared-memory`: a segment is memory that the workers of a cluster share.
 * nclust holds it, over deaths, rollouts, reloads, upgrades and adoption, as
 * long as the settings ask for the same size.  When the size changes, the
 * workers of the new settings get a new segment.
 *
 * Uses are counted: of the cluster (the segment in force, and the former one
 * while a rollout may still go back to it) and of each recipe.
 */

/* Add a use of the segment that the settings ask for: a segment of `known` (NULL: the service is
 * new), of an earlier nclust, or a new one.  *segment is NULL if they ask for none.  -1 and
 * `err`. */
int segment_open(struct supervisor *sup, struct segment **segment,
	const struct cluster_settings *settings, const struct service *known, struct error *err);
void segment_release(struct segment *segment); /* NULL: nothing */

/* The settings that ask for this segment come into force; takes over the caller's use. */
void segment_change(struct service *service, struct segment *segment);
/* A rollout is over: release the former segment.  If the rollout has failed,
 * the former settings, and so the former segment, are in force again. */
void segment_settle(struct service *service, bool failed);
/* The service is dropped: release its segments. */
void segment_drop(struct service *service);

/* ---- carry sockets ---- */

/* How listeners and shared memory go through an upgrade.  Each is written once, before the clusters
 * that refer to it. */
extern const struct carried carried_listener;
extern const struct carried carried_inherited; /* LISTEN_FDS and fd:N */
extern const struct carried carried_socket;    /* of a listener that has several */
extern const struct carried carried_segment;

/* Sets are carried as references to listeners; carried_learned has room for LEARNED_MAX. */
extern const struct carried carried_set;
extern const struct carried carried_learned;

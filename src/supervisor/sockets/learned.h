/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

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

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_LEARNED_H
#define SUPERVISOR_LEARNED_H

#include "supervisor/common/state.h"

/*
 * Listeners that nobody named: a worker has bound them by itself, and nclust
 * keeps them for those that come after it.  They are the service's, and live
 * until no worker has used them for a while.
 */

/* All listeners of a service with that key, named ones first; each once.
 * Returns how many were put into `found`. */
size_t learned_find(const struct service *service, const struct socket_key *key,
	struct listener **found, size_t most);
/*
 * A named one that stands for a bind to all addresses of its port: the user has
 * said which of them it shall be.  NULL: there is none.
 */
struct listener *learned_cover(
	const struct service *service, const struct socket_key *key);
/* Has the user named this, be it by a bare port?  Or anything at all? */
struct listener *learned_named(
	const struct service *service, const struct socket_key *key);
bool learned_is_named(
	const struct service *service, const struct socket_key *key);
bool learned_any_named(const struct service *service);
/* The one whose socket has this inode, or NULL. */
struct listener *learned_by_inode(
	const struct service *service, uint64_t inode);

/* Keep a bound socket (taken over, where it succeeds).  NULL and `err`: there are
 * too many, or no memory. */
struct listener *learned_add(struct service *service,
	const struct socket_key *key, int fd, struct error *err);
/* The same of a unix path ('@': abstract), bound for a worker; and the one that is
 * held for such a path, named or learned. */
struct listener *learned_add_unix(struct service *service, const char *path,
	int fd, const struct socket_file *made, struct error *err);
struct listener *learned_find_unix(
	const struct service *service, const char *path);
/* Learned, and not named by a reload since. */
static inline bool learned_only(const struct listener *l)
{
	return l->learned && l->users == 1;
}

/* What is known of the worker, into its entry of the state file. */
void learned_note(const struct child *child);
/* A worker has it, bound by that thread; only learned ones are counted. */
void learned_use(struct child *child, struct listener *l, pid_t thread);
/* It has it no more.  True: nobody has. */
bool learned_unuse(struct child *child, struct listener *l);
/* Close it: its last user has done so. */
void learned_close(struct service *service, struct listener *l);
/* Does any worker have it?  But `not_this`, if given. */
bool learned_is_used(const struct listener *l, const struct child *not_this);
/* Drop those of this port that no worker has: the command is another one now.
 * Returns whether there were any. */
bool learned_make_way(struct service *service, const struct socket_key *key);
void learned_drop(struct service *service, struct listener *l);
void learned_drop_all(struct service *service);

/* A worker is gone. */
void learned_on_end(struct child *child);
/* Those that were carried. */
void learned_resume(struct service *service);
void learned_init(struct supervisor *sup);
void learned_fini(struct supervisor *sup);

#endif

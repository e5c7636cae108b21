/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/internal.h"

#include "base/scope.h"
#include "config/expand.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/sockets.h"
#include "supervisor/workers/child.h"

#include <stdio.h>
#include <unistd.h>

/* Time from one look to the next: twice as long each time. */
#define WAIT_LEAST (1 * SECOND)
#define WAIT_MOST (1 * MINUTE)

struct search {
	const struct service *service;
	pid_t tree[TREE_MAX];
	size_t count;
	unsigned seen; /* descriptors */
	uint64_t held; /* bits of learned listeners of which a process has a socket */
};

static bool note_fd(void *context, int fd, const char *target)
{
	struct search *s = context;
	const struct listener_set *set = &s->service->sockets.learned;
	uint64_t inode = remote_socket_inode(target);

	(void)fd;
	s->seen++;
	for (size_t i = 0; inode != 0 && i < set->count; i++)
		if (group_has_inode(set->list[i], inode))
			s->held |= UINT64_C(1) << set->list[i]->bit;
	return false;
}

/* False: some descriptors were not seen. */
static bool search_all(struct child *child, struct search *s)
{
	struct remote r = {0};
	bool whole = s->count < TREE_MAX;

	for (size_t i = 0; i < s->count && whole; i++) {
		remote_of(&r, s->tree[i]);
		whole = remote_each_fd(&r, LOOK_MAX - s->seen, note_fd, s) == 0 &&
			s->seen < LOOK_MAX;
		intercept_check_late(child, &r);
	}
	return whole;
}

/* May a process have the socket that is no descendant of the worker any more? */
static bool may_have_strayed(
	const struct child *child, const struct search *s, const struct listener *l)
{
	struct process_facts facts;
	uint64_t process = 0;

	(void)process_status(l->binder, "Tgid:", 10, &process);
	for (size_t i = 0; i < s->count; i++)
		if ((uint64_t)s->tree[i] == process)
			return false;
	if (process_look(l->binder, &facts) == -1)
		return s->count > 1;
	return facts.session == child->pid ||
		child_by_pid(child->service->sup, facts.session) == NULL;
}

bool closed_has_probes(const struct child *child, const struct socket_key *but)
{
	const struct listener_set *set = &child->service->sockets.learned;

	if (!allowance_is_ample(&child->trap.allowance))
		return false;
	for (size_t i = 0; i < set->count; i++)
		if (!set->list[i]->facts.listening && !set->list[i]->of_node &&
			learned_has(child, set->list[i]) &&
			!socket_key_equal(&set->list[i]->key, but))
			return true;
	return false;
}

void closed_forget(struct child *child, const struct socket_key *but)
{
	struct service *service = child->service;
	struct search s = {.service = service};
	nsec_t begun = allowance_begin();
	bool whole;

	if (child->listening.uses == 0 || !allowance_is_ample(&child->trap.allowance))
		return;
	s.count = process_tree(child->pid, s.tree, TREE_MAX);
	whole = search_all(child, &s);
	for (size_t i = service->sockets.learned.count; whole && i-- > 0;) {
		struct listener *l = service->sockets.learned.list[i];

		if (!learned_has(child, l) || l->of_node || (s.held >> l->bit & 1) != 0 ||
			(but != NULL && socket_key_equal(&l->key, but)) ||
			(l->facts.listening && may_have_strayed(child, &s, l)))
			continue;
		ports_forget(child, l);
		if (!learned_unuse(child, l))
			continue;
		if (l->facts.listening && learned_only(l))
			learned_close(service, l, child);
		else
			learned_drop(service, l);
	}
	intercept_charge(child, begun);
}

static void look_again_after(struct child *child, nsec_t wait)
{
	child->trap.late_wait = wait;
	intercept_look_after(child, &child->trap.late_by, wait);
}

void closed_await(struct child *child)
{
	look_again_after(child, WAIT_LEAST);
}

void closed_look(struct child *child)
{
	if (!intercept_is_due(child, child->trap.late_by))
		return;
	closed_forget(child, NULL);
	child->trap.late_by = 0;
	if ((child->listening.ports & ~child->listening.lasting) != 0)
		look_again_after(child, nsec_min(2 * child->trap.late_wait, WAIT_MOST));
}

/* ---- beside ---- */

static bool is_shared(const struct child *child, const struct listener *l)
{
	const struct child *other;

	for_each_child (other, children_of(child->service))
		if (other->slot != child->slot && learned_has(other, l))
			return true;
	return false;
}

/* Lists the ports that are to be shared; "": there are none. */
static void list_other_ports(const struct child *child, unsigned port, char *to, size_t size)
{
	const struct listener *l;
	size_t used = 0;

	to[0] = '\0';
	for_each_listener (l, listeners_for(child, LISTENERS_ALL))
		if (l->has_key && l->key.port != port && !l->ranged && !ports_is_late(child, l) &&
			used < size)
			used += (size_t)snprintf(
				to + used, size - used, "%s%u", used > 0 ? " " : "", l->key.port);
}

const char *beside_debugger(const struct child *child, unsigned port)
{
	const struct cluster_settings *s = child_settings(child);
	char *const *const words[] = {s->command.list, s->env.list, environ};
	const char *found = NULL;

	for (size_t i = 0; i < COUNT_OF(words) && found == NULL; i++)
		found = slotword_of_debugger(words[i], port);
	return found;
}

static void log_shared_port(struct child *child, struct listener *l)
{
	struct listener_walk all = listeners_for(child, LISTENERS_ALL);
	unsigned port = l->key.port;
	bool late = ports_is_late(child, l);
	const char *debugger = beside_debugger(child, port);
	char others[80];

	list_other_ports(child, port, others, sizeof(others));
	if (debugger == NULL &&
		((!late && !l->ranged) || others[0] == '\0' || l == listener_next(&all)))
		return;
	if (!once_say(l->said, ONCE_SHARED) || !news_spares(child))
		return;
	if (debugger != NULL)
		news_say_of(child->service, LOG_NOTE, "listening",
			"%s is shared: each request reaches any worker; "
			"%s{slot+%u} gives each its own",
			listener_text(l), debugger, port);
	else
		news_say_of(child->service, LOG_NOTE, "listening",
			"%s, %s, is shared: each request reaches any worker; "
			"{slot+%u} gives each its own, or 'share-ports = %s' leaves "
			"it to the program",
			listener_text(l), late ? "opened late" : "taken from a range", port,
			others);
}

void beside_look(struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;

	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = set->list[i];

		if (l->has_key && !once_said(l->said, ONCE_SHARED) && learned_only(l) &&
			child_settings(child) != NULL && learned_has(child, l) &&
			is_shared(child, l))
			log_shared_port(child, l);
	}
}

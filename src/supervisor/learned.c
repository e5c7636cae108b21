/* SPDX-License-Identifier: MIT */
#include "supervisor/learned.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/remote.h"
#include "supervisor/child.h"
#include "supervisor/listener.h"
#include "supervisor/service.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* After its last user so long, in case that one comes back. */
#define UNUSED_MAX (10 * SECOND)

#define ALL_MAX 256

/* ---- finding ---- */

struct all {
	struct listener *list[ALL_MAX];
	size_t count;
};

static void collect_set(struct all *all, const struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++) {
		size_t k = 0;

		while (k < all->count && all->list[k] != set->list[i])
			k++;
		if (k == all->count && k < ALL_MAX && set->list[i]->has_key)
			all->list[all->count++] = set->list[i];
	}
}

static void collect_named(struct all *all, const struct service *service)
{
	all->count = 0;
	collect_set(all, &service->listeners);
	/* during a rollout: of the one generation and the other */
	for (const struct recipe *r = service->recipes; r != NULL; r = r->next)
		collect_set(all, &r->listeners);
}

static size_t pick(const struct all *all, const struct socket_key *key,
	bool (*same)(const struct socket_key *, const struct socket_key *),
	struct listener **found, size_t most)
{
	size_t count = 0;

	for (size_t i = 0; i < all->count && count < most; i++)
		if (same(&all->list[i]->key, key))
			found[count++] = all->list[i];
	return count;
}

size_t learned_find(const struct service *service, const struct socket_key *key,
	struct listener **found, size_t most)
{
	struct all all untouched;
	size_t count;

	collect_named(&all, service);
	collect_set(&all, &service->learned);
	count = pick(&all, key, socket_key_equal, found, most);
	return count > 0 ? count
			 : pick(&all, key, socket_key_like, found, most);
}

/* Can who asked for all addresses be given this one in their place?  A program
 * that knows IPv4 alone could not read an IPv6 peer's address. */
static bool stands_for(const struct socket_key *l, const struct socket_key *key)
{
	struct socket_key plain = *key;

	/* as Java binds 127.0.0.1, by a socket for both */
	if (socket_key_unmap(&plain) && socket_key_like(l, &plain))
		return true;
	if (l->type != key->type || l->port != key->port ||
		!socket_key_is_any(key))
		return false;
	if (l->family == key->family)
		return !socket_key_is_any(l) || key->family == AF_INET6;
	return l->family == AF_INET && !key->v6only;
}

struct listener *learned_cover(
	const struct service *service, const struct socket_key *key)
{
	struct all all untouched;

	collect_named(&all, service);
	for (size_t i = 0; i < all.count; i++)
		if (stands_for(&all.list[i]->key, key))
			return all.list[i];
	return NULL;
}

bool learned_is_named(
	const struct service *service, const struct socket_key *key)
{
	struct all all untouched;

	collect_named(&all, service);
	for (size_t i = 0; i < all.count; i++) {
		const struct listener *l = all.list[i];

		if (socket_key_equal(&l->key, key) ||
			(l->address.kind == ADDRESS_TCP &&
				l->address.family == AF_UNSPEC &&
				l->key.port == key->port))
			return true;
	}
	return false;
}

bool learned_any_named(const struct service *service)
{
	struct all all untouched;

	collect_named(&all, service);
	return all.count > 0;
}

struct listener *learned_by_inode(const struct service *service, uint64_t inode)
{
	struct all all untouched;

	collect_named(&all, service);
	collect_set(&all, &service->learned);
	for (size_t i = 0; inode != 0 && i < all.count; i++)
		if (all.list[i]->inode == inode)
			return all.list[i];
	return NULL;
}

/* ---- keeping ---- */

/* As a user would have written it, so that a reload that names it finds it. */
static int make_address(struct address *address, const struct socket_key *key,
	struct error *err)
{
	char place[SOCKET_KEY_TEXT];
	char text[SOCKET_KEY_TEXT + 16];

	if (key->family == AF_INET6 && socket_key_is_any(key) && !key->v6only)
		(void)snprintf(text, sizeof(text), "tcp:%u", key->port);
	else
		(void)snprintf(text, sizeof(text), "%s%s",
			socket_key_text(key, place),
			key->family == AF_INET6 && socket_key_is_any(key)
				? ", v6only=yes"
				: "");
	return address_parse(address, text, err);
}

static unsigned free_bit(const struct service *service)
{
	uint64_t taken = 0;
	unsigned bit = 0;

	for (size_t i = 0; i < service->learned.count; i++)
		taken |= UINT64_C(1) << service->learned.list[i]->bit;
	while (bit < LEARNED_MAX && (taken >> bit & 1) != 0)
		bit++;
	return bit;
}

struct listener *learned_add(struct service *service,
	const struct socket_key *key, int fd, struct error *err)
{
	struct listener_set *set = &service->learned;
	unsigned bit = free_bit(service);
	struct listener *l;

	if (bit >= LEARNED_MAX) {
		(void)error_set(
			err, 0, "%d listeners are the most", LEARNED_MAX);
		return NULL;
	}
	if (set->list == NULL)
		set->list = calloc(LEARNED_MAX, sizeof(*set->list));
	l = set->list != NULL ? calloc(1, sizeof(*l)) : NULL;
	if (l == NULL || make_address(&l->address, key, err) == -1) {
		if (l == NULL)
			(void)error_set(err, ENOMEM, "a listener");
		free(l);
		return NULL;
	}
	l->fd = fd;
	l->heal = -1;
	l->users = 1;
	l->learned = true;
	l->bit = bit;
	l->has_key = true;
	l->key = *key;
	l->inode = remote_own_inode(fd);
	l->facts = (struct socket_facts){
		.family = key->family,
		.type = key->type,
		.port = key->port,
	};
	(void)socket_key_text(key, l->facts.text);
	set->list[set->count++] = l;
	return l;
}

static bool has(const struct child *child, const struct listener *l)
{
	return (child->uses >> l->bit & 1) != 0;
}

void learned_use(struct child *child, struct listener *l, pid_t thread)
{
	l->binder = thread;
	if (!l->learned || has(child, l))
		return;
	child->uses |= UINT64_C(1) << l->bit;
	l->workers++;
	l->unused_since = 0;
}

bool learned_is_used(const struct listener *l, const struct child *not_this)
{
	return l->workers > (not_this != NULL && has(not_this, l) ? 1U : 0U);
}

static void forget(struct child *child, const struct listener *l)
{
	if (child == NULL)
		return;
	child->uses &= ~(UINT64_C(1) << l->bit);
	child->listens &= ~(UINT64_C(1) << l->bit);
}

void learned_drop(struct service *service, struct listener *l)
{
	struct listener_set *set = &service->learned;

	for (size_t i = 0; i < set->count; i++) {
		if (set->list[i] != l)
			continue;
		set->count--;
		(void)memmove(&set->list[i], &set->list[i + 1],
			(set->count - i) * sizeof(*set->list));
		break;
	}
	/* its bit may be another's from now on */
	for (uint32_t slot = 0; slot < service->child_slots; slot++)
		for (int i = 0; i < 2; i++)
			forget(service->children[slot][i], l);
	l->learned = false; /* should a reload have named it */
	listener_release(l);
}

void learned_drop_all(struct service *service)
{
	while (service->learned.count > 0)
		learned_drop(service, service->learned.list[0]);
	free(service->learned.list);
	service->learned = (struct listener_set){0};
}

/* ---- those that nobody uses any more ---- */

static void arm(struct supervisor *sup)
{
	if (ev_is_active(&sup->intercept.trim))
		return;
	ev_timer_set(&sup->intercept.trim, nsec_seconds(UNUSED_MAX), 0.);
	ev_timer_start(sup->loop, &sup->intercept.trim);
}

/* Returns whether some are left to be looked at again. */
static bool trim(struct service *service, nsec_t now)
{
	bool settled = cluster_is_settled(service->core);
	bool more = false;

	for (size_t i = service->learned.count; i-- > 0;) {
		struct listener *l = service->learned.list[i];

		if (l->unused_since == 0)
			continue;
		if (!settled || now - l->unused_since < UNUSED_MAX) {
			more = true;
			continue;
		}
		log_note("%s: %s closed: no worker uses it any more",
			service->name, listener_text(l));
		learned_drop(service, l);
	}
	return more;
}

static void on_trim(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;
	bool more = false;

	(void)loop;
	(void)revents;
	for (size_t i = 0; i < sup->service_count; i++)
		more |= trim(sup->services[i], clock_now());
	if (more)
		arm(sup);
}

void learned_on_end(struct child *child)
{
	struct service *service = child->service;

	if (child->uses == 0)
		return;
	for (size_t i = 0; i < service->learned.count; i++) {
		struct listener *l = service->learned.list[i];

		if (!has(child, l) || --l->workers > 0)
			continue;
		l->unused_since = clock_now();
		arm(service->sup);
	}
	child->uses = 0;
}

void learned_init(struct supervisor *sup)
{
	ev_init(&sup->intercept.trim, on_trim);
	sup->intercept.trim.data = sup;
}

void learned_fini(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->intercept.trim);
}

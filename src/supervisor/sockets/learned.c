/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/learned.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/look/remote.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* How long a listener that no worker uses is kept: its last worker may be restarted. */
#define UNUSED_MAX (10 * SECOND)
/* When to look again, while some workers of the cluster are not settled. */
#define LOOK_AGAIN (200 * MSEC)

/* ---- finding ---- */

size_t learned_find(const struct child *child, const struct socket_key *key,
	struct listener **found, size_t most)
{
	bool (*same)(const struct socket_key *, const struct socket_key *) = socket_key_equal;
	size_t count = 0;

	for (int i = 0; count == 0 && i < 2; i++) {
		struct listener_walk walk = listeners_for(child, LISTENERS_ALL);
		struct listener *l;

		while (count < most && (l = listener_next(&walk)) != NULL)
			if (l->has_key && same(&l->key, key) && !array_has(found, count, l))
				found[count++] = l;
		same = socket_key_like;
	}
	return count;
}

/* Can this listener serve a worker that asked for all addresses?  A program
 * that only knows IPv4 could not read an IPv6 peer's address. */
static bool serves_all_addresses(const struct socket_key *l, const struct socket_key *key)
{
	struct socket_key plain = *key;

	/* Java binds 127.0.0.1 on a socket for both families */
	(void)socket_key_unmap(&plain);
	if (plain.device == 0) /* only the setting has `interface` */
		plain.device = l->device;
	if (socket_key_like(l, &plain))
		return true;
	if (l->type != key->type || l->port != key->port || !socket_key_is_any(key))
		return false;
	if (l->family == key->family)
		return !socket_key_is_any(l) || key->family == AF_INET6;
	return l->family == AF_INET && !key->v6only;
}

struct listener *learned_cover(const struct child *child, const struct socket_key *key)
{
	return listener_find(l, listeners_for(child, LISTENERS_NAMED),
		l->has_key && serves_all_addresses(&l->key, key));
}

static bool names_key(const struct listener *l, const struct socket_key *key)
{
	if (!l->has_key)
		return false;
	return key == NULL || socket_key_equal(&l->key, key) ||
		(l->address.kind == ADDRESS_TCP && l->address.family == AF_UNSPEC &&
			l->key.port == key->port);
}

struct listener *learned_named(const struct child *child, const struct socket_key *key)
{
	return listener_find(l, listeners_for(child, LISTENERS_NAMED), names_key(l, key));
}

/* Is `key` one of the addresses that `l` stands for? */
static bool covers(const struct socket_key *l, const struct socket_key *key)
{
	if (l->type != key->type || l->port != key->port)
		return false;
	if (!socket_key_is_any(l))
		return l->family == key->family && memcmp(l->ip, key->ip, sizeof(l->ip)) == 0;
	return l->family == key->family || (l->family == AF_INET6 && !l->v6only);
}

bool learned_blocks(const struct child *child, const struct socket_key *key)
{
	return listener_find(l, listeners_for(child, LISTENERS_NAMED),
		       l->has_key && socket_key_is_any(&l->key) && covers(&l->key, key)) != NULL;
}

struct listener *learned_by_inode(const struct service *service, uint64_t inode)
{
	if (inode == 0)
		return NULL;
	return listener_find(
		l, listeners_of(service, LISTENERS_ALL), l->has_key && group_has_inode(l, inode));
}

/* Returns the listener of this nclust that is in the way, and its cluster. */
static const struct listener *find_own_holder(
	const struct supervisor *sup, const struct socket_key *key, const struct service **whose)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		const struct listener *l;

		*whose = s;
		for_each_listener (l, listeners_of(s, LISTENERS_IN_FORCE))
			if (l->has_key && (covers(&l->key, key) || covers(key, &l->key)))
				return l;
	}
	return NULL;
}

void learned_describe_holder(
	const struct child *child, const struct socket_key *key, char *to, size_t size)
{
	const struct service *whose;
	const struct listener *l = find_own_holder(child->service->sup, key, &whose);
	struct listener_walk own = listeners_for(child, LISTENERS_IN_FORCE);
	const struct listener *o = NULL;
	bool others = l != NULL && l->address.each != NULL;

	/* a slot's own address may be in its way, too: 0.0.0.0 of 127.0.0.1 */
	while (others && (o = listener_next(&own)) != NULL)
		others = o != l;
	*to = '\0';
	if (l == NULL)
		return;
	if (whose != child->service)
		snprintf(to, size, "in use by cluster '%s' of this nclust", whose->name);
	else
		snprintf(to, size, "%s has %s already%s", others ? "another slot" : "this cluster",
			listener_text(l),
			learned_only(l) || others ? ""
						  : "; 'listen' should name the one "
						    "that the server binds, or none");
}

/* ---- keeping ---- */

/* Write the address as a user would, so that a reload that names it finds the listener. */
static int make_address(struct address *address, const struct socket_key *key, struct error *err)
{
	char place[SOCKET_KEY_TEXT];
	char text[SOCKET_KEY_TEXT + 16];

	if (key->family == AF_INET6 && socket_key_is_any(key) && !key->v6only)
		snprintf(text, sizeof(text), "tcp:%u", key->port);
	else
		snprintf(text, sizeof(text), "%s%s", socket_key_text(key, place),
			key->family == AF_INET6 && socket_key_is_any(key) ? ", v6only=yes" : "");
	return address_parse(address, text, err);
}

static unsigned free_bit(const struct service *service)
{
	uint64_t taken = 0;
	unsigned bit = 0;

	for (size_t i = 0; i < service->sockets.learned.count; i++)
		taken |= UINT64_C(1) << service->sockets.learned.list[i]->bit;
	while (bit < LEARNED_MAX && (taken >> bit & 1) != 0)
		bit++;
	return bit;
}

/* False: there is no room. */
static bool put_learned(struct service *service, struct listener *l)
{
	struct listener_set *set = &service->sockets.learned;
	unsigned bit = free_bit(service);

	if (set->list == NULL)
		set->list = calloc(LEARNED_MAX, sizeof(*set->list));
	if (set->list == NULL || bit >= LEARNED_MAX)
		return false;
	l->users++;
	l->learned = true;
	l->bit = bit;
	set->list[set->count++] = l;
	/* before the worker gets the listener, because a next nclust must know it */
	moment_write_down(service->sup);
	return true;
}

/* Add a copy of `model` to the learned listeners; takes over its address. */
static struct listener *add_learned(
	struct service *service, struct listener *model, struct error *err)
{
	struct listener *l = malloc(sizeof(*l));

	if (l != NULL) {
		*l = *model;
		l->sup = service->sup;
		l->ours_alone = true;
		l->inode = remote_own_inode(l->fd);
		if (put_learned(service, l))
			return l;
	}
	error_set(err, l == NULL ? ENOMEM : 0, "at most %d listeners", LEARNED_MAX);
	address_fini(&model->address);
	free(l);
	return NULL;
}

struct listener *learned_add(
	struct service *service, const struct socket_key *key, int fd, struct error *err)
{
	struct listener model = {
		.fd = fd,
		.has_key = true,
		.key = *key,
		.facts =
			{
				.family = key->family,
				.type = key->type,
				.port = key->port,
			},
	};

	(void)socket_key_text(key, model.facts.text);
	if (make_address(&model.address, key, err) == -1)
		return NULL;
	return add_learned(service, &model, err);
}

static bool is_path(const struct listener *l, const char *path)
{
	return l->address.kind == ADDRESS_UNIX && l->address.path != NULL &&
		strcmp(l->address.path, path) == 0;
}

struct listener *learned_find_unix(const struct child *child, const char *path)
{
	return listener_find(l, listeners_for(child, LISTENERS_ALL), is_path(l, path));
}

struct listener *learned_add_unix(struct service *service, const char *path, int fd,
	const struct socket_file *made, struct error *err)
{
	struct listener model = {.fd = fd, .made = true, .file = *made};
	scoped_str text = NULL;

	if (asprintf(&text, "unix:%s", path) == -1) {
		text = NULL;
		error_set(err, ENOMEM, "a listener");
		return NULL;
	}
	if (address_parse(&model.address, text, err) == -1)
		return NULL;
	/* no setting could name a path with a comma, which begins an option */
	if (!is_path(&model, path) || socket_look(fd, &model.facts, err) == -1) {
		address_fini(&model.address);
		return NULL;
	}
	return add_learned(service, &model, err);
}

bool learned_has(const struct child *child, const struct listener *l)
{
	return l->learned && (child->listening.uses >> l->bit & 1) != 0;
}

bool learned_or_passed(const struct child *child, const struct listener *l)
{
	const struct service *service = child->service;
	const struct recipe *r = recipe_of(service, child->generation);

	if (learned_has(child, l))
		return true;
	if (r == NULL) /* an adopted worker may be of other settings */
		return !child->saved.adopted || l->left_over ||
			child->generation == cluster_generation(service->core);
	return array_has(r->listeners.list, r->listeners.count, l);
}

void learned_note(const struct child *child)
{
	struct state_entry *e = child->saved.entry;

	if (e == NULL)
		return;
	e->uses = child->listening.uses;
	e->listens = child->listening.listens;
	e->bound_by = child->listening.bound_by;
	if (child->trap.known_to_listen)
		e->flags |= STATE_LISTENING;
}

void learned_use(struct child *child, struct listener *l, pid_t thread)
{
	l->binder = thread;
	/* only workers of settings that named it were passed it, and they may end */
	if (!l->learned && !learned_or_passed(child, l))
		(void)put_learned(child->service, l);
	if (!l->learned || learned_has(child, l))
		return;
	child->listening.uses |= UINT64_C(1) << l->bit;
	l->workers++;
	l->unused_since = 0;
	learned_note(child);
}

bool learned_is_used(const struct listener *l, const struct child *not_this)
{
	return l->workers > (not_this != NULL && learned_has(not_this, l) ? 1U : 0U);
}

static void forget_use(struct child *child, const struct listener *l)
{
	child->listening.uses &= ~(UINT64_C(1) << l->bit);
	child->listening.listens &= ~(UINT64_C(1) << l->bit);
	learned_note(child);
}

void learned_drop(struct service *service, struct listener *l)
{
	struct listener_set *set = &service->sockets.learned;
	struct listener **at = array_find(its, set->list, set->count, *its == l);
	struct child *child;

	if (at != NULL)
		memmove(at, at + 1, (size_t)(&set->list[--set->count] - at) * sizeof(*at));
	/* another listener may get this bit */
	for_each_child (child, children_of(service))
		forget_use(child, l);
	service->sup->orphans.changed = true;
	if (l->users > 1) /* a reload has named it since */
		l->learned = false;
	listener_release(l);
}

void learned_drop_all(struct service *service)
{
	while (service->sockets.learned.count > 0)
		learned_drop(service, service->sockets.learned.list[0]);
	free(service->sockets.learned.list);
	service->sockets.learned = (struct listener_set){0};
}

/* ---- learned listeners that no worker uses ---- */

/* The keeper may hold the socket for a moment yet.  So shut it down: a socket that does not listen
 * blocks no bind(2) (inet_csk_bind_conflict()). */
void learned_close(struct service *service, struct listener *l, struct child *by)
{
	if (by == NULL || news_spares(by))
		news_say_of(service, LOG_NOTE, "closed", "%s closed: no worker uses it any more",
			listener_text(l));
	socket_stop_listening(l->fd);
	learned_drop(service, l);
}

bool learned_make_way(struct child *child, const struct socket_key *key)
{
	struct service *service = child->service;
	bool made = false;

	for (size_t i = service->sockets.learned.count; i-- > 0;) {
		struct listener *l = service->sockets.learned.list[i];

		if (l->key.port != key->port || l->key.type != key->type || !learned_only(l) ||
			learned_is_used(l, NULL))
			continue;
		learned_close(service, l, child);
		made = true;
	}
	return made;
}

/* Is the cluster meant to have clients without workers: because the first client starts a worker,
 * or nclust answers clients (`fallback`)? */
static bool has_clients_without(const struct service *s)
{
	return s->sockets.asleep ||
		(cluster_next_settings(s->core)->fallback != NULL && cluster_wanted(s->core) == 0 &&
			!s->stage.leaving);
}

bool learned_unuse(struct child *child, struct listener *l)
{
	struct supervisor *sup = child->service->sup;
	const struct cluster *core = child->service->core;
	bool replaced = child->generation < cluster_latest_generation(core);
	bool for_good;

	if (!learned_has(child, l))
		return false;
	forget_use(child, l);
	if (--l->workers > 0)
		return false;
	/* If the slot of the last worker was scaled away, close the listener soon, because its
	 * clients would wait in vain; so they would when the rollout is over that has replaced it. */
	for_good = child->slot >= cluster_wanted(core) && !has_clients_without(child->service);
	l->unused_since = clock_now() - (for_good || replaced ? UNUSED_MAX : 0);
	timer_arm_within(sup->loop, &sup->sockets.trim, for_good ? 0 : LOOK_AGAIN);
	return true;
}

/* Close the learned listeners that no worker uses.  Returns the time until the next look;
 * NSEC_NEVER: workers use all of them. */
static nsec_t close_unused(struct service *service, nsec_t now)
{
	bool settled = cluster_is_settled(service->core);
	nsec_t again = NSEC_NEVER;

	if (has_clients_without(service))
		return again;

	for (size_t i = service->sockets.learned.count; i-- > 0;) {
		struct listener *l = service->sockets.learned.list[i];
		nsec_t left = l->unused_since + UNUSED_MAX - now;

		if (l->unused_since == 0)
			continue;
		if (!settled && left > 0) /* who has it next may open it last */
			l->unused_since = now;
		if (!settled || left > 0)
			again = nsec_min(again, settled && left > LOOK_AGAIN ? left : LOOK_AGAIN);
		else if (learned_only(l))
			learned_close(service, l, NULL);
		else
			learned_drop(service, l);
	}
	return again;
}

static void on_trim(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	nsec_t again = NSEC_NEVER;

	for (size_t i = 0; i < sup->service_count; i++)
		again = nsec_min(again, close_unused(sup->services[i], clock_now()));
	if (again != NSEC_NEVER)
		timer_arm_within(sup->loop, &sup->sockets.trim, again);
}

void learned_forget_worker(struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;

	for (size_t i = 0; child->listening.uses != 0 && i < set->count; i++)
		(void)learned_unuse(child, set->list[i]);
}

void learned_resume(struct service *service)
{
	if (service->sockets.learned.count > 0)
		timer_arm_within(service->sup->loop, &service->sup->sockets.trim, LOOK_AGAIN);
}

void learned_init(struct supervisor *sup)
{
	timer_init(&sup->sockets.trim, on_trim, sup);
}

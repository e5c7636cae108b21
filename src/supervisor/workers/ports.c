/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/ports.h"

#include "config/expand.h"
#include "os/clock.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/service.h"

#include <stdlib.h>
#include <string.h>

/* A server that opens its metrics' port at once may take so long until it opens its real one. */
#define EARLY (10 * SECOND)

enum {
	PORT_SHARED = 1, /* other workers listened on it, too */
	PORT_NAMED = 2,  /* a setting names it */
};

/* ---- the list ---- */

static bool is_unix(const struct port *p)
{
	return strncmp(p->text, "unix:", 5) == 0;
}

static bool is_shared(const struct port *p)
{
	return (p->flags & PORT_SHARED) != 0;
}

/* The addresses of living workers, and of the last ready worker of each slot. */
static uint64_t list_used(const struct service *service)
{
	const struct ports *ports = &service->life.ports;
	const struct child *child;
	uint64_t used = 0;

	for (size_t i = 0; i < ports->slots; i++)
		used |= ports->formers[i].ports;
	for_each_child (child, children_of(service))
		used |= child->listening.ports | child->listening.expected |
			child->listening.of_generation;
	return used;
}

static struct port *find_free_port(struct service *service)
{
	struct ports *ports = &service->life.ports;
	uint64_t used = list_used(service);

	for (int pass = 0; pass < 2; pass++)
		for (unsigned i = 0; i < PORTS_MAX; i++) {
			struct port *p = &ports->list[i];

			if (pass == 1 && (used >> i & 1) == 0) {
				free(p->text);
				*p = (struct port){0};
			}
			if (p->text == NULL)
				return p;
		}
	return NULL;
}

static struct port *find_or_add_port(struct service *service, const char *text)
{
	struct port *p = array_find(o, service->life.ports.list, PORTS_MAX,
		o->text != NULL && strcmp(o->text, text) == 0);

	if (p != NULL)
		return p;
	p = find_free_port(service);
	if (p != NULL)
		p->text = strdup(text);
	return p != NULL && p->text != NULL ? p : NULL;
}

/* The first worker of a generation is expected to listen where its slot's previous worker did. */
static void note_mates_ports(struct child *child)
{
	const struct ports *ports = &child->service->life.ports;
	struct child_walk walk = children_of(child->service);
	const struct child *peer;
	uint64_t of_peers = 0;
	uint64_t others = 0;
	bool first = true;

	/* no worker has listened yet: avoid a walk at each birth */
	if (ports->list[0].text == NULL)
		return;
	while ((peer = child_next(&walk)) != NULL) {
		if (peer == child)
			continue;
		if (peer->generation != child->generation) {
			others |= peer->listening.of_generation;
			continue;
		}
		first = false;
		of_peers |= peer->listening.of_generation;
	}
	if (first && child->slot < ports->slots)
		of_peers = others & ~ports->formers[child->slot].ports;
	child->listening.of_generation = of_peers;
}

/* Is the worker not ready yet, or is its first port no older than EARLY?  Ports that it opens later,
 * such as a debugger's or FTP's for data, need not be opened by its successor. */
static bool is_early(const struct child *child)
{
	return child_view(child).ready_at == NSEC_NEVER ||
		clock_now() - child->listening.since <= EARLY;
}

/* If there are too many addresses, later ones are not compared. */
bool ports_note(struct child *child, const char *text, bool named, bool shared)
{
	struct ports *ports = &child->service->life.ports;
	struct port *p = find_or_add_port(child->service, text);

	if (p == NULL)
		return false;
	if (p->worker == 0)
		p->worker = child->worker;
	p->flags &= PORT_SHARED;
	p->flags |= (named ? PORT_NAMED : 0U) |
		(shared || p->worker != child->worker ? PORT_SHARED : 0U);
	if (child->listening.ports == 0)
		child->listening.since = clock_now();
	child->listening.ports |= UINT64_C(1) << (p - ports->list);
	if (!is_early(child))
		return is_shared(p);
	child->listening.lasting |= UINT64_C(1) << (p - ports->list);
	if (child->slot < ports->slots &&
		ports->formers[child->slot].generation == child->generation)
		ports->formers[child->slot].ports |= child->listening.lasting;
	return is_shared(p);
}

void ports_forget(struct child *child, const struct listener *l)
{
	uint64_t bit = ports_bit(child->service, l);
	struct ports *ports = &child->service->life.ports;

	child->listening.ports &= ~bit;
	child->listening.lasting &= ~bit;
	if (child->slot < ports->slots)
		ports->formers[child->slot].ports &= ~bit;
}

void ports_tell(struct child *child, uint64_t bit)
{
	struct child_walk walk = children_of(child->service);
	struct child *peer;

	while ((child->listening.of_generation & bit) == 0 && (peer = child_next(&walk)) != NULL)
		if (peer != child && peer->generation == child->generation &&
			!peer->saved.adopted) /* the ports of an adopted worker are not known */
			peer->listening.of_generation |= bit;
	child->listening.of_generation |= bit;
}

uint64_t ports_bit(const struct service *service, const struct listener *l)
{
	const struct ports *ports = &service->life.ports;
	const char *text = listener_common_text(l);
	const struct port *p = array_find(
		o, ports->list, PORTS_MAX, o->text != NULL && strcmp(o->text, text) == 0);

	return p != NULL ? UINT64_C(1) << (p - ports->list) : 0;
}

bool ports_any_tcp(const struct service *service)
{
	const struct ports *ports = &service->life.ports;

	return array_find(p, ports->list, PORTS_MAX,
		       p->text != NULL && strncmp(p->text, "tcp:", 4) == 0) != NULL;
}

/* Has another worker a private path?  Then path `p` may be private, too. */
static bool other_has_private(const struct ports *ports, const struct port *p)
{
	return array_find(o, ports->list, PORTS_MAX,
		       o != p && o->text != NULL && is_unix(o) && !is_shared(o) &&
			       o->worker != p->worker) != NULL;
}

bool ports_any(const struct child *child, bool guess)
{
	const struct ports *ports = &child->service->life.ports;

	for (unsigned i = 0; i < PORTS_MAX; i++) {
		const struct port *p = &ports->list[i];

		if ((child->listening.ports >> i & 1) == 0)
			continue;
		if (!is_unix(p) || is_shared(p) || (guess && !other_has_private(ports, p)))
			return true;
	}
	return false;
}

/* ---- comparing ---- */

/* The older of the slot's two workers, if `child` is the other one; or NULL. */
static const struct child *find_predecessor(const struct child *child)
{
	struct child *const *both = child->service->children[child->slot];

	for (int k = 0; k < 2; k++)
		if (both[k] != NULL && both[k]->generation < child->generation)
			return both[k];
	return NULL;
}

void ports_expect(struct child *child)
{
	const struct service *service = child->service;
	const struct ports *ports = &service->life.ports;
	const struct child *old = find_predecessor(child);
	struct former former = {0};
	struct rollout_view rollout = cluster_view_rollout(service->core);
	bool rolls = rollout.under_way && !rollout.going_back && !rollout.drops_ports &&
		rollout.to == child->generation && cluster_state(service->core) == CLUSTER_ROLLING;

	note_mates_ports(child);
	if (rolls && old != NULL)
		former = (struct former){old->generation, old->listening.lasting};
	else if (child->slot < ports->slots)
		former = ports->formers[child->slot];
	if (former.generation > child->generation ||
		(former.generation < child->generation && !rolls))
		return;
	child->listening.expected = former.ports;
	child->listening.expected_of = (unsigned)former.generation;
}

/* Must the next generation listen on it, too? */
static bool must_stay_open(const struct service *service, const struct port *p)
{
	if (*p->text == '\0')
		return false;
	if ((p->flags & PORT_NAMED) == 0)
		return !is_unix(p) || is_shared(p);
	/* a setting may have dropped it */
	return array_find(l, service->sockets.listeners.list, service->sockets.listeners.count,
		       strcmp(listener_common_text(*l), p->text) == 0) != NULL;
}

bool ports_lacks_one(const struct child *child)
{
	const struct child *peer;
	uint64_t others = 0;

	for_each_child (peer, children_of(child->service))
		others |= peer->listening.lasting;
	others &= ~child->listening.ports;
	for (unsigned i = 0; others != 0 && i < PORTS_MAX; i++)
		if ((others >> i & 1) != 0 && *child->service->life.ports.list[i].text == 't')
			return true;
	return false;
}

/* The ports that the words of that generation's settings name. */
static uint64_t named_ports(const struct child *child, unsigned generation)
{
	const struct recipe *r = recipe_of(child->service, generation);
	uint64_t named = 0;

	for (unsigned i = 0; r != NULL && i < PORTS_MAX; i++) {
		const char *text = child->service->life.ports.list[i].text;
		const char *colon = text != NULL ? strrchr(text, ':') : NULL;
		unsigned port = colon != NULL ? (unsigned)strtoul(colon + 1, NULL, 10) : 0;
		bool is_named = port != 0 && slotword_has_port(r->settings->command_text, port);

		for (size_t k = 0; port != 0 && k < r->settings->env.count; k++)
			is_named |= slotword_has_port(r->settings->env.list[k], port);
		named |= (uint64_t)is_named << i;
	}
	return named;
}

bool ports_named_anew(const struct child *child)
{
	return (child->listening.ports & named_ports(child, child->generation) &
		       ~named_ports(child, child->listening.expected_of)) != 0;
}

/* The first of `ports` on which the worker of the next generation must listen, too: not on one that the
 * former settings' words name and its own do not, if it listens on one that they name in its place. */
static const struct port *first_needed(const struct child *child, uint64_t ports)
{
	const struct service *service = child->service;

	if (ports_named_anew(child))
		ports &= named_ports(child, child->generation) |
			~named_ports(child, child->listening.expected_of);
	for (unsigned i = 0; i < PORTS_MAX; i++)
		if ((ports >> i & 1) != 0 && must_stay_open(service, &service->life.ports.list[i]))
			return &service->life.ports.list[i];
	return NULL;
}

bool ports_expects(const struct child *child)
{
	return child->listening.expected_of < child->generation &&
		first_needed(child, child->listening.expected) != NULL;
}

struct listener *ports_deserted(const struct child *child)
{
	const struct listener_set *set = &child->service->sockets.learned;
	uint64_t left = child->listening.expected;
	struct queue_facts queue = {0};

	if (child->listening.expected_of < child->generation ||
		(left & child->listening.ports) != 0)
		return NULL;
	for (size_t i = 0; i < set->count; i++) {
		struct listener *l = set->list[i];

		if (!l->has_key || !learned_only(l) || learned_is_used(l, child) ||
			(ports_bit(child->service, l) & left) == 0)
			continue;
		group_queue(l, &queue);
		if (queue.depth > 0)
			return l;
	}
	return NULL;
}

const char *ports_missing(const struct child *child)
{
	const struct listener *l = ports_deserted(child);
	const struct port *p;

	if (!ports_expects(child))
		return l != NULL ? listener_common_text(l) : NULL;
	p = first_needed(child, child->listening.expected & ~child->listening.ports);
	return p != NULL ? p->text : NULL;
}

void ports_on_ready(const struct child *child)
{
	struct service *service = child->service;
	struct ports *ports = &service->life.ports;
	size_t count = service->child_slots;
	struct former *more;

	if (ports->list[0].text == NULL)
		return;
	if (ports->slots < count) {
		more = realloc(ports->formers, count * sizeof(*more));
		if (more == NULL)
			return;
		memset(more + ports->slots, 0, (count - ports->slots) * sizeof(*more));
		ports->formers = more;
		ports->slots = count;
	}
	ports->formers[child->slot] = (struct former){child->generation, child->listening.lasting};
}

/* ---- life ---- */

enum { PORTS_INDEX = 1, PORTS_FORMERS = 5 };

static const struct plain_row port_rows[] = {
	PLAIN(2, port, worker, UNSIGNED),
	PLAIN(3, port, flags, UNSIGNED),
	PLAIN(4, port, text, HEAP),
};

static const struct carried carried_port = {
	.called = "an address",
	CARRIED_ROWS(port_rows, port),
};

static void put_ports(struct carry_writer *c, const void *of)
{
	const struct ports *ports = of;

	for (unsigned i = 0; i < PORTS_MAX; i++) {
		if (ports->list[i].text == NULL)
			continue;
		handover_put_u64(&c->w, PORTS_INDEX, i);
		carry_put_all(c, &carried_port, &ports->list[i]);
	}
}

static int take_ports(struct carry_reader *r UNUSED, void *to, const struct handover_field *f)
{
	struct ports *ports = to;

	if (f->tag == PORTS_INDEX)
		ports->taken = &ports->list[f->u % PORTS_MAX];
	return f->tag == PORTS_INDEX || (f->tag < PORTS_FORMERS && ports->taken == NULL);
}

static const struct plain_row ports_rows[] = {
	CARRY_BYTES(PORTS_FORMERS, ports, formers, slots),
	CARRY_APART(ports, taken, &carried_port),
};

const struct carried carried_ports = {
	.called = "a cluster",
	CARRIED_ROWS(ports_rows, ports),
	.put = put_ports,
	.take = take_ports,
};

void ports_free(struct service *service)
{
	for (unsigned i = 0; i < PORTS_MAX; i++)
		free(service->life.ports.list[i].text);
	free(service->life.ports.formers);
}

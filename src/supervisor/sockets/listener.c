/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/listener.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/descriptors.h"
#include "os/look/look.h"
#include "os/look/remote.h"
#include "os/socket/socket_as.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/trouble.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/previous.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FIRST_INHERITED 3 /* SD_LISTEN_FDS_START, sd_listen_fds(3) */
#define INHERITED_MAX 256

/* ---- walks ---- */

struct listener_walk listeners_of(const struct service *service, enum listener_sets sets)
{
	return (struct listener_walk){.service = service, .sets = sets};
}

struct listener_walk listeners_for(const struct child *child, enum listener_sets sets)
{
	return (struct listener_walk){.service = child->service, .sets = sets, .child = child};
}

/* The next set of listeners; NULL: that was the last one. */
static const struct listener_set *next_set(struct listener_walk *w)
{
	const struct service *s = w->service;

	if (w->set == NULL) {
		if (w->sets == LISTENERS_ALL || w->sets == LISTENERS_NAMED)
			w->recipe = s->life.recipes;
		return &s->sockets.listeners;
	}
	if (w->recipe != NULL) {
		const struct recipe *r = w->recipe;

		w->recipe = r->next;
		return &r->listeners;
	}
	return w->sets != LISTENERS_NAMED && w->set != &s->sockets.learned ? &s->sockets.learned
									   : NULL;
}

struct listener *listener_next(struct listener_walk *w)
{
	for (;;) {
		const struct listener_set *set = w->set;
		struct listener *l = NULL;

		if (set != NULL && w->child != NULL)
			l = listeners_at(set, w->child->slot, w->at);
		else if (set != NULL && w->at < set->count)
			l = set->list[w->at];
		if (l != NULL) {
			w->at++;
			if (w->sets == LISTENERS_ONCE && set == &w->service->sockets.learned &&
				!learned_only(l))
				continue;
			return l;
		}
		set = next_set(w);
		if (set == NULL)
			return NULL;
		w->set = set;
		w->at = 0;
	}
}

/* ---- descriptors that nclust was started with ---- */

static int inherit_one(struct supervisor *sup, enum address_kind kind, int fd, const char *name)
{
	struct listener_set *set = &sup->sockets.inherited;
	struct listener *l = calloc(1, sizeof(*l));

	if (!array_grow(set->list, set->count) || l == NULL ||
		(l->address.name = strdup(name)) == NULL) {
		free(l);
		return -1;
	}
	l->address.kind = kind;
	l->fd = fd;
	l->users = 1; /* never closed, because a reload may name it */
	set->list[set->count++] = l;
	return 0;
}

static int listen_fds_count(void)
{
	const char *pid = secure_getenv("LISTEN_PID");
	const char *fds = secure_getenv("LISTEN_FDS");
	long count;

	if (pid == NULL || fds == NULL || strtol(pid, NULL, 10) != getpid())
		return 0;
	count = strtol(fds, NULL, 10);
	return count > 0 && count <= INHERITED_MAX ? (int)count : 0;
}

/* Note which descriptors `fd:N` names before nclust opens files of these numbers. */
static int inherit_named(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->settings->cluster_count; i++) {
		const struct cluster_settings *c = sup->settings->clusters[i];

		for (size_t j = 0; j < c->listen_count; j++)
			if (c->listen[j].kind == ADDRESS_FD &&
				fcntl(c->listen[j].fd, F_GETFD) != -1 &&
				inherit_one(sup, ADDRESS_FD, c->listen[j].fd, "") == -1)
				return -1;
	}
	return 0;
}

/* Was nclust started with this descriptor, and is it still open? */
static bool is_inherited(const struct supervisor *sup, int fd)
{
	const struct listener_set *set = &sup->sockets.inherited;

	return array_find(l, set->list, set->count, (*l)->fd == fd) != NULL &&
		fcntl(fd, F_GETFD) != -1;
}

/* Close descriptors that no setting names: nclust's caller may have leaked them. */
static void close_unnamed(const struct supervisor *sup)
{
	int end = FIRST_INHERITED;

	for (size_t i = 0; i < sup->sockets.inherited.count; i++)
		if (sup->sockets.inherited.list[i]->fd >= end)
			end = sup->sockets.inherited.list[i]->fd + 1;
	for (int fd = FIRST_INHERITED; fd < end; fd++)
		if (!is_inherited(sup, fd))
			(void)close(fd);
	(void)descriptors_close((unsigned)end, ~0U);
}

/* Clients would wait in the queue of a socket that nobody accepts from. */
static void warn_unless_named(const struct settings *s, int fd, const char *name)
{
	for (size_t i = 0; i < s->cluster_count; i++)
		for (size_t j = 0; j < s->clusters[i]->listen_count; j++) {
			const struct address *a = &s->clusters[i]->listen[j];

			if (a->kind == ADDRESS_INHERIT ? strcmp(a->path, name) == 0
						       : a->kind == ADDRESS_FD && a->fd == fd)
				return;
		}
	if (fd == STDIN_FILENO)
		log_warn("standard input is a socket that listens, and is not used: no 'listen' "
			 "names it; for FastCGI: 'listen = fd:0' with 'pass = stdin'");
	else
		log_warn("descriptor %d (LISTEN_FDS, '%s') is not used: no 'listen' names it, "
			 "such as 'listen = fd:%d'",
			fd, name, fd);
}

int listeners_inherit(struct supervisor *sup, struct error *err)
{
	int count = listen_fds_count();
	const char *value = secure_getenv("LISTEN_FDNAMES");
	scoped_str names = strdup(count > 0 && value != NULL ? value : "");
	char *rest = names;

	if (names == NULL || inherit_named(sup) == -1)
		return error_set(err, ENOMEM, "cannot take over descriptors");
	for (int i = 0; i < count; i++) {
		const char *name = rest != NULL ? strsep(&rest, ":") : NULL;

		if (name == NULL || *name == '\0')
			name = "unknown";
		if (inherit_one(sup, ADDRESS_INHERIT, FIRST_INHERITED + i, name) == -1)
			return error_set(err, ENOMEM, "cannot take over LISTEN_FDS");
		warn_unless_named(sup->settings, FIRST_INHERITED + i, name);
	}
	/* as spawn-fcgi, inetd and supervisord's fcgi-program hand it over; systemd, among others */
	if (count == 0 && socket_option(STDIN_FILENO, SOL_SOCKET, SO_ACCEPTCONN) == 1)
		warn_unless_named(sup->settings, STDIN_FILENO, "");
	close_unnamed(sup);
	return 0;
}

/* ---- opening ---- */

static int open_given(const struct supervisor *sup, struct listener *l, int fd, struct error *err)
{
	if (!is_inherited(sup, fd))
		return error_set(err, 0, "descriptor %d is not open; start nclust with it", fd);
	if (socket_look(fd, &l->facts, err) == -1)
		return -1;
	l->fd = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_INHERITED);
	if (l->fd == -1)
		return error_set(err, errno, "cannot duplicate %d", fd);
	if (l->address.nonblock && socket_set_nonblock(l->fd, true) == -1)
		return error_set(err, errno, "cannot make %d nonblocking", fd);
	return 0;
}

static int open_inherited(struct supervisor *sup, struct listener *l, struct error *err)
{
	unsigned passed = 0;
	unsigned found = 0;
	int fd = -1;

	for (size_t i = 0; i < sup->sockets.inherited.count; i++) {
		const struct listener *given = sup->sockets.inherited.list[i];

		if (given->address.kind != ADDRESS_INHERIT)
			continue;
		passed++;
		if (strcmp(given->address.name, l->address.path) != 0)
			continue;
		fd = given->fd;
		found++;
	}
	if (found == 1)
		return open_given(sup, l, fd, err);
	/* two ListenStream= of one systemd.socket(5) share a name */
	if (found > 1)
		return error_set(err, 0,
			"%u descriptors of that name were passed to nclust; "
			"choose one by fd:N, or give them different names",
			found);
	return error_set(err, 0,
		"no descriptor of that name was passed to nclust (%u in "
		"LISTEN_FDS); see FileDescriptorName= in systemd.socket(5)",
		passed);
}

/* Add to the error which process has the port, if that can be found out. */
static int refuse_taken(const struct socket_plan *plan, struct error *err)
{
	char who[HOLDER_TEXT];

	if (err->sys != EADDRINUSE || plan->port == 0)
		return -1;
	trouble_find_holder(who, plan->type, plan->port);
	return *who != '\0' ? error_hint(err, "in use by %s", who)
			    : error_hint(err, "see: ss -antup 'sport = :%u'", plan->port);
}

int listener_bind(const struct address *a, struct socket_file *made, struct error *err)
{
	struct socket_plan plan = {
		.family = a->family,
		.type = a->type,
		.scope_id = a->scope_id,
		.port = a->port,
		.path = a->path,
		.backlog = a->backlog,
		.mode = a->mode,
		.owner = a->owner,
		.group = a->group,
		.v6only = a->v6only,
		.interface = a->interface,
		.freebind = a->freebind,
		.defer_accept = a->defer_accept,
		.nonblock = a->nonblock,
		.nodelay = a->nodelay,
		.keepalive = a->keepalive > 0 ? a->keepalive
			: a->keepalive == 0   ? -1
					      : 0,
		.fastopen = a->fastopen > 0 ? a->fastopen : 0,
		.mark = a->mark > 0 ? (uint32_t)a->mark : 0,
		.rcvbuf = a->rcvbuf,
		.sndbuf = a->sndbuf,
		.text = a->text,
	};
	int fd;

	memcpy(plan.ip, a->ip, sizeof(plan.ip));
	fd = socket_open(&plan, made, err);
	return fd != -1 ? fd : refuse_taken(&plan, err);
}

int listener_bind_as(const struct address *a, const struct vfork_user *user,
	struct socket_file *made, struct error *err)
{
	int fd;

	if (user->uid == geteuid())
		return listener_bind(a, made, err);
	fd = socket_unix_listen_as(a->path, a->backlog, user, made);
	return fd != -1 ? fd : error_set(err, errno, "cannot listen on '%s'", a->path);
}

static int open_made(struct listener *l, struct error *err)
{
	const struct address *a = &l->address;
	struct stat st;

	l->fd = listener_bind(&l->address, &l->file, err);
	if (l->fd == -1)
		return -1;
	l->made = true;
	/* a proxy of another user may want another one */
	if (a->kind == ADDRESS_UNIX && a->mode == -1 && stat(a->path, &st) == 0)
		log_note("listening on %s, mode %04o ('mode=' and 'group=' change that)", a->text,
			(unsigned)(st.st_mode & 0777));
	return socket_look(l->fd, &l->facts, err);
}

void listener_release(struct listener *l)
{
	struct holding holding = {.listener = l};

	if (--l->users > 0)
		return;
	moment_let_go(&holding);
	/* workers of an earlier nclust may still need the file */
	if (l->made && l->address.kind == ADDRESS_UNIX &&
		!(l->left_over && l->sup->orphans.has_past) &&
		socket_unlink(l->address.path, &l->file) == -1)
		log_warn("'%s' could not be removed: another process holds its "
			 "directory",
			l->address.path);
	group_forget(l);
	heal_forget(l);
	async_close_now(l->sup, NULL, &l->fd);
	address_fini(&l->address);
	free(l->asked);
	free(l);
}

static struct listener *listener_open(
	struct supervisor *sup, const struct address *address, struct error *err)
{
	struct listener *l = calloc(1, sizeof(*l));
	int got;

	if (l == NULL || address_copy(&l->address, address) == -1) {
		free(l);
		error_set(err, ENOMEM, "listener '%s'", address->text);
		return NULL;
	}
	l->fd = -1;
	l->users = 1;
	l->sup = sup;
	got = previous_listener(l, err);
	if (got != 0)
		got = got == 1 ? 0 : -1;
	else if (address->kind == ADDRESS_FD)
		got = open_given(sup, l, address->fd, err);
	else if (address->kind == ADDRESS_INHERIT)
		got = open_inherited(sup, l, err);
	else
		got = open_made(l, err);
	if (got == -1) {
		error_wrap(err, "listener '%s'", l->address.name);
		listener_release(l);
		return NULL;
	}
	/* A worker that binds this address by itself gets this listener.  A socket that was just
	 * made has no other owner who could change its options. */
	l->has_key = (l->made && !l->left_over ? socket_key_bound : socket_key_look)(
			     &l->key, l->fd) == 0;
	l->inode = remote_own_inode(l->fd);
	heal_watch(l);
	sup->orphans.changed = true;
	return l;
}

/* The listener of that address, or NULL; so may `set` be. */
static struct listener *listeners_find(
	const struct listener_set *set, const struct address *address)
{
	for (size_t i = 0; set != NULL && i < set->count; i++)
		if (address_same_place(&set->list[i]->address, address))
			return set->list[i];
	return NULL;
}

/* Of a socket in use only the backlog can change.  Other options need a new socket, which could not
 * be bound while the old one is open. */
static int check_kept(const struct listener *l, const struct address *address, struct error *err)
{
	struct address want = *address;

	want.backlog = l->address.backlog;
	want.name = l->address.name;
	want.each = l->address.each;
	if (address_equal(&l->address, &want))
		return 0;
	return error_set(err, 0,
		"listener '%s': of a socket in use only name and backlog can "
		"change; stop and start nclust",
		address->name);
}

static int make_set(struct listener_set *set, size_t room)
{
	*set = (struct listener_set){.list = calloc(room + 1, sizeof(*set->list))};
	return set->list != NULL ? 0 : -1;
}

static size_t count_bits(uint64_t of)
{
	return (size_t)__builtin_popcountll(of);
}

/* For how many slots the set has listeners; SIZE_MAX: for any number. */
static size_t listeners_slots(const struct listener_set *set)
{
	return set->own != 0 ? 1 + (set->count - set->row) / count_bits(set->own) : SIZE_MAX;
}

uint32_t listeners_slot(const struct listener_set *set, size_t at)
{
	if (set->own != 0 && at >= set->row)
		return (uint32_t)(1 + (at - set->row) / count_bits(set->own));
	return set->own != 0 && (set->own >> at & 1) != 0 ? 0 : SLOT_ALL;
}

struct listener *listeners_at(const struct listener_set *set, uint32_t slot, size_t n)
{
	if (set->row == 0)
		return n < set->count ? set->list[n] : NULL;
	if (n >= set->row || slot >= listeners_slots(set))
		return NULL;
	if (slot > 0 && (set->own >> n & 1) != 0) /* the slot has its own */
		n = set->row + (slot - 1) * count_bits(set->own) +
			count_bits(set->own & ((UINT64_C(1) << n) - 1));
	return set->list[n];
}

/* Make an empty set with room for the listeners of so many slots. */
static int make_rows(
	struct listener_set *set, const struct cluster_settings *settings, size_t slots)
{
	uint64_t own = 0;
	size_t more;

	for (size_t i = 0; i < settings->listen_count; i++)
		if (settings->listen[i].each != NULL)
			own |= UINT64_C(1) << i;
	more = slots > 1 ? (slots - 1) * count_bits(own) : 0;
	if (make_set(set, settings->listen_count + more) == -1)
		return -1;
	set->row = own != 0 ? settings->listen_count : 0;
	set->own = own;
	return 0;
}

/* Where the listeners of a new set come from. */
struct source {
	struct supervisor *sup;
	const struct listener_set *known; /* the cluster's present set, or NULL */
	bool alone;                       /* take none from other clusters */
};

static struct listener *find_known(const struct source *from, const struct address *address)
{
	struct listener *l = listeners_find(from->known, address);

	for (size_t i = 0; l == NULL && i < from->sup->service_count; i++) {
		const struct service *s = from->sup->services[i];
		bool own = from->known == &s->sockets.listeners;

		/* during a rollout the recipes have those of the former settings */
		if (own || !from->alone)
			l = listener_find(its,
				listeners_of(s, own ? LISTENERS_ALL : LISTENERS_NAMED),
				address_same_place(&its->address, address));
	}
	return l;
}

static struct listener *get_listener(const struct source *from, const struct listener_set *set,
	const struct address *address, struct error *err)
{
	struct listener *l = find_known(from, address);

	if (l == NULL)
		return listener_open(from->sup, address, err);
	if (address->each != NULL && listeners_find(set, address) != NULL) {
		error_set(err, EADDRINUSE, "listener '%s'", address->text);
		return NULL;
	}
	if (check_kept(l, address, err) == -1)
		return NULL;
	l->users++;
	return l;
}

static int add_next(struct listener_set *set, const struct address *a, unsigned slot,
	const struct source *from, struct error *err)
{
	struct address own uninitialized;
	struct listener *l;

	if (address_of_slot(&own, a, slot, err) == -1)
		return -1;
	l = get_listener(from, set, &own, err);
	address_fini(&own);
	if (l == NULL)
		return -1;
	set->list[set->count++] = l;
	return 0;
}

static int check_accept(const struct listener_set *set, struct error *err)
{
	for (size_t i = 0; i < set->count; i++) {
		const struct listener *l = set->list[i];

		if (l->facts.type != SOCK_STREAM || !l->facts.listening)
			return error_set(err, 0,
				"'%s' cannot be used with 'accept': it is no socket "
				"that listens for connections",
				listener_text(l));
	}
	return 0;
}

static int fill_set(struct listener_set *set, const struct cluster_settings *settings, size_t slots,
	const struct source *from, struct error *err)
{
	if (make_rows(set, settings, slots) == -1)
		return error_set(err, ENOMEM, "listeners");
	for (unsigned slot = 0; slot == 0 || (set->row > 0 && slot < slots); slot++)
		for (size_t i = 0; i < settings->listen_count; i++)
			if ((slot == 0 || (set->own >> i & 1) != 0) &&
				add_next(set, &settings->listen[i], slot, from, err) == -1) {
				listeners_release(set);
				return -1;
			}
	if (!settings->accept || check_accept(set, err) == 0)
		return 0;
	listeners_release(set);
	return -1;
}

int listeners_open(struct supervisor *sup, struct listener_set *set,
	const struct cluster_settings *settings, size_t slots, const struct listener_set *known,
	struct error *err)
{
	const struct source from = {.sup = sup, .known = known};

	return fill_set(set, settings, slots, &from, err);
}

int listeners_grow(struct listener_set *set, const struct cluster_settings *settings, size_t slots,
	const struct service *service, struct error *err)
{
	const struct source from = {
		.sup = service->sup, .known = &service->sockets.listeners, .alone = true};
	struct listener_set fresh;

	if (listeners_slots(set) >= slots)
		return 0;
	if (fill_set(&fresh, settings, slots, &from, err) == -1)
		return -1;
	listeners_release(set);
	*set = fresh;
	return 0;
}

void listeners_trim(struct listener_set *set, size_t slots)
{
	const size_t more = slots > 1 ? (slots - 1) * count_bits(set->own) : 0;

	while (set->row > 0 && set->count > set->row + more) {
		struct listener *l = set->list[--set->count];

		l->sup->orphans.changed = true;
		listener_release(l);
	}
}

const struct listener *listeners_common(const struct listener_set *a, const struct listener_set *b)
{
	for (size_t i = 0; i < a->count; i++)
		for (size_t k = 0; k < b->count; k++)
			if (a->list[i] == b->list[k])
				return a->list[i];
	return NULL;
}

static void adopt_address(struct listener *l, struct address *fresh)
{
	if (address_equal(&l->address, fresh)) {
		address_fini(fresh);
		return;
	}
	address_fini(&l->address);
	l->address = *fresh;
	if (l->facts.listening && group_set_backlog(l, l->address.backlog) == -1)
		log_syserr("listener '%s': backlog", l->address.name);
}

void listeners_adopt(const struct listener_set *set, const struct cluster_settings *settings)
{
	size_t at = 0;

	for (unsigned slot = 0; at < set->count && (slot == 0 || set->row > 0); slot++)
		for (size_t i = 0; i < settings->listen_count; i++) {
			struct address fresh uninitialized;
			struct error err uninitialized;

			if (slot > 0 && (set->own >> i & 1) == 0)
				continue;
			if (address_of_slot(&fresh, &settings->listen[i], slot, &err) == 0)
				adopt_address(set->list[at], &fresh);
			at++;
		}
}

int listeners_pick(struct listener_set *to, const struct cluster_settings *settings,
	const struct service *service, struct error *err)
{
	const struct source from = {
		.sup = service->sup, .known = &service->sockets.listeners, .alone = true};
	size_t slots = listeners_slots(&service->sockets.listeners);

	if (slots == SIZE_MAX)
		slots = cluster_slots(service->core);
	return fill_set(to, settings, slots, &from, err);
}

void listeners_release(struct listener_set *set)
{
	for (size_t i = 0; i < set->count; i++)
		if (set->list[i] != NULL)
			listener_release(set->list[i]);
	free(set->list);
	*set = (struct listener_set){0};
}

int listeners_share(struct listener_set *to, const struct listener_set *from)
{
	if (make_set(to, from->count) == -1)
		return -1;
	for (size_t i = 0; i < from->count; i++) {
		to->list[i] = from->list[i];
		to->list[i]->users++;
	}
	to->count = from->count;
	to->row = from->row;
	to->own = from->own;
	return 0;
}

const char *listener_text(const struct listener *l)
{
	return l->made && l->address.kind == ADDRESS_UNIX ? l->address.text : l->facts.text;
}

const char *listener_common_text(const struct listener *l)
{
	return l->address.each != NULL ? l->address.each : listener_text(l);
}

uint16_t listeners_port(const struct listener_set *set)
{
	static const int types[] = {SOCK_STREAM, SOCK_DGRAM};

	for (size_t t = 0; t < COUNT_OF(types); t++) {
		unsigned found = 0;
		uint16_t port = 0;

		for (size_t i = 0; i < set->count; i++) {
			const struct listener *l = set->list[i];

			if (l->facts.type != types[t] ||
				(l->facts.family != AF_INET && l->facts.family != AF_INET6))
				continue;
			found++;
			port = l->facts.port;
		}
		if (found > 0)
			return found == 1 ? port : 0;
	}
	return 0;
}

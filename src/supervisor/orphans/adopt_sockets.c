/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/adopt.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/look/remote.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/orphans/heritage.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/group.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX 4096 /* descriptors of a worker */

const struct inmate *heritage_holder(
	const struct heritage *h, const struct estate_listener *l)
{
	for (size_t i = 0; i < h->past.count; i++)
		if (h->inmates[i].ours &&
			(l->cluster == 0 ||
				h->inmates[i].entry->cluster == l->cluster))
			return &h->inmates[i];
	return NULL;
}

/* ---- where it may be ---- */

static int from_manager(struct supervisor *sup, uint64_t cookie)
{
	for (size_t i = 0; i < sup->sockets.inherited.count; i++)
		if (socket_cookie(sup->sockets.inherited.list[i]->fd) == cookie)
			return fcntl(sup->sockets.inherited.list[i]->fd,
				F_DUPFD_CLOEXEC, 3);
	return -1;
}

static int from_keeper(struct heritage *h, uint64_t cookie)
{
	struct given *given =
		givens_find(&h->givens, LOGWIRE_A_LISTENER, cookie);
	int fd = given != NULL ? given_take(given, LOGWIRE_SOCKET) : -1;

	if (fd != -1 && socket_cookie(fd) != cookie)
		fd_close(&fd);
	return fd;
}

struct search {
	uint64_t inode;
	int number; /* of it in the worker; -1: it has none */
};

static bool look_at(void *context, int fd, const char *target)
{
	struct search *s = context;

	if (remote_socket_inode(target) == s->inode)
		s->number = fd;
	return s->number != -1;
}

static int from_worker(const struct inmate *in, const struct estate_listener *l)
{
	struct search s = {.inode = l->inode, .number = -1};
	struct remote r;
	int fd;

	remote_of(&r, in->entry->birth.pid);
	if (remote_each_fd(&r, LOOK_MAX, look_at, &s) == -1 || s.number == -1)
		return -1;
	fd = remote_fd(&r, s.number);
	if (fd != -1 && socket_cookie(fd) != l->cookie)
		fd_close(&fd);
	return fd;
}

static int from_workers(struct heritage *h, const struct estate_listener *l)
{
	int fd = -1;

	for (size_t i = 0; fd == -1 && i < h->past.count; i++)
		if (h->inmates[i].ours)
			fd = from_worker(&h->inmates[i], l);
	return fd;
}

int heritage_socket(struct supervisor *sup, const struct estate_listener *l)
{
	int fd = -1;

	if (l->cookie == 0)
		return -1;
	fd = from_manager(sup, l->cookie);
	if (fd == -1)
		fd = from_keeper(sup->orphans.heritage, l->cookie);
	if (fd == -1)
		fd = from_workers(sup->orphans.heritage, l);
	return fd;
}

static int cannot_have_back(struct supervisor *sup,
	const struct estate_listener *l, struct error *err)
{
	const struct inmate *in = heritage_holder(sup->orphans.heritage, l);

	(void)error_set(err, 0,
		"the socket %s cannot be had back from worker %d, which serves "
		"still",
		l->address, (int)in->entry->birth.pid);
	return error_hint(err,
		"pidfd_getfd(2) is refused (a container, Yama, another user's "
		"program); end the workers first");
}

/* ---- named ones ---- */

static const struct estate_listener *find(
	const struct heritage *h, const struct address *address)
{
	for (size_t i = 0; i < h->estate.listener_count; i++) {
		const struct estate_listener *l = &h->estate.listeners[i];
		struct address was;
		struct error err;
		bool same;

		if (l->learned || address_parse(&was, l->address, &err) == -1)
			continue;
		same = address_same_place(&was, address);
		address_fini(&was);
		if (same)
			return l;
	}
	return NULL;
}

static void fill(struct listener *l, const struct estate_listener *from, int fd)
{
	l->fd = fd;
	l->left_over = true;
	l->made = from->made;
	l->file.dev = (dev_t)from->file_dev;
	l->file.ino = (ino_t)from->file_ino;
	if (!from->given)
		return;
	l->asked = calloc(1, sizeof(*l->asked));
	if (l->asked != NULL)
		socket_options_read(l->asked, fd);
}

/* All of its sockets, in the order of the kernel's group; where one is closed
 * the last has got its place. */
static void take_group(struct supervisor *sup, struct listener *l,
	const struct estate_listener *from)
{
	int fds[ESTATE_SOCKETS_MAX];
	unsigned lanes[ESTATE_SOCKETS_MAX];
	uint32_t count = from->socket_count;

	for (uint32_t i = 0; i < count; i++) {
		struct estate_listener one = *from;

		one.cookie = from->sockets[i].cookie;
		one.inode = from->sockets[i].inode;
		lanes[i] = from->sockets[i].lane;
		fds[i] = one.cookie == from->cookie
			? l->fd
			: heritage_socket(sup, &one);
	}
	for (uint32_t i = 0; i < count;) {
		if (fds[i] != -1) {
			i++;
			continue;
		}
		count--;
		fds[i] = fds[count];
		lanes[i] = lanes[count];
	}
	for (uint32_t i = 0; count > 1 && i < count; i++) {
		if (group_add(l, fds[i], lanes[i]) == NULL)
			return;
	}
}

/* The one of before, or where that is closed another of its group. */
static int main_socket(struct supervisor *sup, struct estate_listener *l)
{
	int fd = heritage_socket(sup, l);

	for (uint32_t i = 0; fd == -1 && i < l->socket_count; i++) {
		l->cookie = l->sockets[i].cookie;
		l->inode = l->sockets[i].inode;
		fd = heritage_socket(sup, l);
	}
	return fd;
}

int adopt_socket(struct supervisor *sup, struct listener *l, struct error *err)
{
	const struct estate_listener *from;
	struct estate_listener own;
	int fd;

	from = find(sup->orphans.heritage, &l->address);
	if (from == NULL)
		return 0;
	own = *from;
	fd = main_socket(sup, &own);
	if (fd == -1 && heritage_holder(sup->orphans.heritage, from) == NULL)
		return 0;
	if (fd == -1)
		return cannot_have_back(sup, from, err);
	fill(l, from, fd);
	if (socket_look(fd, &l->facts, err) == -1)
		return -1;
	if (l->facts.listening)
		(void)socket_backlog(fd, l->address.backlog);
	take_group(sup, l, &own);
	return 1;
}

/* ---- those that workers have bound ---- */

static int take_learned(struct service *service,
	const struct estate_listener *from, struct error *err)
{
	struct estate_listener own = *from;
	int fd = main_socket(service->sup, &own);
	const struct socket_file file = {from->file_dev, from->file_ino};
	struct socket_key key;
	struct listener *l;

	if (fd == -1 &&
		heritage_holder(service->sup->orphans.heritage, from) == NULL)
		return 0;
	if (fd == -1)
		return cannot_have_back(service->sup, from, err);
	if (socket_key_bound(&key, fd) == 0)
		l = learned_add(service, &key, fd, err);
	else if (strncmp(from->address, "unix:", 5) == 0)
		l = learned_add_unix(
			service, from->address + 5, fd, &file, err);
	else
		return close(fd);
	if (l == NULL) {
		fd_close(&fd);
		return -1;
	}
	fill(l, from, fd);
	l->made = l->address.kind == ADDRESS_UNIX;
	l->bit = from->bit;
	l->address.backlog = from->backlog <= INT_MAX ? (int)from->backlog : -1;
	l->facts.listening = from->listening;
	take_group(service->sup, l, &own);
	if (from->listening)
		heal_watch(service->sup, l);
	return 0;
}

int adopt_learned(struct service *service, struct error *err)
{
	struct heritage *h = service->sup->orphans.heritage;

	for (size_t i = 0; i < h->estate.listener_count; i++) {
		const struct estate_listener *l = &h->estate.listeners[i];

		if (l->learned && l->cluster == service->kept.number &&
			take_learned(service, l, err) == -1)
			return -1;
	}
	return 0;
}

void adopt_uses(struct child *child)
{
	const struct listener_set *set = &child->service->held.learned;
	uint64_t known = 0;

	for (size_t i = 0; i < set->count; i++) {
		uint64_t bit = UINT64_C(1) << set->list[i]->bit;

		known |= bit;
		if ((child->listening.uses & bit) != 0)
			set->list[i]->workers++;
	}
	child->listening.uses &= known;
	child->listening.listens &= known;
}

/* SPDX-License-Identifier: MIT */
#include "supervisor/sockets/previous.h"

#include "base/scope.h"
#include "os/look/remote.h"
#include "os/vfork.h"
#include "supervisor/common/async_close.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define LOOK_MAX 4096 /* descriptors of a worker */
#define CANDIDATES_MAX 16

/* ---- what the keeper held ---- */

int stored_take(struct stored *stored, enum logwire_which which)
{
	unsigned at;

	if (stored == NULL || (stored->which & which) == 0)
		return -1;
	at = logwire_count(stored->which & (which - 1U));
	return at < LOGWIRE_FDS_MAX ? fd_release(&stored->fds[at]) : -1;
}

struct stored *fd_store_find(struct fd_store *store, enum logwire_what what, uint64_t id)
{
	return array_find(
		stored, store->list, store->count, stored->what == what && stored->id == id);
}

const struct orphan_cluster *previous_cluster(
	const struct previous *h, const struct cluster_settings *s)
{
	return h == NULL || s->orphans != ORPHANS_KEEP
		? NULL
		: array_find(c, h->orphan_state.clusters, h->orphan_state.cluster_count,
			  strcmp(c->name, s->name) == 0);
}

/* Any worker of that cluster (0: of any cluster) that is taken over, or NULL. */
static const struct old_worker *find_holder(const struct previous *h, uint32_t cluster)
{
	return array_find(in, h->workers, h->past.count,
		in->is_adopted && (cluster == 0 || in->entry->cluster == cluster));
}

/* ---- finding a socket or shared memory ---- */

/* A socket, or shared memory, of the earlier nclust. */
struct wanted {
	uint64_t cookie; /* of the socket; or 0 */
	uint64_t inode;
	const struct orphan_segment *segment; /* or NULL */
};

static bool is_wanted_fd(const struct wanted *w, int fd)
{
	const struct orphan_segment *s = w->segment;
	struct sharedmem_facts facts;

	if (s == NULL)
		return socket_cookie(fd) == w->cookie;
	return sharedmem_look(fd, &facts) == 0 && facts.dev == s->was.facts.dev &&
		facts.ino == s->was.facts.ino && facts.size == s->was.facts.size;
}

/* The service manager may have passed the same socket (socket units). */
static int take_from_inherited(const struct supervisor *sup, uint64_t cookie)
{
	struct listener **found = array_find(l, sup->sockets.inherited.list,
		sup->sockets.inherited.count, socket_cookie((*l)->fd) == cookie);

	return found != NULL ? fcntl((*found)->fd, F_DUPFD_CLOEXEC, 3) : -1;
}

static int take_from_keeper(struct previous *h, const struct wanted *w)
{
	const struct orphan_segment *s = w->segment;
	int fd = s == NULL ? stored_take(fd_store_find(&h->store, LOGWIRE_A_LISTENER, w->cookie),
				     LOGWIRE_SOCKET)
			   : stored_take(fd_store_find(&h->store, LOGWIRE_A_SEGMENT,
						 sharedmem_id(s->was.facts.dev, s->was.facts.ino)),
				     LOGWIRE_MEMORY);

	if (!is_wanted_fd(w, fd))
		fd_close(&fd);
	return fd;
}

/* The numbers of a worker's descriptors that may be the wanted one. */
struct search {
	const struct wanted *wanted;
	int numbers[CANDIDATES_MAX];
	size_t count;
};

static bool note_candidate(void *context, int fd, const char *target)
{
	struct search *s = context;
	const struct wanted *w = s->wanted;

	if (s->count < CANDIDATES_MAX &&
		(w->segment == NULL ? remote_socket_inode(target) == w->inode
				    : sharedmem_is_target(target)))
		s->numbers[s->count++] = fd;
	return s->count == CANDIDATES_MAX;
}

static int take_from_worker(const struct old_worker *in, const struct wanted *w)
{
	struct search s = {.wanted = w};
	struct remote r;

	remote_of(&r, in->entry->birth.pid);
	if (remote_each_fd(&r, LOOK_MAX, note_candidate, &s) == -1)
		return -1;
	for (size_t i = 0; i < s.count; i++) {
		int fd = remote_fd(&r, s.numbers[i]);

		if (is_wanted_fd(w, fd))
			return fd;
		remote_close(&fd);
	}
	return -1;
}

/* Get a duplicate from LISTEN_FDS, the keeper, or a worker.  -1: none of them has it. */
static int find_left_over(struct supervisor *sup, const struct wanted *w)
{
	struct previous *h = sup->orphans.previous;
	int fd = -1;

	if (w->segment == NULL)
		fd = take_from_inherited(sup, w->cookie);
	if (fd == -1)
		fd = take_from_keeper(h, w);
	for (size_t i = 0; fd == -1 && i < h->past.count; i++)
		if (h->workers[i].is_adopted &&
			(w->segment == NULL || h->workers[i].entry->cluster == w->segment->cluster))
			fd = take_from_worker(&h->workers[i], w);
	return fd;
}

static int find_socket(struct supervisor *sup, uint64_t cookie, uint64_t inode)
{
	const struct wanted wanted = {.cookie = cookie, .inode = inode};

	return cookie != 0 ? find_left_over(sup, &wanted) : -1;
}

/* Get back the listener's socket or, if that is closed, another socket of its group.  1: *fd; 0: no
 * worker needs it; -1 and `err`. */
static int get_back_socket(
	struct supervisor *sup, const struct orphan_listener *l, int *fd, struct error *err)
{
	const struct old_worker *in = find_holder(sup->orphans.previous, l->cluster);

	*fd = find_socket(sup, l->cookie, l->was.inode);
	for (uint32_t i = 0; *fd == -1 && i < l->socket_count; i++)
		*fd = find_socket(sup, l->sockets[i].cookie, l->sockets[i].inode);
	if (*fd != -1 || in == NULL)
		return *fd != -1;
	error_set(err, 0,
		"the socket %s cannot be taken back from worker %d, which is "
		"still serving",
		l->address, (int)in->entry->birth.pid);
	return error_hint(err,
		"it has closed the socket, or pidfd_getfd(2) is refused (a container, Yama, "
		"another user's program); end the workers first");
}

/* ---- named listeners ---- */

static const struct orphan_listener *find_listener(
	const struct previous *h, const struct address *address)
{
	for (size_t i = 0; i < h->orphan_state.listener_count; i++) {
		const struct orphan_listener *l = &h->orphan_state.listeners[i];
		struct address was;
		struct error err;
		bool same;

		if (l->was.learned || address_parse(&was, l->address, &err) == -1)
			continue;
		same = address_same_place(&was, address);
		address_fini(&was);
		if (same)
			return l;
	}
	return NULL;
}

struct reading {
	struct socket_options *to;
	int fd;
};

static int read_options(void *argument)
{
	const struct reading *r = argument;
	struct socket_options options; /* on the child's stack (vfork.h) */

	socket_options_read(&options, r->fd);
	*r->to = options;
	return 0;
}

static void fill_listener(struct listener *l, const struct orphan_listener *from, int fd)
{
	l->fd = fd;
	l->left_over = true;
	l->made = from->was.made;
	l->file = from->was.file;
	l->renewed = from->was.renewed;
	if (!from->given)
		return;
	l->asked = calloc(1, sizeof(*l->asked));
	if (l->asked != NULL)
		(void)vfork_call_on(fd, read_options, &(struct reading){l->asked, fd});
}

/* Take all sockets of the listener, in the order of the kernel's group, in which the last socket
 * has got the place of a closed one. */
static void take_group(
	struct supervisor *sup, struct listener *l, const struct orphan_listener *from)
{
	struct orphan_socket list[ORPHAN_SOCKETS_MAX];
	uint64_t own = socket_cookie(l->fd);
	int fds[ORPHAN_SOCKETS_MAX];
	size_t count = from->socket_count;

	if (count > 0)
		memcpy(list, from->sockets, count * sizeof(*list));
	for (size_t i = 0; i < count;) {
		fds[i] = list[i].cookie == own ? l->fd
					       : find_socket(sup, list[i].cookie, list[i].inode);
		if (fds[i] != -1)
			i++;
		else
			list[i] = list[--count];
	}
	for (size_t i = 0; i < count; i++) {
		struct listener_socket *k = group_add(l, fds[i], list[i].lane);

		if (k == NULL)
			return;
		/* If the state does not say which sockets workers had bound, all count as bound, or
		 * none: clients of a socket that a worker uses, but that is left out, would wait
		 * for ever. */
		k->bound = list[i].bound == ORPHAN_UNKNOWN ? from->was.learned || from->given
							   : list[i].bound == ORPHAN_BOUND;
	}
}

int previous_listener(struct listener *l, struct error *err)
{
	struct supervisor *sup = l->sup;
	const struct previous *h = sup->orphans.previous;
	const struct orphan_listener *from = h != NULL ? find_listener(h, &l->address) : NULL;
	int fd;
	int got = from != NULL ? get_back_socket(sup, from, &fd, err) : 0;

	if (got != 1)
		return got;
	fill_listener(l, from, fd);
	if (socket_look(fd, &l->facts, err) == -1)
		return err->sys == ETIMEDOUT ? error_hint(err, "a worker holds it; end it first")
					     : -1;
	if (l->facts.listening)
		(void)socket_backlog(fd, l->address.backlog);
	take_group(sup, l, from);
	return 1;
}

/* ---- learned listeners ---- */

static int take_learned(
	struct service *service, const struct orphan_listener *from, struct error *err)
{
	struct socket_key key;
	struct listener *l = NULL;
	int fd;
	bool known = true;
	int got = get_back_socket(service->sup, from, &fd, err);

	if (got != 1)
		return got;
	if (socket_key_look(&key, fd) == 0)
		l = learned_add(service, &key, fd, err);
	else if (strncmp(from->address, "unix:", 5) == 0)
		l = learned_add_unix(service, from->address + 5, fd, &from->was.file, err);
	else
		known = false; /* the socket has no address */
	if (l == NULL) {
		async_close_now(service->sup, NULL, &fd);
		return known ? -1 : 0;
	}
	fill_listener(l, from, fd);
	l->made = l->address.kind == ADDRESS_UNIX;
	l->bit = from->was.bit;
	l->address.backlog = from->was.address.backlog >= 0 ? from->was.address.backlog : -1;
	l->facts.listening = from->was.facts.listening;
	take_group(service->sup, l, from);
	if (from->was.facts.listening)
		heal_watch(l);
	return 0;
}

int previous_learned(struct service *service, struct error *err)
{
	struct previous *h = service->sup->orphans.previous;

	for (size_t i = 0; i < h->orphan_state.listener_count; i++) {
		const struct orphan_listener *l = &h->orphan_state.listeners[i];

		if (l->was.learned && l->cluster == service->saved.number &&
			take_learned(service, l, err) == -1)
			return -1;
	}
	return 0;
}

/* ---- shared memory ---- */

static const struct orphan_segment *find_segment(const struct previous *h,
	const struct cluster_settings *settings, const struct segment *wanted)
{
	const struct orphan_cluster *c = previous_cluster(h, settings);

	return c == NULL ? NULL
			 : array_find(s, h->orphan_state.segments, h->orphan_state.segment_count,
				   s->cluster == c->number && s->was.wanted == wanted->wanted);
}

int previous_segment(struct segment *s, const struct cluster_settings *settings, struct error *err)
{
	const struct previous *h = s->sup->orphans.previous;
	const struct wanted wanted = {.segment = find_segment(h, settings, s)};
	const struct old_worker *in;

	if (wanted.segment == NULL)
		return 0;
	s->fd = find_left_over(s->sup, &wanted);
	if (s->fd != -1)
		return 1;
	in = find_holder(h, wanted.segment->cluster);
	if (in == NULL)
		return 0; /* no worker shares it any more */
	error_set(err, 0,
		"the shared memory cannot be taken back from worker %d, which "
		"is still running",
		(int)in->entry->birth.pid);
	return error_hint(err,
		"it has closed the descriptor, or pidfd_getfd(2) is refused; "
		"end the workers first");
}

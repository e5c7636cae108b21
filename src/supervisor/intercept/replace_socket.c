/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/vfork.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/internal.h"
#include "supervisor/intercept/listens.h"
#include "supervisor/sockets/group.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define ITEMS_MAX 64
#define PUT_PATIENCE (100 * MSEC)
#define PUT_PATIENCE_AGAIN (20 * MSEC) /* with the same user again (vfork_was_late()) */
/* Tries with a worker that gets no CPU, because the machine has too much to do; fewer with another
 * user's worker, which may only pretend. */
#define PUT_TRIES 20
#define PUT_TRIES_OTHERS 5
#define STAY_PATIENCE (20 * MSEC)

/* ---- looking ---- */

static bool note_fd(void *context, int fd, const char *target)
{
	struct takeover *t = context;
	uint64_t inode = remote_socket_inode(target);

	if (inode == 0) {
		if (t->epoll_count < EPOLLS_MAX && remote_is_epoll(target))
			t->epolls[t->epoll_count++] = fd;
		return false;
	}
	if (inode == t->inode && fd != t->notice->fd && t->same_count < SAME_MAX)
		t->same[t->same_count++] = fd;
	for (size_t i = 0; i < t->listener_count; i++)
		if (group_has_inode(t->listeners[i], inode))
			t->listener_fds[i]++;
	return false;
}

void replace_socket_search(struct takeover *t)
{
	t->inode =
		t->sock != -1 ? remote_own_inode(t->sock) : remote_inode(t->remote, t->notice->fd);
	t->same[0] = t->notice->fd;
	t->same_count = 1;
	t->epoll_count = 0;
	memset(t->listener_fds, 0, sizeof(t->listener_fds));
	(void)remote_each_fd(t->remote, LOOK_MAX, note_fd, t);
}

/* ---- putting a kept socket in the place of the worker's ---- */

struct putting {
	const struct takeover *t;
	int ours;
	bool cloexec[SAME_MAX];
	int error;
	bool unkillable; /* the child that puts it cannot be ended */
};

static int put_in_child(void *argument)
{
	struct putting *p = argument;
	const struct takeover *t = p->t;

	for (unsigned i = 0; i < t->same_count; i++)
		if (seccomp_put(t->trap, t->notice->id, p->ours, t->same[i], p->cloexec[i]) == -1) {
			p->error = errno;
			break;
		}
	return 0;
}

/* Puts the sockets, and waits until the worker has taken them. 0; or -1: the worker did not in
 * time, because it is stopped, or hangs. */
static int put_sockets(struct putting *p)
{
	struct remote *r = p->t->remote;
	bool again = r->others && vfork_patience(r->uid) < PUT_PATIENCE;
	nsec_t patience = again ? PUT_PATIENCE_AGAIN : PUT_PATIENCE;
	nsec_t begun = clock_now();
	nsec_t awake = process_awake(p->t->notice->tid);

	for (unsigned i = 0; i < (r->others ? PUT_TRIES_OTHERS : PUT_TRIES); i++) {
		nsec_t before = awake;

		if (vfork_run(put_in_child, p, patience) == 0)
			return 0;
		if (errno != ETIMEDOUT)
			return -1;
		p->unkillable = vfork_stays(STAY_PATIENCE);
		/* the worker may have taken them just now, after a long wait for a CPU */
		awake = process_awake(p->t->notice->tid);
		if (p->unkillable || (awake == before && !process_is_runnable(p->t->notice->tid)))
			break;
	}
	r->late = true;
	if (r->others)
		vfork_was_late(r->uid, clock_now() - begun);
	return -1;
}

/* An epoll item of the worker's own socket, to be added again for the kept socket.  It is read
 * before the socket is replaced, because it goes with the socket. */
struct waiting {
	int epoll; /* the epoll set's fd in the worker */
	struct remote_epoll_item item;
};

static unsigned read_waiting(struct takeover *t, struct waiting *list, unsigned most)
{
	unsigned count = 0;

	for (unsigned i = 0; i < t->epoll_count; i++)
		for (unsigned k = 0; k < t->same_count && count < most; k++) {
			list[count].epoll = t->epolls[i];
			count += remote_epoll_find(
				t->remote, t->epolls[i], t->same[k], &list[count].item);
		}
	return count;
}

static void add_waiting(
	struct takeover *t, const struct listener *l, const struct waiting *list, unsigned count)
{
	for (unsigned i = 0; i < count && !t->remote->late; i++) {
		int epoll = remote_fd(t->remote, list[i].epoll);
		bool added = epoll != -1 && takeover_waits(t) &&
			remote_epoll_add(t->remote, epoll, group_fd(l, t->child->traffic.lane),
				&list[i].item) == 0;
		int saved = errno;

		async_close(t->service->sup, t->child, &epoll);
		errno = saved;
		if (added)
			continue;
		if (news_spares(t->child))
			log_worker(t->child, LOG_ERROR, "cannot add %s to its epoll: %s",
				listener_text(l), strerror(errno));
	}
}

static void follow_options(struct takeover *t, struct listener *l)
{
	if (l->asked == NULL) { /* the options of a new socket, on which nothing was set */
		scoped_fd fd = socket(t->key.family, t->key.type | SOCK_CLOEXEC, t->key.protocol);

		l->asked = calloc(1, sizeof(*l->asked));
		if (l->asked != NULL && fd != -1)
			socket_options_read(l->asked, fd);
	}
	if (l->asked == NULL)
		return;
	if (t->sock == -1) { /* of this socket's options only O_NONBLOCK is known */
		bool nonblock = t->asked.nonblock;

		t->asked = *l->asked;
		t->asked.nonblock = nonblock;
	}
	socket_options_follow(group_fd(l, t->child->traffic.lane), l->asked, &t->asked);
	*l->asked = t->asked;
}

void replace_worker_socket(struct takeover *t, struct listener *l)
{
	struct putting p = {.t = t};
	struct waiting waiting[ITEMS_MAX];
	unsigned count = read_waiting(t, waiting, ITEMS_MAX);

	moment_uses(t->child, l, USE_GIVEN);
	p.ours = group_fd(l, t->child->traffic.lane);
	for (unsigned i = 0; i < t->same_count; i++) {
		int flags = remote_fd_flags(t->remote, t->same[i]);

		p.cloexec[i] = flags != -1 && (flags & O_CLOEXEC) != 0;
		if (i == 0 && t->sock == -1)
			t->asked.nonblock = flags != -1 && (flags & O_NONBLOCK) != 0;
	}
	if (!takeover_waits(t))
		return;
	follow_options(t, l);
	if (put_sockets(&p) == -1) {
		/* to end, the child needs the lock that nclust needs to answer */
		if (p.unkillable) {
			t->trap = -1;
			intercept_kill_hung(t->child);
		} else {
			takeover_answer(t, EAGAIN);
		}
		return;
	}
	if (p.error != 0) {
		takeover_answer(t, p.error);
		return;
	}
	add_waiting(t, l, waiting, count);
	learned_use(t->child, l, t->notice->tid);
	if (t->key.type == SOCK_STREAM)
		listens_bound(t->child, t->notice->tid);
	takeover_answer(t, 0);
	/* no address depends on it */
	async_close(t->service->sup, t->child, &t->sock);
}

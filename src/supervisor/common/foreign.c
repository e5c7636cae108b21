/* SPDX-License-Identifier: MIT */
#include "supervisor/common/foreign.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

/* How long a child may take to close one descriptor. */
#define PATIENCE (5 * SECOND)
/* The same, if nclust itself waits for the child. */
#define PROMPTLY (100 * MSEC)
/* So many are closed at once, others when this turn ends. */
#define TOGETHER_MOST 32
/* Most batches are closed within this time, so nclust waits for them. */
#define MOMENT (1 * MSEC)
/* After that nclust looks whether they are closed. */
#define LOOK (10 * MSEC)
#define START_AGAIN (1 * SECOND)
/* How long nclust waits before an upgrade and at its end, until everything is closed. */
#define SETTLE_MOST (2 * SECOND)
/* How long a socket with SO_LINGER may take to send its last data. */
#define LINGER_US 20000
/* A worker is killed if more of its descriptors wait to be closed. */
#define WAITING_MOST 512
/* While so many children hang because of a cluster, nclust receives no more descriptors from its
 * workers. */
#define HUNG_OF_ONE 8

struct foreign {
	int fd;
	uint64_t owner; /* the worker's serial, or 0 */
};

/* Can a process with fewer rights than nclust pass descriptors to it? */
static bool has_weaker_users(const struct supervisor *sup)
{
	return (sup->settings->control_gid >= 0 || privilege_has(CAP_SETUID)) && vfork_is_shared();
}

static void kill_owner(struct supervisor *sup, uint64_t owner, const char *why)
{
	const struct child *by = owner != 0 ? child_by_serial(sup, owner) : NULL;

	if (by == NULL || sup->closer.killed == owner)
		return;
	sup->closer.killed = owner;
	log_worker(by, LOG_WARN, "killing worker %d: it has given nclust %s", (int)by->pid, why);
	(void)pidfd_signal(by->pidfd, SIGKILL);
}

static void kill_endless(struct supervisor *sup, uint64_t owner)
{
	kill_owner(sup, owner, "a descriptor that cannot be closed (does its file server answer?)");
}

/* ---- the child ---- */

static void on_alarm(int signal)
{
	(void)signal; /* the signal only interrupts the wait */
}

/*
 * Runs in the child, which shares nclust's memory and descriptor table.  No call here may fail,
 * because errno is nclust's, too.  dup3(2) puts /dev/null at the descriptor's number and closes
 * what was there; nclust closes the number later.  SIGALRM ends the wait for SO_LINGER (tcp_close()
 * of the kernel).
 */
static int close_batch(void *argument)
{
	struct closing *c = argument;
	const struct sigaction alarm = {.sa_handler = on_alarm};
	const struct itimerval bound = {{0, LINGER_US}, {0, LINGER_US}};
	sigset_t others;

	sigfillset(&others);
	sigdelset(&others, SIGALRM);
	(void)sigaction(SIGALRM, &alarm, NULL);
	(void)sigprocmask(SIG_SETMASK, &others, NULL);
	(void)setitimer(ITIMER_REAL, &bound, NULL);
	for (; c->done < c->count; c->done++)
		(void)dup3(c->null_fd, c->fds[c->done], O_CLOEXEC);
	return 0;
}

static void put_back(struct closer *c, struct foreign it)
{
	if (c->count < c->room)
		c->list[c->count++] = it;
}

/* The child has ended, or was killed: close the numbers of what it has closed, and put the rest
 * back on the list. */
static void end_batch(struct closer *c)
{
	struct closing *it = &c->closing;

	c->child.pid = 0;
	for (unsigned i = 0; i < it->count; i++)
		if (i < it->done)
			fd_close(&it->fds[i]);
		else
			put_back(c, (struct foreign){it->fds[i], c->owners[i]});
	it->count = 0;
}

/* Reap the child if it has ended; false: it has not. */
static bool reap_child(struct closer *c)
{
	if (waitpid(c->child.pid, NULL, WNOHANG | (int)__WCLONE) == 0)
		return false;
	end_batch(c);
	return true;
}

static void take_batch(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	struct closing *it = &c->closing;

	*it = (struct closing){.null_fd = sup->null_fd};
	for (; it->count < c->count && it->count < CLOSING_BATCH; it->count++) {
		it->fds[it->count] = c->list[it->count].fd;
		c->owners[it->count] = c->list[it->count].owner;
	}
	c->count -= it->count;
	memmove(c->list, c->list + it->count, c->count * sizeof(*c->list));
}

/* 1: the batch is closed; 0: the child goes on closing it; -1: no child can be started. */
static int close_next_batch(struct supervisor *sup, nsec_t patience)
{
	struct closer *c = &sup->closer;

	take_batch(sup);
	c->child.needed = true;
	if (vfork_begin(&c->child, close_batch, &c->closing, CLONE_FILES, NULL) == -1) {
		end_batch(c);
		return -1;
	}
	if (!vfork_wait(&c->child, patience))
		return 0;
	(void)vfork_reap(&c->child);
	end_batch(c);
	return 1;
}

static void give_up_batch(struct closer *c)
{
	if (c->child.pid == 0)
		return;
	(void)vfork_kill(&c->child);
	end_batch(c);
}

/* ---- in the loop ---- */

static void look_within(struct supervisor *sup, nsec_t wait)
{
	if (sup->loop != NULL)
		timer_arm_within(sup->loop, &sup->closer.look, wait);
}

/* Within PATIENCE the child should close at least one descriptor. */
static void grant_patience(struct closer *c)
{
	c->seen = c->closing.done;
	c->due = clock_now() + PATIENCE;
}

static void start_batches(struct supervisor *sup)
{
	struct closer *c = &sup->closer;

	if (c->child.pid != 0)
		(void)reap_child(c);
	while (c->child.pid == 0 && c->count > 0) {
		int got = close_next_batch(sup, MOMENT);

		if (got != 1)
			look_within(sup, got == 0 ? LOOK : START_AGAIN);
		if (got == 0)
			grant_patience(c);
		else if (got == -1)
			return;
	}
}

void foreign_reap(struct supervisor *sup, pid_t pid)
{
	if (sup->closer.child.pid != pid)
		(void)vfork_stuck(); /* a child that hung */
	else if (reap_child(&sup->closer))
		start_batches(sup);
}

static void look_at_child(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	uint64_t owner;

	if (c->child.pid == 0 || reap_child(c))
		return;
	if (c->closing.done != c->seen)
		grant_patience(c);
	if (clock_now() < c->due) {
		look_within(sup, LOOK);
		return;
	}
	owner = c->seen < c->closing.count ? c->owners[c->seen] : 0;
	give_up_batch(c);
	kill_endless(sup, owner);
}

bool foreign_is_settled(const struct supervisor *sup)
{
	return sup->closer.child.pid == 0 && sup->closer.count == 0;
}

/* No worker is killed here for a late close. */
void foreign_settle(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	nsec_t until = clock_now() + SETTLE_MOST;

	do {
		give_up_batch(c);
		if (c->count > 0 && close_next_batch(sup, PROMPTLY) == -1)
			break;
	} while (!foreign_is_settled(sup) && clock_now() < until);
	if (!foreign_is_settled(sup))
		look_within(sup, START_AGAIN);
}

/* ---- receiving ---- */

/* Forget children that no longer hang. */
static void look_at_hung(struct closer *c)
{
	unsigned kept = 0;

	(void)vfork_stuck(); /* reaps children that have ended */
	for (unsigned i = 0; i < c->hung_count; i++)
		if (vfork_has(c->hung[i].pid))
			c->hung[kept++] = c->hung[i];
	c->hung_count = kept;
}

static uint32_t cluster_of(const struct child *by)
{
	return by != NULL ? by->service->saved.number : 0;
}

static unsigned count_hung(const struct closer *c, const struct child *by)
{
	unsigned count = 0;

	for (unsigned i = 0; i < c->hung_count; i++)
		count += c->hung[i].cluster == cluster_of(by);
	return count;
}

/* May one more child hang because of the worker's cluster? */
static bool may_hang(struct closer *c, const struct child *by)
{
	if (c->hung_count == HUNG_MOST || count_hung(c, by) >= HUNG_OF_ONE)
		look_at_hung(c);
	return c->hung_count < HUNG_MOST && count_hung(c, by) < HUNG_OF_ONE;
}

/* If a child has hung too long, kill the worker to blame, if that still lives. */
static void look_at_overdue(struct supervisor *sup)
{
	struct closer *c = &sup->closer;
	nsec_t now = clock_now();

	if (c->hung_count == 0)
		return;
	look_at_hung(c);
	for (unsigned i = 0; i < c->hung_count; i++)
		if (now - c->hung[i].since >= PATIENCE)
			kill_endless(sup, c->hung[i].owner);
	if (c->hung_count > 0)
		look_within(sup, PATIENCE);
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;

	(void)loop;
	(void)revents;
	look_at_child(sup);
	start_batches(sup);
	look_at_overdue(sup);
}

/* Keeps errno, which is that of the receiving. */
static void note_received(struct supervisor *sup, const struct child *by,
	const struct fdpass_message *m, enum fdpass_take take)
{
	struct closer *c = &sup->closer;
	int error = errno;

	if (m->lost && take == FDPASS_LEAVE && by != NULL && count_hung(c, by) >= HUNG_OF_ONE)
		kill_endless(sup, by->serial);
	if (m->stuck != 0 && c->hung_count < HUNG_MOST) {
		c->hung[c->hung_count++] = (struct hung){
			.pid = m->stuck,
			.cluster = cluster_of(by),
			.owner = by != NULL ? by->serial : 0,
			.since = clock_now(),
		};
		look_within(sup, PATIENCE);
	}
	errno = error;
}

int foreign_receive(struct supervisor *sup, const struct child *by, int fd, void *data, size_t size,
	struct fdpass_message *m)
{
	enum fdpass_take take = may_hang(&sup->closer, by) ? FDPASS_NOTHING : FDPASS_LEAVE;
	int got;

	if (!has_weaker_users(sup))
		return fdpass_receive(fd, data, size, m);
	got = fdpass_receive_apart(fd, data, size, take, m);
	note_received(sup, by, m, take);
	return got;
}

ssize_t foreign_read(struct supervisor *sup, const struct child *by, int fd, void *data,
	size_t size, enum fdpass_take take, struct fdpass_message *m)
{
	ssize_t got;

	if (!has_weaker_users(sup))
		return fdpass_read(fd, data, size, m);
	if (!may_hang(&sup->closer, by))
		take = FDPASS_LEAVE;
	got = fdpass_read_apart(fd, data, size, take, m);
	note_received(sup, by, m, take);
	return got;
}

/* ---- descriptors to be closed ---- */

static int grow_list(struct closer *c)
{
	size_t room = c->room > 0 ? c->room : 64;
	struct foreign *list;

	/* a batch may be put back on the list */
	while (room < c->count + 1 + CLOSING_BATCH)
		room *= 2;
	if (room == c->room)
		return 0;
	list = realloc(c->list, room * sizeof(*list));
	if (list == NULL)
		return -1;
	c->list = list;
	c->room = room;
	return 0;
}

static void bound_waiting(struct supervisor *sup, uint64_t owner)
{
	const struct closer *c = &sup->closer;
	size_t n = 0;

	for (size_t i = 0; i < c->count; i++)
		n += c->list[i].owner == owner;
	/* `c->count` has those of other workers, too */
	if (n > WAITING_MOST)
		kill_owner(sup, owner, "more descriptors than can be closed in time");
}

void foreign_close_now(struct supervisor *sup, const struct child *by, int *fd)
{
	struct closing one = {
		.null_fd = sup->null_fd,
		.count = 1,
		.fds = {*fd},
	};

	if (*fd == -1 || !has_weaker_users(sup)) {
		fd_close(fd);
		return;
	}
	if (vfork_run(close_batch, &one, PROMPTLY) == -1 && errno == ETIMEDOUT && by != NULL)
		kill_endless(sup, by->serial);
	if (one.done == 1)
		fd_close(fd);
	else
		foreign_close(sup, by, fd);
}

void foreign_close(struct supervisor *sup, const struct child *by, int *fd)
{
	struct closer *c = &sup->closer;
	uint64_t owner = by != NULL ? by->serial : 0;

	if (*fd == -1)
		return;
	if (!has_weaker_users(sup) || grow_list(c) == -1) {
		fd_close(fd);
		return;
	}
	c->list[c->count++] = (struct foreign){fd_release(fd), owner};
	look_within(sup, 0);
	if (sup->loop != NULL && c->count >= TOGETHER_MOST)
		start_batches(sup);
	if (c->count > WAITING_MOST)
		bound_waiting(sup, owner);
}

/* Is nothing left in the queue of a unix socket that is shut down?  unix_dgram_sendmsg() puts nothing
 * there then.  At the end of a connection recv(2) answers 0, as for an empty message.  Before 6.9
 * who closes any unix socket also closes what others have sent to each other and lost (unix_gc() in
 * unix_release_sock()): so only a newer kernel is asked. */
static bool is_empty(int fd)
{
	char c;

	return recv(fd, &c, sizeof(c), MSG_PEEK | MSG_DONTWAIT) == -1 && errno == EAGAIN;
}

void foreign_hang_up(struct supervisor *sup, const struct child *by, int *fd)
{
	int passes = fdpass_passes(*fd);

	if (passes == 0 || (shutdown(*fd, SHUT_RDWR) == 0 && passes == 1 && is_empty(*fd)))
		fd_close(fd);
	else
		foreign_close(sup, by, fd);
}

/* ---- life ---- */

void foreign_init(struct supervisor *sup)
{
	sup->closer = (struct closer){.killed = 0};
	timer_init(&sup->closer.look, on_look, sup);
}

void foreign_fini(struct supervisor *sup)
{
	foreign_settle(sup);
	ev_timer_stop(sup->loop, &sup->closer.look);
	free(sup->closer.list);
	foreign_init(sup);
}

bool foreign_owns(const struct supervisor *sup, pid_t pid)
{
	return pid != 0 && (sup->closer.child.pid == pid || vfork_has(pid));
}

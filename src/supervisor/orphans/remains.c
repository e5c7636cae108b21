/* SPDX-License-Identifier: MIT */
#include "supervisor/orphans/heritage.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/environ.h"
#include "os/pidfd.h"
#include "os/process.h"
#include "os/look/remote.h"
#include "supervisor/common/news.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Processes that an earlier nclust has left and this one does not take over. */

#define GRACE_TERM (2 * SECOND)
#define GRACE_KILL (1 * SECOND)
#define REMAINS_MAX 65536U

struct remains {
	struct pollfd *list; /* heap: pidfds */
	size_t count;
};

static void add(struct remains *r, int pidfd)
{
	struct pollfd *list = r->list;

	/* powers of two */
	if ((r->count & (r->count - 1)) == 0)
		list = realloc(list,
			(r->count == 0 ? 1 : 2 * r->count) * sizeof(*list));
	if (list == NULL || r->count >= REMAINS_MAX) {
		(void)close(pidfd);
		return;
	}
	r->list = list;
	list[r->count++] = (struct pollfd){.fd = pidfd, .events = POLLIN};
}

/* ---- whose it is ---- */

static bool is_above(pid_t pid, const pid_t *above, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (above[i] == pid)
			return true;
	return false;
}

/* Ourselves and those that have started us, should a worker be among them. */
static size_t list_above(pid_t *above, size_t most)
{
	struct process_facts facts;
	pid_t pid = getpid();
	size_t count = 0;

	while (pid > 1 && count < most) {
		above[count++] = pid;
		if (process_look(pid, &facts) == -1)
			break;
		pid = facts.parent;
	}
	return count;
}

/* Its NCLUST_WORKER, if it was born below an nclust of our name; or 0, also where
 * that cannot be read: who may be anybody's is not ended.  What
 * runs in a container has an nclust of its own, maybe of the same name and at
 * the same place there. */
static uint64_t serial_of(struct supervisor *sup, pid_t pid)
{
	char value[sizeof(sup->rundir.path) + 16] untouched;
	size_t len = strlen(sup->rundir.path);
	struct remote r;

	remote_of(&r, pid);
	if (!remote_shares(&r, "pid") ||
		environ_value(pid, "NCLUST_SOCKET", value, sizeof(value)) ==
			-1 ||
		strncmp(value, sup->rundir.path, len) != 0 ||
		strcmp(value + len, "/control") != 0 ||
		environ_value(pid, "NCLUST_WORKER", value, sizeof(value)) == -1)
		return 0;
	return strtoull(value, NULL, 16);
}

/* In the session of one that lives and is to be ended, or born below one that
 * is not taken over, after it. */
static bool is_left_by(struct supervisor *sup, const struct heritage *h,
	pid_t pid, const struct process_facts *facts)
{
	uint64_t serial = 0;
	bool asked = false;

	for (size_t i = 0; i < h->past.count; i++) {
		const struct inmate *in = &h->inmates[i];
		const struct state_birth *birth = &in->entry->birth;

		if (in->ours || birth->pid == 0 || facts->start < birth->start)
			continue;
		if (in->lives && pid == birth->pid)
			return false; /* on the list already */
		if (in->lives && facts->session == birth->pid)
			return true;
		if (!asked)
			serial = serial_of(sup, pid);
		asked = true;
		if (serial == in->entry->serial)
			return true;
	}
	return false;
}

typedef bool process_fn(struct supervisor *sup, const struct heritage *h,
	pid_t pid, const struct process_facts *facts);

/* For each living process but us and those above us: those that fit. */
static void search(struct supervisor *sup, const struct heritage *h,
	process_fn *fits, struct remains *found, pid_t *first)
{
	pid_t above[64];
	size_t count = list_above(above, COUNT_OF(above));
	DIR *dir = opendir("/proc");
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL) {
		pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
		struct process_facts facts;
		struct process_facts now;
		scoped_fd fd = -1;

		if (pid <= 1 || is_above(pid, above, count) ||
			process_look(pid, &facts) == -1 || facts.state == 'Z' ||
			!fits(sup, h, pid, &facts))
			continue;
		*first = pid;
		fd = pidfd_of(pid);
		/* who has the number now is who was looked at */
		if (found != NULL && fd != -1 && process_look(pid, &now) == 0 &&
			now.start == facts.start)
			add(found, fd_release(&fd));
	}
	if (dir != NULL)
		(void)closedir(dir);
}

/* ---- ending ---- */

static size_t living(struct remains *r)
{
	size_t count = 0;

	(void)poll(r->list, r->count, 0);
	for (size_t i = 0; i < r->count; i++)
		count += r->list[i].revents == 0;
	return count;
}

static bool wait_for_all(struct remains *r, nsec_t time)
{
	nsec_t until = nsec_add(clock_now(), time);

	while (living(r) > 0) {
		struct pollfd alive[1];
		nsec_t now = clock_now();

		if (now >= until)
			return false;
		for (size_t i = 0; i < r->count; i++)
			if (r->list[i].revents == 0)
				alive[0] = r->list[i];
		(void)poll(alive, 1, (int)((until - now) / MSEC) + 1);
	}
	return true;
}

static void signal_all(const struct remains *r, int signal)
{
	for (size_t i = 0; i < r->count; i++) {
		(void)pidfd_signal(r->list[i].fd, signal); /* ESRCH, EPERM */
		(void)pidfd_signal(r->list[i].fd, SIGCONT);
	}
}

static bool any_to_end(const struct heritage *h)
{
	for (size_t i = 0; i < h->past.count; i++)
		if (!h->inmates[i].ours && h->inmates[i].entry->birth.pid != 0)
			return true;
	return false;
}

unsigned remains_end(struct supervisor *sup, struct heritage *h)
{
	struct remains r = {0};
	unsigned count;
	pid_t first = 0;

	if (!any_to_end(h))
		return 0;
	for (size_t i = 0; i < h->past.count; i++)
		if (h->inmates[i].lives && !h->inmates[i].ours)
			add(&r, fd_release(&h->inmates[i].pidfd));
	search(sup, h, is_left_by, &r, &first);
	count = (unsigned)living(&r);
	if (count > 0) {
		log_note("%s: ending %u process%s that nclust %d has left",
			sup->settings->name, count, count == 1 ? "" : "es",
			(int)h->past.header.pid);
		signal_all(&r, SIGTERM);
		if (!wait_for_all(&r, GRACE_TERM)) {
			signal_all(&r, SIGKILL);
			if (!wait_for_all(&r, GRACE_KILL))
				log_warn("%zu of them cannot be ended",
					living(&r));
		}
	}
	for (size_t i = 0; i < r.count; i++)
		(void)close(r.list[i].fd);
	free(r.list);
	return count;
}

static bool is_of_our_name(struct supervisor *sup, const struct heritage *h,
	pid_t pid, const struct process_facts *facts)
{
	(void)h;
	(void)facts;
	return serial_of(sup, pid) != 0;
}

pid_t remains_find(struct supervisor *sup)
{
	pid_t first = 0;

	search(sup, NULL, is_of_our_name, NULL, &first);
	return first;
}

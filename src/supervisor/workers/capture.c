/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/capture.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/descriptors.h"
#include "os/look/remote.h"
#include "supervisor/common/async_close.h"
#include "supervisor/workers/budget.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/slotlog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- which output goes where ---- */

/* The settings of a worker's own generation: a rollout begins workers of one that is not in force
 * yet.  Those in force without a worker. */
static const struct cluster_settings *settings_for(
	const struct service *service, const struct child *child)
{
	const struct cluster_settings *own = child != NULL ? child_settings(child) : NULL;

	return own != NULL ? own : cluster_settings(service->core);
}

/* It is captured all the same, for the slotlog and the report of an exit, unless
 * each connection has a process, which would cost a pipe each. */
bool capture_goes_nowhere(const struct service *service, const struct child *child)
{
	enum log_mode mode = settings_for(service, child)->log;

	return mode == LOG_OFF || (mode == LOG_AUTO && service->sup->settings->daemon);
}

/* Is the output copied unchanged to nclust's own, so that a worker's last output is known? */
static bool is_copied(const struct service *service, const struct child *child)
{
	const struct supervisor *sup = service->sup;

	return settings_for(service, child)->log == LOG_AUTO && !sup->settings->daemon &&
		!sup->logger.stdout_is_terminal;
}

bool capture_wanted(const struct service *service, const struct child *child)
{
	return capture_asked(service, child) && budget_files(service, 0) == BUDGET_ALL;
}

/* Would processes of another user hold a file of ours open for writing? */
static bool is_own_file(const struct service *service)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	struct stat st;

	return s->uid >= 0 && (uid_t)s->uid != geteuid() && fstat(STDERR_FILENO, &st) == 0 &&
		S_ISREG(st.st_mode);
}

bool capture_asked(const struct service *service, const struct child *child)
{
	enum log_mode mode = settings_for(service, child)->log;
	const struct supervisor *sup = service->sup;

	if (mode == LOG_INHERIT || mode == LOG_SINKS || service->accepting == NULL)
		return mode != LOG_INHERIT;
	/* a process for each connection: that costs a pipe each */
	return mode == LOG_AUTO &&
		(sup->settings->daemon ? !sup->instance.ready_once
				       : sup->logger.stdout_is_terminal || is_own_file(service));
}

struct opening {
	struct remote *r;
	int number;
	int fd;
};

/* Runs in a child (os/vfork.h), because open(2) and the last close(2) of a pipe wait for its lock
 * (fs/pipe.c of the kernel), which the worker may hold; and close(2) of anything else may wait, such
 * as of a socket with SO_LINGER. */
static int open_pipe_again(void *argument)
{
	struct opening *o = argument;
	scoped_fd both = remote_fd(o->r, o->number);
	struct stat st;

	if (both == -1 || fstat(both, &st) == -1 || !S_ISFIFO(st.st_mode) ||
		(fcntl(both, F_GETFL) & O_ACCMODE) != O_RDWR)
		return 0;
	o->fd = descriptors_again(both, O_RDONLY | O_NONBLOCK);
	return o->fd != -1 ? 0 : -1;
}

void capture_reopen(struct child *child)
{
	struct remote r;

	remote_of(&r, child->pid);
	for (int i = 0; i < 2; i++) {
		struct opening o = {.r = &r, .number = i + 1, .fd = -1};

		if (child->output[i] != -1)
			continue;
		/* for reading alone, so that its end is seen when the worker is gone */
		if (remote_have(&r, -1, open_pipe_again, &o, &o.fd) == -1)
			log_worker(child, LOG_ERROR, "cannot open its output: %s", strerror(errno));
		child->output[i] = o.fd;
	}
	if (descriptors_same(child->output[0], child->output[1]))
		async_close(child->service->sup, child, &child->output[1]);
}

/* nclust does not close a worker's pipe itself: the last close(2) waits for the pipe's lock
 * (fs/pipe.c of the kernel), and a worker can make any close the last. */
void capture_drop(struct child *child)
{
	for (int i = 0; i < 2; i++)
		async_close(child->service->sup, child, &child->output[i]);
}

/* Returns the read end, which the caller owns; -1 and errno. */
static int open_pipe(const struct service *service, int *write_end)
{
	int ends[2];
	int both = -1;

	if (pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	/* Open the write end for reading, too: if all other readers are killed, the worker gets no
	 * SIGPIPE but waits for the next reader. */
	if (cluster_settings(service->core)->orphans == ORPHANS_KEEP)
		both = descriptors_again(ends[1], O_RDWR);
	if (both != -1) {
		(void)close(ends[1]);
		ends[1] = both;
	}
	/* a worker of another user may open /dev/stderr */
	(void)fchmod(ends[1], 0622);
	*write_end = ends[1];
	return ends[0];
}

void capture_open(struct service *service, struct child *child, int output[2])
{
	struct supervisor *sup = service->sup;
	bool copied = is_copied(service, child);

	output[0] = output[1] = -1;
	if (!capture_wanted(service, child) || logger_start_soon(service) == -1) {
		if (capture_goes_nowhere(service, child))
			output[0] = output[1] = sup->null_fd;
		return;
	}
	/* `accept = yes`: stdout goes to the client */
	for (int i = service->accepting != NULL; i < 2; i++) {
		/* If both go to the same place, one pipe keeps their order; a terminal as stderr
		 * stays the worker's own. */
		if (i == 1 && copied && descriptors_same(STDOUT_FILENO, STDERR_FILENO))
			output[1] = output[0];
		if (i == 1 && copied && (output[1] != -1 || isatty(2) == 1))
			return;
		child->output[i] = ptys_are_wanted(child, i) ? ptys_open(child, i, &output[i]) : -1;
		if (child->output[i] == -1)
			child->output[i] = open_pipe(service, &output[i]);
		/* without a pipe the worker writes where nclust writes */
		if (child->output[i] == -1) {
			log_syserr("cannot capture the output of '%s'", service->name);
			return;
		}
	}
}

void capture_close(struct supervisor *sup, int output[2])
{
	if (output[1] == output[0])
		output[1] = -1;
	for (int i = 0; i < 2; i++)
		if (output[i] != sup->null_fd)
			async_close(sup, NULL, &output[i]);
}

/* ---- what the logger gets ---- */

void capture_hand_over(struct service *service, const struct child *child)
{
	struct supervisor *sup = service->sup;
	const struct cluster_settings *s = child_settings(child);
	struct logwire_packet p = {
		.kind = LOGWIRE_ADD,
		.slot = child->slot,
		.worker = child->serial,
		.quiet = capture_goes_nowhere(service, child),
		.sink = is_copied(service, child) ? LOGWIRE_COPY : 0,
		.what = child->pid > 0 ? (uint32_t)child->pid : 0,
		.which = child->generation,
		.flag = s != NULL && (s->uid < 0 || (uid_t)s->uid == geteuid()) ? LOGWIRE_OWN : 0,
	};
	int fds[3];
	size_t count = 0;
	int slotlog;

	if (child->output[0] == -1 && child->output[1] == -1)
		return;
	moment_logger(sup, LOGGER_GETS, service, NULL);
	text_copy(p.cluster, sizeof(p.cluster), service->name);
	for (int i = 0; i < 2; i++) {
		if (child->output[i] == -1)
			continue;
		p.stream |= (uint32_t)i + 1;
		fds[count++] = child->output[i];
	}
	if (sup->launch.lends_terminal && ptys_are_wanted(child, 0))
		p.flag |= LOGWIRE_TALKS;
	slotlog = slotlog_of(child);
	if (slotlog != -1)
		fds[count++] = slotlog;
	(void)logger_send(sup, &p, fds, count); /* else a next logger gets the output */
}

bool capture_is_stuck(const struct child *child)
{
	for (int i = 0; i < 2 && is_copied(child->service, child); i++) {
		struct pollfd ends[] = {
			{.fd = child->output[i], .events = POLLIN},
			{.fd = i + 1, .events = POLLOUT},
		};

		if (poll(ends, 2, 0) == 1 && (ends[0].revents & POLLIN) != 0)
			return true;
	}
	return false;
}

bool capture_ask_last(const struct child *child)
{
	const struct worker_view view = child_view(child);
	struct logwire_packet p = {
		.kind = LOGWIRE_ENDED,
		.slot = child->slot,
		.worker = child->serial,
		.quiet = view.id != 0 && view.ready_at != NSEC_NEVER,
	};

	logger_start_put_off(child->service->sup);
	text_copy(p.cluster, sizeof(p.cluster), child->service->name);
	return logger_send(child->service->sup, &p, NULL, 0);
}

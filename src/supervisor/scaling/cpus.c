/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "os/cgroup.h"
#include "supervisor/common/timer.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/workers/service.h"

#include <sys/inotify.h>
#include <unistd.h>

/* What is written within this time is one change. */
#define SETTLE (1 * SECOND)

static bool is_needed(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct workers_wanted *w =
			&cluster_next_settings(sup->services[i]->core)->workers;

		if (w->least.multiply > 0 || w->most.multiply > 0)
			return true;
	}
	return false;
}

static void recount_cpus(struct supervisor *sup)
{
	if (service_recount(sup))
		scaling_limits(sup);
}

static void on_settled(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;
	char events[4096];

	(void)revents;
	if (sup->upgrade.reexec != NULL) { /* the upgrade may fail */
		timer_arm(loop, timer, SETTLE);
		return;
	}
	ev_io_start(loop, &sup->scaler.written);
	if (read(sup->scaler.written.fd, events, sizeof(events)) > 0)
		recount_cpus(sup);
}

static void on_written(struct ev_loop *loop, ev_io *io, int revents)
{
	struct supervisor *sup = io->data;

	(void)revents;
	ev_io_stop(loop, io);
	timer_arm(loop, &sup->scaler.recount, SETTLE);
}

void cpus_end(struct supervisor *sup)
{
	struct scaler *s = &sup->scaler;

	if (s->written.data == NULL)
		return;
	ev_timer_stop(sup->loop, &s->recount);
	ev_io_stop(sup->loop, &s->written);
	(void)close(s->written.fd);
	s->written.data = NULL;
}

void cpus_begin(struct supervisor *sup)
{
	struct scaler *s = &sup->scaler;
	scoped_fd fd = -1;

	cpus_end(sup);
	if (!is_needed(sup))
		return;
	fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (fd == -1) /* a user has a limited number of them */
		log_debug("no inotify: a new CPU quota waits for a reload");
	if (fd == -1 || cgroup_cpu_watch("", fd) == 0)
		return;
	timer_init(&s->recount, on_settled, sup);
	io_init(&s->written, on_written, fd_release(&fd), sup);
	ev_io_start(sup->loop, &s->written);
	recount_cpus(sup); /* the quota may have changed before */
}

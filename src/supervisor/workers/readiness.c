/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/readiness.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/process.h"
#include "protocol/notify.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/guard.h"
#include "supervisor/common/news.h"
#include "supervisor/common/foreign.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* The most datagrams in a turn: a worker that floods delays only itself. */
#define MESSAGES_A_TURN 16
#define WATCHDOG_MAX (24 * HOUR)

static void on_notify(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct child *child = watcher->data;
	nsec_t begun = allowance_begin();

	(void)loop;
	(void)revents;
	readiness_drain(child);
	allowance_end(&child->life.notify_allowance, child, watcher, begun,
		"sends notify messages");
}

void readiness_init(struct child *child)
{
	io_init(&child->life.notify_watcher, on_notify, -1, child);
}

static void name_of(const struct child *child, char name[24])
{
	(void)snprintf(name, 24, "%" PRIx64, child->serial);
}

static int bind_notify(const struct child *child,
	const struct cluster_settings *settings, struct error *err)
{
	const struct supervisor *sup = child->service->sup;
	char name[24];

	if (!sup->has_rundir)
		return socket_open_nowhere(err);
	name_of(child, name);
	return socket_open_at(sup->rundir.notify_dir, name, SOCK_DGRAM, 0600,
		settings->uid, settings->gid, err);
}

static void watch(struct child *child, int fd)
{
	ev_io_set(&child->life.notify_watcher, fd, EV_READ);
	ev_io_start(child->service->sup->loop, &child->life.notify_watcher);
}

int readiness_open(struct child *child, const struct cluster_settings *settings,
	struct error *err)
{
	int fd = bind_notify(child, settings, err);

	if (fd == -1 && err->sys == ENOENT &&
		guard_make_place(child->service->sup, err) == 0)
		fd = bind_notify(child, settings, err);
	if (fd == -1)
		return error_wrap(err, "notify socket");
	watch(child, fd);
	return 0;
}

void readiness_close(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	int fd = child->life.notify_watcher.fd;
	char name[24];

	if (fd == -1)
		return;
	allowance_stop(&child->life.notify_allowance, sup->loop);
	ev_io_stop(sup->loop, &child->life.notify_watcher);
	ev_io_set(&child->life.notify_watcher, -1, 0);
	foreign_close(sup, child, &fd);
	if (!sup->has_rundir)
		return;
	name_of(child, name);
	/* it may be gone already: somebody cleaned up */
	(void)unlinkat(sup->rundir.notify_dir, name, 0);
}

void readiness_adopt(struct child *child, int fd)
{
	struct error err;

	if (fd == -1) {
		if (readiness_open(child,
			    cluster_settings(child->service->core), &err) == -1)
			log_warn("%s.%" PRIu32 ": %s", child->service->name,
				child->slot, err.text);
		return;
	}
	watch(child, fd);
	readiness_renew(child); /* somebody may have cleaned up */
}

void readiness_renew(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct error err;
	struct stat st;
	char name[24];
	int old = child->life.notify_watcher.fd;
	int fd;

	name_of(child, name);
	if (old == -1 ||
		fstatat(sup->rundir.notify_dir, name, &st,
			AT_SYMLINK_NOFOLLOW) == 0)
		return;
	readiness_drain(child);
	fd = bind_notify(child, cluster_settings(child->service->core), &err);
	if (fd == -1) {
		log_warn("%s.%" PRIu32 ": %s", child->service->name,
			child->slot, err.text);
		return;
	}
	allowance_stop(&child->life.notify_allowance, sup->loop);
	ev_io_stop(sup->loop, &child->life.notify_watcher);
	foreign_close(sup, child, &old);
	watch(child, fd);
}

/*
 * The worker itself, or a process of its session (a shell's `systemd-notify`,
 * a master's child).  Sessions are named by their leader's pid, and the
 * worker is not reaped, so the number cannot belong to another session.
 */
static bool is_from_worker(
	const struct child *child, const struct fdpass_message *m)
{
	struct process_facts facts;

	if (!m->has_cred)
		return false;
	if (m->cred.pid == child->pid)
		return true;
	return m->cred.pid > 0 && process_look(m->cred.pid, &facts) == 0 &&
		facts.session == child->pid;
}

static void set_status(struct child *child, const char *status)
{
	char clean[sizeof(((struct notify_message *)NULL)->status) * 4];

	(void)text_escape(clean, sizeof(clean), status, strlen(status));
	free(child->life.status);
	child->life.status = *clean != '\0' ? strdup(clean) : NULL;
}

static void tell_core(struct child *child, enum event_kind kind, nsec_t span)
{
	struct event event = {
		.kind = kind,
		.slot = child->slot,
		.worker = child->worker,
		.span = span,
		.why = WHY_WATCHDOG, /* UNWELL has no other reason here */
	};

	service_tell(child->service, &event);
}

static void pass_on(struct child *child, const struct notify_message *m)
{
	if (m->has_errno && news_spares(child))
		news_say_worker(child, LOG_WARN, "worker-errno",
			"worker %d says: %s", (int)child->pid,
			strerror(m->error));
	if (m->reloading && news_spares(child))
		news_say_worker(child, LOG_INFO, "worker-reloading",
			"worker %d is reloading its configuration",
			(int)child->pid);
}

static void obey(struct child *child, const struct notify_message *m)
{
	if (m->has_status)
		set_status(child, m->status);
	pass_on(child, m);
	if (m->has_extend)
		tell_core(child, EVENT_EXTEND, m->extend);
	if (m->ready)
		tell_core(child, EVENT_READY, 0);
	if (m->has_watchdog_time)
		tell_core(child, EVENT_WATCHDOG,
			nsec_min(m->watchdog_time, WATCHDOG_MAX));
	if (m->watchdog)
		tell_core(child, EVENT_ALIVE, 0);
	if (m->trigger)
		tell_core(child, EVENT_UNWELL, 0);
	if (m->stopping)
		tell_core(child, EVENT_LEAVING, 0);
}

static void refuse(struct child *child, const struct fdpass_message *m)
{
	struct process_facts facts;

	if (child->life.stranger_told)
		return;
	child->life.stranger_told = true;
	log_warn("%s.%" PRIu32 ": refused a notify message from process %d "
		 "(uid %d): %s worker %d",
		child->service->name, child->slot, (int)m->cred.pid,
		(int)m->cred.uid,
		process_look(m->cred.pid, &facts) == 0
			? "not of"
			: "it ended before it was heard (it should wait for a "
			  "BARRIER=1), so nobody knows if it was of",
		(int)child->pid);
}

static void note_ready(const struct child *child, bool ready)
{
	struct state_entry *e = child->kept.entry;

	if (e != NULL && ready)
		e->flags |= STATE_SAID_READY;
	else if (e != NULL)
		e->flags &= ~(uint32_t)STATE_SAID_READY;
}

/* An nclust that is killed between taking READY=1 from the socket and writing down
 * that the worker is ready has noted it by then: nobody says it again. */
static void foretell(const struct child *child, int fd)
{
	const struct state_entry *e = child->kept.entry;
	char data[NOTIFY_MAX + 1];
	struct notify_message message;
	ssize_t len;

	if (e == NULL || e->phase >= STATE_READY)
		return;
	len = recv(fd, data, sizeof(data), MSG_PEEK | MSG_DONTWAIT | MSG_TRUNC);
	if (len > 0 && len <= NOTIFY_MAX &&
		notify_decode(&message, data, (size_t)len) == 0 &&
		message.ready)
		note_ready(child, true);
}

void readiness_drain(struct child *child)
{
	char data[NOTIFY_MAX + 1];
	struct notify_message message;
	struct fdpass_message m;

	for (int i = 0; i < MESSAGES_A_TURN; i++) {
		int fd = child->life.notify_watcher.fd;
		bool whole;

		if (fd != -1)
			foretell(child, fd);
		if (fd == -1 ||
			foreign_receive(child->service->sup, child, fd, data,
				sizeof(data), &m) != 1)
			return;
		whole = !m.cut && m.len > 0 && m.len <= NOTIFY_MAX &&
			notify_decode(&message, data, (size_t)m.len) == 0;
		if (whole && is_from_worker(child, &m))
			obey(child, &message);
		else if (whole)
			refuse(child, &m);
		note_ready(child, false);
		/* a BARRIER=1 waits until they are closed: all messages before
		 * it have been obeyed */
		foreign_close_all(child->service->sup, child, &m);
	}
}

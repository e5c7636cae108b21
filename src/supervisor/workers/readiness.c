/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/readiness.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/process.h"
#include "os/socket/socket_unix.h"
#include "protocol/notify.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/workers/ports.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define WATCHDOG_MAX (24 * HOUR)

static int watch_socket(struct child *child)
{
	return childset_add(child, CHILD_NOTIFY, child->life.notify);
}

static void watch_or_log(struct child *child)
{
	if (watch_socket(child) == -1)
		log_worker(child, LOG_ERROR, "cannot watch its notify socket: %s", strerror(errno));
}

static void pause_reading(struct child *child, bool over)
{
	if (over)
		watch_or_log(child);
	else
		childset_remove(child, child->life.notify);
}

void readiness_hear(struct child *child)
{
	nsec_t begun = allowance_begin();

	readiness_drain(child);
	allowance_end(child, pause_reading, begun, "sends notify messages");
}

void readiness_resume(struct child *child)
{
	if (child->life.notify != -1)
		watch_or_log(child);
}

#define NAME_SIZE 24

static void socket_name(uint64_t serial, char name[NAME_SIZE])
{
	snprintf(name, NAME_SIZE, "%" PRIx64, serial);
}

/* ---- a worker's socket ---- */

static int bind_notify(
	const struct child *child, const struct cluster_settings *settings, struct error *err)
{
	char name[NAME_SIZE];

	socket_name(child->serial, name);
	return socket_open_at(child->service->sup->rundir.notify_dir, name, SOCK_DGRAM, 0600,
		settings->uid, settings->gid, err);
}

int readiness_open(struct child *child, const struct cluster_settings *settings, struct error *err)
{
	const struct supervisor *sup = child->service->sup;
	/* nclust binds it in the runtime directory by that one's descriptor, but the worker needs a
	 * path that fits into a sockaddr_un */
	bool placed = sup->has_rundir &&
		strlen(sup->rundir.path) + strlen("/notify/12345678") <
			sizeof(((struct sockaddr_un *)NULL)->sun_path);
	int fd = placed ? bind_notify(child, settings, err) : -1;

	/* root without CAP_DAC_OVERRIDE cannot make a file of the worker's user there; a cleaner of
	 * temporary files may just have removed the directory; and the disk may be full */
	if (fd == -1 &&
		(!placed || err->sys == EACCES || err->sys == ENOENT || err->sys == ENOSPC ||
			err->sys == EDQUOT))
		fd = socket_open_nowhere(err);
	child->life.notify = fd;
	if (fd != -1 && watch_socket(child) == -1)
		error_set(err, errno, "cannot watch it");
	else if (fd != -1)
		return 0;
	return placed ? error_wrap(err, "notify socket in '%s'", sup->rundir.path)
		      : error_wrap(err, "notify socket");
}

void readiness_close(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	int fd = child->life.notify;
	char name[NAME_SIZE];

	if (fd == -1)
		return;
	allowance_stop(child, pause_reading);
	childset_remove(child, fd);
	child->life.notify = -1;
	async_hang_up(sup, child, &fd);
	if (!sup->has_rundir)
		return;
	socket_name(child->serial, name);
	/* a cleaner of temporary files may have removed the file */
	(void)unlinkat(sup->rundir.notify_dir, name, 0);
}

void readiness_adopt(struct child *child, int fd)
{
	struct error err;

	if (fd == -1) {
		if (readiness_open(child, cluster_settings(child->service->core), &err) == -1)
			log_worker(child, LOG_WARN, "%s", err.text);
		return;
	}
	child->life.notify = fd;
	watch_or_log(child);
	readiness_renew(child); /* a cleaner of temporary files may have removed its file */
}

void readiness_renew(struct child *child)
{
	struct supervisor *sup = child->service->sup;
	struct error err;
	struct stat st;
	char name[NAME_SIZE];
	int old = child->life.notify;
	int fd;

	if (old == -1 || socket_own_name(old, name, sizeof(name)) == 0)
		return; /* an abstract name is never lost */
	socket_name(child->serial, name);
	if (fstatat(sup->rundir.notify_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return;
	readiness_drain(child);
	fd = bind_notify(child, cluster_settings(child->service->core), &err);
	if (fd == -1) {
		log_worker(child, LOG_WARN, "notify socket: %s", err.text);
		return;
	}
	allowance_stop(child, pause_reading);
	childset_remove(child, old);
	async_close(sup, child, &old); /* the keeper has it, too, and soon the new one instead */
	child->life.notify = fd;
	child->saved.in_keeper = false;
	watch_or_log(child);
}

/* Is the sender the worker, or a process of its session (a shell's `systemd-notify`, a master's
 * child)?  The worker leads its session and is not reaped, so no other session has that number. */
static bool is_from_worker(const struct child *child, const struct fdpass_message *m)
{
	struct process_facts facts;

	if (!m->has_cred)
		return false;
	if (m->cred.pid == child->pid)
		return true;
	return m->cred.pid > 0 && process_look(m->cred.pid, &facts) == 0 &&
		facts.session == child->pid;
}

static void tell_core(struct child *child, enum event_kind kind, nsec_t span)
{
	struct event event = {
		.kind = kind,
		.slot = child->slot,
		.worker = child->worker,
		.span = span,
		.why = WHY_WATCHDOG, /* for UNWELL, which has no other reason here */
	};

	service_tell(child->service, &event);
}

/* A master may say so before its processes serve, which the room intercept looks at next. */
static void say_ready(struct child *child)
{
	struct supervisor *sup = child->service->sup;

	child->listening.said = child->listening.unproven != 0 &&
		child_view(child).state == SLOT_STARTING &&
		cluster_settings(child->service->core)->ready_fd == 0;
	if (!child->listening.said) {
		tell_core(child, EVENT_READY, 0);
		return;
	}
	child->trap.listening_by = clock_now();
	timer_arm(sup->loop, &sup->intercept.ready, 0);
}

static void apply_message(struct child *child, const struct notify_message *m)
{
	if (m->has_status) {
		char clean[sizeof(m->status) * 4];

		text_escape(clean, sizeof(clean), m->status, strlen(m->status));
		free(child->life.status);
		child->life.status = *clean != '\0' ? strdup(clean) : NULL;
	}
	if (m->has_errno && news_spares(child))
		news_say_worker(child, LOG_WARN, "worker-errno", "worker %d says: %s",
			(int)child->pid, strerror(m->error));
	if (m->reloading && news_spares(child))
		news_say_worker(child, LOG_INFO, "worker-reloading",
			"worker %d is reloading its configuration", (int)child->pid);
	if (m->has_extend)
		tell_core(child, EVENT_EXTEND, m->extend);
	if (m->ready)
		say_ready(child);
	if (m->has_watchdog_time)
		tell_core(child, EVENT_WATCHDOG, nsec_min(m->watchdog_time, WATCHDOG_MAX));
	if (m->watchdog)
		tell_core(child, EVENT_ALIVE, 0);
	if (m->trigger)
		tell_core(child, EVENT_UNWELL, 0);
	if (m->stopping)
		tell_core(child, EVENT_LEAVING, 0);
}

static void log_refused(struct child *child, const struct fdpass_message *m)
{
	struct process_facts facts;

	if (!once_say(child->said, ONCE_NOTIFY_REFUSED))
		return;
	log_worker(child, LOG_WARN,
		"refused a notify message from process %d "
		"(uid %d): %s worker %d",
		(int)m->cred.pid, (int)m->cred.uid,
		process_look(m->cred.pid, &facts) == 0
			? "not of"
			: "it ended before nclust read it (it should wait for "
			  "BARRIER=1), so it may not belong to",
		(int)child->pid);
}

/* With `ready = fd:N`: a newline, whose sender may have ended, such as the "echo >&3" of a script. */
static bool is_newline(
	const struct child *child, const struct fdpass_message *m, const char *data, size_t len)
{
	const struct cluster_settings *s = cluster_settings(child->service->core);

	return s->ready_fd != 0 && memchr(data, '\n', len) != NULL &&
		memchr(data, '=', len) == NULL && m->has_cred &&
		(is_from_worker(child, m) ||
			(long)m->cred.uid == (s->uid != -1 ? s->uid : (long)geteuid()));
}

/*
 * The next message in a socket, looked at by MSG_PEEK.  It is taken from the socket later, because
 * its sender may wait for that (BARRIER=1), and then end, so that nclust could not tell whose
 * process it was.  READY=1 is also noted in the state file before it is taken: if nclust is killed
 * in between, no worker would say it again.
 */
struct said {
	struct notify_message message;
	bool whole;
	bool counts; /* the message is from the worker */
};

/* False: there is no message. */
static bool peek_message(struct child *child, struct said *said)
{
	const struct state_entry *e = child->saved.entry;
	char data[NOTIFY_MAX + 1];
	struct fdpass_message m;

	if (fdpass_look(child->life.notify, data, sizeof(data), &m) != 1)
		return false;
	said->whole = !m.cut && m.len > 0 && m.len <= NOTIFY_MAX &&
		notify_decode(&said->message, data, (size_t)m.len) == 0;
	said->counts = said->whole && is_from_worker(child, &m);
	if (said->whole && is_newline(child, &m, data, (size_t)m.len))
		said->counts = said->message.ready = true;
	if (said->counts && said->message.ready && e != NULL && e->phase < STATE_READY)
		child_flag(child, STATE_SAID_READY, true);
	if (said->whole && !said->counts)
		log_refused(child, &m);
	return true;
}

void readiness_drain(struct child *child)
{
	char data[NOTIFY_MAX + 1];
	struct said said;
	struct fdpass_message m;

	for (int i = 0; i < TURN_ITEMS; i++) {
		if (child->life.notify == -1 || !peek_message(child, &said) ||
			async_close_receive(child->service->sup, child, child->life.notify, data,
				sizeof(data), &m) != 1)
			return;
		if (said.counts)
			apply_message(child, &said.message);
		if (said.whole && said.message.ready)
			child_flag(child, STATE_SAID_READY, child->listening.said);
		/* a sender of BARRIER=1 waits until its descriptor is closed */
		fdpass_drop(&m);
	}
}

/* ---- why a worker was not ready in time ---- */

void readiness_explain_timeout(struct service *service, const struct report *r)
{
	struct child *child = child_find(service, r->slot, r->worker);
	const struct cluster *core = service->core;
	const struct cluster_settings *s = cluster_settings(core);
	bool notify = cluster_knows_notify(core);
	struct listener *l;

	if (child == NULL || child->life.cause != NULL)
		return;
	l = s->ready != READY_NOTIFY ? ports_deserted(child) : NULL;
	if (l != NULL) {
		trouble_set_cause(child,
			"it did not listen on %s, where clients wait; " TROUBLE_PROBES,
			listener_common_text(l));
		if (ports_any(child, true)) /* elsewhere: the next one is to find the port free */
			learned_close(service, l, child);
		return;
	}
	/* where a port is missing it has not been looked for */
	if (child->listening.said ||
		(child->listening.unproven != 0 && ports_missing(child) == NULL &&
			(s->ready == READY_AUTO || s->ready == READY_LISTEN))) {
		trouble_set_cause(child,
			"it listens, but no process of it waits for clients: those that are to "
			"serve have not loaded, or end as they start");
		return;
	}
	if (s->ready_fd != 0)
		trouble_set_cause(child,
			"it did not write a newline to descriptor %d, which 'ready = fd:%d' waits "
			"for",
			s->ready_fd, s->ready_fd);
	else if (s->ready == READY_NOTIFY)
		trouble_set_cause(child,
			"it did not send READY=1, which 'ready = notify' waits for; "
			"process.send('ready') requires that the command is node itself, not npm "
			"or the like");
	if (s->ready != READY_AUTO || child->generation != cluster_generation(core) ||
		child->trap.known_to_listen)
		return;
	if (s->spare > 0 && cluster_ready(core) > 0)
		trouble_set_cause(child,
			"it did not listen, nor send READY=1, while another "
			"serves; " TROUBLE_ONE_COPY);
	else if (notify || cluster_knows_listen(core))
		trouble_set_cause(child,
			"it did not %s, but other workers do, and 'ready = auto' expects the same "
			"of every worker: set 'ready = alive:1s', or make it a cluster of its own"
			"%s",
			notify ? "send READY=1" : "listen", notify ? "" : "; " TROUBLE_PROBES);
	else if (s->spare > 0)
		trouble_set_cause(child,
			"it did not listen, nor send READY=1, and with 'spare' time alone makes no "
			"worker ready: set 'ready = ...', such as 'ready = alive:1s'");
}

void readiness_explain_late(const struct service *service, const struct report *r)
{
	const struct child *child = child_find(service, r->slot, r->worker);
	enum ready_mode ready = cluster_settings(service->core)->ready;
	const char *missing = NULL;
	char text[640] = "";

	if (child != NULL && (ready == READY_AUTO || ready == READY_LISTEN))
		missing = ports_missing(child);
	if (child != NULL && child->life.waits != NULL)
		snprintf(text, sizeof(text), "waits for %s", child->life.waits);
	else if (child != NULL && missing == NULL && child->listening.unproven != 0 &&
		(ready != READY_NOTIFY || child->listening.said) && ready != READY_PROBE)
		snprintf(text, sizeof(text), "listens, but no process of it waits for clients");
	else if (missing != NULL)
		snprintf(text, sizeof(text),
			"does not listen on %s, unlike generation %u ("
			"'--drop-ports' permits that)",
			missing, child->listening.expected_of);
	news_expect_late(service->sup, text);
}

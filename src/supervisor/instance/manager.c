/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/manager.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "os/socket/socket_unix.h"
#include "protocol/notify.h"
#include "supervisor/common/timer.h"
#include "supervisor/instance/reread.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The most changes of state that wait for a slow manager; then the oldest are dropped. */
#define WAITING_MAX 8
#define STATUS_PAUSE (100 * MSEC)
/* While a start or a stop goes on, EXTEND_TIMEOUT_USEC asks the manager for this time. */
#define EXTEND_BY (60 * SECOND)
#define EXTEND_AGAIN (20 * SECOND) /* between two such messages */

/* Each change of state is sent, in order, even if the manager's queue is full. */
enum manager_change { SAY_READY = 1, SAY_RELOADING, SAY_STOPPING };

struct manager {
	char *path;      /* our own NOTIFY_SOCKET */
	ev_timer wake;   /* for the next of these times */
	nsec_t watchdog; /* how often WATCHDOG=1 is sent; 0: never */
	nsec_t ping_at;
	nsec_t extend_at;
	nsec_t pause_until; /* after a message about the status, and if the manager's queue is full */
	bool ready;         /* READY=1 was sent */

	uint64_t waiting[WAITING_MAX]; /* enum manager_change; 0: no more */
	bool ping_waits;               /* WATCHDOG=1 could not be sent */

	/* Of messages about the status only the newest is sent. */
	bool changed;
	char status[256]; /* as last sent */
};

static void wake_at(struct supervisor *sup, nsec_t at)
{
	if (at != NSEC_NEVER)
		timer_arm_within(sup->loop, &sup->instance.manager->wake, at - clock_now());
}

/* False: the manager's queue is full.  If the manager is gone, the message is dropped. */
static bool send_message(struct supervisor *sup, const struct notify_message *message)
{
	struct manager *m = sup->instance.manager;
	char text[NOTIFY_MAX];
	size_t len = notify_encode(text, sizeof(text), message, clock_now());
	scoped_fd fd = socket_connect_datagrams(m->path);

	if (fd == -1 || fdpass_send(fd, text, len, NULL, 0) == 0 ||
		(errno != EAGAIN && errno != EWOULDBLOCK))
		return true;
	m->pause_until = clock_now() + STATUS_PAUSE;
	wake_at(sup, m->pause_until);
	return false;
}

static void fill_status(struct supervisor *sup, struct notify_message *m)
{
	size_t used = 0;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		struct service_counts has = service_counts(s);
		/* in a rollout there may be one more */
		unsigned ready = has.ready < has.workers ? has.ready : has.workers;
		int n = snprintf(m->status + used, sizeof(m->status) - used, "%s%s: %u of %u ready",
			i > 0 ? ", " : "", s->name, ready, has.workers);

		if (n < 0 || (size_t)n >= sizeof(m->status) - used)
			break;
		used += (size_t)n;
	}
	m->has_status = true;
}

/* Send the status if it is new, STATUS_PAUSE is over, and the manager reads; else later. */
static void tell_status(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;
	struct notify_message message = {0};

	if (!m->changed)
		return;
	if (clock_now() < m->pause_until) {
		wake_at(sup, m->pause_until);
		return;
	}
	fill_status(sup, &message);
	m->changed = false;
	if (strcmp(m->status, message.status) == 0)
		return;
	m->changed = !send_message(sup, &message);
	if (m->changed)
		return;
	text_copy(m->status, sizeof(m->status), message.status);
	m->pause_until = clock_now() + STATUS_PAUSE;
}

static bool send_change(struct supervisor *sup, uint64_t change)
{
	struct manager *m = sup->instance.manager;
	struct notify_message message = {
		.ready = change == SAY_READY,
		.reloading = change == SAY_RELOADING,
		.stopping = change == SAY_STOPPING,
	};

	if (message.ready) {
		fill_status(sup, &message);
		text_copy(m->status, sizeof(m->status), message.status);
	}
	return send_message(sup, &message);
}

static void drop_first(struct manager *m)
{
	memmove(&m->waiting[0], &m->waiting[1], sizeof(m->waiting) - sizeof(m->waiting[0]));
	m->waiting[WAITING_MAX - 1] = 0;
}

/* Send changes that wait, as far as the manager reads them. */
static void send_waiting(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	while (m->waiting[0] != 0 && send_change(sup, m->waiting[0]))
		drop_first(m);
}

static void tell_change(struct supervisor *sup, enum manager_change change)
{
	struct manager *m = sup->instance.manager;
	unsigned n = 0;

	if (m->waiting[WAITING_MAX - 1] != 0)
		drop_first(m);
	while (m->waiting[n] != 0)
		n++;
	m->waiting[n] = change;
	send_waiting(sup);
}

/* Is a worker about to be ready, or a cluster that must come before it?  Each of
 * these has a timeout of its own. */
static bool is_starting(const struct service *s)
{
	struct slot_view view;

	if (s->stage.waits || s->stage.stop_waits)
		return true;
	for (uint32_t i = 0; i < service_counts(s).slots; i++) {
		cluster_view_slot(s->core, i, &view);
		if (view.state == SLOT_STARTING)
			return true;
	}
	return false;
}

static bool is_under_way(const struct supervisor *sup)
{
	bool under_way = sup->instance.stopping;

	for (size_t i = 0; i < sup->service_count && !under_way && !sup->instance.manager->ready;
		i++)
		under_way = is_starting(sup->services[i]);
	return under_way;
}

static void on_wake(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct manager *m = sup->instance.manager;
	nsec_t now = clock_now();

	send_waiting(sup);
	if (now >= m->ping_at || m->ping_waits)
		m->ping_waits = !send_message(sup, &(struct notify_message){.watchdog = true});
	if (now >= m->ping_at)
		m->ping_at = now + m->watchdog;
	if (now >= m->extend_at) {
		if (is_under_way(sup))
			(void)send_message(sup,
				&(struct notify_message){.has_extend = true, .extend = EXTEND_BY});
		m->extend_at =
			!m->ready || sup->instance.stopping ? now + EXTEND_AGAIN : NSEC_NEVER;
	}
	tell_status(sup);
	wake_at(sup, m->ping_at);
	wake_at(sup, m->extend_at);
}

/* Half the time that the manager gives us (sd_watchdog_enabled(3)). */
static nsec_t watchdog_interval(void)
{
	const char *usec = secure_getenv("WATCHDOG_USEC");
	const char *pid = secure_getenv("WATCHDOG_PID");
	double t;

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	t = strtod(usec, NULL) / 2e6;
	return t >= 0.001 && t < 1e7 ? (nsec_t)(t * (double)SECOND) : 0;
}

/* NULL: no memory. */
static struct manager *manager_new(struct supervisor *sup, const char *path)
{
	struct manager *m = calloc(1, sizeof(*m));

	if (m == NULL)
		return NULL;
	m->path = strdup(path);
	if (m->path == NULL) {
		free(m);
		return NULL;
	}
	timer_init(&m->wake, on_wake, sup);
	m->watchdog = watchdog_interval();
	m->ping_at = m->watchdog > 0 ? clock_now() + m->watchdog : NSEC_NEVER;
	return m;
}

int manager_init(struct supervisor *sup, struct error *err)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	struct manager *m;

	if (path == NULL || (*path != '/' && *path != '@'))
		return 0;
	m = sup->instance.manager = manager_new(sup, path);
	if (m == NULL)
		return error_set(err, ENOMEM, "service manager");
	m->extend_at = clock_now() + STATUS_PAUSE; /* when workers have been started */
	wake_at(sup, m->extend_at);
	wake_at(sup, m->ping_at);
	return 0;
}

static const struct plain_row manager_rows[] = {
	PLAIN(1, manager, ready, BOOL),
	PLAIN(3, manager, waiting, WORDS), /* 2 were texts that waited */
};

/* The manager's address is not carried, because our environment has it. */
static void *make_manager(struct carry_reader *r UNUSED, void *owner)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");

	return manager_new(owner, path != NULL ? path : "");
}

const struct carried carried_manager = {
	.called = "the service manager",
	CARRIED_ROWS(manager_rows, manager),
	.make = make_manager,
};

void instance_on_go_on(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	if (m == NULL)
		return;
	m->ping_waits = m->watchdog > 0; /* when the last was sent is not known */
	wake_at(sup, m->extend_at);
	send_waiting(sup);
}

void instance_on_shutdown(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	reread_fini(sup);
	if (m == NULL)
		return;
	ev_timer_stop(sup->loop, &m->wake);
	free(m->path);
	free(m);
	sup->instance.manager = NULL;
}

void manager_ready(struct supervisor *sup)
{
	if (sup->instance.manager == NULL)
		return;
	sup->instance.manager->ready = true;
	tell_change(sup, SAY_READY);
}

void manager_reloading(struct supervisor *sup)
{
	if (sup->instance.manager != NULL && sup->instance.manager->ready)
		tell_change(sup, SAY_RELOADING);
}

void manager_stopping(struct supervisor *sup)
{
	if (sup->instance.manager == NULL)
		return;
	tell_change(sup, SAY_STOPPING);
	sup->instance.manager->extend_at = clock_now();
	wake_at(sup, sup->instance.manager->extend_at);
}

void manager_status(struct supervisor *sup)
{
	if (sup->instance.manager == NULL)
		return;
	sup->instance.manager->changed = true;
	tell_status(sup);
}

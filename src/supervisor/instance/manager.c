/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/instance.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/fdpass.h"
#include "protocol/notify.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The most messages that wait for a slow manager; then the oldest are dropped. */
#define WAITING_MAX 8
#define STATUS_PAUSE (100 * MSEC)
/* While a start or a stop goes on, EXTEND_TIMEOUT_USEC asks the manager for this time. */
#define EXTEND_BY (60 * SECOND)
#define EXTEND_AGAIN (20 * SECOND) /* between two such messages */

struct manager {
	char *path; /* our own NOTIFY_SOCKET */
	ev_timer watchdog;
	ev_timer extend;
	bool ready; /* READY=1 was sent */

	/* Messages about a change of state must arrive, in order, even if the
	 * manager's queue is full: they wait here. */
	ev_io behind; /* its fd: connected to a full queue, or -1 */
	char *waiting[WAITING_MAX];
	unsigned waiting_count;
	bool ping_waits; /* WATCHDOG=1 could not be sent */

	/* Of messages about the status only the newest is sent. */
	ev_timer pause;
	bool changed;
	char status[256]; /* as last sent */
};

static bool is_behind(const struct manager *m)
{
	return m->behind.fd != -1;
}

/* Send one message.  False: the manager's queue is full, and the message waits until
 * it has room.  If the manager is gone, the message is dropped. */
static bool send_now(struct supervisor *sup, const char *text, size_t len)
{
	struct manager *m = sup->instance.manager;
	scoped_fd fd = socket_connect_datagrams(m->path);

	if (fd == -1 || fdpass_send(fd, text, len, NULL, 0) == 0 ||
		(errno != EAGAIN && errno != EWOULDBLOCK))
		return true;
	ev_io_set(&m->behind, fd_release(&fd), EV_WRITE);
	ev_io_start(sup->loop, &m->behind);
	return false;
}

static void stop_waiting(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;
	int fd = m->behind.fd;

	ev_io_stop(sup->loop, &m->behind);
	ev_io_set(&m->behind, -1, 0);
	fd_close(&fd);
}

static void drop_first(struct manager *m)
{
	free(m->waiting[0]);
	m->waiting_count--;
	memmove(&m->waiting[0], &m->waiting[1], m->waiting_count * sizeof(*m->waiting));
}

static void queue_message(struct manager *m, const char *text, size_t len)
{
	char *copy = strndup(text, len);

	if (copy == NULL)
		return;
	if (m->waiting_count == WAITING_MAX)
		drop_first(m);
	m->waiting[m->waiting_count++] = copy;
}

/* Send a message, or queue it if it must arrive.  False: it was not sent. */
static bool send_message(
	struct supervisor *sup, const struct notify_message *message, bool must_arrive)
{
	struct manager *m = sup->instance.manager;
	char text[NOTIFY_MAX];
	size_t len = notify_encode(text, sizeof(text), message, clock_now());

	if (len == 0 || (!is_behind(m) && send_now(sup, text, len)))
		return true;
	if (must_arrive)
		queue_message(m, text, len);
	return false;
}

static void tell_manager(struct supervisor *sup, const struct notify_message *message)
{
	if (sup->instance.manager != NULL)
		(void)send_message(sup, message, true);
}

static void ping_watchdog(struct supervisor *sup)
{
	const struct notify_message message = {.watchdog = true};

	sup->instance.manager->ping_waits = !send_message(sup, &message, false);
}

static void fill_status(struct supervisor *sup, struct notify_message *m)
{
	size_t used = 0;

	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		int n = snprintf(m->status + used, sizeof(m->status) - used, "%s%s: %u of %u ready",
			i > 0 ? ", " : "", s->name, service_counts(s).ready,
			service_counts(s).workers);

		if (n < 0 || (size_t)n >= sizeof(m->status) - used)
			break;
		used += (size_t)n;
	}
	m->has_status = true;
}

/* Send the status if it is new, STATUS_PAUSE is over, and the manager reads. */
static void tell_status(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;
	struct notify_message message = {0};

	if (!m->changed || is_behind(m) || ev_is_active(&m->pause))
		return;
	m->changed = false;
	fill_status(sup, &message);
	if (strcmp(m->status, message.status) == 0)
		return;
	m->changed = !send_message(sup, &message, false);
	if (m->changed)
		return;
	text_copy(m->status, sizeof(m->status), message.status);
	timer_arm(sup->loop, &m->pause, STATUS_PAUSE);
}

/* Send messages that wait, as far as the manager reads them. */
static void send_waiting(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	while (m->waiting_count > 0 && !is_behind(m) &&
		send_now(sup, m->waiting[0], strlen(m->waiting[0])))
		drop_first(m);
}

static void on_pause_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	tell_status(timer->data);
}

static void on_reads_again(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct supervisor *sup = watcher->data;
	struct manager *m = sup->instance.manager;

	(void)loop;
	(void)revents;
	stop_waiting(sup);
	send_waiting(sup);
	if (is_behind(m))
		return;
	if (m->ping_waits)
		ping_watchdog(sup);
	tell_status(sup);
}

static void on_watchdog(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	ping_watchdog(timer->data);
}

/* Is a worker about to be ready, or a cluster that must come before it?  Each of
 * these has a timeout of its own. */
static bool is_starting(const struct service *s)
{
	struct slot_view view;

	if (s->stage.waits || s->stage.stop_waits)
		return true;
	for (uint32_t i = 0; i < service_counts(s).slots; i++) {
		service_view_slot(s, i, &view);
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

static void extend_timeout(struct supervisor *sup)
{
	const struct notify_message message = {.has_extend = true, .extend = EXTEND_BY};

	if (is_under_way(sup))
		(void)send_message(sup, &message, false);
	if (!sup->instance.manager->ready || sup->instance.stopping)
		timer_arm(sup->loop, &sup->instance.manager->extend, EXTEND_AGAIN);
}

static void on_extend(struct ev_loop *loop, ev_timer *timer, int revents)
{
	(void)loop;
	(void)revents;
	extend_timeout(timer->data);
}

/* Half the time that the manager gives us (sd_watchdog_enabled(3)). */
static double watchdog_interval(void)
{
	const char *usec = secure_getenv("WATCHDOG_USEC");
	const char *pid = secure_getenv("WATCHDOG_PID");
	double t;

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return 0;
	t = strtod(usec, NULL) / 2e6;
	return t >= 0.001 && t < 1e7 ? t : 0;
}

int manager_init(struct supervisor *sup, struct error *err)
{
	const char *path = secure_getenv("NOTIFY_SOCKET");
	double interval = watchdog_interval();
	struct manager *m;

	if (path == NULL || (*path != '/' && *path != '@'))
		return 0;
	m = calloc(1, sizeof(*m));
	if (m != NULL)
		m->path = strdup(path);
	if (m == NULL || m->path == NULL) {
		free(m);
		return error_set(err, ENOMEM, "service manager");
	}
	sup->instance.manager = m;
	timer_init(&m->watchdog, on_watchdog, sup);
	timer_init(&m->pause, on_pause_over, sup);
	timer_init(&m->extend, on_extend, sup);
	io_init(&m->behind, on_reads_again, -1, sup);
	if (interval > 0)
		ev_timer_set(&m->watchdog, interval, interval);
	if (interval > 0 && sup->loop != NULL)
		ev_timer_start(sup->loop, &m->watchdog);
	if (sup->loop != NULL) /* when the first workers have been started */
		timer_arm(sup->loop, &m->extend, STATUS_PAUSE);
	return 0;
}

/* Numbers of the carried fields. */
enum { MANAGER_READY = 1, MANAGER_WAITING };

static void put_manager(struct carry_writer *c, const void *of)
{
	const struct manager *m = of;

	handover_put_u64(&c->w, MANAGER_READY, m->ready);
	for (unsigned i = 0; i < m->waiting_count; i++)
		handover_put_text(&c->w, MANAGER_WAITING, m->waiting[i]);
}

static int take_manager(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct manager *m = to;

	(void)r;
	if (f->tag == MANAGER_READY)
		m->ready = f->u != 0;
	else if (f->tag == MANAGER_WAITING && f->type == HANDOVER_TEXT)
		queue_message(m, f->data, f->len);
	return 1;
}

static const struct carried carried_state = {
	.called = "the service manager",
	.put = put_manager,
	.take = take_manager,
};

static void put_of_instance(struct carry_writer *c, const void *of)
{
	carry_put_one(c, CARRY_MANAGER, &carried_state,
		((const struct supervisor *)of)->instance.manager);
}

/* The manager's address is not carried, because our environment has it. */
static int take_of_instance(struct carry_reader *r, void *to, const struct handover_field *f)
{
	struct supervisor *sup = to;

	if (f->tag != CARRY_MANAGER)
		return 0;
	if (sup->instance.manager != NULL || manager_init(sup, r->err) == -1)
		return -1;
	return sup->instance.manager == NULL
		? 1
		: carry_get_one(r, &carried_state, sup->instance.manager, f);
}

const struct carried carried_manager = {
	.put = put_of_instance,
	.take = take_of_instance,
};

void instance_on_go_on(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	if (m == NULL)
		return;
	if (m->watchdog.repeat > 0.) {
		ev_timer_start(sup->loop, &m->watchdog);
		ping_watchdog(sup); /* when the last was sent is not known */
	}
	timer_arm(sup->loop, &m->extend, 0);
	send_waiting(sup);
}

void instance_on_shutdown(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;

	reread_fini(sup);
	if (m == NULL)
		return;
	stop_waiting(sup);
	ev_timer_stop(sup->loop, &m->watchdog);
	ev_timer_stop(sup->loop, &m->pause);
	ev_timer_stop(sup->loop, &m->extend);
	while (m->waiting_count > 0)
		drop_first(m);
	free(m->path);
	free(m);
	sup->instance.manager = NULL;
}

void manager_ready(struct supervisor *sup)
{
	struct manager *m = sup->instance.manager;
	struct notify_message message = {.ready = true};

	if (m == NULL)
		return;
	m->ready = true;
	fill_status(sup, &message);
	text_copy(m->status, sizeof(m->status), message.status);
	tell_manager(sup, &message);
}

void manager_reloading(struct supervisor *sup)
{
	const struct notify_message m = {.reloading = true};

	if (sup->instance.manager != NULL && sup->instance.manager->ready)
		tell_manager(sup, &m);
}

void manager_stopping(struct supervisor *sup)
{
	const struct notify_message m = {.stopping = true};

	tell_manager(sup, &m);
	if (sup->instance.manager != NULL)
		timer_arm(sup->loop, &sup->instance.manager->extend, 0);
}

void manager_status(struct supervisor *sup)
{
	if (sup->instance.manager == NULL)
		return;
	sup->instance.manager->changed = true;
	tell_status(sup);
}

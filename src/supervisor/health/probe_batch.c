/* SPDX-License-Identifier: MIT */
#include "supervisor/health/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/nsec.h"
#include "os/clock.h"
#include "supervisor/common/foreign.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/health/health.h"
#include "supervisor/sockets/group.h"

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

/* Time between two looks at who has taken a connection.  It is short because that worker waits for
 * the request meanwhile, and may serve one client at a time. */
#define STEP_FIRST (1 * MSEC)
#define STEP_MOST (16 * MSEC)
/* While nclust waits for an answer, it wakes so often within check-timeout, to see whether it gets
 * the CPU itself. */
#define WAKES 8
/* The most of an answer that nclust reads. */
#define REST_MOST ((size_t)64 * 1024 * 1024)

static void arm_look(struct probe_batch *v);

static nsec_t batch_time(const struct probe_batch *v)
{
	return monitor_time(&v->monitor, clock_now());
}

/* ---- the end of one ---- */

static struct child *find_asked(const struct probing *a)
{
	return a->state >= PROBING_TAKEN ? child_find(a->batch->monitor.service, a->slot, a->worker)
					 : NULL;
}

void probing_close(struct probing *a)
{
	struct probe_batch *v = a->batch;
	struct supervisor *sup = v->monitor.service->sup;
	int fd = a->io.fd;

	if (a->state == PROBING_OVER)
		return;
	ev_io_stop(sup->loop, &a->io);
	ev_io_set(&a->io, -1, 0);
	if (a->is_unix)
		foreign_hang_up(sup, find_asked(a), &fd);
	fd_close(&fd);
	a->state = PROBING_OVER;
	v->open--;
}

/* Stops the timer when no connection is open any more. */
static void look_if_over(struct probe_batch *v)
{
	if (v->open > 0)
		return;
	ev_timer_stop(v->monitor.service->sup->loop, &v->look);
	if (v->settings != NULL)
		cluster_settings_unref(v->settings);
	v->settings = NULL;
}

/* Was a worker asked by this connection, and has not answered? */
static bool awaits_answer(const struct probing *a)
{
	return a->state == PROBING_TAKEN || a->state == PROBING_LATE;
}

/* Is an open connection in one of these states?  One that is aimed and not taken waits for one
 * worker, and delays no other. */
static bool has_open_in(const struct probe_batch *v, unsigned states)
{
	for (size_t i = 0; i < BATCH_MAX; i++)
		if ((states >> v->asks[i].state & 1) != 0 &&
			!(v->asks[i].has_target && v->asks[i].state < PROBING_TAKEN))
			return true;
	return false;
}

#define WAITING (1U << PROBING_CONNECTS | 1U << PROBING_WAITS)

bool batch_waits(const struct probe_batch *v)
{
	return has_open_in(v, WAITING);
}

bool batch_is_busy(const struct probe_batch *v)
{
	return has_open_in(v, WAITING | 1U << PROBING_TAKEN);
}

bool batch_must_ask(const struct probe_batch *v, const struct child *child)
{
	const struct probe *probe = v->monitor.kind->probe(child);

	return probe != NULL && health_same_probe(probe, v->probe);
}

static void tell_result(struct probing *a, bool late, bool well, const char *why)
{
	struct probe_batch *v = a->batch;
	struct child *child = child_find(v->monitor.service, a->slot, a->worker);

	if (child != NULL && (!late || batch_must_ask(v, child)))
		v->monitor.kind->answered(child, well, why);
}

void probing_end(struct probing *a, bool well, const char *why)
{
	bool late = a->state == PROBING_LATE;

	probing_close(a);
	tell_result(a, late, well, why);
}

/* ---- the answer ---- */

/* False: nothing has come; *n is 0 at the connection's end. */
static bool receive_some(struct probing *a, void *to, size_t size, ssize_t *n)
{
	struct fdpass_message m;

	*n = foreign_read(a->batch->monitor.service->sup, find_asked(a), a->io.fd, to, size,
		FDPASS_NOTHING, &m);
	if (*n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	a->got += *n > 0 ? (size_t)*n : 0;
	return true;
}

/* Reads on, because a server that is cut in its answer reports that as an error. */
static void read_rest(struct probing *a)
{
	char data[64U * 1024] uninitialized;
	ssize_t n;

	if (receive_some(a, data, sizeof(data), &n) && (n <= 0 || a->got > REST_MOST))
		probing_close(a);
}

static void take_status(struct probing *a, unsigned code)
{
	const struct probe_batch *v = a->batch;
	const char *host = v->target.host;
	size_t len = httpstatus_host(v->probe->text, &host);
	bool late = a->state == PROBING_LATE;
	char why[96];

	snprintf(why, sizeof(why), "answered %u (Host: %.*s)", code, (int)len, host);
	a->state = PROBING_REST;
	a->fin_sent = false;
	tell_result(a, late, httpstatus_is_well(code), why);
}

static void read_answer(struct probing *a)
{
	unsigned code;
	ssize_t n;

	if (!receive_some(a, a->answer + a->got, sizeof(a->answer) - a->got, &n))
		return;
	if (n <= 0) {
		probing_end(a, false,
			a->got > 0 ? PROBING_CLOSED
				   : PROBING_CLOSED ": the port may speak TLS or want "
						    "the PROXY protocol");
		return;
	}
	switch (httpstatus_parse(a->answer, a->got, &code)) {
	case HTTPSTATUS_MORE:
		if (a->got == sizeof(a->answer))
			probing_end(a, false, "its answer is too long");
		return;
	case HTTPSTATUS_NONE:
		probing_end(a, false, "its answer is not HTTP/1");
		return;
	case HTTPSTATUS_CODE:
		take_status(a, code);
		return;
	}
}

static void on_answer(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct probing *a = watcher->data;

	(void)loop;
	(void)revents;
	if (a->state == PROBING_REST)
		read_rest(a);
	else
		read_answer(a);
	look_if_over(a->batch);
}

/* The time for the rest of an answer is over: sends a FIN, and waits for as long again. */
static void end_reading(struct probing *a, nsec_t now)
{
	if (a->fin_sent || shutdown(a->io.fd, SHUT_WR) == -1)
		probing_close(a);
	a->fin_sent = true;
	a->since = now;
}

static void judge_time(struct probing *a, nsec_t now)
{
	struct probe_batch *v = a->batch;
	const struct cluster_settings *s = v->settings;
	bool late = a->state == PROBING_LATE;
	char time[24];
	char why[64];

	if (now - a->since < (late ? s->check_interval : s->check_timeout))
		return;
	if (a->state == PROBING_REST) {
		end_reading(a, now);
		return;
	}
	read_answer(a); /* the answer may have arrived while nclust was late */
	if (!awaits_answer(a))
		return;
	if (child_find(v->monitor.service, a->slot, a->worker) == NULL) {
		probing_close(a);
		return;
	}
	a->state = PROBING_LATE;
	a->since = now;
	snprintf(why, sizeof(why), "no answer within %s", text_duration(time, s->check_timeout));
	tell_result(a, late, false, why);
}

bool batch_asks(const struct probe_batch *v, const struct child *child)
{
	for (size_t i = 0; i < BATCH_MAX; i++)
		if (awaits_answer(&v->asks[i]) && v->asks[i].worker == child->worker &&
			v->asks[i].slot == child->slot)
			return true;
	return false;
}

/* ---- looking ---- */

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct probe_batch *v = timer->data;
	nsec_t now;

	(void)loop;
	(void)revents;
	monitor_late(&v->monitor, v->due, clock_now());
	now = batch_time(v);
	v->look_until = clock_now() + TURN_SPAN;
	for (size_t i = 0; i < BATCH_MAX && v->settings != NULL; i++) {
		struct probing *a = &v->asks[i];

		if (a->state == PROBING_CONNECTS)
			probing_begin(a);
		if (a->state == PROBING_WAITS || (a->state == PROBING_CONNECTS && a->has_target))
			probing_look(a, now);
		else if (a->state >= PROBING_TAKEN)
			judge_time(a, now);
	}
	if (v->settings == NULL)
		return; /* an answer has stopped the batch */
	if (batch_find_owners(v))
		v->step = 0;
	else
		v->step = v->step == 0 ? STEP_FIRST : nsec_min(2 * v->step, STEP_MOST);
	if (v->open > 0)
		arm_look(v);
	look_if_over(v);
}

static void arm_look(struct probe_batch *v)
{
	nsec_t now = clock_now();
	nsec_t next = NSEC_NEVER;
	nsec_t timeout;

	if (v->settings == NULL)
		return;
	if (ev_is_active(&v->look))
		monitor_late(&v->monitor, v->due, now);
	now = batch_time(v);
	timeout = v->settings->check_timeout;
	for (size_t i = 0; i < BATCH_MAX; i++) {
		const struct probing *a = &v->asks[i];

		if (a->state == PROBING_CONNECTS || a->state == PROBING_WAITS)
			next = nsec_min(next, now + v->step);
		else if (a->state == PROBING_TAKEN)
			next = nsec_min(
				next, nsec_min(now + timeout / WAKES, nsec_add(a->since, timeout)));
		else if (a->state == PROBING_LATE)
			next = nsec_min(next, nsec_add(a->since, v->settings->check_interval));
		else if (a->state == PROBING_REST)
			next = nsec_min(next, nsec_add(a->since, timeout));
	}
	if (next == NSEC_NEVER)
		return;
	next = next > now ? next - now : 0;
	v->due = clock_now() + next;
	timer_arm(v->monitor.service->sup->loop, &v->look, next);
}

/* ---- life ---- */

/* Opens a connection; `own`: to the socket that this worker alone has; or NULL. */
static void open_probing(
	struct probe_batch *v, struct probing *a, const struct listener *l, const struct child *own)
{
	struct check_target target = v->target;
	struct error err uninitialized;
	int fd;

	if (own != NULL && check_target_at(&target, l, &err) == -1)
		return;
	fd = socket(target.address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		return;
	a->is_unix = target.address.any.sa_family == AF_UNIX;
	if (a->is_unix)
		fdpass_refuse(fd);
	/* a unix listener has one socket only */
	if (((v->in_lane || own != NULL) && !a->is_unix
			    ? group_connect(l, own != NULL ? own->traffic.lane : v->lane, fd,
				      &target.address.any, target.size)
			    : check_target_connect(&target, fd)) == -1 &&
		errno != EINPROGRESS &&
		!(errno == EAGAIN && target.address.any.sa_family == AF_UNIX)) {
		(void)close(fd);
		return;
	}
	a->state = PROBING_CONNECTS;
	a->inode = 0;
	a->sent = 0;
	a->got = 0;
	a->since = v->quiet_since;
	a->has_target = own != NULL;
	a->is_of_slot = check_target_is_own(l);
	if (own != NULL) {
		a->slot = own->slot;
		a->worker = own->worker;
	}
	ev_io_set(&a->io, fd, EV_READ);
	v->open++;
}

/* Has this worker a socket at that address that no other worker has? */
static bool has_own_socket(const struct listener *l, const struct child *child)
{
	return group_size(l) > 1 && group_own(l, child->traffic.lane) != NULL &&
		child_has_own_lane(child);
}

/* How many connections are aimed at this worker already? */
static unsigned count_aimed(const struct probe_batch *v, const struct child *child)
{
	unsigned count = 0;

	for (size_t i = 0; i < BATCH_MAX; i++)
		count += v->asks[i].state != PROBING_OVER && v->asks[i].state != PROBING_REST &&
			v->asks[i].has_target && v->asks[i].worker == child->worker &&
			v->asks[i].slot == child->slot;
	return count;
}

/* Connects to the sockets of workers that have their own.  Returns how many of `count` connections
 * are left for other workers, which are asked at `at`. */
static unsigned ask_own_sockets(struct probe_batch *v, const struct listener *at, unsigned count)
{
	const struct child *child;
	unsigned others = 0;

	for_each_child (child, children_of(v->monitor.service)) {
		const struct listener *l = check_target_of(child);
		bool own = l != NULL && check_target_is_own(l);
		unsigned more;

		if ((l != at && !own) || !batch_must_ask(v, child) || batch_asks(v, child))
			continue;
		if (!own && !has_own_socket(l, child)) {
			others++;
			continue;
		}
		count -= count > 0;
		/* the slot's other worker may take one, too */
		more = (own ? probing_count_in_slot(child) : 1) - count_aimed(v, child);
		for (size_t i = 0; i < BATCH_MAX && (int)more > 0; i++) {
			if (v->asks[i].state != PROBING_OVER)
				continue;
			open_probing(v, &v->asks[i], l, child);
			more--;
		}
	}
	return others > 0 ? count : 0;
}

/* Closes connections that nobody is to take any more. */
static void close_waiting(struct probe_batch *v)
{
	for (size_t i = 0; i < BATCH_MAX; i++)
		if (!v->asks[i].has_target && v->asks[i].state < PROBING_TAKEN)
			probing_close(&v->asks[i]);
}

int batch_fire(struct probe_batch *v, const struct listener *l,
	const struct cluster_settings *settings, const struct probe *probe, unsigned count,
	struct error *err)
{
	uint64_t last = v->target.inode;

	if (check_target_at(&v->target, l, err) == -1)
		return -1;
	if (v->target.inode != last)
		close_waiting(v);
	if (v->settings != NULL && !health_same_probe(v->probe, probe))
		batch_stop(v);
	if (v->settings != NULL)
		cluster_settings_unref(v->settings);
	v->settings = cluster_settings_ref(settings);
	v->probe = probe;
	v->quiet_since = batch_time(v);
	v->denied = false;
	v->blind = false;
	v->searched = 0;
	v->part_searched = 0;
	v->step = STEP_FIRST;
	count = ask_own_sockets(v, l, count);
	for (unsigned i = 0; i < BATCH_MAX && count > 0; i++) {
		if (v->asks[i].state != PROBING_OVER)
			continue;
		open_probing(v, &v->asks[i], l, NULL);
		count--;
	}
	if (v->open == 0) {
		batch_stop(v);
		return error_set(err, errno, "cannot connect to its listener");
	}
	for (unsigned i = 0; i < BATCH_MAX; i++)
		if (v->asks[i].state == PROBING_CONNECTS)
			probing_begin(&v->asks[i]);
	if (v->open == 0) {
		batch_stop(v);
		return error_set(err, 0, "nobody listens");
	}
	arm_look(v);
	return 0;
}

bool batch_is_at(const struct probe_batch *v, const struct child *child)
{
	const struct listener *l = check_target_of(child);

	return l != NULL && l->inode == v->target.inode;
}

static unsigned rank_worker(const struct probe_batch *v, const struct child *child)
{
	if (check_target_of(child) == NULL)
		return 0;
	return batch_is_at(v, child) ? 1 : 2;
}

const struct child *batch_next(
	const struct probe_batch *v, const struct child *a, const struct child *b)
{
	return a == NULL || rank_worker(v, b) > rank_worker(v, a) ? b : a;
}

size_t batch_ports(const struct probe_batch *v, uint16_t ports[BATCH_MAX])
{
	union endpoint at;
	size_t count = 0;

	for (size_t i = 0; i < BATCH_MAX; i++)
		if ((WAITING >> v->asks[i].state & 1) != 0 &&
			endpoint_own(v->asks[i].io.fd, &at) > 0)
			ports[count++] = endpoint_port(&at);
	return count;
}

void batch_let_go(struct probe_batch *v, uint32_t slot, uint64_t worker)
{
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct probing *a = &v->asks[i];

		/* an untaken connection may wait in this worker's queue, if it is not aimed at
		 * another slot */
		if (a->state < PROBING_TAKEN
				? !a->has_target || a->slot == slot
				: awaits_answer(a) && a->slot == slot && a->worker == worker)
			probing_close(a);
	}
	look_if_over(v);
}

void batch_stop(struct probe_batch *v)
{
	for (size_t i = 0; i < BATCH_MAX; i++)
		if (v->asks[i].state != PROBING_REST)
			probing_close(&v->asks[i]);
	look_if_over(v);
}

void batch_end(struct probe_batch *v)
{
	for (size_t i = 0; i < BATCH_MAX; i++)
		probing_close(&v->asks[i]);
	look_if_over(v);
}

void batch_init(struct probe_batch *v)
{
	timer_init(&v->look, on_look, v);
	for (size_t i = 0; i < BATCH_MAX; i++) {
		struct probing *a = &v->asks[i];

		a->batch = v;
		io_init(&a->io, on_answer, -1, a);
	}
}

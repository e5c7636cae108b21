/* SPDX-License-Identifier: MIT */
#include "supervisor/health/prober.h"

#include "base/nsec.h"
#include "base/scope.h"
#include "os/clock.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/timer.h"
#include "supervisor/health/check.h"
#include "supervisor/health/health.h"

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
#define CLOSED "closed the connection without an answer"

static nsec_t prober_time(const struct prober *p)
{
	return monitor_time(&p->monitor, clock_now());
}

/* ---- sockets ---- */

/* Returns how many workers take connections from that socket; *any: one of them. */
static unsigned count_at(const struct prober *p, uint64_t socket, struct child **any)
{
	struct child *child;
	unsigned count = 0;

	for_each_child (child, children_of(p->monitor.service)) {
		if (check_target_socket(child) != socket)
			continue;
		*any = child;
		count++;
	}
	return count;
}

static bool is_untaken(const struct probing *a)
{
	return a->state == PROBING_CONNECTS || a->state == PROBING_WAITS;
}

/* Returns a connection that waits to be taken, or is not known to be, at that socket; or NULL. */
static const struct probing *find_untaken(const struct prober *p, uint64_t socket)
{
	return array_find(a, p->asks, PROBINGS_MAX, is_untaken(a) && a->socket == socket);
}

bool prober_asks(const struct prober *p, const struct child *child)
{
	return array_find(a, p->asks, PROBINGS_MAX,
		       a->state == PROBING_TAKEN && a->worker == child->worker &&
			       a->slot == child->slot) != NULL;
}

/* What to ask the worker by a connection; NULL: nothing now. */
static const struct probe *find_probe(const struct child *child)
{
	const struct probe *probe = check_wants(child);

	return probe != NULL && probe->kind != PROBE_EXEC ? probe : NULL;
}

nsec_t prober_untaken(const struct prober *p, const struct child *child)
{
	const struct probing *a = find_untaken(p, check_target_socket(child));

	return a != NULL && a->inode == 0 ? prober_time(p) - a->since : 0;
}

size_t prober_ports(const struct prober *p, uint16_t ports[PROBINGS_MAX])
{
	union endpoint at;
	size_t count = 0;

	for (size_t i = 0; i < PROBINGS_MAX; i++)
		if (is_untaken(&p->asks[i]) && endpoint_own(p->asks[i].io.fd, &at) > 0)
			ports[count++] = endpoint_port(&at);
	return count;
}

unsigned health_unaccepted(const struct service *service)
{
	const struct prober *p = prober_of(service);
	uint16_t own[PROBINGS_MAX];

	return p != NULL ? (unsigned)prober_ports(p, own) : 0;
}

bool health_asks(const struct service *service)
{
	const struct prober *p = prober_of(service);

	return p != NULL && (p->open > 0 || p->turn == ev_iteration(service->sup->loop));
}

/* ---- the end of one ---- */

static struct child *find_asked(const struct probing *a)
{
	return a->state >= PROBING_TAKEN
		? child_find(a->prober->monitor.service, a->slot, a->worker)
		: NULL;
}

static void close_probing(struct probing *a)
{
	struct prober *p = a->prober;
	struct supervisor *sup = p->monitor.service->sup;
	int fd = a->io.fd;

	if (a->state == PROBING_OVER)
		return;
	ev_io_stop(sup->loop, &a->io);
	ev_io_set(&a->io, -1, 0);
	if (a->target.address.any.sa_family == AF_UNIX)
		async_hang_up(sup, find_asked(a), &fd);
	fd_close(&fd);
	cluster_settings_unref(a->settings);
	a->settings = NULL;
	a->state = PROBING_OVER;
	p->open--;
	if (p->open == 0)
		ev_timer_stop(sup->loop, &p->look);
}

static void tell_result(struct probing *a, bool well, const char *why)
{
	struct child *child = child_find(a->prober->monitor.service, a->slot, a->worker);

	if (child != NULL)
		check_answered(child, well, why);
}

/* Closes the connection, and reports the result for the worker that has it. */
static void end_probing(struct probing *a, bool well, const char *why)
{
	close_probing(a);
	tell_result(a, well, why);
}

/* ---- the answer ---- */

/* False: nothing has come; *n is 0 at the connection's end. */
static bool receive_some(struct probing *a, void *to, size_t size, ssize_t *n)
{
	struct fdpass_message m;

	*n = async_close_read(a->prober->monitor.service->sup, find_asked(a), a->io.fd, to, size,
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
		close_probing(a);
}

static void take_status(struct probing *a, unsigned code)
{
	const char *host = a->target.host;
	size_t len = httpstatus_host(a->probe->text, &host);
	char why[96];

	snprintf(why, sizeof(why), "answered %u (Host: %.*s)", code, (int)len, host);
	a->state = PROBING_REST;
	a->fin_sent = false;
	a->due = prober_time(a->prober) + a->settings->check_timeout;
	tell_result(a, httpstatus_is_well(code), why);
}

static void read_answer(struct probing *a)
{
	char data[1024];
	ssize_t n;

	if (!receive_some(a, data, sizeof(data), &n))
		return;
	if (n <= 0) {
		end_probing(a, false,
			a->got > 0 ? CLOSED
				   : CLOSED ": the port may speak TLS or want the PROXY protocol");
		return;
	}
	httpanswer_take(&a->http, data, (size_t)n); /* only the status counts */
	if (a->http.status >= 200 || a->http.status == 101)
		take_status(a, a->http.status);
	else if (a->http.state == HTTPANSWER_BAD)
		end_probing(a, false, "its answer is not HTTP/1");
}

static void on_answer(struct ev_loop *loop UNUSED, ev_io *watcher, int revents UNUSED)
{
	struct probing *a = watcher->data;

	if (a->state == PROBING_REST)
		read_rest(a);
	else
		read_answer(a);
}

/* The time for an answer, or for the rest of it, is over: sends a FIN after the rest, and waits for
 * as long again. */
static void judge_time(struct probing *a, nsec_t now)
{
	const struct cluster_settings *s = a->settings;
	char why[64];

	if (now < a->due)
		return;
	if (a->state == PROBING_REST) {
		a->due = now + s->check_timeout;
		if (a->fin_sent || shutdown(a->io.fd, SHUT_WR) == -1)
			close_probing(a);
		a->fin_sent = true;
		return;
	}
	read_answer(a); /* the answer may have arrived while nclust was late */
	if (a->state != PROBING_TAKEN)
		return;
	if (find_asked(a) == NULL) {
		close_probing(a);
		return;
	}
	a->due = now + s->check_interval;
	tell_result(a, false, health_late_text(why, s));
}

/* ---- asking ---- */

/* Sends all but the last `kept` bytes.  -1: it cannot be sent. */
static int send_request(struct probing *a, size_t kept)
{
	char request[HTTPREQUEST_MAX];
	size_t len = httpstatus_request(request, sizeof(request), a->probe->text, a->target.host,
		a->settings->check_header.list, a->settings->check_header.count);

	if (len <= a->sent + kept)
		return -1;
	len -= a->sent + kept;
	if (send(a->io.fd, request + a->sent, len, MSG_NOSIGNAL | MSG_DONTWAIT) != (ssize_t)len)
		return -1;
	a->sent += len;
	return 0;
}

/* The worker that has the connection is the one to ask: by its own settings. */
static void ask_worker(
	struct probing *a, struct child *child, const struct probe *probe, bool closed)
{
	struct cluster_settings *before = a->settings;

	a->settings = cluster_settings_ref(health_settings(child));
	cluster_settings_unref(before);
	a->probe = probe;
	a->slot = child->slot;
	a->worker = child->worker;
	a->state = PROBING_TAKEN;
	a->due = prober_time(a->prober) + a->settings->check_timeout;
	if (probe->kind != PROBE_HTTP) {
		end_probing(a, true, "");
		return;
	}
	if (health_of(child) != NULL)
		child->health->check_inode = a->inode;
	if (closed || send_request(a, 0) == -1)
		end_probing(a, false, CLOSED);
	else
		ev_io_start(child->service->sup->loop, &a->io);
}

/* The worker has taken the connection, and has perhaps `closed` it: asks it, if it is to be
 * asked. */
static void give_to_worker(struct probing *a, struct child *child, bool closed)
{
	const struct probe *probe = !prober_asks(a->prober, child) ? find_probe(child) : NULL;

	if (a->state != PROBING_WAITS)
		return;
	if (probe != NULL && (a->sent == 0 || health_same_probe(probe, a->probe)))
		ask_worker(a, child, probe, closed);
	else
		close_probing(a);
}

/* ---- who has it ---- */

static void warn_denied(struct prober *p)
{
	struct service *s = p->monitor.service;

	if ((p->denied || p->blind) && once_say(s->said, ONCE_CHECK_DENIED))
		news_say_of(s, LOG_WARN, "check-denied",
			"%s, so it is not known which worker got a check: use exec:",
			p->blind ? "the kernel does not show sockets to nclust "
				   "(sock_diag)"
				 : "nclust may not look at its workers' descriptors");
}

/* Lists the connections that are taken, as inodes of their other ends, by place.  False: none. */
static bool list_taken(const struct prober *p, uint64_t inodes[PROBINGS_MAX])
{
	bool any = false;

	for (size_t i = 0; i < PROBINGS_MAX; i++) {
		const struct probing *a = &p->asks[i];

		inodes[i] = a->state == PROBING_WAITS ? a->inode : 0;
		any |= inodes[i] != 0;
	}
	return any;
}

/* Searches the worker's processes. */
static void find_in_worker(
	struct prober *p, struct child *child, const uint64_t inodes[PROBINGS_MAX])
{
	uint32_t slot = child->slot;
	uint64_t worker = child->worker;
	uint32_t held = other_end_held(child->pid, inodes, PROBINGS_MAX, &p->denied);

	for (size_t i = 0; i < PROBINGS_MAX && child != NULL; i++) {
		if ((held >> i & 1) == 0)
			continue;
		give_to_worker(&p->asks[i], child, false);
		child = child_find(p->monitor.service, slot, worker);
	}
}

/* Finds the workers that have taken connections. */
static void find_owners(struct prober *p)
{
	uint64_t inodes[PROBINGS_MAX];
	struct child *child;

	for_each_child (child, children_of(p->monitor.service)) {
		if (!list_taken(p, inodes))
			return;
		find_in_worker(p, child, inodes);
	}
	if (!list_taken(p, inodes))
		return;
	/* No worker has them: another program does, or a worker has passed them on. */
	for (size_t i = 0; i < PROBINGS_MAX; i++)
		if (p->asks[i].state == PROBING_WAITS && p->asks[i].inode != 0)
			close_probing(&p->asks[i]);
	warn_denied(p);
}

/* ---- looking ---- */

/* Tries again to connect.  The kernel does so for TCP by itself; connect(2) to a unix socket with a
 * full queue failed with EAGAIN.  -1: the connection cannot be made at all. */
static int connect_again(struct probing *a)
{
	int error;

	if (a->target.address.any.sa_family != AF_UNIX)
		return socket_get(a->io.fd, SOL_SOCKET, SO_ERROR, &error) == 0 && error == 0 ? 0
											     : -1;
	return check_target_connect(&a->target, a->io.fd) == 0 || errno == EAGAIN ? 0 : -1;
}

/* Is the connection made by now?  Then its owner is looked for. */
static void look_if_made(struct probing *a)
{
	union endpoint peer;

	if (endpoint_peer(a->io.fd, &peer) == 0) {
		if (connect_again(a) == -1)
			close_probing(a);
		return;
	}
	a->state = PROBING_WAITS;
	a->prober->blind = !other_end_works(a->io.fd);
	/* If the kernel waits for data before a worker can accept: sends the request but for its last
	 * bytes. */
	if (a->target.deferred && a->probe->kind == PROBE_HTTP && send_request(a, 2) == -1)
		close_probing(a);
}

/* Has a worker taken the connection, and `closed` it already?  A connection that waits in a queue
 * has neither bytes to read nor an end. */
static bool is_taken(struct probing *a, bool *closed)
{
	char byte;
	ssize_t n;

	if (a->inode == 0)
		a->inode = other_end_inode(a->io.fd);
	if (a->inode != 0)
		return true;
	n = recv(a->io.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return false;
	a->inode = other_end_inode(a->io.fd);
	*closed = a->inode == 0;
	return true;
}

/* Where only one worker can take a connection, it has.  But if nclust itself answers clients
 * (fallback), or a path may lead elsewhere, it must find out which process has. */
static void look_if_taken(struct probing *a)
{
	struct prober *p = a->prober;
	bool closed = false;
	struct child *only = NULL;
	unsigned workers = 0;
	bool unseen;

	if (!p->blind && !is_taken(a, &closed))
		return;
	unseen = p->blind || closed;
	if (unseen || (check_target_is_certain(&a->target) && !p->monitor.service->outage.answered))
		workers = count_at(p, a->socket, &only);
	if (workers != 1)
		only = NULL; /* any of them may have taken the connection, or none */
	if (only != NULL) {
		give_to_worker(a, only, closed);
	} else if (unseen) {
		warn_denied(p);
		close_probing(a);
	}
}

static void arm_look(struct prober *p)
{
	nsec_t next = NSEC_NEVER;
	nsec_t now = clock_now();

	if (p->open == 0)
		return;
	if (ev_is_active(&p->look))
		monitor_late(&p->monitor, p->due, now);
	now = prober_time(p);
	for (size_t i = 0; i < PROBINGS_MAX; i++) {
		const struct probing *a = &p->asks[i];

		if (a->state == PROBING_OVER)
			continue;
		next = nsec_min(next, is_untaken(a) ? now + p->step : a->due);
		if (a->state == PROBING_TAKEN)
			next = nsec_min(next, now + a->settings->check_timeout / WAKES);
	}
	now = clock_now() + (next > now ? next - now : 0);
	if (ev_is_active(&p->look) && p->due <= now)
		return;
	p->due = now;
	timer_arm(p->monitor.service->sup->loop, &p->look, now - clock_now());
}

static void on_look(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct prober *p = timer->data;
	nsec_t now;

	p->turn = ev_iteration(loop);
	monitor_late(&p->monitor, p->due, clock_now());
	now = prober_time(p);
	for (size_t i = 0; i < PROBINGS_MAX; i++) {
		struct probing *a = &p->asks[i];

		if (a->state == PROBING_CONNECTS)
			look_if_made(a);
		if (a->state == PROBING_WAITS)
			look_if_taken(a);
		else if (a->state >= PROBING_TAKEN)
			judge_time(a, now);
	}
	find_owners(p);
	p->step = nsec_min(2 * p->step, STEP_MOST);
	arm_look(p);
}

/* ---- life ---- */

static int open_probing(struct probing *a, const struct child *child, struct error *err)
{
	struct prober *p = a->prober;
	int fd = check_target_open(&a->target, child, err);

	if (fd == -1)
		return -1;
	a->settings = cluster_settings_ref(health_settings(child));
	a->probe = find_probe(child);
	a->state = PROBING_CONNECTS;
	a->socket = check_target_socket(child);
	a->inode = 0;
	a->sent = a->got = 0;
	httpanswer_init(&a->http, false);
	a->since = prober_time(p);
	ev_io_set(&a->io, fd, EV_READ);
	p->open++;
	look_if_made(a);
	return a->state != PROBING_OVER ? 0 : error_set(err, 0, "nobody listens");
}

/* Opens connections to the worker's socket.  False: there is no room for another. */
static bool open_at_socket(struct prober *p, struct child *child)
{
	struct child *any;
	struct error err;
	unsigned missing = count_at(p, check_target_socket(child), &any);

	for (size_t i = 0; i < PROBINGS_MAX && missing > 0; i++) {
		if (p->asks[i].state != PROBING_OVER)
			continue;
		if (open_probing(&p->asks[i], child, &err) == -1) {
			check_unreached(child, &err);
			return true;
		}
		missing--;
	}
	return missing == 0;
}

void prober_fire(struct prober *p)
{
	struct child *child;
	bool more = true;

	p->denied = false;
	for_each_child (child, children_of(p->monitor.service)) {
		if (!more || find_probe(child) == NULL || prober_asks(p, child) ||
			find_untaken(p, check_target_socket(child)) != NULL)
			continue;
		p->step = STEP_FIRST;
		more = open_at_socket(p, child);
	}
	arm_look(p);
}

void prober_let_go(struct prober *p, uint32_t slot, uint64_t worker)
{
	const struct child *child = child_find(p->monitor.service, slot, worker);

	for (size_t i = 0; i < PROBINGS_MAX; i++) {
		struct probing *a = &p->asks[i];

		/* an untaken connection may wait in this worker's queue */
		if (is_untaken(a) ? child == NULL || a->socket == check_target_socket(child)
				  : a->state == PROBING_TAKEN && a->slot == slot &&
					a->worker == worker)
			close_probing(a);
	}
}

void prober_stop(struct prober *p, bool all)
{
	for (size_t i = 0; i < PROBINGS_MAX; i++)
		if (all || p->asks[i].state != PROBING_REST)
			close_probing(&p->asks[i]);
}

void prober_init(struct prober *p)
{
	timer_init(&p->look, on_look, p);
	for (size_t i = 0; i < PROBINGS_MAX; i++) {
		struct probing *a = &p->asks[i];

		a->prober = p;
		io_init(&a->io, on_answer, -1, a);
	}
}

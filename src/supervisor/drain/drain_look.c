/* SPDX-License-Identifier: MIT */
#include "base/error.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/drain/hand_on.h"
#include "supervisor/drain/internal.h"
#include "supervisor/health/health.h"
#include "supervisor/node/node.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A look at a worker's connections from outside: which connections are quiet? */

/* A WebSocket on which messages keep coming prevents a moment at which all connections are quiet:
 * so long nclust waits for such a moment, and then for one at which all messages are answered. */
#define KEEP_PATIENCE (500 * MSEC)
/* For so long nclust tries to hand requests of unix sockets on: of short answers the kernel does not
 * show that they are whole. */
#define UNPROVEN_PATIENCE (1 * SECOND)
/* Nclust waits longer where others want the CPUs, up to so many times. */
#define CROWD_MOST 8U
/* A client that has asked so lately asks again; it takes longer where others want its CPU. */
#define ASKS_AGAIN_MS 500
/* After the stop signal a worker pauses for less than this within an answer. */
#define FINISHED_MS 3000

/* ---- what counts ---- */

static bool has_port(const struct drain *d, uint16_t port)
{
	return array_has(d->ports, d->port_count, port);
}

void drain_add_port(struct drain *d, uint16_t port)
{
	/* without memory nclust does not wait for clients at this port */
	if (!has_port(d, port) && array_grow(d->ports, d->port_count))
		d->ports[d->port_count++] = port;
}

/* Does a client send requests over the connection?  Not if the connection was reset, if the worker
 * itself has made it (after a database's last answer nothing follows), if a check of nclust's own
 * gave it up, or, of a unix socket, if both ends are the worker's own processes. */
bool drain_is_incoming(const struct drain *d, const struct connection *c)
{
	bool comes = c->kind == CONNECTION_UNIX
		? c->has_name && !c->is_inner
		: c->kind == CONNECTION_TCP && c->state != TCP_CLOSE && has_port(d, c->port);

	return comes && health_given_up(d->child, c) == 0;
}

/* Notes which connections are between the worker's own processes, and where the worker listens. */
static void complete_connections(struct drain *d, struct connections *seen)
{
	for (size_t i = 0; i < seen->count; i++) {
		struct connection *c = &seen->list[i];

		c->is_inner = c->peer != 0 && drain_process_of(d, c->peer);
		if (c->kind == CONNECTION_LISTENER)
			drain_add_port(d, c->port);
	}
}

/* Can a request still arrive on the connection? */
static bool is_alive(const struct connection *c)
{
	return c->kind == CONNECTION_UNIX || quiet_is_open(c);
}

/* ---- what the worker does ---- */

bool drain_is_half_over(const struct drain *d, nsec_t now)
{
	return now - d->began > (d->until - d->began) / 2;
}

static void look_at_process(struct drain *d, struct drain_process *p)
{
	struct connections *seen = &d->traffic->seen;
	bool has = false;

	for (size_t i = 0; i < seen->count && !has; i++)
		has = seen->list[i].pid == p->pid && drain_is_incoming(d, &seen->list[i]) &&
			is_alive(&seen->list[i]);
	p->activity = has ? connections_activity(&p->remote, p->stopped_in, seen) : ACTIVITY_WAITS;
	if (!d->frozen) {
		p->ran = p->activity == ACTIVITY_RUNS;
		return;
	}
	p->stopped_in = has ? p->activity : ACTIVITY_UNKNOWN;
	/* stopped threads may all seem to wait while one leaves a lock to the next */
	if (has && p->ran)
		p->activity = ACTIVITY_RUNS;
}

/* Is the process that has the connection at work, perhaps between two pieces of an answer?  A
 * process that waits for a CPU is at work; if the look took too long, it counts as at work. */
static bool is_at_work(struct drain *d, const struct connection *c)
{
	const struct drain_process *p = drain_process_of(d, c->pid);

	return is_alive(c) && p != NULL &&
		(p->activity == ACTIVITY_RUNS || p->activity == ACTIVITY_SLEEPS || p->remote.late);
}

/* ---- what is quiet ---- */

/* Is the connection a WebSocket?  So is each connection with data in both directions if the worker
 * has WebSockets and no HTTP/1. */
static bool is_websocket(const struct drain *d, const struct quiet_memory *m)
{
	return m->frames || (d->saw_websocket && d->own_handler && !d->saw_http && m->spoke);
}

/* May it be a connection of HTTP/1 whose next request would be handed on?  The first drain of a cluster
 * does not know its protocol yet, and waits so for a second at most, longer where others want the CPU. */
static bool is_for_courier(
	const struct drain *d, const struct connection *c, const struct quiet_memory *m)
{
	const struct service *service = d->child->service;
	bool may_be_http = service->traffic.http ||
		(service->counters.drained == 0 && clock_now() - d->began < SECOND * d->crowd);

	return may_be_http && !m->unknown && !m->frames && c->kind == CONNECTION_TCP &&
		!m->handed && quiet_is_open(c) && drain_may_hand(d, c);
}

/* The worker has closed connections that the courier holds: it is to do so, too. */
static void let_go(const struct drain *d, const struct connections *seen)
{
	size_t at = 0;

	for (size_t i = 0; d->holds && i < d->memory_count; i++) {
		const uint64_t cookie = d->memory[i].cookie;

		while (at < seen->count && seen->list[at].cookie < cookie)
			at++;
		if (d->memory[i].held && (at == seen->count || seen->list[at].cookie != cookie))
			courier_end_held(d->child, COURIER_LET_GO, cookie);
	}
}

/* May an answer of the worker take seconds?  So it may if a drain of the cluster has seen one that did.
 * And where threads wait in recv(2) for connections, one for which none waits has perhaps asked. */
static bool may_be_slow(const struct drain *d, const struct connections *seen)
{
	struct cluster_traffic *traffic = &d->child->service->traffic;
	bool awaits = false;

	for (size_t i = 0; i < seen->count; i++) {
		const struct connection *c = &seen->list[i];
		bool asked = c->segments_in > 0 &&
			(c->segments_out == 0 || c->sent_ago > c->received_ago);

		if (c->kind != CONNECTION_TCP || !quiet_is_open(c) || !drain_is_incoming(d, c))
			continue;
		awaits |= c->awaited;
		traffic->slow |= c->received_ago > (asked ? 0 : c->sent_ago) + QUIET_UNSEEN_MS / 2;
	}
	return traffic->slow || awaits;
}

/* Judges each connection.  The next look compares with the results (`fresh`). */
static void judge_connections(
	struct drain *d, const struct connections *seen, nsec_t now, struct quiet_memory *fresh)
{
	uint32_t since = d->looked_at != 0 ? (uint32_t)((now - d->looked_at) / MSEC) : 0;
	unsigned tick = connections_tick();
	bool late = drain_is_half_over(d, now);
	bool slow = may_be_slow(d, seen);
	size_t at = 0;

	for (size_t i = 0; i < seen->count; i++) {
		const struct connection *c = &seen->list[i];
		const struct quiet_memory *before =
			quiet_find(d->memory, d->memory_count, &at, c->cookie);

		if (!drain_is_incoming(d, c)) {
			fresh[i] = (struct quiet_memory){.cookie = c->cookie, .quiet = true};
			continue;
		}
		(void)quiet_connection(c, before, since, tick, late, slow, &fresh[i]);
		if (c->kind != CONNECTION_TCP || c->queue > 0 ||
			(before != NULL && before->segments_in != c->segments_in))
			d->request_at = now;
		d->saw_websocket |= fresh[i].frames;
		d->saw_http |= fresh[i].http;
		d->child->service->traffic.http |= d->saw_http;
		fresh[i].asks_soon = fresh[i].quiet && !late &&
			c->received_ago / d->crowd < ASKS_AGAIN_MS &&
			!quiet_is_between(c, &fresh[i]) && is_for_courier(d, c, &fresh[i]);
		if (fresh[i].asks_soon)
			fresh[i].quiet = false;
		/* what was unread in this freeze came while the client had an answer to read */
		fresh[i].answer_waits = c->kind == CONNECTION_UNIX && d->frozen &&
			((c->queue == 0 && c->unsent > QUIET_INTERIM) ||
				(d->stays_frozen && before != NULL && before->answer_waits));
		if (d->catches_signal)
			fresh[i].quiet = quiet_stays(c, before,
				d->waited_long && is_websocket(d, &fresh[i]) &&
					(fresh[i].answered || (late && !fresh[i].asks)),
				&fresh[i]);
		if (!late && is_at_work(d, c))
			fresh[i].quiet = false;
	}
	let_go(d, seen);
	free(d->memory);
	d->memory = fresh;
	d->memory_count = seen->count;
	d->looked_at = now;
}

/* Is it a quiet connection that the courier is to hold when the worker ends?  Not if it was not seen
 * between two requests: what was said last may be "100 Continue", and what comes next a body that an
 * attacker has made look like a request, which a proxy before us has never seen as one. */
static bool is_to_be_held(
	const struct drain *d, const struct connection *c, const struct quiet_memory *m)
{
	return !d->after_signal && d->child->service->traffic.http && !m->unknown && !m->frames &&
		c->kind == CONNECTION_TCP && c->queue == 0 && m->quiet && quiet_is_between(c, m) &&
		drain_may_hand(d, c);
}

/* A worker that may say goodbye to its quiet clients keeps their connections, but for connections
 * of HTTP/1 and, after KEEP_PATIENCE, those whose data are known to be no WebSocket's.  In the last
 * moment a connection on which data came counts as HTTP/1 if nothing else was seen. */
static bool may_end_connection(const struct drain *d, const struct connection *c,
	const struct quiet_memory *m, enum drain_deal deal)
{
	if (m->lost)
		return true;
	if (!m->quiet || (d->catches_signal && m->frames))
		return false;
	/* a request may be on its way, however long it was quiet */
	if (deal == DEAL_END_LAST || d->after_signal || drain_is_half_over(d, d->looked_at)
			? is_to_be_held(d, c, m)
			: is_for_courier(d, c, m))
		return false;
	if (d->after_signal)
		return m->http && c->sent_ago >= FINISHED_MS;
	if (!d->keeps_quiet || m->http)
		return true;
	if (d->saw_websocket)
		return false;
	return deal == DEAL_END_LAST ? m->spoke && d->saw_http : m->unknown && d->waited_long;
}

/* A socket that several processes have is quiet if it is quiet for each of them. */
static void count_connections(struct drain *d, const struct connections *seen)
{
	struct drain_view *v = &d->view;

	for (size_t i = 0, end; i < seen->count; i = end) {
		const struct connection *c = &seen->list[i];
		bool quiet = true;

		for (end = i; end < seen->count && d->memory[end].cookie == c->cookie; end++)
			quiet &= d->memory[end].quiet;
		for (size_t k = i; k < end; k++)
			d->memory[k].quiet = quiet;
		if (c->kind == CONNECTION_LISTENER)
			v->waiting += c->queue - health_given_up(d->child, c);
		if (!drain_is_incoming(d, c))
			continue;
		v->alive += is_alive(c);
		v->busy += !quiet;
		v->maybe_quiet += !quiet && (c->kind == CONNECTION_UNIX || d->memory[i].tied) &&
			c->queue == 0 && c->unsent == 0;
		v->reading += d->memory[i].answer_waits && c->queue == 0;
		v->unanswered += !quiet && d->waited_long && drain_is_half_over(d, d->looked_at) &&
			d->memory[i].asks && c->queue == 0 && c->unsent == 0;
		v->asks_soon += !quiet && d->memory[i].asks_soon;
		v->guessed += quiet && d->memory[i].guessed;
		v->silent += quiet_is_open(c) && c->sent_ago >= QUIET_GAP_MS &&
			c->received_ago >= QUIET_GAP_MS;
		v->endable +=
			is_alive(c) && may_end_connection(d, c, &d->memory[i], DEAL_END_QUIET);
	}
}

/* ---- all of it ---- */

static bool has_ended(const struct drain_process *p)
{
	struct process_facts facts;

	if (process_look(p->pid, &facts) == -1)
		return errno == ESRCH || errno == ENOENT;
	return strchr("ZX", facts.state) != NULL;
}

static void gather_connections(struct drain *d, struct connections *seen)
{
	struct drain_view *v = &d->view;

	*seen = (struct connections){
		.list = seen->list, .peeks = d->frozen, .is_whole = drain_is_whole};
	v->blind = d->process_count == 0 || d->too_many;
	for (size_t i = 0; i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];

		p->remote.spent = 0;
		p->remote.late = false;
		if (connections_add(seen, &p->remote, p->pidfd) == 0)
			continue;
		/* a process that is about to end has no descriptors either */
		v->late |= error_is_transient(errno);
		if (errno != ESRCH && errno != ENOENT && !has_ended(p))
			v->blind = true;
		else if (i == 0)
			v->gone = true;
	}
	v->blind |= seen->refused || seen->too_many;
	connections_sort(seen);
}

/* Has a process of the worker a handler for the stop signal?  The runtimes of Go, Java and Ruby
 * catch it, and SIGSEGV, for every program; most of these end at once.  So does Node, but its
 * programs can say goodbye to WebSockets. */
static void find_handlers(struct drain *d)
{
	const struct cluster *core = d->child->service->core;
	int first = cluster_settings(core)->stop[0].signal;

	d->own_handler = node_is_worker(d->child);
	for (size_t i = 0; i < d->process_count; i++) {
		pid_t pid = d->processes[i].pid;

		if (!process_catches(pid, first))
			continue;
		d->catches_signal = true;
		d->own_handler |= !process_catches(pid, SIGSEGV);
	}
}

void drain_look(struct drain *d)
{
	struct connections *seen = &d->traffic->seen;
	struct quiet_memory *fresh = NULL;
	nsec_t began = clock_now();
	const unsigned wanting = process_crowd();
	const unsigned crowd = wanting < CROWD_MOST ? wanting : CROWD_MOST;

	d->view = (struct drain_view){0};
	if (d->crowd < crowd)
		d->crowd = crowd;
	if (!d->frozen)
		(void)drain_list_processes(d);
	if (d->looked_at == 0)
		find_handlers(d);
	d->keeps_quiet = d->catches_signal && (d->own_handler || !d->saw_http);
	d->waited_long = began - d->began > KEEP_PATIENCE;
	gather_connections(d, seen);
	if (!d->view.blind)
		fresh = calloc(seen->count + 1, sizeof(*fresh));
	if (fresh != NULL) {
		complete_connections(d, seen);
		for (size_t i = 0; i < d->process_count; i++)
			look_at_process(d, &d->processes[i]);
		judge_connections(d, seen, began, fresh);
		count_connections(d, seen);
	}
	d->view.blind = fresh == NULL;
	d->child->traffic.busy = d->view.busy;
	d->view.took = clock_now() - began;
}

/* ---- one by one ---- */

/* May it be closed between two requests, because that of its client is not handed on? */
static bool may_end_asking(
	const struct drain *d, const struct connection *c, const struct quiet_memory *m)
{
	bool is_unproven = c->kind == CONNECTION_UNIX && d->handed == 0 &&
		d->looked_at - d->began > UNPROVEN_PATIENCE;

	if (c->whole && drain_may_hand(d, c) && !is_unproven &&
		!drain_is_half_over(d, d->looked_at))
		return false;
	return !m->quiet && c->asks && c->unsent == 0 &&
		(c->kind == CONNECTION_TCP ? c->bytes_out > 0 && quiet_is_between(c, m)
					   : m->was_served) &&
		(d->after_signal || !d->keeps_quiet || d->waited_long || !m->rested);
}

static unsigned choose_deeds(const struct drain *d, const struct connection *c,
	const struct quiet_memory *m, enum drain_deal deal)
{
	unsigned deeds = 0;

	if (!drain_is_incoming(d, c) || !is_alive(c) || m->handed)
		return m->lost ? DEED_END : 0;
	if (deal == DEAL_HOLD)
		return is_to_be_held(d, c, m) ? DEED_HAND : 0;
	if (c->whole && quiet_is_between(c, m) && drain_may_hand(d, c))
		deeds = DEED_HAND;
	if (deal != DEAL_HAND && may_end_connection(d, c, m, deal))
		return deeds | DEED_END;
	return deal == DEAL_END_ASKING && may_end_asking(d, c, m) ? deeds | DEED_END | DEED_ASKS
								  : deeds;
}

unsigned drain_deal(struct drain *d, enum drain_deal deal)
{
	struct connections *seen = &d->traffic->seen;
	unsigned deeds = 0;
	unsigned late = 0;
	unsigned ended = 0;
	unsigned asked = 0;
	unsigned handed = 0;

	for (size_t i = 0; i < seen->count && i < d->memory_count; i++) {
		struct connection *c = &seen->list[i];
		bool again = i > 0 && c->cookie == seen->list[i - 1].cookie;

		c->deeds = again ? 0 : (uint8_t)choose_deeds(d, c, &d->memory[i], deal);
		deeds |= c->deeds;
		d->guessed +=
			(c->deeds & DEED_END) != 0 && deal != DEAL_END_LAST && d->memory[i].guessed;
	}
	seen->hand = (deeds & DEED_HAND) != 0 ? drain_hand : NULL;
	seen->context = d;
	seen->channel = d->traffic->courier.heard.fd;
	for (size_t i = 0; deeds != 0 && i < d->process_count; i++) {
		struct drain_process *p = &d->processes[i];

		d->elsewhere = seen->hand != NULL && !remote_shares(&p->remote, "ns/net");
		ended += connections_end(&p->remote, p->pidfd, seen, &late, &asked);
	}
	for (size_t i = 0; i < seen->count && i < d->memory_count; i++) {
		handed += seen->list[i].handed && deal != DEAL_HOLD;
		d->memory[i].handed |= seen->list[i].handed && deal != DEAL_HOLD;
		d->memory[i].held |= seen->list[i].handed && deal == DEAL_HOLD;
		d->holds |= d->memory[i].held;
		seen->list[i].handed = false;
	}
	if (deal != DEAL_END_LAST)
		d->ended += ended;
	d->asked += asked;
	d->handed += handed;
	if (handed > 0)
		d->handed_at = clock_now();
	d->traffic->courier.under_way += handed;
	d->child->service->traffic.asked_again += asked;
	d->child->service->traffic.handed_on += handed;
	d->child->service->counters.handed_on += handed;
	return late;
}

/* ---- in words ---- */

#define TOLD_MOST 5

/* "812 bytes", "1.2 MB". */
static const char *bytes_text(char to[24], uint64_t bytes)
{
	if (bytes < 10000)
		snprintf(to, 24, "%u bytes", (unsigned)bytes);
	else if (bytes < 1000000)
		snprintf(to, 24, "%.1f kB", (double)bytes / 1e3);
	else
		snprintf(to, 24, "%.1f MB", (double)bytes / 1e6);
	return to;
}

static void describe_connection(
	struct drain *d, const struct connection *c, char *to, size_t size, const char *between)
{
	struct drain_process *p = drain_process_of(d, c->pid);
	char peer[80] = "a peer";
	char age[16];
	char bytes[24];

	if (p != NULL)
		(void)connections_peer(&p->remote, c, peer, sizeof(peer));
	snprintf(to, size, "%s%s (%s, %s sent)", between, peer,
		text_age(age, (nsec_t)c->received_ago * MSEC), bytes_text(bytes, c->bytes_out));
}

const char *drain_busy_text(struct drain *d, char *to, size_t size)
{
	struct connections *seen = &d->traffic->seen;
	unsigned told = 0;
	size_t used = 0;

	to[0] = '\0';
	for (size_t i = 0; i < seen->count && i < d->memory_count; i++) {
		const struct connection *c = &seen->list[i];

		if (!drain_is_incoming(d, c) || d->memory[i].quiet ||
			(i > 0 && c->cookie == seen->list[i - 1].cookie))
			continue;
		if (told == TOLD_MOST) {
			snprintf(to + used, size - used, ", …");
			break;
		}
		describe_connection(d, c, to + used, size - used, told > 0 ? ", " : "");
		used += strlen(to + used);
		told++;
	}
	return to;
}

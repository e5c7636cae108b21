/* SPDX-License-Identifier: MIT */
#include "supervisor/drain/host.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket/sockdiag.h"
#include "protocol/json.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/news.h"
#include "supervisor/common/once.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/sockets/incoming.h"
#include "supervisor/workers/service.h"

#include <linux/inet_diag.h>
#include <linux/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A load balancer asks at least so often, and three times before it counts as one. */
#define PERIOD_MOST (35 * SECOND)
/* A load balancer may be so much later than twice its period. */
#define LATENESS (1 * SECOND)
/* So many answers change a load balancer's mind: HAProxy obeys an agent at once; HAProxy and
 * Kubernetes want three answers of /readyz, by their defaults. */
#define AGENT_ANSWERS 1
#define HTTP_ANSWERS 3

/* A connection is idle if nothing has come or gone for IDLE_FOR_MS, or, where the order of the two
 * is in doubt, for DOUBT_MS. */
#define IDLE_FOR_MS 1000
#define DOUBT_MS 5000
/* The host is empty if no connection is in use at a look, nor at the EMPTY_LOOKS looks after it. */
#define LOOK_EVERY (100 * MSEC)
#define EMPTY_LOOKS 10
/* A wait that goes on is reported so often. */
#define REPORT_EVERY (10 * SECOND)

/* ---- connections ---- */

enum { STATE_ESTABLISHED = 1, STATE_CLOSE_WAIT = 8, STATE_LISTEN = 10 };

struct host_count {
	struct incoming in;
	struct host_seen seen;
};

/* Is the connection idle: has nothing come or gone for a while, and was the last word ours? */
static bool is_idle(const struct inet_diag_msg *one, const struct tcp_info *info)
{
	uint32_t sent = info->tcpi_last_data_sent;
	uint32_t received = info->tcpi_last_data_recv;
	uint32_t acked = info->tcpi_last_ack_recv;

	if (one->idiag_rqueue > (one->idiag_state == STATE_CLOSE_WAIT) ||
		info->tcpi_notsent_bytes > 0 || sent < IDLE_FOR_MS || received < IDLE_FOR_MS)
		return false;
	/* data that came within a jiffy of data that left: a later acknowledgement, but not that of
	 * a keepalive probe, shows that an answer was last (quiet.h) */
	return info->tcpi_data_segs_in == 0 || sent < received ||
		(sent == received &&
			((acked < received && received - acked < 1000) || received >= DOUBT_MS));
}

static void count_connection(
	void *context, const struct inet_diag_msg *one, const void *info, size_t size)
{
	struct host_count *k = context;
	bool waits = one->idiag_inode == 0; /* to be accepted */
	/* a client has sent its whole request and expects an answer; the FIN counts as 1 */
	bool asks = one->idiag_state == STATE_CLOSE_WAIT && one->idiag_rqueue > 1;

	if (!incoming_has(&k->in, ntohs(one->id.idiag_sport)) || one->idiag_state == STATE_LISTEN ||
		(waits && one->idiag_state != STATE_ESTABLISHED && !asks))
		return;
	if (!waits && size > 0 && is_idle(one, info)) {
		k->seen.idle++;
		return;
	}
	k->seen.used++;
	(void)endpoint_text(
		k->seen.peer, one->idiag_family, one->id.idiag_dst, ntohs(one->id.idiag_dport));
}

/* Counts a connection of a unix socket as in use: the kernel does not show its traffic. */
static void count_unix(void *context, uint64_t inode UNUSED)
{
	struct host_count *k = context;

	k->seen.used++;
	text_copy(k->seen.peer, sizeof(k->seen.peer), "a unix socket");
}

/* Looks at all connections of the machine.  True: this look and those before it found none in
 * use. */
static bool has_become_empty(struct supervisor *sup)
{
	struct host *h = &sup->traffic.host;
	struct host_count k = {.seen = {.used = 0}};

	incoming_init(&k.in, sup);
	if (sockdiag_each_tcp(true, count_connection, &k) == -1)
		return false;
	incoming_each_unix(sup, count_unix, &k);
	h->seen = k.seen;
	h->empty_looks = k.seen.used == 0 ? h->empty_looks + 1 : 0;
	return h->empty_looks > EMPTY_LOOKS;
}

/* ---- who asks ---- */

/* clang-format off */
static const struct plain_row monitor_rows[] = {
	PLAIN_MUST(1, host_monitor, who, TEXT),
	PLAIN(2, host_monitor, last, SIGNED),
	PLAIN(3, host_monitor, gap, SIGNED),
	PLAIN(4, host_monitor, period, SIGNED),
	PLAIN(5, host_monitor, answers, UNSIGNED),
};
/* clang-format on */

const struct carried carried_monitor = {
	.called = "a load balancer",
	CARRIED_ROWS(monitor_rows, host_monitor),
};

/* Returns the entry of a load balancer, or a new one; NULL: no memory. */
static struct host_monitor *find_or_add_monitor(struct host *h, const char *who, size_t len)
{
	struct host_monitor *place = h->monitors;

	for (size_t i = 0; i < h->monitor_count; i++) {
		struct host_monitor *a = &h->monitors[i];

		if (strlen(a->who) == len && memcmp(a->who, who, len) == 0)
			return a;
		if (a->last < place->last)
			place = a;
	}
	if (h->monitor_count < MONITORS_MOST) {
		if (!array_grow(h->monitors, h->monitor_count))
			return NULL;
		place = &h->monitors[h->monitor_count++];
	}
	*place = (struct host_monitor){.last = 0};
	memcpy(place->who, who, len);
	return place;
}

void host_asked(struct supervisor *sup, const char *monitors)
{
	nsec_t now = clock_now();

	for (size_t len; *monitors != '\0'; monitors += len + (monitors[len] == ',')) {
		struct host_monitor *a;
		nsec_t gap;

		len = strcspn(monitors, ",");
		if (len == 0 || len >= MONITOR_TEXT)
			continue;
		a = find_or_add_monitor(&sup->traffic.host, monitors, len);
		if (a == NULL)
			return;
		gap = a->last != 0 ? now - a->last : 0;
		if (a->gap > 0)
			a->period = gap > a->gap ? gap : a->gap;
		a->gap = gap;
		a->last = now;
		a->answers++;
	}
}

/* Returns a load balancer that has asked regularly until the host was drained or undrained, and has
 * not yet had as many answers as it needs to obey; NULL: there is none. */
static const struct host_monitor *find_uninformed_monitor(const struct host *h)
{
	nsec_t turned = h->switched_at;
	nsec_t now = clock_now();

	for (size_t i = 0; i < h->monitor_count; i++) {
		const struct host_monitor *a = &h->monitors[i];
		nsec_t late = 2 * a->period + LATENESS;
		unsigned wanted = *a->who == 'a' ? AGENT_ANSWERS : HTTP_ANSWERS;

		if (a->period > 0 && a->period <= PERIOD_MOST && a->answers < wanted &&
			now - (a->last > turned ? a->last : turned) < late &&
			turned - a->last < late)
			return a;
	}
	return NULL;
}

/* ---- the wait ---- */

static const struct service *find_unready_service(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];
		struct service_counts counts = service_counts(s);

		if (s->stage.ended
				? !service_is_done(s)
				: counts.ready == 0 && counts.workers > 0 && s->accepting == NULL)
			return s;
	}
	return NULL;
}

static void tell_over(struct supervisor *sup, int code, const char *text)
{
	bool drains = sup->traffic.host.waits == HOST_EMPTIES;

	sup->traffic.host.waits = HOST_SETTLED;
	moment_verb(sup,
		&(struct verb_step){.method = drains ? METHOD_DRAIN : METHOD_UNDRAIN,
			.code = code,
			.text = text});
}

static void end_wait(struct supervisor *sup, bool late)
{
	struct host *h = &sup->traffic.host;
	bool empty = !late && h->waits == HOST_EMPTIES;

	ev_timer_stop(sup->loop, &h->timer);
	h->empty |= empty;
	if (late)
		news_say(sup, LOG_WARN, "host-waits", "%s", h->text);
	else if (empty)
		news_say(sup, LOG_NOTE, "host-empty", "%s", h->text);
	tell_over(sup, late ? CONTROL_TIMED_OUT : 0, h->text);
}

/* Describes what is still missing, after "empty after 3 s" or the like. */
static void describe_wait(struct supervisor *sup, bool late)
{
	struct host *h = &sup->traffic.host;
	const char *name = sup->settings->name;
	const struct host_monitor *monitor = find_uninformed_monitor(h);
	const struct service *s = find_unready_service(sup);
	bool drains = h->waits == HOST_EMPTIES;
	const struct host_seen *seen = &h->seen;
	char age[16];
	int len;

	len = snprintf(h->text, sizeof(h->text), "%s: %s %s after %s: ", name,
		late ? "not" : "still not", drains ? "empty" : "in service",
		text_age(age, clock_now() - h->began));
	if (monitor != NULL)
		len += snprintf(h->text + len, sizeof(h->text) - (size_t)len,
			"%s has not asked since", monitor->who);
	else if (drains)
		len += snprintf(h->text + len, sizeof(h->text) - (size_t)len,
			"%u connection%s in use%s%s%s", seen->used, seen->used == 1 ? "" : "s",
			seen->used > 0 ? ", one of them from " : "", seen->peer,
			seen->used > 0 ? "" : " just now");
	else if (s != NULL)
		len += snprintf(h->text + len, sizeof(h->text) - (size_t)len,
			"no worker of %s is ready", s->name);
	if (late && drains)
		snprintf(h->text + len, sizeof(h->text) - (size_t)len,
			"; it stays drained until 'nclust undrain %s'", name);
}

static bool wait_is_over(struct supervisor *sup)
{
	struct host *h = &sup->traffic.host;
	char age[16];

	if (find_uninformed_monitor(h) != NULL)
		return false;
	if (h->waits == HOST_RETURNS)
		return find_unready_service(sup) == NULL;
	if (!has_become_empty(sup))
		return false;
	snprintf(h->text, sizeof(h->text),
		"%s: empty after %s: no connection is in use, and %u idle", sup->settings->name,
		text_age(age, clock_now() - h->began), h->seen.idle);
	return true;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;
	struct host *h = &sup->traffic.host;
	nsec_t now = clock_now();
	nsec_t rest;

	if (wait_is_over(sup)) {
		end_wait(sup, false);
		return;
	}
	if (now >= h->until) {
		describe_wait(sup, true);
		end_wait(sup, true);
		return;
	}
	if (h->waits == HOST_EMPTIES && once_each(&h->reported_at, now, REPORT_EVERY)) {
		describe_wait(sup, false);
		news_say(sup, LOG_INFO, "host-waits", "%s", h->text);
	}
	rest = (clock_now() - now) * TURN_REST;
	timer_arm(loop, timer, nsec_min(h->until - now, rest > LOOK_EVERY ? rest : LOOK_EVERY));
}

static void begin_looks(struct supervisor *sup)
{
	struct host *h = &sup->traffic.host;

	if (h->timer.data == NULL)
		timer_init(&h->timer, on_timer, sup);
	h->seen = (struct host_seen){.used = 0};
	h->empty_looks = 0;
	h->reported_at = clock_now();
	timer_arm(sup->loop, &h->timer, 0);
}

/* ---- the verbs ---- */

static void set_drained(struct supervisor *sup, bool drained)
{
	struct host *h = &sup->traffic.host;
	nsec_t now = clock_now();
	char age[16];

	if (drained)
		news_say(sup, LOG_NOTE, "host-drained",
			"%s: drained: the agent and /readyz ask load balancers "
			"to send nothing new; workers go on",
			sup->settings->name);
	else
		news_say(sup, LOG_NOTE, "host-undrained", "%s: undrained after %s",
			sup->settings->name, text_age(age, now - h->since));
	h->switched_at = now;
	h->since = drained ? now : 0;
	h->empty = false;
	if (h->waits != HOST_SETTLED)
		tell_over(sup, CONTROL_FAILED,
			drained ? "not in service: it was drained meanwhile"
				: "not empty: it was undrained meanwhile");
	for (size_t i = 0; i < h->monitor_count; i++)
		h->monitors[i].answers = 0;
}

void host_turn(struct supervisor *sup, bool drained, nsec_t patience)
{
	struct host *h = &sup->traffic.host;
	nsec_t until = nsec_add(clock_now(), patience);

	snprintf(h->text, sizeof(h->text), "%s: was not drained", sup->settings->name);
	if (drained != (h->since != 0)) {
		set_drained(sup, drained);
		snprintf(h->text, sizeof(h->text), "%s: in service again", sup->settings->name);
	}
	if (h->waits == HOST_SETTLED || h->until < until)
		h->until = until;
	h->waits = drained ? HOST_EMPTIES : HOST_RETURNS;
	h->began = clock_now();
	begin_looks(sup);
}

void host_put(struct json_writer *w, const struct supervisor *sup)
{
	const struct host *h = &sup->traffic.host;

	if (!json_open_member(w, "drained", h->since != 0))
		return;
	json_put_real(w, "since", nsec_seconds(clock_now() - h->since), 3);
	json_put_bool(w, "empty", h->empty);
	json_close_object(w);
}

void host_go_on(struct supervisor *sup)
{
	struct host *h = &sup->traffic.host;

	if (h->waits == HOST_SETTLED)
		return;
	snprintf(h->text, sizeof(h->text), "%s: in service again", sup->settings->name);
	begin_looks(sup);
}

void host_end(struct supervisor *sup)
{
	struct host *h = &sup->traffic.host;

	ev_timer_stop(sup->loop, &h->timer);
	free(h->monitors);
	*h = (struct host){.since = 0};
}

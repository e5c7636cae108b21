/* SPDX-License-Identifier: MIT */
#include "supervisor/common/news.h"

#include "base/text.h"
#include "os/clock.h"
#include "protocol/json.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct history {
	struct linering ring; /* its file is made for the first event */
	struct buffer scratch;
	char explain[640]; /* the cause of the next exit that is reported */
	char late[640];    /* and of the next rollout that fails with WHY_START_TIMEOUT */
	uint64_t expect;   /* serial of the child that has just ended */
};

/* ---- telling ---- */

static void add_to_history(struct supervisor *sup, const char *line, size_t len)
{
	struct linering *ring = &sup->news.history->ring;
	struct error err;

	if (ring->fd == -1 && linering_make(ring, &linering_events, "events", &err) == 0)
		sup->orphans.changed = true; /* so that the keeper gets it */
	if (ring->fd != -1 && linering_add(ring, line, len) == -1)
		error_set(&err, errno, "the history");
	else if (ring->fd != -1)
		return;
	if (once_say(sup->said, ONCE_NO_HISTORY))
		log_warn("events are not kept for 'nclust events': %s", err.text);
}

static void give_out_event(struct supervisor *sup, struct buffer *out, struct service *service,
	const struct report *report, const char *sentence)
{
	const char *line = buffer_text(out);

	if (line == NULL || out->failed)
		return;
	add_to_history(sup, line, out->len);
	moment_published(sup, service, report, line, sentence);
}

/* If nclust lacks something, every empty slot tries in vain to start a worker: only the first try
 * of a minute that fails for this cause is logged, with the number of those before it. */
static bool is_logged(struct service *s, const struct report *r)
{
	const struct ending *end = &r->ending;

	if (s == NULL || r->kind != REPORT_EXITED || end->kind != ENDING_SPAWN || end->permanent)
		return true;
	if (!once_each(&s->life.fail_at[(end->code + end->step) & 15], clock_now(), MINUTE)) {
		s->life.start_fails++;
		s->life.fail_code = end->code;
		return false;
	}
	if (s->life.start_fails > 0)
		news_say_of(s, LOG_WARN, "left-out",
			"%u more attempts to start a worker failed: %s", s->life.start_fails,
			strerror(s->life.fail_code));
	s->life.start_fails = 0;
	return true;
}

static void publish_news(struct supervisor *sup, struct news *n)
{
	struct service *service = service_named(sup, n->cluster);
	struct history *h = sup->news.history;
	const struct report *r = &n->report;
	scoped_buffer text = {.limit = 4096};
	const char *sentence;

	if (service != NULL)
		news_explain(service, n);
	news_put_sentence(&text, n);
	sentence = buffer_text(&text);
	if (sentence != NULL) {
		if (is_logged(service, r))
			log_line(news_level(r), "%s", sentence);
		buffer_clear(&h->scratch);
		news_put_record(&h->scratch, service, n, sentence);
		give_out_event(sup, &h->scratch, service, r, sentence);
	}
	if (service != NULL)
		trouble_on_news(service, n);
}

static void publish_waiting(struct supervisor *sup)
{
	while (sup->news.head != NULL && sup->news.head->serial == 0) {
		struct news *n = sup->news.head;

		sup->news.head = n->next;
		if (sup->news.head == NULL)
			sup->news.tail = NULL;
		publish_news(sup, n);
		free(n);
	}
	ev_timer_stop(sup->loop, &sup->news.timer);
	if (sup->news.head != NULL)
		timer_arm(sup->loop, &sup->news.timer, sup->news.head->patience - clock_now());
}

static void on_patience_over(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct supervisor *sup = timer->data;

	if (sup->news.head != NULL)
		sup->news.head->serial = 0;
	publish_waiting(sup);
}

static void enqueue_news(struct supervisor *sup, const struct news *n)
{
	struct news *last = sup->news.tail;
	struct news **end = last != NULL ? &last->next : &sup->news.head;
	struct news *copy = malloc(sizeof(*copy));

	if (copy == NULL) {
		/* the event cannot wait in the list */
		log_warn("out of memory: an event is lost");
		return;
	}
	*copy = *n;
	copy->next = NULL;
	*end = sup->news.tail = copy;
	publish_waiting(sup);
}

/* Is it a report whose cause news_expect() has set? */
static bool is_expected(const struct report *r)
{
	return r->kind == REPORT_EXITED ||
		(r->kind == REPORT_ROLLOUT_FAILED && r->why == WHY_BEFORE);
}

void news_on_report(struct service *service, const struct report *report)
{
	struct supervisor *sup = service->sup;
	struct history *h = sup->news.history;
	struct news n = {
		.report = *report,
		.handed_on = service->traffic.handed_on,
		.asked_again = service->traffic.asked_again,
		.guessed = service->traffic.guessed,
		.busy = service->traffic.busy,
		.killed = service->counters.killed,
		.unlimited = once_said(service->said, ONCE_LIMITS),
	};

	/* a cluster that was stopped, or whose workers all had died */
	if (report->kind == REPORT_ROLLOUT_DONE && report->count == 0)
		n.report.others = cluster_ready(service->core);
	counters_note_report(service, report);
	/* the state tells of an end; the room accept publishes the other event itself */
	if (report->kind == REPORT_ENDED ||
		(service->accepting != NULL && report->kind == REPORT_ALL_READY))
		return;
	text_copy(n.cluster, sizeof(n.cluster), service->name);
	news_killed(n.killed_text, service);
	/* the cluster gives up: there is no next try */
	if (report->ending.permanent && !cluster_ever_ready(service->core))
		n.report.wait = NSEC_NEVER;
	if (report->kind == REPORT_ROLLOUT_FAILED && report->why == WHY_START_TIMEOUT)
		text_copy(n.explain, sizeof(n.explain), h->late);
	if (report->kind == REPORT_UNKILLABLE)
		(void)why_alive(report->pid, n.explain, sizeof(n.explain));
	if (is_expected(report))
		text_copy(n.explain, sizeof(n.explain), h->explain);
	if (is_expected(report) && h->expect != 0) {
		n.serial = h->expect;
		n.patience = nsec_add(clock_now(), NEWS_PATIENCE);
		h->expect = 0;
	}
	if (n.serial == 0 && sup->news.head == NULL)
		publish_news(sup, &n);
	else
		enqueue_news(sup, &n);
}

/* An event that is no report of the core: what it is about, and its numbers. */
struct saying {
	struct supervisor *sup;
	struct service *service;   /* NULL: the instance */
	uint32_t slot;             /* SLOT_ALL: the cluster as a whole */
	const struct child *child; /* NULL: no worker */
	enum log_level level;
	const char *event;
	const struct news_number *numbers;
	size_t count;
};

static void put_saying(struct json_writer *w, const struct saying *s)
{
	if (s->service != NULL)
		json_put_text(w, "cluster", s->service->name);
	if (s->slot != SLOT_ALL)
		json_put_int(w, "slot", s->slot);
	if (s->child != NULL) {
		json_put_int(w, "worker", (int64_t)s->child->worker);
		if (s->child->pid > 0)
			json_put_int(w, "pid", s->child->pid);
	}
	for (size_t i = 0; i < s->count; i++)
		json_put_real(w, s->numbers[i].name, s->numbers[i].value, 3);
}

/* Publish an event; the name of its cluster or slot is put before the sentence. */
static void say_event(const struct saying *s, const char *format, va_list args)
	__attribute__((format(printf, 2, 0)));

static void say_event(const struct saying *s, const char *format, va_list args)
{
	struct history *h = s->sup->news.history;
	struct json_writer w;
	char text[1200];
	int used = 0;

	if (s->slot != SLOT_ALL)
		used = snprintf(text, sizeof(text), "%s.%" PRIu32 ": ", s->service->name, s->slot);
	else if (s->service != NULL)
		used = snprintf(text, sizeof(text), "%s: ", s->service->name);
	vsnprintf(text + used, sizeof(text) - (size_t)used, format, args);
	log_line(s->level, "%s", text);
	if (h == NULL) /* nclust ends, and its clients are gone */
		return;
	buffer_clear(&h->scratch);
	news_begin(&w, &h->scratch, s->event, s->level);
	put_saying(&w, s);
	json_put_text(&w, "text", text);
	json_close_object(&w);
	give_out_event(s->sup, &h->scratch, s->service, NULL, text);
}

#define TELL(...) \
	va_list args; \
\
	va_start(args, format); \
	say_event(&(struct saying){.level = level, .event = event, __VA_ARGS__}, format, args); \
	va_end(args)

void news_say(
	struct supervisor *sup, enum log_level level, const char *event, const char *format, ...)
{
	TELL(.sup = sup, .slot = SLOT_ALL);
}

void news_say_slot(struct service *service, uint32_t slot, enum log_level level, const char *event,
	const char *format, ...)
{
	TELL(.sup = service->sup, .service = service, .slot = slot);
}

void news_say_numbers(const struct child *child, enum log_level level, const char *event,
	const struct news_number *numbers, size_t count, const char *format, ...)
{
	TELL(.sup = child->service->sup, .service = child->service, .slot = child->slot,
		.child = child, .numbers = numbers, .count = count);
}

/* ---- limits for what a worker can cause ---- */

void news_on_dying(struct child *child)
{
	unsigned count = child->life.left_out;

	child->life.left_out = 0;
	if (count > 0)
		news_say_worker(child, LOG_WARN, "left-out",
			"%u message%s about worker %d left out", count, count == 1 ? "" : "s",
			(int)child->pid);
}

bool news_spares(struct child *child)
{
	int saved = errno;

	if (once_each(&child->life.span_began, clock_now(), MINUTE)) {
		news_on_dying(child);
		child->life.published = 0;
	}
	if (child->life.published < NEWS_SPARED)
		child->life.published++;
	else
		child->life.left_out++;
	errno = saved; /* the caller's log line may contain %m */
	return child->life.left_out == 0;
}

/* ---- last words ---- */

void news_expect(struct supervisor *sup, const char *cause, uint64_t serial)
{
	struct history *h = sup->news.history;

	text_copy(h->explain, sizeof(h->explain), cause != NULL ? cause : "");
	h->expect = serial;
}

const char *news_expected(const struct supervisor *sup)
{
	return sup->news.history->explain;
}

void news_expect_late(struct supervisor *sup, const char *cause)
{
	struct history *h = sup->news.history;

	text_copy(h->late, sizeof(h->late), cause);
}

/* Whoever sends another signal knows why the program ends. */
static bool is_fault(const struct ending *e)
{
	if (e->kind != ENDING_SIGNAL)
		return e->code != 0;
	return e->code == SIGABRT || e->code == SIGBUS || e->code == SIGFPE || e->code == SIGILL ||
		e->code == SIGSEGV;
}

#define WROTE_NOTHING \
	"it wrote nothing; where it keeps its output in a buffer, 'pty = yes' shows it, or for " \
	"Python 'env = PYTHONUNBUFFERED=1'"

void news_last_output(struct supervisor *sup, uint64_t serial, const char *text,
	bool address_in_use, bool read_null)
{
	struct news *n = list_find(its, sup->news.head, its->serial == serial);
	const struct service *service;
	const char *path;

	if (n == NULL)
		return;
	service = service_named(sup, n->cluster);
	/* one that connects first, to see if the path is free, says so in words of its own */
	path = service != NULL ? trouble_path(service, n->report.worker) : NULL;
	address_in_use |= path != NULL && strstr(text, path) != NULL && !n->report.was_ready;
	text_escape(n->last, sizeof(n->last), text, strlen(text));
	n->bind_hint = address_in_use && service != NULL && trouble_holds_port(service, &n->report);
	if (address_in_use && !n->bind_hint && *n->explain == '\0' && service != NULL &&
		(!n->report.was_ready || n->report.ending.kind == ENDING_EXIT))
		trouble_guess_in_use(service, n->report.worker, n->explain, sizeof(n->explain));
	if (*n->explain == '\0' && strstr(text, " cluster.") != NULL &&
		strstr(text, " is not a function") != NULL)
		text_copy(n->explain, sizeof(n->explain), TROUBLE_OWN_PRIMARY);
	if (*text == '\0' && *n->explain == '\0' && service != NULL &&
		n->report.why == WHY_ITSELF && is_fault(&n->report.ending) &&
		cluster_settings(service->core)->pty != PTY_YES && !sup->logger.stdout_is_terminal)
		text_copy(n->explain, sizeof(n->explain),
			n->report.ending.kind == ENDING_EXIT && !n->report.was_ready && read_null
				? WROTE_NOTHING "; " TROUBLE_INPUT
				: WROTE_NOTHING);
	n->serial = 0;
	publish_waiting(sup);
}

void news_stop_waiting(struct supervisor *sup)
{
	for (struct news *n = sup->news.head; n != NULL; n = n->next)
		n->serial = 0;
	publish_waiting(sup);
}

bool news_pending(const struct supervisor *sup)
{
	return sup->news.head != NULL;
}

/* ---- life ---- */

int news_history(const struct supervisor *sup, struct linering_text *lines)
{
	return linering_read(&sup->news.history->ring, 0, lines);
}

bool news_is_whole(const char *json, size_t len)
{
	static const char start[] = NEWS_START;

	return len > sizeof(start) && memcmp(json, start, sizeof(start) - 1) == 0 &&
		jsonvalue_check(json, len);
}

int news_history_fd(const struct supervisor *sup)
{
	return sup->news.history->ring.fd;
}

bool news_take_history(struct supervisor *sup, int fd)
{
	struct linering *ring = &sup->news.history->ring;

	return ring->fd == -1 && fd != -1 && linering_take(ring, &linering_events, fd);
}

int news_init(struct supervisor *sup, struct error *err)
{
	struct history *h = calloc(1, sizeof(*h));

	if (h == NULL)
		return error_set(err, ENOMEM, "event history");
	h->ring.fd = -1;
	h->ring.kind = &linering_events;
	buffer_init(&h->scratch, linering_events.block - 1);
	sup->news.history = h;
	timer_init(&sup->news.timer, on_patience_over, sup);
	return 0;
}

static const struct plain_row history_rows[] = {
	PLAIN(2, history, ring.fd, FD), /* 1 was the lines themselves */
	PLAIN(3, history, ring.end, UNSIGNED),
};

static void *make_history(struct carry_reader *r, void *owner)
{
	struct supervisor *sup = owner;

	return news_init(sup, r->err) == 0 ? sup->news.history : NULL;
}

const struct carried carried_history = {
	.called = "the history",
	CARRIED_ROWS(history_rows, history),
	.make = make_history,
};

void news_on_shutdown(struct supervisor *sup)
{
	if (sup->news.history == NULL)
		return;
	news_stop_waiting(sup);
	ev_timer_stop(sup->loop, &sup->news.timer);
	linering_close(&sup->news.history->ring);
	buffer_fini(&sup->news.history->scratch);
	free(sup->news.history);
	sup->news.history = NULL;
}

/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "os/clock.h"
#include "supervisor/common/news.h"
#include "supervisor/common/part.h"
#include "supervisor/health/internal.h"
#include "supervisor/health/health.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <string.h>

/*
 * `max-requests`: a worker that got so many connections is replaced.  The kernel counts them, or
 * nclust as it gives them out; this monitor reads the count when the worker may have reached its
 * limit at its latest pace, within these bounds.  While no connections come, looks become rare.
 */
#define WAIT_LEAST (1 * SECOND)
#define WAIT_MOST (10 * SECOND)
#define WAIT_IDLE (1 * MINUTE)
/* A worker is not replaced before it was ready for so many times `stable-after`, so that a flood
 * does not replace one worker after the other. */
#define AGE_LEAST 10

static unsigned limit_of(const struct child *child)
{
	const struct cluster_settings *s = child_settings(child);

	return s != NULL ? s->max_requests : 0;
}

static bool has_limit(const struct child *child)
{
	return limit_of(child) != 0;
}

static struct dealt connections_of(const struct child *child)
{
	struct dealt given = {.sharers = 1};

	PARTS(given, child, &given);
	return given;
}

static void warn_uncounted(struct service *service, const struct dealt *given)
{
	if (once_say(service->said, ONCE_UNCOUNTED))
		news_say_of(service, LOG_WARN, "balance",
			"%s%s: 'max-requests' needs 'balance = rr'",
			strerror(given->error != 0 ? given->error : ENOTSUP),
			given->error == EPERM ? " (CAP_BPF would do, where no seccomp "
						"profile forbids it)"
					      : "");
}

void health_count(struct child *child)
{
	struct health *h = has_limit(child) ? health_of(child) : NULL;
	struct dealt given;

	if (h == NULL || h->counting)
		return;
	given = connections_of(child);
	h->counting = true;
	h->countable = given.known;
	h->counted_so_far = given.count;
	h->counted_at = clock_now();
	h->count_pause = WAIT_LEAST / 2;
}

/* The time in which the worker may get `more` connections, having `got` some in `span`. */
static nsec_t time_to_reach(struct health *h, uint64_t more, uint64_t got, nsec_t span)
{
	uint64_t at;

	if (got == 0) {
		h->count_pause = nsec_min(2 * h->count_pause, WAIT_IDLE);
		return h->count_pause;
	}
	h->count_pause = WAIT_LEAST / 2;
	at = (uint64_t)(span / MSEC) * more / got;
	if (at <= WAIT_LEAST / MSEC)
		return WAIT_LEAST;
	return at < WAIT_MOST / MSEC ? (nsec_t)at * MSEC : WAIT_MOST;
}

static uint64_t add_requests(struct health *h, const struct dealt *given)
{
	/* the count of a listener that was closed is gone */
	uint64_t got = given->count > h->counted_so_far
		? (given->count - h->counted_so_far) / given->sharers
		: 0;

	h->counted_so_far = given->count;
	h->requests += got;
	return got;
}

static nsec_t count_requests(struct child *child, nsec_t now)
{
	const struct cluster_settings *s = child_settings(child);
	struct health *h = health_of(child);
	struct worker_view view;
	struct dealt given;
	uint64_t limit = limit_of(child);
	uint64_t got;
	nsec_t age;
	nsec_t span;

	if (h == NULL || h->outgrown || !health_is_ready(child))
		return WAIT_MOST;
	view = child_view(child);
	age = now - view.ready_at;
	health_count(child);
	given = connections_of(child);
	if (!given.known) {
		warn_uncounted(child->service, &given);
		return WAIT_IDLE;
	}
	h->countable = true;
	got = add_requests(h, &given);
	span = now - h->counted_at;
	h->counted_at = now;
	limit = (uint64_t)((int64_t)limit + (int64_t)limit * view.share / 1000);
	if (h->requests < limit)
		return time_to_reach(h, limit - h->requests, got, span);
	if (age < AGE_LEAST * s->stable_after)
		return AGE_LEAST * s->stable_after - age;
	h->outgrown = true;
	child_tell(child, EVENT_OUTGROWN, WHY_SERVED);
	return WAIT_MOST;
}

const struct monitor_kind count_kind = {
	.size = sizeof(struct monitor),
	.first = WAIT_LEAST,
	.wants = has_limit,
	.look = count_requests,
};

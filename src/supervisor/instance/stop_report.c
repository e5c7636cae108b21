/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/instance.h"

#include "base/text.h"
#include "os/clock.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/child.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>

#define FIRST (1 * SECOND)
#define AGAIN (10 * SECOND)
#define NAMED 3 /* workers that are named, others are only counted */

static void say_worker(struct buffer *out, const struct service *s, uint32_t slot,
	const struct worker_view *w, nsec_t now)
{
	const struct child *child = child_find(s, slot, w->id);
	const struct cluster_settings *settings = child != NULL ? child_settings(child) : NULL;
	/* a worker that serves a connection gets no stop signal during stop-timeout */
	unsigned steps = settings != NULL && !s->kind->by_connection ? settings->stop_count : 0;
	bool drains = w->state == SLOT_DRAINING;
	unsigned busy = child != NULL && drains ? child->traffic.busy : 0;
	char name[16];
	char age[16];

	buffer_printf(out, "%s.%" PRIu32 " (worker %d) ", s->name, slot, (int)w->pid);
	if (drains)
		buffer_string(out, "is being drained");
	else if (w->killed)
		buffer_string(out, "has got SIGKILL");
	else if (w->stop_step < steps)
		buffer_printf(out, "has got %s",
			text_signal_name(name, settings->stop[w->stop_step].signal));
	else
		buffer_string(out, "is to end");
	if (busy > 0)
		buffer_printf(out, ", %u busy connection%s", busy, busy == 1 ? "" : "s");
	if (w->killed || w->due == NSEC_NEVER || w->due <= now)
		return;
	buffer_printf(out,
		drains                              ? ", for %s at most"
			: w->stop_step + 1 == steps ? ", SIGKILL follows in %s"
						    : ", the next signal follows in %s",
		text_age(age, w->due - now));
}

/* Name the workers that are left.  Returns how many. */
static unsigned say_workers(struct buffer *out, const struct service *s, nsec_t now)
{
	unsigned count = 0;

	for (uint32_t slot = 0; slot < service_counts(s).slots; slot++) {
		struct slot_view view;

		service_view_slot(s, slot, &view);
		for (unsigned i = 0; i < view.workers; i++) {
			if (count++ >= NAMED)
				continue;
			buffer_string(out, count > 1 ? "; " : "");
			say_worker(out, s, slot, &view.worker[i], now);
		}
	}
	if (count > NAMED)
		buffer_printf(out, "; and %u more", count - NAMED);
	return count;
}

static bool tell_cluster(struct service *s, nsec_t now)
{
	struct supervisor *sup = s->sup;
	scoped_buffer text = {.limit = 2048};
	const char *said;
	char age[16];
	unsigned count;

	if (s->stage.ended || cluster_state(s->core) != CLUSTER_STOPPING)
		return false;
	count = say_workers(&text, s, now);
	said = buffer_text(&text);
	if (count > 0 && said != NULL)
		news_say_of(s, LOG_NOTE, "stop-waits",
			"still stopping after %s: %s; to end it now: nclust "
			"stop --now %s%s%s%s",
			text_age(age, now - sup->instance.stop_since), said, sup->settings->name,
			sup->instance.stopping ? "" : "/", sup->instance.stopping ? "" : s->name,
			sup->instance.stopping && sup->launch.had_terminal ? ", or Ctrl-C" : "");
	return true;
}

static void on_time(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct supervisor *sup = timer->data;
	nsec_t now = clock_now();
	bool any = false;

	(void)revents;
	for (size_t i = 0; i < sup->service_count; i++)
		any |= tell_cluster(sup->services[i], now);
	if (any)
		timer_arm(loop, timer, AGAIN);
}

void stop_report_begin(struct supervisor *sup)
{
	if (ev_is_active(&sup->instance.stop_waits))
		return;
	sup->instance.stop_since = clock_now();
	timer_init(&sup->instance.stop_waits, on_time, sup);
	timer_arm(sup->loop, &sup->instance.stop_waits, FIRST);
}

void stop_report_end(struct supervisor *sup)
{
	ev_timer_stop(sup->loop, &sup->instance.stop_waits);
}

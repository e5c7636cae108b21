/* SPDX-License-Identifier: MIT */
#include "world.h"

#include "base/scope.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static const char *const event_names[] = {
	[EVENT_TICK] = "tick",
	[EVENT_SPAWNED] = "spawned",
	[EVENT_REFUSED] = "refused",
	[EVENT_IDLE] = "idle",
	[EVENT_SPAWN_FAILED] = "spawn failed",
	[EVENT_READY] = "ready",
	[EVENT_LISTENING] = "listening",
	[EVENT_LEAVING] = "leaving",
	[EVENT_EXTEND] = "extend",
	[EVENT_PROVED] = "proved",
	[EVENT_ALIVE] = "alive",
	[EVENT_WATCHDOG] = "watchdog",
	[EVENT_UNWELL] = "unwell",
	[EVENT_OUTGROWN] = "outgrown",
	[EVENT_DRAINED] = "drained",
	[EVENT_BUSY] = "busy",
	[EVENT_EXITED] = "exited",
	[EVENT_STOP] = "stop",
	[EVENT_SCALE] = "scale",
	[EVENT_ROLL] = "roll",
	[EVENT_PREPARED] = "prepared",
	[EVENT_SETTINGS] = "settings",
	[EVENT_LATE] = "late",
	[EVENT_ALONE] = "alone",
};

static const char *const action_names[] = {
	[ACTION_SPAWN] = "SPAWN",
	[ACTION_SIGNAL] = "SIGNAL",
	[ACTION_KILL] = "KILL",
	[ACTION_DRAIN] = "DRAIN",
	[ACTION_REPORT] = "report",
};

static const char *const report_names[] = {
	[REPORT_STARTED] = "started",
	[REPORT_READY] = "ready",
	[REPORT_EXITED] = "exited",
	[REPORT_DRAINING] = "draining",
	[REPORT_UNWELL] = "unwell",
	[REPORT_OUTGROWN] = "outgrown",
	[REPORT_BAKING] = "baking",
	[REPORT_BAKED] = "baked",
	[REPORT_STOPPING] = "stopping",
	[REPORT_STOP_TIMEOUT] = "stop timeout",
	[REPORT_UNKILLABLE] = "unkillable",
	[REPORT_START_TIMEOUT] = "start timeout",
	[REPORT_SLOT_ENDED] = "slot ended",
	[REPORT_ALL_READY] = "all ready",
	[REPORT_SCALED] = "scaled",
	[REPORT_GAVE_UP] = "gave up",
	[REPORT_ROLLOUT_STARTED] = "rollout started",
	[REPORT_ROLLOUT_STEP] = "rollout step",
	[REPORT_ROLLOUT_DONE] = "rollout done",
	[REPORT_ROLLOUT_FAILED] = "rollout failed",
	[REPORT_ROLLOUT_SUPERSEDED] = "rollout superseded",
	[REPORT_STATE] = "state",
	[REPORT_ENDED] = "ended",
	[REPORT_SURPRISE] = "surprise",
	[REPORT_SPARE] = "spare",
	[REPORT_RELEASED] = "released",
	[REPORT_NO_SPARE] = "no spare",
};

const char *trace_report_name(enum report_kind kind)
{
	return report_names[kind];
}

static void print_event(const struct event *e)
{
	printf("  %s", event_names[e->kind]);
	if (e->worker != 0)
		printf(" %" PRIu32 "/%" PRIu64, e->slot, e->worker);
	if (e->span != 0)
		printf(" span %.3f", nsec_seconds(e->span));
	if (e->kind == EVENT_EXITED || e->kind == EVENT_SPAWN_FAILED)
		printf(" kind %d code %d", (int)e->ending.kind, e->ending.code);
	if (e->kind == EVENT_SCALE)
		printf(" to %u", e->scale.wanted);
	if (e->kind == EVENT_ROLL && e->slot != SLOT_ALL)
		printf(" slot %" PRIu32, e->slot);
	if (e->settings != NULL)
		printf(" settings %p", (void *)e->settings);
	printf("%s\n", e->at_once ? " at once" : "");
}

static void print_report(const struct report *r)
{
	printf("      %s", report_names[r->kind]);
	if (r->worker != 0)
		printf(" %" PRIu32 "/%" PRIu64, r->slot, r->worker);
	if (r->generation != 0)
		printf(" generation %u", r->generation);
	if (r->rollout != 0)
		printf(" rollout %u count %u", r->rollout, r->count);
	if (r->kind == REPORT_STATE)
		printf(" %s", cluster_state_name(r->state));
	if (r->why != WHY_ITSELF)
		printf(" why %d", (int)r->why);
	if (r->age != NSEC_NEVER)
		printf(" age %.3f", nsec_seconds(r->age));
	if (r->wait != NSEC_NEVER)
		printf(" wait %.3f", nsec_seconds(r->wait));
	printf("\n");
}

static void print_action(const struct action *a)
{
	if (a->kind == ACTION_REPORT) {
		print_report(&a->report);
		return;
	}
	printf("      %s %" PRIu32 "/%" PRIu64, action_names[a->kind], a->slot, a->worker);
	if (a->kind == ACTION_SPAWN)
		printf(" generation %u settings %p", a->generation, (void *)a->settings);
	if (a->kind == ACTION_SIGNAL)
		printf(" %d", a->signal);
	printf("\n");
}

static void print_line(const struct line *l)
{
	if (l->is_action) {
		print_action(&l->action);
		return;
	}
	printf("%10.4f", nsec_seconds(l->now));
	print_event(&l->event);
}

static struct line *add_line(struct world *w)
{
	struct line *l = &w->lines[w->line_count++ % LINES_MAX];

	l->now = w->now;
	return l;
}

void trace_event(struct world *w, const struct event *event)
{
	struct line *l = add_line(w);

	l->is_action = false;
	l->event = *event;
	w->events++;
	if (w->verbose)
		print_line(l);
}

void trace_action(struct world *w, const struct action *action)
{
	struct line *l = add_line(w);

	l->is_action = true;
	l->action = *action;
	if (action->kind == ACTION_REPORT)
		w->reports[action->report.kind]++;
	if (w->verbose)
		print_line(l);
}

void world_complain(const struct world *w, const char *format, ...)
{
	unsigned long from = w->line_count > LINES_MAX ? w->line_count - LINES_MAX : 0;
	va_list args;

	for (unsigned long i = from; i < w->line_count && !w->verbose; i++)
		print_line(&w->lines[i % LINES_MAX]);
	printf("seed %" PRIu64 ": at %.4f s: ", w->seed, nsec_seconds(w->now));
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
	printf("\n");
	exit(1);
}

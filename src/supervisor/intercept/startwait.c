/* SPDX-License-Identifier: MIT */
#include "supervisor/intercept/internal.h"

#include "os/clock.h"
#include "os/look/look.h"
#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Time from the worker's start to the first look; then twice as long each time. */
#define PATIENCE (3 * SECOND)

void startwait_born(struct child *child)
{
	intercept_look_after(child, &child->trap.waits_by, PATIENCE);
}

/* Returns the worker that has the lock, if it is a worker of that cluster; or NULL. */
static const struct child *find_copy(const struct service *service, pid_t pid)
{
	struct process_facts facts = {0};
	const struct child *c =
		process_look(pid, &facts) == 0 ? child_by_pid(service->sup, facts.session) : NULL;

	return c != NULL && c->service == service ? c : NULL;
}

/* Returns what the worker waits for, heap; NULL: no lock.  *copied: another copy has it. */
static char *describe_lock(const struct child *child, bool *copied)
{
	struct lockwait lock;
	const struct child *copy;
	char name[PROCESS_NAME];
	char *text = NULL;
	int got;

	if (!lockwait_look(&lock, child->pid))
		return NULL;
	copy = find_copy(child->service, lock.holder);
	*copied = copy != NULL;
	if (copy != NULL)
		got = asprintf(&text, "the lock of %s, which %s.%" PRIu32 " (process %d) has",
			lock.path, child->service->name, copy->slot, (int)lock.holder);
	else if (lock.holder > 0)
		got = asprintf(&text, "the lock of %s, which process %d (%s) has", lock.path,
			(int)lock.holder, process_name(lock.holder, name));
	else
		got = asprintf(&text, "the lock of %s", lock.path);
	return got == -1 ? NULL : text;
}

static void note_wait(struct child *child, char *text, bool copied)
{
	const char *advice = copied ? "; " TROUBLE_ONE_COPY : "";
	const char *old = child->life.waits;

	if (text != NULL && (old == NULL || strcmp(text, old) != 0)) {
		if (news_spares(child))
			news_say_worker(child, LOG_WARN, "waits", "worker %d waits for %s%s",
				(int)child->pid, text, advice);
		trouble_set_cause(child, "it waits for %s%s", text, advice);
	}
	if (text == NULL && old != NULL) { /* the worker has got the lock */
		free(child->life.cause);
		child->life.cause = NULL;
	}
	free(child->life.waits);
	child->life.waits = text;
}

void startwait_look(struct child *child)
{
	enum slot_state state = child_view(child).state;
	bool starts = state == SLOT_STARTING;
	bool copied = false;
	char *text = NULL;

	if (!intercept_is_due(child, child->trap.waits_by))
		return;
	child->trap.waits_by = 0;
	if (starts)
		text = describe_lock(child, &copied);
	if (starts || state == SLOT_READY) /* else it ends, and waits no more */
		note_wait(child, text, copied);
	if (starts)
		intercept_look_after(
			child, &child->trap.waits_by, clock_now() - child_view(child).born);
}

void startwait_on_status(struct json_writer *w, const struct child *child)
{
	const char *text = child->life.waits;

	if (child_view(child).state != SLOT_STARTING)
		return;
	if (text == NULL)
		text = ports_missing(child);
	if (text == NULL && child->listening.awaited)
		text = "its port";
	if (text != NULL)
		json_put_text(w, "waits_for", text);
}

void startwait_on_gone(struct child *child)
{
	free(child->life.waits);
	child->life.waits = NULL;
}

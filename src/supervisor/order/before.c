/* SPDX-License-Identifier: MIT */
#include "supervisor/order/order.h"

#include "base/text.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct before {
	struct helper *helper;
	before_over *over;
	struct child output; /* not a worker: it has the pipes, for the logger */
};

/* A cluster that waits for the command, and now does not any more; NULL: none left. */
static struct service *take_waiter(const struct supervisor *sup, const struct before *before)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->order.before == before) {
			sup->services[i]->order.before = NULL;
			return sup->services[i];
		}
	return NULL;
}

static void free_before(struct before *before)
{
	const struct supervisor *sup = before->output.service->sup;

	while (take_waiter(sup, before) != NULL)
		;
	capture_drop(&before->output);
	free(before);
}

static void on_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct before *before = owner;
	const struct supervisor *sup = before->output.service->sup;
	before_over *over = before->over;
	struct service *waiter;
	uint64_t serial = 0;
	char how[64] = "";
	char name[16];

	if (late)
		snprintf(how, sizeof(how), "killed, it took too long");
	else if (end->signalled)
		snprintf(how, sizeof(how), "killed by %s", text_signal_name(name, end->code));
	else if (end->code != 0)
		snprintf(how, sizeof(how), "exit %d", end->code);
	if (before->output.output[0] != -1 && capture_ask_last(&before->output))
		serial = before->output.serial;
	before->helper = NULL; /* the helper has freed itself */
	for (; (waiter = take_waiter(sup, before)) != NULL; serial = 0)
		over(waiter, *how != '\0' ? how : NULL, serial);
	free_before(before);
}

static int start_helper(struct before *before, struct helper_plan *plan, struct error *err)
{
	struct service *service = plan->service;
	struct supervisor *sup = service->sup;
	bool attached = sup->settings->daemon && !sup->instance.ready_once;

	/* the user who waits for `-d` sees it */
	plan->output[0] = plan->output[1] = STDERR_FILENO;
	if (!attached)
		capture_open(service, &before->output, plan->output);
	before->helper = helper_start(plan, err);
	if (!attached)
		capture_close(sup, plan->output);
	if (before->helper == NULL)
		return -1;
	before->output.pid = before->helper->job.pid;
	capture_hand_over(service, &before->output);
	return 0;
}

int before_begin(struct service *service, enum before_kind kind, unsigned generation,
	const struct cluster_settings *settings, before_over *over, struct error *err)
{
	struct before *before = calloc(1, sizeof(*before));
	scoped_buffer facts = {0};
	struct helper_plan plan = {
		.service = service,
		.command = kind == BEFORE_STOP ? &settings->before_stop.command
					       : &settings->before.command,
		.facts = &facts,
		.patience = kind == BEFORE_STOP ? settings->stop_timeout : settings->start_timeout,
		.over = on_over,
		.owner = before,
	};
	int got = -1;

	if (before == NULL)
		return error_set(err, ENOMEM, "a command");
	before->over = over;
	before->output = (struct child){
		.service = service,
		.serial = ++service->sup->births.next_serial,
		.generation = generation,
		.pidfd = -1,
		.output = {-1, -1},
	};
	helper_fact(&facts, "NCLUST_EVENT", kind == BEFORE_STOP ? "before-stop" : "before");
	helper_facts(&facts, service);
	helper_number(&facts, "NCLUST_GENERATION", generation);
	plan.recipe = recipe_get(service, generation, settings, err);
	service->order.before = before;
	service->order.kind = kind;
	if (plan.recipe != NULL)
		got = start_helper(before, &plan, err);
	if (got == -1)
		free_before(before);
	return got;
}

void before_share(struct service *service, enum before_kind kind, const struct service *of)
{
	service->order.before = of->order.before;
	service->order.kind = kind;
}

void before_forget(struct service *service)
{
	struct before *before = service->order.before;

	service->order.before = NULL;
	if (before == NULL || before->output.service != service || before->helper == NULL)
		return;
	helper_forget(before->helper);
	free_before(before);
}

void before_hand_over(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (s->order.before != NULL && s->order.before->output.service == s)
			capture_hand_over(s, &s->order.before->output);
	}
}

bool before_runs(const struct service *service, enum before_kind kind)
{
	return service->order.before != NULL && service->order.kind == kind;
}

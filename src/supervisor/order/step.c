/* SPDX-License-Identifier: MIT */
#include "supervisor/order/step.h"

#include "base/text.h"
#include "supervisor/common/news.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct step {
	struct helper *helper;
	step_over *over;
	struct child output; /* not a worker: it has the pipes, for the logger */
};

/* A cluster that waits for the step, and now does not any more; NULL: none left. */
static struct service *take_waiter(const struct supervisor *sup, const struct step *step)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (sup->services[i]->order.step == step) {
			sup->services[i]->order.step = NULL;
			return sup->services[i];
		}
	return NULL;
}

static void free_step(struct step *step)
{
	const struct supervisor *sup = step->output.service->sup;

	while (take_waiter(sup, step) != NULL)
		;
	capture_drop(&step->output);
	free(step);
}

static void on_over(void *owner, const struct pidfd_end *end, bool late)
{
	struct step *step = owner;
	const struct supervisor *sup = step->output.service->sup;
	step_over *over = step->over;
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
	if (step->output.output[0] != -1 && capture_ask_last(&step->output))
		serial = step->output.serial;
	step->helper = NULL; /* the helper has freed itself */
	for (; (waiter = take_waiter(sup, step)) != NULL; serial = 0)
		over(waiter, *how != '\0' ? how : NULL, serial);
	free_step(step);
}

static int start_helper(struct step *step, struct helper_plan *plan, struct error *err)
{
	struct service *service = plan->service;
	struct supervisor *sup = service->sup;
	bool attached = sup->settings->daemon && !sup->instance.ready_once;

	/* the user who waits for `-d` sees it */
	plan->output[0] = plan->output[1] = STDERR_FILENO;
	if (!attached)
		capture_open(service, &step->output, plan->output);
	step->helper = helper_start(plan, err);
	if (!attached)
		capture_close(sup, plan->output);
	if (step->helper == NULL)
		return -1;
	step->output.pid = step->helper->job.pid;
	capture_hand_over(service, &step->output);
	return 0;
}

int step_begin(struct service *service, enum step_kind kind, unsigned generation,
	const struct cluster_settings *settings, step_over *over, struct error *err)
{
	struct step *step = calloc(1, sizeof(*step));
	scoped_buffer facts = {0};
	struct helper_plan plan = {
		.service = service,
		.command = kind == STEP_STOP ? &settings->before_stop.command
					     : &settings->before.command,
		.facts = &facts,
		.patience = kind == STEP_STOP ? settings->stop_timeout : settings->start_timeout,
		.over = on_over,
		.owner = step,
	};
	int got = -1;

	if (step == NULL)
		return error_set(err, ENOMEM, "a command");
	step->over = over;
	step->output = (struct child){
		.service = service,
		.serial = ++service->sup->births.next_serial,
		.generation = generation,
		.pidfd = -1,
		.output = {-1, -1},
	};
	helper_fact(&facts, "NCLUST_EVENT", kind == STEP_STOP ? "before-stop" : "before");
	helper_facts(&facts, service);
	helper_number(&facts, "NCLUST_GENERATION", generation);
	plan.recipe = recipe_get(service, generation, settings, err);
	service->order.step = step;
	service->order.kind = kind;
	if (plan.recipe != NULL)
		got = start_helper(step, &plan, err);
	if (got == -1)
		free_step(step);
	return got;
}

void step_share(struct service *service, enum step_kind kind, const struct service *of)
{
	service->order.step = of->order.step;
	service->order.kind = kind;
}

void step_forget(struct service *service)
{
	struct step *step = service->order.step;

	service->order.step = NULL;
	if (step == NULL || step->output.service != service || step->helper == NULL)
		return;
	helper_forget(step->helper);
	free_step(step);
}

void step_on_logger_up(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		struct service *s = sup->services[i];

		if (s->order.step != NULL && s->order.step->output.service == s)
			capture_hand_over(s, &s->order.step->output);
	}
}

bool step_runs(const struct service *service, enum step_kind kind)
{
	return service->order.step != NULL && service->order.kind == kind;
}

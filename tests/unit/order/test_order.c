/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/hooks/helper.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/order/order.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>

/* What waits for what: for other clusters, and for commands, of which none is run. */
#define REST "workers = 1\nready = notify\ndrain = off\n"
#define DB "[cluster:db]\ncommand = /bin/db\n" REST
#define JOB "[cluster:job]\ncommand = /bin/job\nrestart = never\n" REST
#define WEB(more) "[cluster:web]\ncommand = /bin/web\n" REST more

ROOM_HEARS("news", "instance", "order")

REPLACED(unsigned, strays_signal)(struct supervisor *sup, int signal)
{
	(void)sup;
	(void)signal;
	return 0;
}

REPLACED(unsigned, strays_kill)(struct supervisor *sup)
{
	(void)sup;
	return 0;
}

/* ---- the commands ---- */

static struct {
	unsigned runs;
	unsigned forgotten;
	const char *command;
	nsec_t patience;
	helper_over *over;
	void *owner;
	int cannot_start;
} step;

REPLACED(struct helper *, helper_start)
(const struct helper_plan *plan, struct error *err)
{
	static struct helper helper;

	if (step.cannot_start != 0) {
		error_set(err, step.cannot_start, "cannot execute 'it'");
		return NULL;
	}
	step.runs++;
	step.command = plan->command->list[0];
	step.patience = plan->patience;
	step.over = plan->over;
	step.owner = plan->owner;
	return &helper;
}

REPLACED(void, helper_forget)(struct helper *h)
{
	(void)h;
	step.forgotten++;
}

static void step_ends(int status)
{
	const struct pidfd_end end = {.code = status};

	step.over(step.owner, &end, false);
}

/* ---- */

static struct service *web;

static void turn(void)
{
	for (int i = 0; i < 3; i++) {
		for (size_t k = 0; k < room.service_count; k++)
			room_tick(room.services[k]);
		order_look(&room);
	}
}

static void begin(const char *ini)
{
	step.runs = step.forgotten = 0;
	step.cannot_start = 0;
	room_begin(ini);
	web = room_cluster("web");
	turn();
}

static void end(void)
{
	order_on_shutdown(&room);
	room_end();
}

FIXTURE(NULL, end)

static unsigned alive(const char *name)
{
	return service_counts(room_cluster(name)).alive;
}

TEST(it_starts_when_the_other_is_ready)
{
	begin(WEB("after = db\n") DB);
	ck_assert_uint_eq(alive("web"), 0);
	ck_assert(room_logged("web: waits for db (starting)"));
	room_exits(room_child(room_cluster("db"), 0), 1);
	room_pass(SECOND);
	turn();
	ck_assert_uint_eq(alive("web"), 0);
	room_tell(room_child(room_cluster("db"), 0), EVENT_READY);
	turn();
	ck_assert_uint_eq(alive("web"), 1);
}

TEST(a_job_that_was_stopped_is_not_done)
{
	begin(WEB("after = job: done\n") JOB DB);
	service_stop(room_cluster("job"), false);
	room_exits(room_child(room_cluster("job"), 0), 0);
	turn();
	ck_assert_uint_eq(alive("web"), 0);
	ck_assert(!room.instance.stopping); /* db runs */
}

TEST(who_waits_for_what_is_lost_ends_with_the_last)
{
	begin(WEB("after = mid\n") "[cluster:mid]\ncommand = x\n" REST "after = job: done\n" JOB);
	room_exits(room_child(room_cluster("job"), 0), 7);
	turn();
	ck_assert(room.instance.stopping);
	ck_assert_int_eq(room.instance.status, 7);
	ck_assert(room_logged("cannot start: it waits for"));
}

TEST(at_once_waits_for_nobody)
{
	begin(DB WEB("after = db\nbefore-stop = bye\n"));
	room_tell(room_child(room_cluster("db"), 0), EVENT_READY);
	turn();
	lifecycle_stop(&room, false);
	ck_assert_uint_eq(step.runs, 1);
	lifecycle_stop(&room, true);
	ck_assert_uint_eq(step.forgotten, 1);
	ck_assert_int_eq(cluster_state(room_cluster("db")->core), CLUSTER_STOPPING);
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_STOPPING);
}

TEST(a_command_comes_first_and_once)
{
	begin(WEB("before = migrate\nstart-timeout = 7s\n"));
	ck_assert_uint_eq(step.runs, 1);
	ck_assert_str_eq(step.command, "migrate");
	ck_assert_int_eq(step.patience, 7 * SECOND);
	turn();
	ck_assert_uint_eq(step.runs, 1);
	ck_assert_uint_eq(alive("web"), 0);
	step_ends(0);
	turn();
	ck_assert_uint_eq(alive("web"), 1);
	room_exits(room_child(web, 0), 1);
	room_pass(SECOND);
	turn();
	ck_assert_uint_eq(step.runs, 1);
}

TEST(a_command_that_fails_or_cannot_start_fails_the_cluster)
{
	begin(WEB("before = migrate\n") DB);
	step_ends(3);
	turn();
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_FAILED);
	ck_assert(room_logged("'before' ('migrate') failed: exit 3"));
	ck_assert(web->stage.ended);
	end();

	step.cannot_start = ENOENT;
	room_begin(WEB("before = migrate\n") DB);
	web = room_cluster("web");
	turn();
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_FAILED);
}

TEST(a_rollout_waits_for_its_command_too)
{
	const struct event roll = {.slot = SLOT_ALL};
	struct rollout_view view;
	struct error err;

	begin(WEB("before = migrate\n"));
	step_ends(0);
	turn();
	room_tell(room_child(web, 0), EVENT_READY);
	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	turn();
	ck_assert_uint_eq(step.runs, 2);
	ck_assert_uint_eq(alive("web"), 1);
	step_ends(1);
	view = cluster_view_rollout(web->core);
	ck_assert(!view.under_way);
	ck_assert(room_logged("restart failed: 'before' ('migrate') failed: "
			      "exit 1; the old workers keep serving"));

	/* and is killed when the cluster stops */
	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	turn();
	service_stop(web, false);
	turn();
	ck_assert_uint_eq(step.forgotten, 1);
	ck_assert_uint_eq(step.runs, 3);
}

TEST(a_command_is_waited_for_before_the_stop)
{
	begin(WEB("before-stop = bye\nstop-timeout = 9s\n") DB);
	room_tell(room_child(web, 0), EVENT_READY);
	service_stop(web, false);
	ck_assert_str_eq(step.command, "bye");
	ck_assert_int_eq(step.patience, 9 * SECOND);
	turn();
	service_stop(web, false); /* asked again, it waits on */
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_RUNNING);
	step_ends(4);
	ck_assert(room_logged("'before-stop' ('bye') failed: exit 4"));
	ck_assert_int_eq(cluster_state(web->core), CLUSTER_STOPPING);
	ck_assert_uint_eq(step.runs, 1);
}

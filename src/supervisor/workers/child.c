/* SPDX-License-Identifier: MIT */
#include "supervisor/workers/child.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "config/procfile.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/process.h"
#include "os/socket/socket_unix.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/common/trouble.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/workers/alone.h"
#include "supervisor/workers/budget.h"
#include "supervisor/workers/capture.h"
#include "supervisor/workers/environment.h"
#include "supervisor/workers/leftovers.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

/* How long nclust waits for execve(2) if the cluster's last spawn took too long. */
#define SPAWN_PATIENCE_AGAIN (200 * MSEC)

#define SPARE_DESCRIPTORS 6
#define FIRST_FREE 3

/* ---- birth ---- */

static struct child **place_in_slot(struct service *service, uint32_t slot)
{
	if (slot >= service->child_slots)
		return NULL;
	return array_find(place, service->children[slot], 2, *place == NULL);
}

void child_hear_exit(struct child *child)
{
	/* A tracer has to see the end first; SIGCHLD comes when it has (ptrace(2)). */
	if (!child_main_exited(child) && pidfd_has_ended(child->pidfd))
		childset_remove(child, child->pidfd);
}

/* If this fails, SIGCHLD reports the end, unless the worker is adopted. */
static void watch_exit(struct child *child)
{
	if (childset_add(child, CHILD_EXIT, child->pidfd) == -1)
		log_worker(child, LOG_ERROR, "cannot watch worker %d: %s", (int)child->pid,
			strerror(errno));
}

struct child *child_new(struct service *service)
{
	struct child *c = malloc(sizeof(*c));

	if (c == NULL)
		return NULL;
	*c = (struct child){
		.service = service,
		.pidfd = -1,
		.output = {-1, -1},
		.life.notify = -1,
		.trap = {.fd = -1, .moment = -1},
		.leading.fd = -1,
	};
	return c;
}

static bool is_in_foreground(void)
{
	return tcgetpgrp(STDIN_FILENO) == getpgrp();
}

/* Release all that the worker has, and the struct. */
static void child_release(struct child *c)
{
	const struct launch *launch = &c->service->sup->launch;

	if (c->pidfd != -1)
		childset_remove(c, c->pidfd);
	moment_gone(c);
	/* A worker that was killed may have left the terminal without echo, or without Ctrl-C. */
	if (launch->lends_terminal && is_in_foreground())
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &launch->terminal);
	readiness_close(c);
	fd_close(&c->pidfd);
	capture_drop(c);
	leftovers_free(c);
	paths_drop(c);
	free(c->life.status);
	free(c->life.cause);
	free(c->life.last_look);
	free(c);
}

/* Set the core's answer: no worker was started.  `step` is the step of spawn() that failed; -1: the
 * recipe could not be made.  The core only takes numbers, so `text` (or NULL) explains them. */
static void set_failed(
	struct service *service, struct event *answer, int error, int step, const char *text)
{
	answer->kind = EVENT_SPAWN_FAILED;
	answer->ending = (struct ending){
		.kind = ENDING_SPAWN,
		.code = error,
		.step = step,
	};
	if (text != NULL)
		news_expect(service->sup, text, 0);
}

static void fail_spawn(struct service *service, struct event *answer, const struct recipe *r,
	const struct spawn_failure *failure)
{
	struct error err;
	bool permanent = spawn_exit_status(failure) != 0;

	set_failed(service, answer, failure->error, (int)failure->step, NULL);
	answer->ending.exit_status = spawn_exit_status(failure);
	answer->ending.permanent = permanent;
	spawn_explain(failure, r->settings->command.list[0], &err);
	news_expect(service->sup, err.text, 0);
}

/* Workers must not take the last descriptors, because nclust needs some for clients and files.
 * `fd` is new, so all lower numbers are in use. */
static int check_spare(const struct supervisor *sup, int fd, struct error *err)
{
	if ((rlim_t)fd + SPARE_DESCRIPTORS < sup->launch.descriptors)
		return 0;
	return error_set(err, EMFILE, "another worker");
}

/* Open the descriptors for the worker: its notify socket, and what each room gives it. */
static int open_for_worker(struct child *c, struct birth *birth, struct error *err)
{
	const struct supervisor *sup = c->service->sup;
	static const char *const lacks[] = {
		"some are not started, and the others' output is not captured",
		"they have no NOTIFY_SOCKET, and their output is not captured",
		"their output is not captured",
	};
	unsigned wanted = cluster_wanted(c->service->core);
	enum budget_files last = budget_files(c->service, wanted - (wanted > 0));
	enum budget_files may = budget_files(c->service, c->slot);

	if (last != BUDGET_ALL && once_say(c->service->said, ONCE_TOO_FEW_FILES))
		news_say_of(c->service, LOG_WARN, "too-few-files",
			"%u workers need more than %llu open files, nclust's limit: %s "
			"(raise RLIMIT_NOFILE, LimitNOFILE of a unit)",
			wanted, (unsigned long long)sup->launch.descriptors, lacks[last]);
	if (may == BUDGET_NONE)
		return error_set(err, EMFILE, "so many workers");
	if (c->service->accepting == NULL && may != BUDGET_LEAST) {
		if (readiness_open(c, birth->place.recipe->settings, err) == -1)
			return -1;
		birth->place.notify = c->life.notify;
		birth->place.ready_number = cluster_settings(c->service->core)->ready_fd;
		if (birth->place.ready_number != 0 &&
			(birth->place.ready = socket_connect_self(c->life.notify, err)) == -1)
			return -1;
	}
	if (moment_prepare(c, birth, err) == -1 || check_spare(sup, c->life.notify, err) == -1 ||
		check_spare(sup, birth->place.channel, err) == -1 ||
		check_spare(sup, birth->place.leader, err) == -1)
		return -1;
	return check_spare(sup, birth->place.connection, err);
}

static bool is_of_procfile(const struct supervisor *sup)
{
	return sup->settings->config_file != NULL && procfile_is(sup->settings->config_file);
}

bool children_read_null(const struct supervisor *sup)
{
	return !sup->launch.lends_terminal && !is_of_procfile(sup);
}

/* What the worker reads; -1: /dev/null.  The only worker of an nclust in the foreground of a terminal
 * reads that: a debugger, a console.  A line of a Procfile may end with its input, which never ends. */
static int open_input(struct supervisor *sup, const struct child *c)
{
	const struct cluster_settings *s = cluster_settings(c->service->core);
	int ends[2];
	int both;

	if (sup->service_count == 1 && cluster_wanted(c->service->core) == 1 &&
		!sup->settings->daemon && (s->uid < 0 || (uid_t)s->uid == geteuid()) &&
		is_in_foreground()) {
		if (!sup->launch.lends_terminal)
			sup->launch.lends_terminal =
				tcgetattr(STDIN_FILENO, &sup->launch.terminal) == 0;
		return fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, FIRST_FREE);
	}
	if (!is_of_procfile(sup) || pipe2(ends, O_CLOEXEC) == -1)
		return -1;
	both = descriptors_again(ends[0], O_RDWR); /* the worker itself keeps it open */
	(void)close(ends[0]);
	(void)close(ends[1]);
	return both;
}

/* Put the child into its slot and into the table of pids. */
static void put_in_slot(struct child *c, struct child **at)
{
	*at = c;
	pids_add(c->service->sup, c);
}

/* A worker that is being started. */
struct making {
	struct birth birth;
	struct child *child; /* NULL: it is not started, `answer` says why */
	cpu_set_t *affinity;
	struct event *answer;
};

static void close_birth(struct birth *birth)
{
	fd_close(&birth->place.channel);
	fd_close(&birth->place.ready);
	fd_close(&birth->place.input);
	if (birth->plan.enters_cgroup)
		fd_close(&birth->plan.cgroup);
}

/* Fill in the spawn plan.  -1: `answer` says why the worker cannot be started. */
static int fill_plan(struct child *c, struct making *m)
{
	struct service *service = c->service;
	struct supervisor *sup = service->sup;
	struct birth *birth = &m->birth;
	struct error err;

	if (open_for_worker(c, birth, &err) == -1) {
		if (err.sys == EMFILE)
			error_hint(&err, "raise RLIMIT_NOFILE, it is %llu",
				(unsigned long long)sup->launch.descriptors);
		set_failed(service, m->answer, err.sys, SPAWN_CLONE, err.text);
		return -1;
	}
	birth->place.input = open_input(sup, c);
	capture_open(service, c, birth->place.output);
	if (environment_fill(sup, &birth->place, &birth->plan) == -1) {
		set_failed(service, m->answer, ENOMEM, SPAWN_CLONE, NULL);
		capture_close(sup, birth->place.output);
		return -1;
	}
	m->affinity = budget_cpus(&birth->place, &birth->plan.affinity_size);
	birth->plan.affinity = m->affinity;
	if (service->life.spawn_hung)
		birth->plan.patience = SPAWN_PATIENCE_AGAIN;
	return 0;
}

/* Prepare the start of a worker of this generation in the slot of m->birth.place; `worker` is its
 * id in the core, 0: its serial. */
static void prepare_spawn(struct service *service, struct making *m, uint64_t worker,
	unsigned generation, const struct cluster_settings *settings)
{
	struct supervisor *sup = service->sup;
	struct worker_place *place = &m->birth.place;
	struct scratch *scratch = &sup->births.scratch[place->nth];
	struct child *c = place_in_slot(service, place->slot) != NULL ? child_new(service) : NULL;
	struct error err;

	m->child = NULL;
	m->affinity = NULL;
	place->serial = ++sup->births.next_serial;
	if (c == NULL) {
		set_failed(service, m->answer, ENOMEM, SPAWN_CLONE, NULL);
		return;
	}
	c->worker = worker != 0 ? worker : place->serial;
	c->serial = place->serial;
	c->generation = generation;
	c->slot = place->slot;
	place->recipe = recipe_get(service, generation, settings, &err);
	if (place->recipe == NULL) {
		set_failed(service, m->answer, err.sys, -1, err.text);
		child_release(c);
		return;
	}
	recipe_plan(sup, &m->birth.plan, place->recipe);
	m->birth.plan.channel = scratch->channel;
	m->birth.plan.entered = scratch->entered;
	*scratch->entered = '\0';
	if (fill_plan(c, m) == -1) {
		close_birth(&m->birth);
		child_release(c);
		return;
	}
	m->child = c;
}

/* The directory of the settings may be a symbolic link that leads elsewhere now: to a new release,
 * or that of this generation was removed. */
static void note_directory(struct service *service, unsigned generation, const char *entered)
{
	struct recipe *r = recipe_of(service, generation);
	const struct recipe *of =
		r->entered != NULL ? r : recipe_of(service, cluster_generation(service->core));

	if (*entered != '/' || (r->entered != NULL && strcmp(r->entered, entered) == 0))
		return;
	if (of != NULL && of->entered != NULL && strcmp(of->entered, entered) != 0)
		news_say_of(service, LOG_NOTE, "directory-moved",
			"workers start in '%s' now, no longer in '%s'", entered, of->entered);
	free(r->entered);
	r->entered = strdup(entered);
}

/* The spawn has succeeded or failed: complete the child, or release it. */
static struct child *complete_child(
	struct service *service, struct making *m, const struct spawning *it)
{
	struct child *c = m->child;

	service->life.spawn_works = it->pidfd != -1;
	service->life.spawn_hung = it->pidfd == -1 && it->failure.error == ETIMEDOUT;
	if (m->affinity != NULL)
		CPU_FREE(m->affinity);
	capture_close(service->sup, m->birth.place.output);
	close_birth(&m->birth);
	if (it->pidfd == -1) {
		fail_spawn(service, m->answer, m->birth.place.recipe, &it->failure);
		child_release(c);
		return NULL;
	}
	c->pid = it->pid;
	c->pidfd = it->pidfd;
	note_directory(service, m->birth.place.recipe->generation, m->birth.plan.entered);
	put_in_slot(c, place_in_slot(service, c->slot));
	watch_exit(c);
	capture_hand_over(service, c);
	moment_born(c, &m->birth);
	return c;
}

static void spawn_prepared(struct service *service, struct making *list, unsigned count)
{
	struct spawning spawnings[SPAWN_MANY] uninitialized;
	unsigned n = 0;

	for (unsigned i = 0; i < count; i++)
		if (list[i].child != NULL)
			spawnings[n++] = (struct spawning){.plan = &list[i].birth.plan};
	spawn_many(spawnings, n);
	n = 0;
	for (unsigned i = 0; i < count; i++)
		if (list[i].child != NULL)
			list[i].child = complete_child(service, &list[i], &spawnings[n++]);
}

struct child *child_serve(
	struct service *service, const struct worker_place *place, struct ending *why)
{
	const struct cluster_settings *settings = cluster_settings(service->core);
	struct event answer = {.slot = place->slot};
	struct making m = {.birth = {.place = *place}, .answer = &answer};

	prepare_spawn(service, &m, 0, cluster_generation(service->core), settings);
	spawn_prepared(service, &m, 1);
	*why = answer.ending;
	return m.child;
}

void children_spawn(struct service *service, const struct action *const *actions,
	struct event *answers, unsigned count)
{
	struct making list[SPAWN_MANY] uninitialized;

	if (count > 0)
		renew_look(service);
	for (unsigned i = 0; i < count; i++) {
		const struct action *a = actions[i];

		list[i].birth.place = (struct worker_place){
			.nth = i,
			.slot = a->slot,
			.workers = cluster_wanted(service->core),
			.input = -1,
			.output = {-1, -1},
			.notify = -1,
			.ready = -1,
			.channel = -1,
			.leader = -1,
		};
		list[i].answer = &answers[i];
		answers[i] = (struct event){.slot = a->slot, .worker = a->worker};
		prepare_spawn(service, &list[i], a->worker, a->generation, a->settings);
	}
	spawn_prepared(service, list, count);
	for (unsigned i = 0; i < count; i++) {
		if (list[i].child == NULL)
			continue;
		answers[i].kind = EVENT_SPAWNED;
		answers[i].pid = list[i].child->pid;
		answers[i].opens = list[i].child->listening.awaited;
	}
}

const struct cluster_settings *child_settings(const struct child *child)
{
	return cluster_generation_settings(child->service->core, child->generation);
}

/* ---- carried ---- */

int child_settle(struct child *child)
{
	struct service *service = child->service;
	struct child **at = place_in_slot(service, child->slot);

	if (at == NULL || child_by_pid(service->sup, child->pid) != NULL)
		return -1;
	put_in_slot(child, at);
	return 0;
}

void child_resume(struct child *child)
{
	watch_exit(child);
	readiness_resume(child);
	paths_resume(child);
}

/* ---- adopted ---- */

struct child *child_adopt(
	struct service *service, uint32_t slot, uint64_t worker, pid_t pid, int pidfd)
{
	struct child **at = place_in_slot(service, slot);
	struct child *c = at != NULL ? child_new(service) : NULL;

	if (c == NULL)
		return NULL;
	c->worker = worker;
	c->slot = slot;
	c->pid = pid;
	c->pidfd = pidfd;
	c->saved.adopted = true;
	put_in_slot(c, at);
	watch_exit(c);
	return c;
}

/* ---- signals ---- */

void child_signal(struct child *child, int signal)
{
	if (signal == SIGKILL)
		child->life.killed_by_us = true;
	/* ESRCH: the worker has ended, and its pidfd will report that */
	if (pidfd_signal(child->pidfd, signal) == -1 && errno != ESRCH)
		log_worker(child, LOG_ERROR, "cannot signal worker %d: %s", (int)child->pid,
			strerror(errno));
}

void child_drain(struct child *child, nsec_t span)
{
	moment_stop(child, 0, span);
}

void child_stop(struct child *child, int signal)
{
	if (child->left != NULL) {
		leftovers_signal(child, signal);
		return;
	}
	leftovers_on_signal(child, signal);
	moment_stop(child, signal, 0);
}

/* The worker's process group; 0: unknown.  A child keeps its pid until it is reaped.  The pid of an
 * adopted worker may be another process by now; if no process has the pid, it still names what is
 * left of the group. */
static pid_t group_of(const struct child *child)
{
	struct process_facts facts;

	if (!child->saved.adopted)
		return child->left == NULL ? child->pid : 0; /* 0: its main process was reaped */
	if (process_look(child->pid, &facts) == -1)
		return errno == ENOENT || errno == ESRCH ? child->pid : 0;
	return facts.start == child->saved.start ? child->pid : 0;
}

int child_signal_group(const struct child *child, int signal)
{
	if (pidfd_signal_group(child->pidfd, group_of(child), signal) == 0)
		return 0;
	return pidfd_signal(child->pidfd, signal);
}

void child_kill_group(struct child *child, int signal)
{
	if (signal == SIGKILL)
		child->life.killed_by_us = true;
	if (signal == SIGKILL && child->left != NULL)
		leftovers_signal(child, signal);
	else if (signal == SIGKILL)
		leftovers_kill_below(child, child->pid, child->pidfd);
	if (child_signal_group(child, signal) == -1 && errno != ESRCH)
		log_worker(child, LOG_ERROR, "cannot signal group %d: %s", (int)child->pid,
			strerror(errno));
}

/* ---- death ---- */

static void describe_end(struct child *c, const struct pidfd_end *end, struct ending *ending)
{
	*ending = (struct ending){
		.kind = end->signalled ? ENDING_SIGNAL : ENDING_EXIT,
		.code = end->code,
		.core_dumped = end->core_dumped,
	};
	if (!end->signalled || end->code != SIGKILL || c->life.killed_by_us)
		return;
	ending->out_of_memory = strays_saw_oom_kill(c->service->sup);
	if (c->life.oom != OOM_UNKNOWN)
		ending->out_of_memory = c->life.oom == OOM_KILLED;
}

/* Release the child, and tell the core that the worker has ended. */
static void report_exit(struct child *child, const struct ending *ending)
{
	struct service *service = child->service;
	struct event event = {
		.kind = EVENT_EXITED,
		.slot = child->slot,
		.worker = child->worker,
		.ending = *ending,
	};

	event.ending.done = ending->kind == ENDING_EXIT && service->sockets.listeners.count == 0 &&
		!alone_has_port(service);
	if (service->accepting == NULL)
		news_expect(service->sup, child->life.cause,
			child->output[0] != -1 && capture_ask_last(child) ? child->serial : 0);
	if (child->left == NULL)
		pids_remove(service->sup, child);
	for (int i = 0; i < 2; i++)
		if (service->children[child->slot][i] == child)
			service->children[child->slot][i] = NULL;
	child_release(child); /* before the core is told, which may spawn a successor */
	service_tell(service, &event);
}

void child_all_exited(struct child *child)
{
	const struct ending ending = child->left->ending;

	if (child->saved.adopted)
		(void)child_signal_group(child, SIGKILL);
	report_exit(child, &ending);
}

bool child_has_left_trap(const struct child *child)
{
	struct pollfd trap = {.fd = child->trap.fd};

	return poll(&trap, 1, 0) == 1 && (trap.revents & POLLHUP) != 0;
}

bool child_is_stopping(const struct child *child)
{
	enum slot_state state = child_view(child).state;

	return state == SLOT_DRAINING || state == SLOT_STOPPING;
}

/* Warn if a worker got SIGTERM from another process: systemd signals all processes of a unit,
 * unless KillMode= says otherwise. */
static void warn_stopped_by_others(const struct child *child, const struct pidfd_end *end)
{
	struct supervisor *sup = child->service->sup;
	sigset_t pending;

	if (!end->signalled || end->code != SIGTERM ||
		(child->life.stopped_by != 0 && !child->life.ended_before) ||
		(!sup->instance.stopping &&
			(sigpending(&pending) == -1 || sigismember(&pending, SIGTERM) != 1)) ||
		!once_say(sup->said, ONCE_STOPPED_BY_OTHERS))
		return;
	log_worker(child, LOG_WARN,
		"worker %d got SIGTERM from somebody else than "
		"nclust, and what it had in hand is lost; in a systemd unit "
		"'KillMode=mixed' avoids that",
		(int)child->pid);
}

bool child_main_exited(struct child *child)
{
	struct service *service = child->service;
	struct ending ending;
	struct pidfd_end end = {0};
	int ended;

	if (child->left != NULL)
		return false;
	ended = child->saved.adopted
		? pidfd_look(child->pidfd, child->pid, child->saved.start, &end)
		: pidfd_peek(child->pidfd, &end);
	if (ended == 0)
		return false;
	if (ended == -1 && !child->saved.adopted) {
		log_worker(child, LOG_ERROR, "cannot wait for worker %d: %s", (int)child->pid,
			strerror(errno));
		end = (struct pidfd_end){.signalled = true, .code = SIGKILL};
	}
	warn_stopped_by_others(child, &end);
	child->life.sigkilled =
		ended == -1 || end.code == (end.signalled ? SIGKILL : 128 + SIGKILL);
	/* a worker that was ready, and ran on, does not end because of that */
	if (child_view(child).ready_at != NSEC_NEVER &&
		clock_now() - child->life.cause_at > 2 * SECOND)
		trouble_forget_cause(child);
	leftovers_on_end(child, &end);
	readiness_drain(child); /* messages that it sent before its end count */
	moment_dying(child);
	describe_end(child, &end, &ending);
	if (ended == -1 && child->saved.adopted)
		ending = (struct ending){.kind = ENDING_UNKNOWN};
	if (service->accepting != NULL)
		(void)child_signal_group(child, SIGKILL);
	/* older kernels release the seccomp filter only when the process is reaped */
	(void)pidfd_reap(child->pidfd, &end);
	if (service->accepting == NULL && leftovers_begin(child, &ending))
		return false;
	report_exit(child, &ending);
	return true;
}

void workers_on_renew(struct supervisor *sup)
{
	struct child *child;

	for_each_child (child, children_of_all(sup))
		readiness_renew(child);
}

void workers_on_go_on(struct supervisor *sup)
{
	logger_resume(sup);
	strays_resume(sup);
}

void workers_on_shutdown(struct supervisor *sup)
{
	logger_fini(sup);
	async_close_fini(sup);
	strays_fini(sup);
}

void child_on_renewed(struct ev_loop *loop UNUSED, ev_timer *timer, int revents UNUSED)
{
	struct child *child;

	for_each_child (child, children_of_all(timer->data))
		if (child->service->accepting == NULL && renew_has_former(child))
			child_tell(child, EVENT_OUTGROWN, WHY_SOCKET);
}

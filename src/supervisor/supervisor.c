/* SPDX-License-Identifier: MIT */
#include "supervisor/supervisor.h"

#include "base/log.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/value.h"
#include "os/affinity.h"
#include "os/clock.h"
#include "os/needs.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/trycall.h"
#include "supervisor/accept/accepting.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/guard.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/common/timer.h"
#include "supervisor/common/trouble.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/instance/lifecycle.h"
#include "supervisor/instance/manager.h"
#include "supervisor/instance/reread.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/intercept/spare_gate.h"
#include "supervisor/messages/broker.h"
#include "supervisor/order/order.h"
#include "supervisor/orphans/adopt.h"
#include "supervisor/orphans/write_state.h"
#include "supervisor/scaling/scaling.h"
#include "supervisor/signals.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/learned.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"
#include "supervisor/upgrade/reexec.h"
#include "supervisor/watch/watch.h"
#include "supervisor/web/webrole.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/logger_life.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/readiness.h"
#include "supervisor/workers/recipe.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* If nclust wakes so late, nclust itself or the machine was stopped. */
#define LATE (1 * SECOND)
/* The OOM killer should prefer a worker to nclust (oom_score_adj is -1000..1000): nclust lowers its
 * own value by HEAD_START or, if it may not, raises the workers' by HANDICAP, which is less because
 * other programs have no handicap. */
#define OOM_HEAD_START 250
#define OOM_HANDICAP 100
#define OOM_LEAST (-999) /* -1000 would exempt nclust from the OOM killer */
#define OOM_MOST 1000

/* ---- the loop ---- */

/* If nclust or the whole machine was stopped, prolong all timeouts.  The stop began at some time
 * after the loop went to sleep, so all the time since then is added. */
static void grant_lateness(struct supervisor *sup, nsec_t now)
{
	struct event event = {
		.kind = EVENT_LATE,
		.span = now - sup->turn.armed_at,
	};

	if (sup->turn.armed_for == NSEC_NEVER || now < sup->turn.armed_for + LATE)
		return;
	for (size_t i = 0; i < sup->service_count; i++)
		if (!sup->services[i]->stage.waits)
			service_tell(sup->services[i], &event);
}

/* Let each cluster do what is due, beginning after the last cluster of the turn before. */
static void tick_services(struct supervisor *sup)
{
	struct turn *turn = &sup->turn;
	nsec_t now = clock_now();
	nsec_t until = (turn->woke != 0 ? turn->woke : now) + TURN_SPAN;
	bool late = false;

	for (size_t i = 0; i < sup->service_count && !late; i++) {
		struct service *s = sup->services[turn->ticked++ % sup->service_count];

		if (service_deadline(s) > now)
			continue;
		service_tick(s);
		late = clock_now() > until;
	}
}

static void arm_deadline(struct supervisor *sup)
{
	nsec_t now = clock_now();
	nsec_t first = sup->daemon.release_at > now ? sup->daemon.release_at : NSEC_NEVER;

	if (sup->upgrade.reexec != NULL) /* it does not wait for ever */
		first = nsec_min(first, now + SECOND);
	for (size_t i = 0; i < sup->service_count; i++)
		first = nsec_min(first, service_deadline(sup->services[i]));
	ev_timer_stop(sup->loop, &sup->turn.deadline);
	if (first == NSEC_NEVER)
		return;
	sup->turn.armed_at = now;
	sup->turn.armed_for = first > now ? first : now;
	timer_arm(sup->loop, &sup->turn.deadline, first - now);
}

/* Called first after the loop's wait. */
static void on_wake(struct ev_loop *loop UNUSED, ev_check *watcher, int revents UNUSED)
{
	struct supervisor *sup = watcher->data;

	sup->turn.woke = clock_now();
	grant_lateness(sup, sup->turn.woke);
	sup->turn.armed_for = NSEC_NEVER;
}

static void count_turn(struct turn *turn)
{
	nsec_t took = turn->woke != 0 ? clock_now() - turn->woke : 0;

	turn->woke = 0;
	turn->turns++;
	turn->busy += took;
	if (turn->longest < took)
		turn->longest = took;
}

/* Called once a turn, before the loop waits: does all that is due. */
static void on_prepare(struct ev_loop *loop UNUSED, ev_prepare *watcher, int revents UNUSED)
{
	struct supervisor *sup = watcher->data;

	orphans_write_changes(sup);
	tick_services(sup);
	order_look(sup);
	clients_look(sup);
	lifecycle_look(sup);
	if (!sup->instance.over) {
		if (sup->upgrade.reexec != NULL)
			reexec_look(sup);
		arm_deadline(sup);
	}
	count_turn(&sup->turn);
}

/* If epoll_ctl(2) fails just before the loop waits, libev has a pending event for that descriptor,
 * but waits all the same.  A signal to nclust itself ends that wait. */
static void before_wait(struct ev_loop *loop)
{
	if (ev_pending_count(loop) > 0)
		(void)raise(SIGCHLD);
}

/* The timer only wakes the loop; on_prepare() does what is due. */
static void on_deadline(struct ev_loop *loop UNUSED, ev_timer *timer UNUSED, int revents UNUSED)
{
}

static void on_far_away(
	struct ev_loop *loop UNUSED, ev_periodic *watcher UNUSED, int revents UNUSED)
{
}

int supervisor_loop_init(struct supervisor *sup, struct error *err)
{
	const int type = SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK;

	for (size_t i = 0; i < SPAWN_MANY; i++)
		if (socketpair(AF_UNIX, type, 0, sup->births.scratch[i].channel) == -1)
			return error_set(err, errno, "cannot make a pair of sockets");
	sup->loop = ev_loop_new(EVFLAG_NOENV | EVFLAG_NOSIGMASK);
	if (sup->loop == NULL)
		return error_set(err, errno, "cannot make an event loop");
	ev_set_loop_release_cb(sup->loop, before_wait, NULL);
	ev_prepare_init(&sup->turn.prepare, on_prepare);
	sup->turn.prepare.data = sup;
	ev_prepare_start(sup->loop, &sup->turn.prepare);
	ev_check_init(&sup->turn.wake, on_wake);
	sup->turn.wake.data = sup;
	ev_set_priority(&sup->turn.wake, EV_MAXPRI);
	ev_check_start(sup->loop, &sup->turn.wake);
	ev_init(&sup->turn.deadline, on_deadline);
	/* with a periodic watcher libev watches the clock by timerfd, and does not wake up each
	 * minute to look at it */
	ev_periodic_init(&sup->turn.far_away, on_far_away, 0., 1e9, NULL);
	ev_periodic_start(sup->loop, &sup->turn.far_away);
	return childset_open(sup, err);
}

/* ---- nclust's own process ---- */

/* Raise the limit of descriptors, the first limit that many workers reach. */
static void raise_nofile(struct supervisor *sup)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &sup->births.nofile) == -1)
		sup->births.nofile = (struct rlimit){1024, 1024};
	limit = sup->births.nofile;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) == -1) {
		log_debug("descriptor limit stays at %lu",
			(unsigned long)sup->births.nofile.rlim_cur);
		limit = sup->births.nofile;
	}
	sup->launch.descriptors = limit.rlim_cur;
}

static bool write_oom_score(const char *path, int score)
{
	scoped_fd fd = open(path, O_WRONLY | O_CLOEXEC);

	return fd != -1 && dprintf(fd, "%d", score) > 0;
}

/* If nclust may lower its own value (CAP_SYS_RESOURCE, or it was raised before), workers get the
 * old value; otherwise, as in most containers, they get a higher one.  With equal values the OOM
 * killer would take the biggest process, which may be nclust. */
static void set_oom_scores(struct supervisor *sup)
{
	static const char path[] = "/proc/self/oom_score_adj";
	char text[16];
	int ours;
	int lower;
	int theirs;

	if (process_read_path(path, text, sizeof(text)) <= 0)
		return;
	ours = (int)strtol(text, NULL, 10);
	lower = ours - OOM_HEAD_START;
	if (lower < OOM_LEAST)
		lower = OOM_LEAST;
	theirs = ours;
	if (lower >= ours || !write_oom_score(path, lower)) {
		if (!write_oom_score(path, ours)) /* /proc is read-only: all keep the value */
			return;
		theirs += OOM_HANDICAP;
	}
	snprintf(sup->births.oom_score_adj, sizeof(sup->births.oom_score_adj), "%d",
		theirs < OOM_MOST ? theirs : OOM_MOST);
}

/* A stuck terminal or a full pipe must not block nclust: stderr is opened anew, nonblocking, and a
 * line that cannot be written at once is dropped. */
static void unblock_log(struct supervisor *sup)
{
	struct stat st;
	int fd = -1;

	/* O_APPEND: after truncate(2) of a log nclust's next line leaves no hole */
	for (int out = STDOUT_FILENO; out <= STDERR_FILENO; out++)
		if (fstat(out, &st) == 0 && S_ISREG(st.st_mode))
			(void)fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_APPEND);
	/* a file does not block, and its offset must stay shared; a socket cannot be opened */
	if (fstat(STDERR_FILENO, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISCHR(st.st_mode)))
		fd = open("/proc/self/fd/2", O_WRONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	sup->daemon.log_fd = fd;
	log_to(fd != -1 ? fd : STDERR_FILENO, "nclust: ", (enum log_level)sup->settings->log_level);
}

static int open_basics(struct supervisor *sup, struct error *err)
{
	sup->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	sup->control.reserve_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	if (sup->null_fd == -1 || sup->control.reserve_fd == -1)
		return error_set(err, errno, "cannot open /dev/null");
	/* the running binary, even after another file has taken its path */
	sup->launch.self_exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (sup->launch.self_exe == -1)
		return error_set(err, errno, "cannot open /proc/self/exe");
	reexec_find_path(sup);
	return 0;
}

/* ---- starting ---- */

static int start_services(struct supervisor *sup, struct error *err)
{
	struct settings *settings = sup->settings;

	for (size_t i = 0; i < settings->cluster_count; i++) {
		struct cluster_settings *c = settings->clusters[i];
		struct listener_set set;
		struct segment *segment;

		adopt_command(sup, c);
		if (recipe_check(sup, c, true, err) == -1)
			return err->status != 0 ? -1 : error_status(err, EX_CONFIG);
		if (listeners_open(sup, &set, c, service_wanted(sup, c), NULL, err) == -1)
			return error_wrap(err, "cluster '%s'", c->name);
		if (segment_open(sup, &segment, c, NULL, err) == -1) {
			listeners_release(&set);
			return error_wrap(err, "cluster '%s'", c->name);
		}
		if (service_new(sup, c, &set, segment) == NULL) {
			listeners_release(&set);
			segment_release(segment);
			return error_set(err, ENOMEM, "cluster '%s'", c->name);
		}
		if (adopt_cluster(sup->services[sup->service_count - 1], err) == -1)
			return error_wrap(err, "cluster '%s'", c->name);
	}
	return 0;
}

static void log_addresses(const struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct service *s = sup->services[i];

		for (size_t k = 0; k < s->sockets.listeners.count; k++)
			log_note("%s: listening on %s", s->name,
				listener_text(s->sockets.listeners.list[k]));
	}
}

/* Docker's default; Kubernetes grants 30 s, with the drain. */
#define CONTAINER_GRACE (10 * SECOND)

/* The time from the first stop signal to SIGKILL. */
static nsec_t stop_time(const struct cluster_settings *s)
{
	nsec_t sum = 0;

	for (unsigned i = 0; i < s->stop_count; i++)
		sum += s->stop[i].timeout;
	return sum;
}

/* Warn if a container's grace period may be too short: its runtime kills PID 1, and with it all
 * workers, without waiting for their stop. */
static void warn_short_grace(const struct supervisor *sup)
{
	const struct settings *settings = sup->settings;
	const struct cluster_settings *slowest = NULL;
	long long needed;
	char span[24];

	if (getpid() != 1)
		return;
	for (size_t i = 0; i < settings->cluster_count; i++)
		if (slowest == NULL || stop_time(settings->clusters[i]) > stop_time(slowest))
			slowest = settings->clusters[i];
	if (slowest == NULL || stop_time(slowest) <= CONTAINER_GRACE)
		return;
	needed = (stop_time(slowest) + slowest->drain_timeout) / SECOND + 5;
	log_note("%s: 'stop-timeout' is %s, but container runtimes kill PID 1 "
		 "after 10s: grant more ('docker stop -t %lld', "
		 "'terminationGracePeriodSeconds: %lld'), or set a shorter "
		 "'stop-timeout'",
		slowest->name, text_duration(span, stop_time(slowest)), needed, needed);
}

/* Words that come without a shell, as from CMD of a Dockerfile or ExecStart of a unit. */
static void warn_meant_for_shell(const struct settings *s)
{
	const char *word =
		s->config_file == NULL ? value_meant_for_shell(&s->clusters[0]->command) : NULL;

	if (word != NULL)
		log_warn("no shell runs the command, so that '%s' is an argument; one for a shell "
			 "is written: -- sh -c 'COMMAND'",
			word);
}

/* Open the runtime directory.  nclust runs without it, on a read-only root for example, because the
 * service matters more. */
static int open_rundir(struct supervisor *sup, struct error *err)
{
	int got = rundir_open(
		&sup->rundir, sup->settings->runtime_directory, sup->settings->name, err);

	sup->has_rundir = got == 0;
	/* adopt_begin() sets it again */
	sup->orphans.has_past = got == 0 && rundir_has_state(&sup->rundir);
	if (got != 1)
		return got;
	log_warn("there is no control socket, so that 'nclust status' and the "
		 "other verbs do not find this instance: %s",
		err->text);
	return 0;
}

static void log_deadly_calls(void)
{
	char names[128];

	if (*trycall_deadly(names, sizeof(names)) != '\0')
		log_note("the filter of system calls here kills a process that "
			 "calls %s: nclust does without; in a systemd unit "
			 "'SystemCallFilter=%s' allows them",
			names, names);
}

static int start_instance(struct supervisor *sup, struct error *err)
{
	struct settings *settings = sup->settings;

	if (open_basics(sup, err) == -1 || supervisor_loop_init(sup, err) == -1)
		return -1;
	if (open_rundir(sup, err) == -1)
		return -1;
	logger_init(sup);
	heal_init(sup);
	renew_init(sup, child_on_renewed);
	paths_init(sup, paths_on_changed);
	log_deadly_calls();
	intercept_init(sup);
	if (signals_init(sup, err) == -1 || news_init(sup, err) == -1 ||
		strays_init(sup, err) == -1 || adopt_begin(sup, err) == -1 ||
		reread_try_logs(sup, err) == -1 || start_services(sup, err) == -1 ||
		clients_init(sup, err) == -1 || web_begin(sup, err) == -1)
		return -1;
	guard_init(sup);
	if (settings->pidfile != NULL) {
		if (rundir_write_pidfile(settings->pidfile, getpid(), err) == -1)
			return -1;
		sup->daemon.pidfile_written = true;
	}
	if (manager_init(sup, err) == -1)
		return -1;
	adopt_finish(sup);
	unblock_log(sup);
	brokers_begin(sup);
	watch_begin(sup);
	cpus_begin(sup);
	log_addresses(sup);
	warn_short_grace(sup);
	warn_meant_for_shell(settings);
	return 0;
}

static void supervisor_free(struct supervisor *sup)
{
	while (sup->service_count > 0)
		service_free(sup->services[sup->service_count - 1]);
	free(sup->services);
	for (size_t i = 0; i < sup->sockets.inherited.count; i++) {
		if (sup->sockets.inherited.list[i]->fd > STDERR_FILENO)
			fd_close(&sup->sockets.inherited.list[i]->fd);
		address_fini(&sup->sockets.inherited.list[i]->address);
		free(sup->sockets.inherited.list[i]);
	}
	free(sup->sockets.inherited.list);
	for (size_t i = 0; i < SPAWN_MANY; i++) {
		struct scratch *scratch = &sup->births.scratch[i];

		buffer_fini(&scratch->text);
		free(scratch->list);
		fd_close(&scratch->channel[0]);
		fd_close(&scratch->channel[1]);
	}
	free(sup->upgrade.exe_path);
	if (sup->loop != NULL) {
		childset_close(sup);
		ev_loop_destroy(sup->loop);
	}
	settings_free(sup->settings);
	adopt_fini(sup);
	statefile_close(&sup->orphans.file);
	fd_close(&sup->null_fd);
	fd_close(&sup->control.reserve_fd);
	fd_close(&sup->launch.self_exe);
	free(sup->launch.directory);
	fd_close(&sup->daemon.log_fd);
}

static void warn_not_removed(const char *path)
{
	log_warn("'%s' could not be removed: its disk is slow, or another "
		 "process holds its directory",
		path);
}

/* Leave to the verbs how a cluster in the background has ended, which nobody has heard. */
static void leave_last_words(const struct supervisor *sup)
{
	const char *last = NULL;
	char escaped[300] = "";
	char text[400];
	time_t now = time(NULL);
	struct tm at;
	size_t used;

	if (!sup->settings->daemon || !sup->instance.by_itself || localtime_r(&now, &at) == NULL)
		return;
	for (size_t i = 0; i < sup->service_count && last == NULL; i++)
		last = trouble_last(sup->services[i]);
	if (last != NULL)
		text_escape(escaped, sizeof(escaped), last, strlen(last));
	used = (size_t)snprintf(text, sizeof(text), "%s ended ", sup->settings->name);
	used += strftime(text + used, sizeof(text) - used, "%F %H:%M", &at);
	snprintf(text + used, sizeof(text) - used, " with exit %d%s%s", sup->instance.status,
		last != NULL ? "; last output: " : "", escaped);
	(void)rundir_replace(sup->rundir.dir, "ended.new", "ended", 0600, text, strlen(text));
}

/* Release addresses and name before clients hear of the end, because they may start another nclust
 * at once. */
static void release_names(struct supervisor *sup)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		accepting_close(sup->services[i]);
		recipes_free(sup->services[i]);
		segment_drop(sup->services[i]);
		listeners_release(&sup->services[i]->sockets.listeners);
		learned_drop_all(sup->services[i]);
		orphans_forget(sup->services[i]);
	}
	if (sup->settings->pidfile != NULL && sup->daemon.pidfile_written &&
		rundir_remove_pidfile(sup->settings->pidfile) == -1)
		warn_not_removed(sup->settings->pidfile);
	if (sup->has_rundir)
		leave_last_words(sup);
	if (sup->has_rundir && sup->orphans.has_past)
		rundir_leave(&sup->rundir);
	else if (sup->has_rundir && rundir_close(&sup->rundir) == -1)
		warn_not_removed(sup->rundir.path);
}

static void release_all(struct supervisor *sup)
{
	bool begun = sup->loop != NULL && sup->news.history != NULL;

	sup->instance.over = true;
	if (begun)
		reexec_fini(sup); /* the check of an upgrade has nclust's sockets, too */
	release_names(sup);
	if (begun) {
		moment_shutdown(sup);
		signals_fini(sup);
	}
	log_to(STDERR_FILENO, "nclust: ", log_level());
}

static int end_instance(struct supervisor *sup)
{
	release_all(sup);
	/* a stop that was asked for during the start is no success of that */
	daemon_failed(&sup->daemon.pipe,
		sup->instance.status == 0 ? sup->instance.stopping : sup->instance.status);
	supervisor_free(sup);
	return sup->instance.status;
}

static int fail_start(struct supervisor *sup, const struct error *err)
{
	log_error("%s", err->text);
	sup->instance.status = error_exit_status(err);
	return end_instance(sup);
}

int supervisor_run(struct supervisor *sup)
{
	(void)ev_run(sup->loop, 0);
	return end_instance(sup);
}

void supervisor_blank(struct supervisor *sup, int argc, char **argv)
{
	*sup = (struct supervisor){
		.launch.argc = argc,
		.launch.argv = argv,
		.turn.armed_for = NSEC_NEVER,
		.intercept = {.trap = {.fd = -1}},
		.childset.hear = {[CHILD_EXIT] = child_hear_exit,
			[CHILD_NOTIFY] = readiness_hear,
			[CHILD_TRAP] = intercept_hear,
			[CHILD_MOMENT] = serves_hear},
		.null_fd = -1,
		.control = {.listen.fd = -1, .reserve_fd = -1},
		.launch.self_exe = -1,
		.daemon.log_fd = -1,
		.reaper.oom_fd = -1,
		.logger.life.job.pidfd = -1,
		.orphans.keeper_socket = -1,
		.orphans.file = {.fd = -1},
		.daemon.pipe = -1,
		.web = {.socket = {.fd = -1, .also = -1},
			.agent = {.fd = -1, .also = -1},
			.life.job.pidfd = -1},
	};
	for (size_t i = 0; i < SPAWN_MANY; i++) {
		sup->births.scratch[i].channel[0] = sup->births.scratch[i].channel[1] = -1;
		buffer_init(&sup->births.scratch[i].text, 0);
	}
	async_close_init(sup);
}

int supervisor_main(struct settings *settings, int argc, char **argv)
{
	struct supervisor sup;
	struct error err;
	int status;
	int parent = 0;

	trycall_probe();
	supervisor_blank(&sup, argc, argv);
	sup.settings = settings;
	log_set_level((enum log_level)settings->log_level);
	sup.signals.hup_ignored = signals_hup_was_ignored();
	if (needs_check(&err) == -1 || privilege_clean_start(&err) == -1 ||
		listeners_inherit(&sup, &err) == -1)
		return fail_start(&sup, &err);
	if (settings->daemon)
		parent = daemon_detach(&sup.daemon.pipe, &status, &err);
	if (parent == 1) {
		supervisor_free(&sup);
		return status;
	}
	if (parent == -1 || privilege_become_subreaper(&err) == -1) {
		(void)error_status(&err, EX_OSERR);
		return fail_start(&sup, &err);
	}
	sup.launch.started = clock_now();
	sup.instance.read_at = (nsec_t)(clock_wall() * 1e9);
	sup.launch.directory = cwd_name();
	sup.launch.cpus = affinity_usable();
	sup.launch.had_terminal = !settings->daemon && signals_has_terminal();
	sup.logger.stdout_is_terminal = isatty(STDOUT_FILENO) != 0;
	raise_nofile(&sup);
	set_oom_scores(&sup);
	/* No worker runs yet: the first tick fills the slots. */
	if (start_instance(&sup, &err) == 0)
		return supervisor_run(&sup);
	return fail_start(&sup, &err);
}

/* SPDX-License-Identifier: MIT */
#include "room_lib.h"

#include "base/log.h"
#include "config/config_lib.h"
#include "os/clock.h"
#include "os/process.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/sockets/listener.h"
#include "supervisor/sockets/segment.h"
#include "supervisor/supervisor.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/service.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct supervisor room;

/* ---- time ---- */

static nsec_t now;

/* libev, too, has its time from here.  Tests without a room have the real one, and so has the CPU time
 * of a process (a number below 0). */
int clock_gettime(clockid_t which, struct timespec *to)
{
	if (now == 0 || which < 0)
		return (int)syscall(SYS_clock_gettime, which, to);
	to->tv_sec = now / SECOND;
	to->tv_nsec = now % SECOND;
	return 0;
}

int nanosleep(const struct timespec *span, struct timespec *left)
{
	if (now == 0)
		return (int)syscall(SYS_nanosleep, span, left);
	now += (nsec_t)span->tv_sec * SECOND + span->tv_nsec;
	return 0;
}

/* ---- processes ---- */

/* No process of the machine has such a number (PID_MAX_LIMIT). */
#define FIRST_PID ((1 << 22) + 1)
#define PROCESSES_MAX 1024
#define PROCESS_FDS 8

/* Time passes in pieces: what a timer sets going may arm another one. */
#define ROOM_STEP (2 * MSEC)

static struct process {
	int pidfd;
	bool ended;
	struct pidfd_end end;
	bool never_stops;
	pid_t session;
	struct spawn_fd fds[PROCESS_FDS]; /* `from` is its own */
	size_t fd_count;
	unsigned char got[65];
} processes[PROCESSES_MAX];
static unsigned process_count;
static int spawn_error;

static struct process *of_pidfd(int pidfd)
{
	for (unsigned i = process_count; i-- > 0;)
		if (processes[i].pidfd == pidfd)
			return &processes[i];
	return NULL;
}

static struct process *of_pid(pid_t pid)
{
	ck_assert_int_ge(pid, FIRST_PID);
	ck_assert_uint_lt((unsigned)(pid - FIRST_PID), process_count);
	return &processes[pid - FIRST_PID];
}

REPLACED(int, spawn)
(const struct spawn_plan *plan, pid_t *pid, int *pidfd, struct spawn_failure *failure)
{
	struct process *p = &processes[process_count];

	if (spawn_error != 0) {
		*failure = (struct spawn_failure){
			.step = SPAWN_EXEC,
			.error = spawn_error,
		};
		return -1;
	}
	ck_assert_uint_lt(process_count, PROCESSES_MAX);
	*p = (struct process){.pidfd = eventfd(0, EFD_CLOEXEC)};
	ck_assert_int_ne(p->pidfd, -1);
	for (size_t i = 0; i < plan->fd_count; i++) {
		if (plan->fds[i].to <= STDERR_FILENO)
			continue;
		ck_assert_uint_lt(p->fd_count, PROCESS_FDS);
		p->fds[p->fd_count++] = (struct spawn_fd){
			.from = fcntl(plan->fds[i].from, F_DUPFD_CLOEXEC, 3),
			.to = plan->fds[i].to,
		};
	}
	if (plan->trap != NULL)
		plan->trap->fd = eventfd(0, EFD_CLOEXEC);
	*pid = p->session = FIRST_PID + (pid_t)process_count++;
	*pidfd = p->pidfd;
	return 0;
}

REPLACED(void, spawn_many)(struct spawning *list, unsigned count)
{
	for (unsigned i = 0; i < count; i++)
		if (spawn(list[i].plan, &list[i].pid, &list[i].pidfd, &list[i].failure) == -1)
			list[i].pidfd = -1;
}

REPLACED(int, pidfd_signal)(int pidfd, int signal)
{
	struct process *p = of_pidfd(pidfd);

	if (p == NULL || p->ended) {
		errno = ESRCH;
		return -1;
	}
	p->got[signal]++;
	return 0;
}

REPLACED(int, pidfd_signal_group)(int pidfd, pid_t pid, int signal)
{
	(void)pid;
	return pidfd_signal(pidfd, signal);
}

REPLACED(int, pidfd_peek)(int pidfd, struct pidfd_end *end)
{
	const struct process *p = of_pidfd(pidfd);

	ck_assert_ptr_nonnull(p);
	*end = p->end;
	return p->ended;
}

REPLACED(int, pidfd_reap)(int pidfd, struct pidfd_end *end)
{
	return pidfd_peek(pidfd, end);
}

REPLACED(int, pidfd_is_stopped)(int pidfd)
{
	const struct process *p = of_pidfd(pidfd);

	return p != NULL && !p->never_stops && p->got[SIGSTOP] > p->got[SIGCONT];
}

REPLACED(int, process_look)(pid_t pid, struct process_facts *facts)
{
	if (pid < FIRST_PID || of_pid(pid)->ended) {
		errno = ENOENT;
		return -1;
	}
	*facts = (struct process_facts){
		.state = 'S',
		.parent = getpid(),
		.session = of_pid(pid)->session,
	};
	return 0;
}

unsigned room_signalled(pid_t pid, int signal)
{
	return of_pid(pid)->got[signal];
}

int room_fd(pid_t pid, int number)
{
	const struct process *p = of_pid(pid);

	for (size_t i = 0; i < p->fd_count; i++)
		if (p->fds[i].to == number)
			return p->fds[i].from;
	return -1;
}

void room_joins_session(pid_t pid, pid_t session)
{
	of_pid(pid)->session = session;
}

static void close_fds(struct process *p)
{
	for (size_t i = 0; i < p->fd_count; i++)
		(void)close(p->fds[i].from);
	p->fd_count = 0;
}

void room_never_stops(pid_t pid)
{
	of_pid(pid)->never_stops = true;
}

unsigned room_spawned(void)
{
	return process_count;
}

void room_fail_spawns(int error)
{
	spawn_error = error;
}

/* ---- the log ---- */

static int log_fd = -1;
static char log_text[64 * 1024];

const char *room_log(void)
{
	ssize_t got = pread(log_fd, log_text, sizeof(log_text) - 1, 0);

	ck_assert_int_ge(got, 0);
	log_text[got] = '\0';
	return log_text;
}

bool room_logged(const char *piece)
{
	return strstr(room_log(), piece) != NULL;
}

/* ---- the instance ---- */

void room_simplify(struct settings *settings)
{
	for (size_t i = 0; i < settings->cluster_count; i++) {
		struct cluster_settings *s = settings->clusters[i];

		s->log = LOG_INHERIT;
		if (s->intercept == INTERCEPT_AUTO)
			s->intercept = INTERCEPT_OFF;
	}
}

static void open_cluster(struct cluster_settings *s)
{
	struct listener_set set;
	struct segment *segment;
	struct error err = {0};

	ck_assert_msg(listeners_open(&room, &set, s, 1, NULL, &err) == 0, "%s", err.text);
	ck_assert_int_eq(segment_open(&room, &segment, s, NULL, &err), 0);
	ck_assert_ptr_nonnull(service_new(&room, s, &set, segment));
}

static void hear_nothing(struct child *child)
{
	(void)child;
}

void room_begin(const char *ini)
{
	struct reading r = read_text(ini);
	struct error err;

	ck_assert_msg(r.faults.count == 0, "%.*s", (int)r.faults.text.len, r.faults.text.data);
	faults_fini(&r.faults);
	now = clock_now(); /* libcheck, too, looks at this clock */
	process_count = 0;
	spawn_error = 0;
	log_fd = memfd_create("log", MFD_CLOEXEC);
	ck_assert_int_ne(log_fd, -1);
	log_to(log_fd, "", LOG_DEBUG);
	supervisor_blank(&room, 0, NULL);
	room.childset.hear[CHILD_EXIT] = room.childset.hear[CHILD_NOTIFY] = hear_nothing;
	room_simplify(r.s);
	room.settings = r.s;
	room.launch.cpus = 2;
	room.launch.descriptors = 1024;
	room.launch.started = now;
	room.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	room.loop = ev_loop_new(EVFLAG_NOENV);
	ck_assert_ptr_nonnull(room.loop);
	ck_assert_int_eq(childset_open(&room, &err), 0);
	heal_init(&room);
	intercept_init(&room);
	ck_assert_int_eq(news_init(&room, &err), 0);
	ck_assert_int_eq(strays_init(&room, &err), 0);
	for (size_t i = 0; i < r.s->cluster_count; i++)
		open_cluster(r.s->clusters[i]);
}

static void end_cluster(struct service *service)
{
	for (uint32_t i = 0; i < service->child_slots; i++)
		for (int k = 0; k < 2; k++)
			if (service->children[i][k] != NULL)
				room_killed(service->children[i][k], SIGKILL);
}

/* ---- a runtime directory ---- */

static char place[] = "/tmp/test_room.XXXXXX";

void room_open_rundir(void)
{
	struct error err = {0};

	strcpy(place, "/tmp/test_room.XXXXXX");
	ck_assert_ptr_nonnull(mkdtemp(place));
	ck_assert_msg(rundir_open(&room.rundir, place, "it", &err) == 0, "%s", err.text);
	room.has_rundir = true;
}

static void close_rundir(void)
{
	if (!room.has_rundir)
		return;
	rundir_close(&room.rundir);
	ck_assert_int_eq(rmdir(place), 0);
}

void room_stop(void)
{
	room.instance.stopping = true; /* nobody is looked for, nobody is born */
	spawn_error = EAGAIN;
	for (size_t i = 0; i < room.service_count; i++) {
		service_stop(room.services[i], true);
		end_cluster(room.services[i]);
	}
	while (room.service_count > 0)
		service_free(room.services[room.service_count - 1]);
	free(room.services);
	room.services = NULL;
}

extern __typeof__(news_on_shutdown) __real_news_on_shutdown;

void room_end(void)
{
	room_stop();
	__real_news_on_shutdown(&room);
	strays_fini(&room);
	childset_close(&room);
	free(room.closer.list); /* a test may stand in place of its room */
	ev_loop_destroy(room.loop);
	settings_free(room.settings);
	for (size_t i = 0; i < SPAWN_MANY; i++) {
		buffer_fini(&room.births.scratch[i].text);
		free(room.births.scratch[i].list);
	}
	close_rundir();
	(void)close(room.null_fd);
	log_to(STDERR_FILENO, "", LOG_NOTE);
	(void)close(log_fd);
}

struct service *room_cluster(const char *name)
{
	struct service *s = service_named(&room, name);

	ck_assert_ptr_nonnull(s);
	return s;
}

void room_tick(struct service *service)
{
	for (int i = 0; service_deadline(service) <= now; i++) {
		ck_assert_int_lt(i, 100);
		service_tick(service);
	}
}

static void step(nsec_t span)
{
	now += span;
	(void)ev_run(room.loop, EVRUN_NOWAIT);
	for (size_t i = 0; i < room.service_count; i++)
		room_tick(room.services[i]);
}

void room_pass(nsec_t span)
{
	nsec_t until = now + span;

	while (until - now > ROOM_STEP)
		step(ROOM_STEP);
	step(until - now);
}

struct child *room_child(struct service *service, uint32_t slot)
{
	struct slot_view view;
	struct child *found = NULL;

	cluster_view_slot(service->core, slot, &view);
	for (unsigned i = 0; i < view.workers; i++) {
		struct child *c = child_find(service, slot, view.worker[i].id);

		if (c != NULL && (found == NULL || c->serial > found->serial))
			found = c;
	}
	ck_assert_ptr_nonnull(found);
	return found;
}

void room_tell(const struct child *child, enum event_kind kind)
{
	struct event event = {
		.kind = kind,
		.slot = child->slot,
		.worker = child->worker,
	};

	service_tell(child->service, &event);
}

static void end_so(struct child *child, struct pidfd_end end)
{
	struct process *p = of_pidfd(child->pidfd);

	ck_assert_ptr_nonnull(p);
	p->ended = true;
	close_fds(p);
	p->end = end;
	child_main_exited(child);
	p->pidfd = -1;
}

void room_exits(struct child *child, int status)
{
	end_so(child, (struct pidfd_end){.code = status});
}

void room_killed(struct child *child, int signal)
{
	end_so(child, (struct pidfd_end){.signalled = true, .code = signal});
}

/* ---- what most tests begin with ---- */

struct service *room_web(const char *ini)
{
	struct service *web;

	room_begin(ini);
	web = room_cluster("web");
	room_tick(web);
	return web;
}

void room_ready(struct service *service, unsigned workers)
{
	for (uint32_t slot = 0; slot < workers; slot++) {
		room_tell(room_child(service, slot), EVENT_READY);
		room_tick(service);
	}
}

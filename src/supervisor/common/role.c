/* SPDX-License-Identifier: MIT */
#include "supervisor/common/role.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/clock.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/daemon.h"
#include "supervisor/common/state.h"
#include "supervisor/common/timer.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define KILLED_MS 500 /* how long a killed process may take to end */
#define RIGHTS \
	"cannot give up its rights, for which it needs CAP_SETUID, " \
	"CAP_SETGID and CAP_SETPCAP"

static const struct {
	const char *name;
	const char *title;
	const char *without; /* the effect if it cannot be started */
	const char *who;
	const char *lacks;  /* the meaning of EX_CONFIG */
	const char *rights; /* the meaning of EX_NOPERM */
	bool writes;        /* it has nclust's stdout and stderr */
} roles[] = {
	[ROLE_LOGGER] = {"logger", "nclust-logger", "output is not captured", NULL, NULL, NULL,
		true},
	[ROLE_WEB] = {"web", "nclust-web", "HTTP and the agent do not answer", "the web server",
		"cannot load the library libmicrohttpd.so.12: install the "
		"package libmicrohttpd12 (Debian 13: libmicrohttpd12t64)",
		RIGHTS ", and seccomp", false},
	[ROLE_NATS] = {"nats", "nclust-nats", "messages do not reach other machines",
		"the process that talks with the broker", "cannot load libnats any more", RIGHTS,
		false},
	[ROLE_COURIER] = {"courier", "nclust-courier",
		"clients of workers that stop may have to repeat a request, and get no answer "
		"while no "
		"worker is ready",
		"the courier", NULL, RIGHTS ", and seccomp", false},
};

static int output_of(const struct supervisor *sup, enum role role, int fd)
{
	return roles[role].writes ? daemon_output(sup, fd) : sup->null_fd;
}

int role_start(enum role role, struct role_life *l, const int *fds, size_t count)
{
	const struct supervisor *sup = l->job.sup;
	char user[16];
	char *const argv[] = {
		(char *)roles[role].title, "--role", (char *)roles[role].name, user, NULL};
	static char *const envp[] = {NULL};
	const int resource = RLIMIT_NOFILE;
	struct rlimit limit;
	struct spawn_failure failure;
	struct error err;
	struct spawn_plan plan = {
		.exec_fd = sup->launch.self_exe,
		.argv = argv,
		.envp = envp,
		.fds = {{output_of(sup, role, STDOUT_FILENO), 1},
			{output_of(sup, role, STDERR_FILENO), 2}},
		.fd_count = 2,
		.null_fd = sup->null_fd,
		.new_session = true,
		.limit_resources = &resource,
		.limits = &limit,
		.limit_count = 1,
		SPAWN_INHERITS,
		/* roles other than the logger are no more important than workers */
		.oom_score_adj = role != ROLE_LOGGER && *sup->births.oom_score_adj != '\0'
			? sup->births.oom_score_adj
			: NULL,
		.no_new_privs = true,
	};

	for (size_t i = 0; i < count; i++)
		plan.fds[plan.fd_count++] = (struct spawn_fd){fds[i], ROLE_FIRST_FD + (int)i};
	/* each role has a user of its own, so that roles cannot signal each other */
	snprintf(user, sizeof(user), "%u", (unsigned)(ROLE_UID_LAST - role));
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		plan.limit_count = 0;
	if (spawn(&plan, &l->job.pid, &l->job.pidfd, &failure) == 0) {
		role_begun(l);
		return 0;
	}
	spawn_explain(&failure, roles[role].name, &err);
	if (!l->refused)
		log_error("%s; %s", err.text, roles[role].without);
	l->refused = true;
	return -1;
}

int role_start_channel(enum role role, struct role_life *l, int *channel)
{
	int pair[2];
	int got;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == -1) {
		if (!l->refused)
			log_syserr("cannot start the %s", roles[role].name);
		l->refused = true;
		return -1;
	}
	got = role_start(role, l, &pair[1], 1);
	(void)close(pair[1]);
	if (got == -1)
		fd_close(&pair[0]);
	*channel = pair[0];
	return got;
}

/* ---- the life of a role ---- */

void role_init(struct role_life *l, struct supervisor *sup, job_over *over,
	void (*start)(void *owner), void *owner)
{
	job_init(&l->job, sup, over, owner);
	l->job.start = start;
}

void role_start_later(struct role_life *l, nsec_t wait)
{
	/* one that does not end is started again at its end */
	if (l->job.pid == 0)
		timer_arm(l->job.sup->loop, &l->job.timer, wait);
}

bool role_waits(const struct role_life *l)
{
	return l->job.pid == 0 && ev_is_active(&l->job.timer);
}

/* The timer may have expired in this turn: then it is pending, not active. */
void role_wait_no_more(struct role_life *l)
{
	if (l->job.sup != NULL && l->job.pid == 0)
		ev_timer_stop(l->job.sup->loop, &l->job.timer);
}

void role_begun(struct role_life *l)
{
	l->started = clock_now();
	l->refused = false;
	job_begin(&l->job, NSEC_NEVER);
}

const char *role_lacks(enum role role, const struct pidfd_end *end)
{
	if (end->signalled)
		return NULL;
	if (end->code == EX_UNAVAILABLE)
		return "cannot start a thread: too many processes, or a filter "
		       "of system calls refuses clone3 (with ENOSYS it would "
		       "do)";
	return end->code == EX_CONFIG    ? roles[role].lacks
		: end->code == EX_NOPERM ? roles[role].rights
					 : NULL;
}

void role_again(enum role role, struct role_life *l, const struct pidfd_end *end, const char *key)
{
	const char *lacks = role_lacks(role, end);

	if (lacks != NULL) {
		log_error("%s: %s %s; trying again in a minute", key, roles[role].who, lacks);
		role_start_later(l, ROLE_TRY_AGAIN);
		return;
	}
	log_warn("%s: %s ended (%s %d), starting it again", key, roles[role].who,
		end->signalled ? "signal" : "exit", end->code);
	if (clock_now() - l->started < ROLE_RESTART)
		role_start_later(l, ROLE_RESTART);
	else
		l->job.start(l->job.owner);
}

void role_end(struct role_life *l, int ms)
{
	struct pollfd wait = {.fd = l->job.pidfd, .events = POLLIN};

	if (l->job.sup == NULL)
		return; /* role_init() was not called */
	role_wait_no_more(l);
	if (l->job.pid == 0)
		return;
	if (poll(&wait, 1, ms) != 1)
		job_kill(&l->job);
	(void)poll(&wait, 1, KILLED_MS);
	job_end(&l->job);
}

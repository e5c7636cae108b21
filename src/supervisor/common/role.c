/* SPDX-License-Identifier: MIT */
#include "supervisor/common/role.h"

#include "base/log.h"
#include "base/scope.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/daemon.h"

#include <limits.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const struct {
	const char *name;
	const char *title;
	const char *without; /* the effect if it cannot be started */
	bool writes;         /* to our standard output and error */
} roles[] = {
	[ROLE_LOGGER] = {"logger", "nclust-logger",
		"output is not captured, or waits for it", true},
	[ROLE_WEB] = {"web", "nclust-web", "HTTP and the agent do not answer",
		false},
	[ROLE_FALLBACK] = {"fallback", "nclust-fallback",
		"clients get no answer while no worker is ready", false},
	[ROLE_NATS] = {"nats", "nclust-nats",
		"messages do not reach other machines", false},
};

static int output_of(const struct supervisor *sup, enum role role, int fd)
{
	return roles[role].writes ? daemon_output(sup, fd) : sup->null_fd;
}

static bool is_a_workers(const struct supervisor *sup, uid_t uid)
{
	for (size_t i = 0; i < sup->service_count; i++) {
		const struct cluster *c = sup->services[i]->core;

		if (cluster_settings(c)->uid == (long)uid ||
			cluster_next_settings(c)->uid == (long)uid)
			return true;
	}
	return false;
}

/* The user that a role becomes if it gives up root's rights.  No cluster's
 * workers have it, so that none can signal it, and each role begins to look
 * elsewhere, so that they cannot signal each other.  It is not looked up by a
 * name, because a directory service may hang. */
static uid_t user_of_role(const struct supervisor *sup, enum role role)
{
	const uid_t step = COUNT_OF(roles);
	uid_t uid = ROLE_UID_LAST - role;

	while (uid >= ROLE_UID_FIRST + step && is_a_workers(sup, uid))
		uid -= step;
	return uid;
}

bool role_is_exposed(const struct supervisor *sup, enum role role, pid_t pid)
{
	uint64_t uid;

	return geteuid() == 0 && process_status(pid, "Uid:", 10, &uid) == 0 &&
		uid != 0 && is_a_workers(sup, (uid_t)uid) &&
		user_of_role(sup, role) != uid;
}

int role_run(struct supervisor *sup, enum role role, const int *fds,
	size_t count, pid_t *pid, int *pidfd)
{
	char user[16];
	char *const argv[] = {(char *)roles[role].title, "--role",
		(char *)roles[role].name, user, NULL};
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
		.ignored_known = true,
		.ignored = PRIVILEGE_IGNORED,
		.new_session = true,
		.limit_resources = &resource,
		.limits = &limit,
		.limit_count = 1,
		.nice = INT_MIN,
		/* what strangers ask for is not worth more than a worker */
		.oom_score_adj = role != ROLE_LOGGER &&
				*sup->births.oom_score_adj != '\0'
			? sup->births.oom_score_adj
			: NULL,
		.own_score = sup->births.own_score,
		.umask = -1,
		.uid = -1,
		.gid = -1,
		.no_new_privs = true,
	};

	for (size_t i = 0; i < count; i++)
		plan.fds[plan.fd_count++] =
			(struct spawn_fd){fds[i], ROLE_FIRST_FD + (int)i};
	(void)snprintf(user, sizeof(user), "%u", user_of_role(sup, role));
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		plan.limit_count = 0;
	if (spawn(&plan, pid, pidfd, &failure) == 0)
		return 0;
	spawn_explain(&failure, roles[role].name, &err);
	log_error("%s; %s", err.text, roles[role].without);
	return -1;
}

int role_start(struct supervisor *sup, enum role role, int *channel, pid_t *pid,
	int *pidfd)
{
	int pair[2];
	int got;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK,
		    0, pair) == -1) {
		log_syserr("cannot start the %s", roles[role].name);
		return -1;
	}
	got = role_run(sup, role, &pair[1], 1, pid, pidfd);
	(void)close(pair[1]);
	if (got == -1)
		fd_close(&pair[0]);
	*channel = pair[0];
	return got;
}

/* SPDX-License-Identifier: MIT */
#include "os/spawn/spawn_child.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/vfork.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int spawn_fail(struct spawn_failure *f, enum spawn_step step, const char *what)
{
	f->step = step;
	f->error = errno;
	text_copy(f->what, sizeof(f->what), what);
	return -1;
}

int spawn_oom_score(pid_t pid, const char *text)
{
	scoped_fd fd = process_open(pid, "oom_score_adj", O_WRONLY);

	return fd != -1 && write(fd, text, strlen(text)) != -1 ? 0 : -1;
}

/* Set resource limits.  RLIMIT_NOFILE is set when the descriptors are in place: the
 * moves may need numbers above it. */
static int set_limits(const struct spawn_plan *plan, bool descriptors, struct spawn_failure *f)
{
	static const char *const keys[] = {[RLIMIT_AS] = "limit-as",
		[RLIMIT_CORE] = "limit-core",
		[RLIMIT_CPU] = "limit-cpu",
		[RLIMIT_DATA] = "limit-data",
		[RLIMIT_FSIZE] = "limit-fsize",
		[RLIMIT_LOCKS] = "limit-locks",
		[RLIMIT_MEMLOCK] = "limit-memlock",
		[RLIMIT_MSGQUEUE] = "limit-msgqueue",
		[RLIMIT_NICE] = "limit-nice",
		[RLIMIT_NOFILE] = "limit-nofile",
		[RLIMIT_NPROC] = "limit-nproc",
		[RLIMIT_RSS] = "limit-rss",
		[RLIMIT_RTPRIO] = "limit-rtprio",
		[RLIMIT_RTTIME] = "limit-rttime",
		[RLIMIT_SIGPENDING] = "limit-sigpending",
		[RLIMIT_STACK] = "limit-stack"};

	for (size_t i = 0; i < plan->limit_count; i++) {
		int resource = plan->limit_resources[i];

		if ((resource == RLIMIT_NOFILE) == descriptors &&
			setrlimit((__rlimit_resource_t)resource, &plan->limits[i]) == -1)
			return spawn_fail(f, SPAWN_LIMIT, keys[resource]);
	}
	return 0;
}

static int set_process(const struct spawn_child *child, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;

	if (plan->new_session && setsid() == -1)
		return spawn_fail(f, SPAWN_SESSION, "");
	if (disposition_reset() == -1)
		return spawn_fail(f, SPAWN_SIGNALS, "");
	if (plan->enters_cgroup && write(plan->cgroup, "0", 1) == -1)
		return spawn_fail(f, SPAWN_CGROUP, "");
	if (set_limits(plan, false, f) == -1)
		return -1;
	if (plan->nice != INT_MIN && setpriority(PRIO_PROCESS, 0, plan->nice) == -1)
		return spawn_fail(f, SPAWN_NICE, "");
	if (plan->oom_score_adj && !child->scored_later &&
		spawn_oom_score(getpid(), plan->oom_score_adj) == -1)
		return spawn_fail(f, SPAWN_OOM_SCORE, plan->oom_score_adj);
	if (plan->affinity && sched_setaffinity(0, plan->affinity_size, plan->affinity) == -1)
		return spawn_fail(f, SPAWN_AFFINITY, "");
	if (plan->umask != -1)
		(void)umask((mode_t)plan->umask);
	return 0;
}

/* Are the groups those that we have already?  Then an ordinary user may ask for them. */
static bool has_groups(const struct spawn_plan *plan)
{
	gid_t now[256];
	int n = getgroups(256, now);

	if (n == -1)
		return false;
	for (int i = 0; i < n; i++)
		if (!array_has(plan->groups, plan->group_count, now[i]))
			return false;
	for (size_t i = 0; i < plan->group_count; i++)
		if (!array_has(now, (size_t)n, plan->groups[i]))
			return false;
	return true;
}

static int set_groups(const struct spawn_plan *plan)
{
	gid_t real;
	gid_t effective;
	gid_t saved;
	gid_t gid = (gid_t)plan->gid;

	if (plan->uid >= 0 && syscall(VFORK_SETGROUPS, plan->group_count, plan->groups) == -1 &&
		!has_groups(plan))
		return -1;
	if (plan->gid < 0)
		return 0;
	if (syscall(VFORK_SETRESGID, gid, gid, vfork_saved_group(gid)) == -1 ||
		getresgid(&real, &effective, &saved) == -1)
		return -1;
	if (real == gid && effective == gid)
		return 0;
	errno = EPERM;
	return -1;
}

/*
 * No descendant can gain a capability that the bounding set lacks.  Shrinking the
 * set takes CAP_SETPCAP; without that, no_new_privs does the same, also where nclust
 * was started with it, or set_trap() has set it.
 */
static int bound_capabilities(const struct spawn_plan *plan)
{
	return capset_bound(plan->capabilities) == 0 || plan->no_new_privs ||
			prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
		? 0
		: -1;
}

/* Between the ids and set_capabilities() no capability is effective: the steps in
 * between, and the proof, have the rights of the user alone. */
static int clear_effective(const struct spawn_plan *plan)
{
	const struct capset asleep = {
		.permitted = plan->capabilities_given ? plan->capabilities : 0,
		.inheritable = plan->capabilities_given ? plan->capabilities : 0,
	};

	return capset_put(&asleep);
}

static int set_user(const struct spawn_plan *plan)
{
	uid_t uid = (uid_t)plan->uid;
	uid_t real;
	uid_t effective;
	uid_t saved;

	if (syscall(VFORK_SETRESUID, uid, uid, uid) == -1 ||
		getresuid(&real, &effective, &saved) == -1)
		return -1;
	if (real == uid && effective == uid && saved == uid)
		return 0;
	errno = EPERM;
	return -1;
}

/* Set groups and user, and prove it. */
static int set_credentials(const struct spawn_plan *plan, struct spawn_failure *failure)
{
	if (plan->capabilities_given && bound_capabilities(plan) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (set_groups(plan) == -1)
		return spawn_fail(failure, SPAWN_GROUPS, "");
	if (plan->uid < 0)
		return 0;
	if (plan->capabilities_given && plan->capabilities != 0 &&
		prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (set_user(plan) == -1)
		return spawn_fail(failure, SPAWN_USER, "");
	if (plan->uid == 0)
		return 0;
	if (clear_effective(plan) == -1)
		return spawn_fail(failure, SPAWN_CAPABILITIES, "");
	if (syscall(VFORK_SETRESUID, 0, 0, 0) == -1)
		return 0; /* as it must be; exec clears PR_SET_KEEPCAPS */
	errno = EPERM;
	return spawn_fail(failure, SPAWN_REGAIN, "");
}

static int set_capabilities(const struct spawn_plan *plan)
{
	const struct capset exact = {
		.effective = plan->capabilities,
		.permitted = plan->capabilities,
		.inheritable = plan->capabilities,
	};

	if (capset_put(&exact) == -1)
		return -1;
	return capset_ambient(plan->capabilities);
}

static int set_directory(struct spawn_child *child, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;

	child->at = SPAWN_DIRECTORY;
	if (plan->directory == NULL)
		return 0;
	if ((plan->release == NULL || chdir(plan->release) == -1) && chdir(plan->directory) == -1)
		return spawn_fail(f, SPAWN_DIRECTORY, plan->directory);
	if (plan->entered != NULL)
		(void)syscall(SYS_getcwd, plan->entered, SPAWN_ENTERED);
	return 0;
}

static int set_place(struct spawn_child *child, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;

	child->at = SPAWN_CHROOT;
	if (plan->chroot && (chroot(plan->chroot) == -1 || chdir("/") == -1))
		return spawn_fail(f, SPAWN_CHROOT, plan->chroot);
	if (plan->directory_first && set_directory(child, f) == -1)
		return -1;
	child->at = SPAWN_USER;
	if (set_credentials(plan, f) == -1)
		return -1;
	return plan->directory_first ? 0 : set_directory(child, f);
}

/* PR_SET_PDEATHSIG follows the change of credentials (which clears it), and
 * getppid(2) follows that: the parent may have died before. */
static int follow_parent(const struct spawn_child *child)
{
	if (child->plan->death_signal == 0)
		return 0;
	if (prctl(PR_SET_PDEATHSIG, child->plan->death_signal, 0, 0, 0) == -1)
		return -1;
	if (getppid() == child->parent)
		return 0;
	errno = ESRCH;
	return -1;
}

/* Digits and a NUL; the slot ends the string that it stands in. */
static void write_pid(const struct spawn_plan *plan)
{
	char digits[16];
	size_t n = sizeof(digits);

	for (pid_t pid = getpid(); pid > 0 && n > 0; pid /= 10)
		digits[--n] = (char)('0' + pid % 10);
	if (sizeof(digits) - n >= plan->pid_width)
		return;
	for (int i = 0; i < 2; i++) {
		if (!plan->pid_slots[i])
			continue;
		memset(plan->pid_slots[i], 0, plan->pid_width);
		memcpy(plan->pid_slots[i], digits + n, sizeof(digits) - n);
	}
}

/*
 * ENOENT for a file that exists means that its interpreter does not exist, and
 * EACCES for an executable file often that its interpreter is not executable.
 * The interpreter's path goes to `what`; "" for the dynamic loader of a binary.
 */
static bool blame_interpreter(const char *path, int error, char *what)
{
	char line[128];
	struct stat st;
	ssize_t n = -1;
	size_t end;
	scoped_fd fd = -1;

	what[0] = '\0';
	if (stat(path, &st) == -1 || !S_ISREG(st.st_mode) || access_in(AT_FDCWD, path, X_OK) == -1)
		return false;
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	if (fd != -1)
		n = read(fd, line, sizeof(line) - 1);
	if (n < 3 || line[0] != '#' || line[1] != '!')
		return error == ENOENT;
	line[n] = '\0';
	end = 2 + strspn(line + 2, " \t");
	line[end + strcspn(line + end, " \t\n")] = '\0';
	if (error == EACCES && access_in(AT_FDCWD, line + end, X_OK) == 0)
		return false;
	text_copy(what, sizeof(line), line + end);
	return true;
}

/* As execvp(3): a missing or forbidden candidate is passed over, any other failure
 * ends the search. */
static bool goes_on(int error)
{
	switch (error) {
	case EACCES:
	case ENOENT:
	case ENOTDIR:
	case ESTALE:
	case ENODEV:
	case ETIMEDOUT:
		return true;
	default:
		return false;
	}
}

/* Note why this candidate failed, unless an earlier failure says more. */
static void note_candidate(struct spawn_failure *f, const char *path, int error)
{
	char what[sizeof(f->what)];
	struct stat st;

	if (f->step == SPAWN_INTERPRETER)
		return;
	if ((error == EACCES || (error == ENOENT && access_in(AT_FDCWD, path, F_OK) == 0)) &&
		blame_interpreter(path, error, what)) {
		f->step = SPAWN_INTERPRETER;
	} else {
		bool absent = error == ENOENT || error == ENOTDIR;

		if (absent && f->error != 0 && f->error != ENOENT && f->error != ENOTDIR)
			return;
		if (error == EACCES && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
			error = EISDIR;
		text_copy(what, sizeof(what), path);
	}
	f->error = error;
	text_copy(f->what, sizeof(f->what), what);
}

static void execute_candidates(struct spawn_child *child, int exec_fd, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;

	child->at = SPAWN_EXEC;
	f->step = SPAWN_EXEC;
	f->error = 0;
	f->what[0] = '\0';
	if (exec_fd != -1) {
		(void)syscall(SYS_execveat, exec_fd, "", plan->argv, plan->envp, AT_EMPTY_PATH);
		f->error = errno;
		return;
	}
	for (const char *const *path = plan->candidates; *path; path++) {
		(void)execve(*path, plan->argv, plan->envp);
		note_candidate(f, *path, errno);
		if (!goes_on(f->error) && f->error != EISDIR)
			return;
	}
	if (f->error == 0)
		f->error = ENOENT; /* the list of candidates is empty */
	/* of several missing candidates none is worth naming */
	if (f->step == SPAWN_EXEC && f->error == ENOENT && plan->candidates[0] &&
		plan->candidates[1])
		f->what[0] = '\0';
}

/*
 * Before the ids are changed, as CAP_SYS_ADMIN is dropped with them; without that
 * capability no_new_privs has to come first.  Calls of later steps bind nothing.
 */
static int set_trap(const struct spawn_trap *trap, int channel)
{
	int error;
	int fd;

	if (!trap->privileged && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return -1;
	fd = seccomp_install(trap->which);
	error = fd == -1 ? errno : 0;
	/* a filter whose listener is closed would make each bind(2) fail */
	if (fdpass_send(channel, &error, sizeof(error), &fd, fd != -1 ? 1 : 0) == -1)
		return -1;
	errno = error;
	return trap->must && fd == -1 ? -1 : 0;
}

static int set_up(struct spawn_child *child, int channel, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;
	sigset_t none;

	if (plan->trap != NULL && set_trap(plan->trap, channel) == -1)
		return spawn_fail(f, SPAWN_TRAP, "");
	if (set_limits(plan, true, f) == -1)
		return -1;
	if (set_place(child, f) == -1)
		return -1;
	if (follow_parent(child) == -1)
		return spawn_fail(f, SPAWN_PARENT, "");
	if (plan->capabilities_given && set_capabilities(plan) == -1)
		return spawn_fail(f, SPAWN_CAPABILITIES, "");
	if (plan->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == -1)
		return spawn_fail(f, SPAWN_NO_NEW_PRIVS, "");
	write_pid(plan);
	sigemptyset(&none);
	if (sigprocmask(SIG_SETMASK, &none, NULL) == -1)
		return spawn_fail(f, SPAWN_SIGNALS, "");
	return 0;
}

/* ---- descriptors ---- */

/* The numbers that the child has for the descriptors of the plan; or -1. */
struct own_fds {
	int from[SPAWN_FDS_MAX];
	int null_fd;
	int exec_fd;
	int channel;
};

/* Move a descriptor that a target may overwrite above all targets. */
static int move_above(int *fd, int top)
{
	int moved;

	if (*fd >= top)
		return 0;
	moved = fcntl(*fd, F_DUPFD_CLOEXEC, top);
	if (moved == -1)
		return -1;
	*fd = moved;
	return 0;
}

static int move_to(int from, int to)
{
	if (from == to)
		return fcntl(to, F_SETFD, 0);
	return dup2(from, to) == -1 ? -1 : 0;
}

/* The lowest target that is `from` or above; INT_MAX: none. */
static int next_target(const struct spawn_plan *plan, int from)
{
	int found = INT_MAX;

	if (from < 3)
		return from; /* 0-2 are always filled */
	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= from && plan->fds[i].to < found)
			found = plan->fds[i].to;
	return found;
}

/* Let exec close all descriptors that are no targets, in the holes between targets too. */
static int close_others(const struct spawn_plan *plan)
{
	unsigned first = 3;

	for (;;) {
		int target = next_target(plan, (int)first);
		unsigned last = target == INT_MAX ? ~0U : (unsigned)target - 1;

		if ((unsigned)target > first && descriptors_cloexec(first, last) == -1)
			return -1;
		if (target == INT_MAX)
			return 0;
		first = (unsigned)target + 1;
	}
}

static int fill_standard(const struct spawn_plan *plan, int null_fd, int top, int *bad)
{
	bool given[3] = {false, false, false};

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= 0 && plan->fds[i].to < 3)
			given[plan->fds[i].to] = true;
	*bad = null_fd;
	for (int n = 0; n < 3; n++)
		if (!given[n] && (move_above(&null_fd, top) == -1 || move_to(null_fd, n) == -1))
			return -1;
	return 0;
}

/* Have exactly the descriptors of the plan after exec.  *bad: the number that failed, or -1. */
static int arrange(const struct spawn_plan *plan, struct own_fds *own, int *bad)
{
	int *from = own->from;
	int top = 3; /* the lowest number above all targets */

	for (size_t i = 0; i < plan->fd_count; i++)
		if (plan->fds[i].to >= top)
			top = plan->fds[i].to + 1;
	*bad = -1;
	if ((own->channel != -1 && move_above(&own->channel, top) == -1) ||
		(own->exec_fd != -1 && move_above(&own->exec_fd, top) == -1))
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (from[i] != plan->fds[i].to && move_above(&from[i], top) == -1)
			return -1;
	}
	if (fill_standard(plan, own->null_fd, top, bad) == -1)
		return -1;
	for (size_t i = 0; i < plan->fd_count; i++) {
		*bad = plan->fds[i].from;
		if (move_to(from[i], plan->fds[i].to) == -1)
			return -1;
	}
	*bad = -1;
	return close_others(plan);
}

/* Leave nclust's table with a copy of its low numbers, and receive the rest. */
static int receive_lent(struct own_fds *own, const struct spawn_plan *plan)
{
	struct fdpass_message m;
	size_t n = plan->fd_count;
	char byte;

	if (close_range((unsigned)own->channel + 1, ~0U, CLOSE_RANGE_UNSHARE) == -1)
		return -1;
	errno = EMFILE;
	if (fdpass_receive(own->channel, &byte, 1, &m) != 1 ||
		m.fd_count != n + (own->null_fd != -1) + (own->exec_fd != -1))
		return -1;
	memcpy(own->from, m.fds, n * sizeof(m.fds[0]));
	if (own->null_fd != -1)
		own->null_fd = m.fds[n++];
	if (own->exec_fd != -1)
		own->exec_fd = m.fds[n];
	return 0;
}

/* Have a table of descriptors that nobody shares. */
static int take_table(const struct spawn_child *child, struct own_fds *own)
{
	const struct spawn_plan *plan = child->plan;

	errno = EMFILE;
	if (plan->fd_count > SPAWN_FDS_MAX)
		return -1;
	own->null_fd = plan->null_fd;
	own->exec_fd = plan->exec_fd;
	own->channel = plan->channel != NULL ? plan->channel[1] : -1;
	if (child->lent)
		return receive_lent(own, plan);
	for (size_t i = 0; i < plan->fd_count; i++)
		own->from[i] = plan->fds[i].from;
	return 0;
}

static int set_descriptors(
	const struct spawn_child *child, struct own_fds *own, struct spawn_failure *f)
{
	const struct spawn_plan *plan = child->plan;
	int bad = -1;

	if (take_table(child, own) == 0 && arrange(plan, own, &bad) == 0)
		return 0;
	(void)spawn_fail(f, SPAWN_DESCRIPTORS, "");
	if (bad != -1)
		snprintf(f->what, sizeof(f->what), "%d", bad);
	return -1;
}

/* ---- birth ---- */

/* Field 22 of our own stat, see proc(5).  By system calls alone and without a
 * sanitizer: the shadow of the stack is an earlier child's, as an exec does not
 * return. */
__attribute__((no_sanitize("address"))) static uint64_t own_start(void)
{
	char text[1024];
	uint64_t start = 0;
	unsigned field = 2;
	long at = 0;
	long n;
	long fd = syscall(SYS_openat, AT_FDCWD, "/proc/self/stat", O_RDONLY | O_CLOEXEC, 0);

	if (fd == -1)
		return 0;
	n = syscall(SYS_read, fd, text, sizeof(text));
	(void)syscall(SYS_close, fd);
	/* the name in field 2 may hold anything, also ')' */
	for (long i = 0; i < n; i++)
		if (text[i] == ')')
			at = i + 1;
	for (; at < n && field <= 22; at++) {
		if (text[at] == ' ')
			field++;
		else if (field == 22)
			start = start * 10 + (uint64_t)(text[at] - '0');
	}
	return start;
}

int spawn_child_run(void *argument)
{
	struct spawn_child *child = argument;
	struct spawn_failure *failure = &child->failure;
	struct state_birth *birth = child->plan->birth;
	struct own_fds own uninitialized;

	if (birth != NULL) {
		birth->start = own_start();
		birth->pid = getpid();
	}
	if (set_process(child, failure) == 0 && set_descriptors(child, &own, failure) == 0 &&
		set_up(child, own.channel, failure) == 0)
		execute_candidates(child, own.exec_fd, failure);
	child->failed = true;
	return 126; /* glibc's clone() calls _exit(2) then */
}

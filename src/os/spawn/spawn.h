/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/nsec.h"
#include "os/place/statefile.h"
#include "os/spawn/seccomp.h"

#include <limits.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>

/*
 * Starting a process: a child on our memory (os/vfork.h), so that the cost does not
 * grow with that memory.  Between clone and exec no code allocates or takes a lock,
 * and all signals are blocked.  The child reports which step failed and why (spawn.c).
 *
 * All decisions are made before and stand in the plan, as plain data.  The order of
 * the steps is that of spawn_child_run().
 */
enum spawn_step {
	SPAWN_CLONE, /* clone: transient (EAGAIN, ENOMEM, EMFILE) */
	SPAWN_TRAP,  /* bind(2) and listen(2) cannot be trapped */
	SPAWN_SESSION,
	SPAWN_SIGNALS,
	SPAWN_LIMIT,
	SPAWN_NICE,
	SPAWN_OOM_SCORE,
	SPAWN_AFFINITY,
	SPAWN_DESCRIPTORS,
	SPAWN_CHROOT,
	SPAWN_GROUPS,
	SPAWN_USER,
	SPAWN_REGAIN, /* privilege could be regained: refused */
	SPAWN_DIRECTORY,
	SPAWN_PARENT, /* PDEATHSIG, or nclust has ended already */
	SPAWN_CAPABILITIES,
	SPAWN_NO_NEW_PRIVS,
	SPAWN_INTERPRETER, /* exec: the script is there, its #! is not */
	SPAWN_EXEC,
	SPAWN_CGROUP, /* last, as an upgrade carries these numbers */
};

struct spawn_fd {
	int from;
	int to;
};

#define SPAWN_FDS_MAX 68
#define SPAWN_ENTERED 512

/* Trapping the child's bind(2) and listen(2), or connect(2), see os/spawn/seccomp.h.  The child
 * makes the notify descriptor, and sends it to us by the plan's channel. */
struct spawn_trap {
	bool privileged; /* CAP_SYS_ADMIN; else no_new_privs is set */
	enum seccomp_calls which;
	bool must; /* without the trap the spawn fails */
	int fd;    /* the notify descriptor: the caller's, or -1 */
	int error; /* why `fd` is -1 */
};

struct spawn_plan {
	/* The program.  Either `candidates`, tried in order as execvp(3) does (after
	 * ENOENT and ENOTDIR the next one, after EACCES too, but that is remembered)
	 * without a fall-back to a shell, or `exec_fd` for execveat(AT_EMPTY_PATH). */
	const char *const *candidates; /* NULL-terminated */
	int exec_fd;                   /* -1: candidates */
	char *const *argv;
	char *const *envp;
	/* Where the child writes its pid, or NULL: decimal digits and a NUL,
	 * left-aligned, no leading zeros (sd_listen_fds(3) would read them as
	 * octal): the end of LISTEN_PID= and WATCHDOG_PID= strings inside envp, with
	 * room for `pid_width` bytes.  Shared memory, so the parent sees the change. */
	char *pid_slots[2];
	size_t pid_width;

	/* Descriptors: exactly these reach the program, and no others.  0-2 missing:
	 * /dev/null, for which `null_fd` must be open. */
	struct spawn_fd fds[SPAWN_FDS_MAX];
	size_t fd_count;
	int null_fd;
	/* A pair of datagram sockets with low numbers, of one spawn at a time, or NULL.  With it
	 * the child gets only what the plan names, and not a copy of all that nclust holds. */
	const int *channel;

	bool new_session; /* setsid(): own session and process group */
	/* The child enters a cgroup by writing to cgroup.procs, opened by its opener's rights. */
	bool enters_cgroup;
	int cgroup;
	const struct rlimit *limits; /* pairs with limit_resources */
	const int *limit_resources;
	size_t limit_count;
	int nice;                  /* absolute; INT_MIN: inherited */
	const char *oom_score_adj; /* text to write, or NULL */
	const cpu_set_t *affinity; /* or NULL */
	size_t affinity_size;
	int umask;          /* -1: inherited */
	const char *chroot; /* or NULL */
	const char
		*release; /* a directory to enter in place of the next one, if it exists; or NULL */
	const char *directory; /* or NULL */
	bool directory_first;  /* entered with nclust's rights, not the user's */
	/* Where the child writes the path that `directory` has led to, or NULL: room
	 * for SPAWN_ENTERED; a longer path is not written. */
	char *entered;
	long uid; /* -1: inherited; then groups are too */
	long gid;
	const gid_t *groups; /* supplementary, with uid >= 0 */
	size_t group_count;
	int death_signal; /* PR_SET_PDEATHSIG; 0: none */
	bool capabilities_given;
	uint64_t capabilities; /* kept, also ambient; all others are dropped from all sets */
	bool no_new_privs;
	struct spawn_trap *trap; /* or NULL; it needs a channel */
	/* Where the child first writes its pid and start time, or NULL: memory that
	 * outlives nclust, so that the next nclust knows every child. */
	struct state_birth *birth;
	/* The longest wait for the exec: a child that is stopped, or waits for a
	 * file server that does not answer, is killed after that (ETIMEDOUT, and the
	 * step).  0: no limit. */
	nsec_t patience;
};
/* The members of a plan that let the child have all of this from its parent. */
#define SPAWN_INHERITS .nice = INT_MIN, .umask = -1, .uid = -1, .gid = -1

struct spawn_failure {
	enum spawn_step step;
	int error;      /* errno */
	char what[128]; /* the path that failed, cut; may be "" */
};

struct spawning {
	const struct spawn_plan *plan;
	pid_t pid;
	int pidfd; /* CLOEXEC; the caller's; -1: see `failure` */
	struct spawn_failure failure;
};

/* The most that are started at once. */
#define SPAWN_MANY 4

/* Start up to SPAWN_MANY children at once, with what is shared between the plans in no two
 * of them (channel, entered, pid_slots): several times as fast as one after the other.
 * Blocks until all have called exec. */
void spawn_many(struct spawning *list, unsigned count);

/* Returns 0 with *pid and *pidfd (CLOEXEC; the caller's), or -1 with *failure; then
 * the child is gone, unless it cannot be killed.  Blocks until the exec. */
int spawn(const struct spawn_plan *plan, pid_t *pid, int *pidfd, struct spawn_failure *failure);

/* "cannot execute 'x': No such file or directory" and its like, one line. */
void spawn_explain(const struct spawn_failure *f, const char *name, struct error *err);
/* 127: not found; 126: found but cannot be run; 0: transient, try again. */
int spawn_exit_status(const struct spawn_failure *f);

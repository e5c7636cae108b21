/* SPDX-License-Identifier: MIT */
#include "os/vfork.h"

#include "base/scope.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/privilege.h"
#include "os/process.h"
#include "os/trycall.h"

#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/futex.h>
#include <sched.h>
#include <signal.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

enum { STACK_SIZE = 64 * 1024 };

/* How long to wait for a child after SIGKILL, and after its own exit, before it
 * counts as stuck.  Long before that the child runs no code of ours any more. */
#define GRACE (1 * MSEC)
#define EXIT_GRACE (10 * MSEC)
/* Most children exit within this time; after it, leave the CPU to others. */
#define PROMPT (30 * USEC)
/* Most calls return before a sleeping CPU could wake up again: spin for so long. */
#define CALL_PROMPT (80 * USEC)
/* A child that has not exited after this time sleeps, or has no CPU. */
#define MOMENT (300 * USEC)
/* The wait for a child that wants to run and gets no CPU, although nclust gets one. */
#define BUSY (5 * SECOND)
/* A child that has used so much CPU time does not come to an end. */
#define WORK_MOST (1 * SECOND)
/* Stuck children of all users; beyond that no call is tried. */
#define STUCK_MOST 256
/* The patience with one call, and with later calls after one was too late.  A user
 * who has cost CALL_SPENT_MOST gets none until CALL_AGAIN is over. */
#define CALL_PATIENCE (100 * MSEC)
#define CALL_PATIENCE_AGAIN (2 * MSEC)
/* Whoever has nclust's own uid can stop nclust anyway: what sleeps for long there waits for the
 * machine, such as for a busy disk. */
#define OWN_PATIENCE (2 * SECOND)
#define CALL_SPENT_MOST (150 * MSEC)
#define DIRECTORY_PATIENCE (2 * SECOND) /* for the first call in a directory */
#define CALL_AGAIN (10 * SECOND)
#define LATE_USERS 16 /* the latest users that are remembered */
/* With so many children stuck because of one user, that user gets no patience. */
#define STUCK_OF_ONE 8

/*
 * A stack, above a guard page; this struct is at its upper end.  Stacks are made
 * when needed and kept, as one mmap and its page faults at each spawn would be a
 * good part of its cost.  One stack is enough, plus one for each child that could
 * not be ended.
 */
struct vfork_stack {
	struct vfork_stack *next;
	char *base;
	pid_t stuck;    /* the child that still runs on the stack; 0: none */
	uid_t blamed;   /* the user because of whom that child is stuck; or VFORK_SOMEBODY */
	uint64_t owner; /* who was given with it to vfork_blame(), and when; 0: none */
	nsec_t since;
	pid_t of;      /* the latest child; an earlier one has left */
	uint32_t runs; /* a futex: the kernel clears it at exec and exit, and wakes us */
};

/* A user for whose sake a child was too late. */
struct slow_user {
	uid_t uid;
	nsec_t since; /* 0: the entry is free */
	nsec_t spent; /* time that such children have cost since then */
};

/* Facts about this process and its children. */
static struct {
	struct vfork_stack *stacks;
	nsec_t slept; /* vfork_slept() */
	struct slow_user late[LATE_USERS];
	bool asked;
	bool shared; /* children share our memory; under valgrind they are forks */
	bool cloned; /* clone(2) works: errno, which children share, proves nothing else */
	bool calls;  /* we are in vfork_call(): calls in it need no child */
	bool left;   /* vfork_left() */
	bool tabled; /* vfork_table() has been asked: `table` is its answer */
	int table;
	bool shares_table;        /* the last child shares our table of descriptors */
	struct vfork_stack *last; /* of the last vfork_run() */
} known;

/* ---- stacks ---- */

static struct vfork_stack *make_stack(void)
{
	size_t guard = (size_t)sysconf(_SC_PAGESIZE);
	struct vfork_stack *stack;
	char *base = mmap(NULL, guard + STACK_SIZE, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);

	if (base == MAP_FAILED)
		return NULL;
	if (mprotect(base, guard, PROT_NONE) == -1) {
		(void)munmap(base, guard + STACK_SIZE);
		return NULL;
	}
	stack = (struct vfork_stack *)(void *)(base + guard + STACK_SIZE) - 1;
	stack->base = base + guard;
	stack->next = known.stacks;
	known.stacks = stack;
	return stack;
}

/* Has the stack's child ended at last?  Other code may have reaped it. */
static bool is_free(struct vfork_stack *stack)
{
	if (stack->stuck != 0 && waitpid(stack->stuck, NULL, WNOHANG | (int)__WALL) != 0)
		stack->stuck = 0;
	return stack->stuck == 0 && stack->runs == 0;
}

/* Stuck children: all, or those because of that user. */
static unsigned count_stuck(const uid_t *user)
{
	unsigned count = 0;

	for (struct vfork_stack *s = known.stacks; s != NULL; s = s->next)
		count += s->stuck != 0 && (user == NULL || s->blamed == *user) && !is_free(s);
	return count;
}

unsigned vfork_stuck(void)
{
	return count_stuck(NULL);
}

uint64_t vfork_overdue(nsec_t age)
{
	for (struct vfork_stack *s = known.stacks; s != NULL; s = s->next) {
		uint64_t owner = s->owner;

		if (s->stuck == 0 || owner == 0 || clock_now() - s->since < age || is_free(s))
			continue;
		s->owner = 0;
		return owner;
	}
	return 0;
}

bool vfork_has(pid_t pid)
{
	return list_find(s, known.stacks, s->stuck != 0 && s->stuck == pid) != NULL;
}

/* `needed`: even if very many children are stuck. */
static struct vfork_stack *take_stack(bool needed)
{
	struct vfork_stack *stack = list_find(s, known.stacks, is_free(s));

	if (stack != known.stacks && !needed && vfork_stuck() >= STUCK_MOST)
		return NULL;
	if (stack == NULL)
		stack = make_stack();
#ifdef __SANITIZE_ADDRESS__
	/* an earlier child may have been killed, or called exec */
	if (stack != NULL)
		ASAN_UNPOISON_MEMORY_REGION(stack->base, (size_t)((char *)stack - stack->base));
#endif
	return stack;
}

/* ---- children ---- */

/* clone(2).  The emulation of a kernel may know vfork(2) alone: then the wait has no limit. */
static pid_t clone_child(
	struct vfork_stack *stack, int (*function)(void *), void *argument, int flags, int *pidfd)
{
	size_t size = (size_t)((char *)stack - stack->base);
	char *top = stack->base + (size & ~(size_t)15);
	pid_t pid = -1;

	stack->runs = 1;
	if (known.shared)
		pid = clone(function, top, CLONE_VM | CLONE_CHILD_CLEARTID | flags, argument, pidfd,
			NULL, &stack->runs);
	known.cloned |= pid != -1;
	if (pid != -1)
		return pid;
	known.shared = known.shared && (known.cloned || errno != EINVAL);
	if (!known.shared)
		pid = clone(function, top, CLONE_VM | CLONE_VFORK | flags, argument, pidfd);
	stack->runs = 0;
	return pid;
}

static int note_sharing(void *argument)
{
	*(volatile bool *)argument = true;
	return 0;
}

/* Does a child share our memory?  If not, this is valgrind, which hides the vDSO: so
 * only a process without a vDSO needs a child to find out. */
static void ask_whether_shared(struct vfork_stack *stack)
{
	bool shared = getauxval(AT_SYSINFO_EHDR) != 0;
	pid_t pid;

	if (known.asked)
		return;
	if (!shared) {
		pid = clone_child(stack, note_sharing, &shared, 0, NULL);
		if (pid == -1) /* no process now: ask again at the next call */
			return;
		(void)waitpid(pid, NULL, (int)__WALL);
	}
	known.asked = true;
	known.shared = shared;
}

int vfork_begin(
	struct vfork *child, int (*function)(void *argument), void *argument, int flags, int *pidfd)
{
	sigset_t all;
	sigset_t before;
	int saved;

	sigfillset(&all);
	child->stack = take_stack(child->needed);
	if (child->stack == NULL) {
		errno = EAGAIN;
		return -1;
	}
	if (sigprocmask(SIG_SETMASK, &all, &before) == -1)
		return -1;
	ask_whether_shared(child->stack);
	known.shares_table = (flags & CLONE_FILES) != 0;
	child->pid = clone_child(child->stack, function, argument, flags, pidfd);
	saved = errno;
	child->stack->of = child->pid;
	(void)sigprocmask(SIG_SETMASK, &before, NULL); /* as it was: valid */
	errno = saved;
	return child->pid == -1 ? -1 : 0;
}

static bool has_left(const struct vfork *child)
{
	return child->stack->of != child->pid ||
		__atomic_load_n(&child->stack->runs, __ATOMIC_ACQUIRE) == 0;
}

/* Is the child runnable, and only short of CPU time?  These looks never wait. */
static bool wants_to_run(pid_t pid)
{
	return process_ran(pid) < WORK_MOST && process_is_runnable(pid);
}

/* Time in which the child waits for a CPU does not count: has the child slept for
 * less than its patience? */
static bool has_time_left(pid_t pid, nsec_t work, nsec_t age, nsec_t patience)
{
	return process_ran(pid) < work &&
		(process_is_runnable(pid) || age - process_awake(pid) < patience);
}

/* No call may fail while the child runs: both share one errno. */
bool vfork_wait(struct vfork *child, nsec_t patience)
{
	nsec_t begun = clock_now();
	nsec_t until = begun + patience;
	nsec_t starved = -1; /* nclust itself, when the patience was over */

	/* spin only for a call, not for a program that is started */
	while (child->work > 0 && !has_left(child) && clock_now() < begun + CALL_PROMPT)
		(void)sched_yield();
	while (!has_left(child)) {
		nsec_t now = clock_now();
		const struct timespec left = {
			.tv_sec = (time_t)((until - now) / SECOND),
			.tv_nsec = (long)((until - now) % SECOND),
		};

		if (patience > 0 && now >= until) {
			if (starved == -1)
				starved = process_starved(getpid());
			if (now - (process_starved(getpid()) - starved) > begun + BUSY ||
				!has_time_left(child->pid, child->work > 0 ? child->work : patience,
					now - begun, patience))
				break;
			until = now + MSEC;
			continue;
		}
		(void)syscall(SYS_futex, &child->stack->runs, FUTEX_WAIT, 1,
			patience > 0 ? &left : NULL, NULL, 0);
	}
	return has_left(child);
}

/* The stack is free before the child has closed its descriptors, and close(2) may wait. */
static bool reap_child(struct vfork *child, nsec_t grace)
{
	const struct timespec pause = {.tv_nsec = 50 * 1000};
	nsec_t begun = clock_now();
	nsec_t took = 0;
	nsec_t now;

	/* a child that is a fork, by an emulation, makes no calls that may wait */
	while (took < grace || !known.shared || (took < BUSY && wants_to_run(child->pid))) {
		if (waitpid(child->pid, NULL, WNOHANG | (int)__WALL) != 0)
			return true;
		/* most children have exited by now: a pause costs more than all the rest */
		if (took < PROMPT)
			(void)sched_yield();
		else
			(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
		now = clock_now() - begun;
		/* of a long pause, all beyond MOMENT was our own wait for a CPU */
		if (now >= MOMENT && !wants_to_run(child->pid))
			known.slept += nsec_min(now - took, MOMENT);
		took = now;
	}
	if (waitpid(child->pid, NULL, WNOHANG | (int)__WALL) != 0)
		return true; /* the child was reaped since the last pause */
	child->stack->stuck = child->pid;
	child->stack->blamed = VFORK_SOMEBODY; /* until vfork_blame() */
	child->stack->owner = 0;
	return false;
}

bool vfork_reap(struct vfork *child)
{
	return reap_child(child, EXIT_GRACE);
}

bool vfork_kill(struct vfork *child)
{
	(void)kill(child->pid, SIGKILL); /* a child of ours that is not reaped */
	(void)vfork_wait(child, GRACE);
	return reap_child(child, GRACE);
}

nsec_t vfork_slept(void)
{
	return known.slept;
}

/* ---- patience ---- */

/* The user's entry; else the oldest one, to be reused. */
static struct slow_user *slow_user(uid_t uid)
{
	struct slow_user *found = &known.late[0];

	for (size_t i = 0; i < LATE_USERS; i++) {
		if (known.late[i].since != 0 && known.late[i].uid == uid)
			return &known.late[i];
		if (known.late[i].since < found->since)
			found = &known.late[i];
	}
	return found;
}

static bool is_penalised(const struct slow_user *u)
{
	return u->since != 0 && clock_now() - u->since < CALL_AGAIN;
}

nsec_t vfork_patience(uid_t uid)
{
	const struct slow_user *u = slow_user(uid);

	/* VFORK_SOMEBODY stands for many users, so stuck children do not count against it */
	if (uid != VFORK_SOMEBODY && count_stuck(&uid) >= STUCK_OF_ONE)
		return 0;
	if (uid == geteuid())
		return OWN_PATIENCE;
	if (u->uid != uid || !is_penalised(u))
		return CALL_PATIENCE;
	return u->spent >= CALL_SPENT_MOST && uid != VFORK_SOMEBODY ? 0 : CALL_PATIENCE_AGAIN;
}

static void note_late(uid_t uid, nsec_t waited)
{
	struct slow_user *u = slow_user(uid);

	if (uid == geteuid())
		return;
	if (u->uid != uid || !is_penalised(u))
		*u = (struct slow_user){.uid = uid, .since = clock_now()};
	u->spent += waited;
}

bool vfork_blame(uid_t uid, uint64_t owner)
{
	struct vfork_stack *last = known.last;

	if (last == NULL || last->stuck == 0)
		return false;
	last->blamed = uid;
	last->owner = owner;
	last->since = clock_now();
	return true;
}

void vfork_was_late(uid_t uid, nsec_t waited)
{
	note_late(uid, waited);
	(void)vfork_blame(uid, 0);
}

/* ---- calls in a child ---- */

/* What the child tells of a call. */
struct run {
	const struct vfork_call *call;
	volatile nsec_t done; /* the time when the function returned; or 0 */
	volatile bool slept;
	volatile int got;
	volatile int error;
};

/* Has this thread slept?  One that has not may still have waited for a CPU. */
static bool has_slept(void)
{
	struct rusage use;

	return getrusage(RUSAGE_THREAD, &use) == 0 && use.ru_nvcsw > 0;
}

/* A change of ids makes the memory not dumpable, so that the user cannot read it
 * through the child; but not where fs.suid_dumpable is 1.  There our saved group
 * stays, as ptrace(2) wants all three of both ids.  (Elsewhere it changes: FUSE
 * wants all three as well.) */
gid_t vfork_saved_group(gid_t gid)
{
	char text[8];
	bool dumpable = process_read_path("/proc/sys/fs/suid_dumpable", text, sizeof(text)) > 0 &&
		*text == '1';

	return dumpable ? (gid_t)-1 : gid;
}

/* Set the user's groups too: ours would open files that are closed to the user. */
static int become_user(const struct vfork_user *user)
{
	if (syscall(VFORK_SETGROUPS, user->group_count, user->groups) == -1 ||
		syscall(VFORK_SETRESGID, user->gid, user->gid, vfork_saved_group(user->gid)) ==
			-1 ||
		syscall(VFORK_SETRESUID, user->uid, user->uid, user->uid) == -1)
		return -1;
	return 0;
}

static int run_function(void *argument)
{
	struct run *it = argument;
	const struct vfork_call *call = it->call;

	it->got = -1;
	if ((call->user == NULL || become_user(call->user) == 0) &&
		(call->keep < -1 || vfork_leave_table(call->keep, call->also) == 0))
		it->got = call->function(call->argument);
	it->error = errno;
	it->slept = has_slept();
	it->done = clock_now();
	return 0;
}

/* `patience` 0: for however long it takes. */
int vfork_run_call(const struct vfork_call *call, nsec_t patience)
{
	struct run it = {.call = call, .slept = true};
	nsec_t begun = clock_now();
	struct vfork child = {.work = WORK_MOST, .needed = call->needed};
	int flags = 0;
	bool ended;

	known.left = false;
	known.last = NULL;
	if (call->user == NULL)
		flags = call->keep == VFORK_SHARES ? CLONE_FILES : vfork_table();
	/* no signal at the child's end: no other code shall notice it */
	if (vfork_begin(&child, run_function, &it, flags, NULL) == -1)
		return -1;
	known.last = child.stack;
	known.left = true;
	ended = vfork_wait(&child, patience);
	if (it.slept) { /* the time that it took, without what it ran or waited for a CPU */
		nsec_t took = (it.done != 0 ? it.done : clock_now()) - begun;
		nsec_t awake = process_awake(child.pid);

		if (took > awake)
			known.slept += took - awake;
	}
	if (ended)
		known.left = !vfork_reap(&child);
	else
		(void)vfork_kill(&child);
	errno = it.done != 0 ? it.error : ETIMEDOUT;
	return it.done != 0 ? it.got : -1;
}

int vfork_make_call(const struct vfork_call *call, uid_t uid, nsec_t patience)
{
	nsec_t begun = clock_now();
	int got = -1;

	known.left = false;
	errno = ETIMEDOUT;
	if (patience > 0)
		got = vfork_run_call(call, patience);
	if (known.left)
		vfork_was_late(uid, clock_now() - begun);
	return got;
}

int vfork_run(int (*function)(void *argument), void *argument, nsec_t patience)
{
	const struct vfork_call call = {function, argument, NULL, VFORK_SHARES, -1, false};

	return vfork_run_call(&call, patience);
}

int vfork_table(void)
{
	/* close_range(2) from a number beyond all descriptors: this tests only whether the call
	 * exists */
	if (!known.tabled)
		known.table = trycall(SYS_close_range, ~0U, ~0U, 0U) == 0 ? CLONE_FILES : 0;
	known.tabled = true;
	return known.table;
}

bool vfork_left(void)
{
	return known.left;
}

bool vfork_stays(nsec_t patience)
{
	const struct timespec pause = {.tv_nsec = MSEC};
	nsec_t until = clock_now() + patience;

	while (known.last != NULL && !is_free(known.last)) {
		if (clock_now() >= until)
			return true;
		(void)clock_nanosleep(CLOCK_MONOTONIC, 0, &pause, NULL);
	}
	return false;
}

int vfork_leave_table(int keep, int also)
{
	int first = keep < also ? keep : also;
	int last = keep < also ? also : keep;

	if (trycall(SYS_close_range, (unsigned)(last + 1), ~0U, CLOSE_RANGE_UNSHARE) == -1 &&
		(known.shares_table || descriptors_close((unsigned)(last + 1), ~0U) == -1))
		return -1;
	if (last - first > 1)
		(void)descriptors_close((unsigned)first + 1, (unsigned)last - 1);
	if (first > 0)
		(void)descriptors_close(0, (unsigned)first - 1);
	return 0;
}

#define DIRECTORIES ((uid_t)-2) /* in place of a uid: calls in directories */

bool vfork_is_shared(void)
{
	struct vfork_stack *stack = known.asked ? NULL : take_stack(true);

	if (stack != NULL)
		ask_whether_shared(stack);
	return known.shared;
}

bool vfork_calls(void)
{
	return !known.calls && privilege_has(CAP_SETUID) && vfork_is_shared();
}

/* In place of a uid: the inode of the socket, with a bit that no uid has set. */
static uid_t key_of(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 ? (uid_t)st.st_ino | 0x80000000U : VFORK_SOMEBODY;
}

/* `patient`: a disk may be slow. */
static int call_in_child(uid_t who, int (*function)(void *argument), void *argument, int keep,
	int also, bool patient)
{
	/* close(2) must run even if the user has used up the patience */
	const bool needed = keep == VFORK_SHARES || patient;
	const struct vfork_call call = {function, argument, NULL, keep, also, needed};
	nsec_t patience;
	nsec_t begun;
	int got;

	if (!vfork_calls()) /* also if this is such a child */
		return function(argument);
	patience = vfork_patience(who);
	if (patient && patience > CALL_PATIENCE_AGAIN)
		patience = DIRECTORY_PATIENCE;
	else if (keep >= 0 && patience > vfork_patience(VFORK_SOMEBODY))
		patience = vfork_patience(VFORK_SOMEBODY);
	if (patience == 0 && needed)
		patience = CALL_PATIENCE_AGAIN;
	begun = clock_now();
	known.calls = true;
	got = vfork_make_call(&call, who, patience);
	known.calls = false;
	if (known.left && keep >= 0 && !patient)
		note_late(VFORK_SOMEBODY, clock_now() - begun);
	return got;
}

int vfork_call(int (*function)(void *argument), void *argument)
{
	return call_in_child(VFORK_SOMEBODY, function, argument, VFORK_SHARES, -1, false);
}

int vfork_call_through(int fd, int channel, int (*function)(void *argument), void *argument)
{
	return call_in_child(key_of(fd), function, argument, fd, channel, false);
}

int vfork_call_on(int fd, int (*function)(void *argument), void *argument)
{
	return call_in_child(key_of(fd), function, argument, fd, fd, false);
}

int vfork_call_in(int keep, int (*function)(void *argument), void *argument)
{
	return call_in_child(DIRECTORIES, function, argument, keep, keep, true);
}

int vfork_syscall(void *argument)
{
	const struct vfork_syscall *s = argument;

	return (int)syscall(s->number, s->args[0], s->args[1], s->args[2], s->args[3], s->args[4]);
}

int vfork_call_alone(uid_t uid, int (*function)(void *argument), void *argument)
{
	return call_in_child(uid, function, argument, -1, -1, false);
}

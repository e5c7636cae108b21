/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Fields of /proc/PID/stat; one open, one read; takes no memory and no lock. */
struct process_facts {
	char state; /* R S D T t Z and others of proc(5) */
	pid_t parent;
	pid_t session;
	nsec_t cpu;     /* user and system time used */
	nsec_t reaped;  /* CPU time of its children that it has waited for */
	size_t rss;     /* bytes */
	uint64_t start; /* clock ticks since boot: with the pid, the process's identity */
	int exit_code;  /* of a zombie, as wait(2) has it; 0 also if unknown */
};
int process_look(pid_t pid, struct process_facts *facts); /* -1 and errno */

/* Open the file /proc/PID/NAME, CLOEXEC.  -1 and errno. */
int process_open(pid_t pid, const char *name, int flags);
/* Read the beginning of a small file as a string: /proc/PID/FILE, or the file of
 * that path.  Returns its length, or -1 and errno (ENOENT: no process has that
 * number, such as 0).  Takes no memory and no lock. */
ssize_t process_read(pid_t pid, const char *file, char *to, size_t size);
ssize_t process_read_path(const char *path, char *to, size_t size);
/* The same for a symbolic link of /proc/PID, such as "exe" or "cwd"; a target that does not fit is
 * cut. */
ssize_t process_link(pid_t pid, const char *name, char *to, size_t size);

/* The CPU time that the process's threads have used so far, in nanoseconds: if it
 * has not changed, the process has not run.  Much cheaper than process_look().  0:
 * unknown. */
nsec_t process_ran(pid_t pid);
/* The same for the main thread alone, plus its time of waiting for a CPU; also if it
 * has ended and is not reaped. */
nsec_t process_awake(pid_t pid);
/* For how long the main thread has waited for a CPU so far. */
nsec_t process_starved(pid_t pid);

/* How many threads of the machine want a CPU now, for each CPU that there is; at least 1. */
unsigned process_crowd(void);

/* The state of the thread as ps(1) shows it; '\0': it has ended, or must not be
 * looked at.  This look never waits. */
char process_state(pid_t tid);
/* Does the thread run, or would it if it had a CPU?  This neither. */
bool process_is_runnable(pid_t tid);

/* The process's name as ps(1) shows it, harmless on a terminal; "a process" where it
 * cannot be read.  Returns `to`. */
#define PROCESS_NAME 48
const char *process_name(pid_t pid, char to[PROCESS_NAME]);

/* Visit the threads of a process by their numbers, or, where `pid` is 0, all
 * processes of /proc, until `look` returns true.  Returns how many were visited, or
 * -1 and errno.  Takes no memory and no lock. */
typedef bool process_visit(void *context, pid_t id);
long process_each(pid_t pid, process_visit *look, void *context);
/* The same for the entries of an open directory of /proc that are numbers; `dir` -1: -1. */
long process_each_in(int dir, process_visit *look, void *context);

/* Are all threads of the process stopped, or has it ended? */
bool process_is_stopped(pid_t pid);

/* Does the process end just now?  It may already be without memory and environment while the
 * kernel frees these; its children become nclust's only when it has ended. */
bool process_is_ending(pid_t pid);

/* The first number behind a key of /proc/PID/status, such as "CapEff:"; takes no
 * memory and no lock.  0, or -1. */
int process_status(pid_t pid, const char *key, int base, uint64_t *value);

/* Has the process a handler for that signal?  In doubt: no. */
bool process_catches(pid_t pid, int signal);
/* Will a stopped process die of the signal, which was sent to it, when it is continued? */
bool process_dies_of(pid_t pid, int signal);

/* The process's resident anonymous and shared memory, in bytes, without files; and
 * its share of that, if other processes have the same pages, for which the kernel
 * walks through all pages.  0: unknown. */
uint64_t process_memory(pid_t pid);
uint64_t process_memory_share(pid_t pid);

/* The bytes that the process has read, but not by recv(2), and written so far.  0: unknown. */
uint64_t process_io(pid_t pid);

/* Our own children: pids into `list`, up to `most`; returns how many children we
 * have (may be more), or -1 where the kernel has no children file. */
long process_children(pid_t *list, size_t most);

/* The process, its children, their children and so on: pids into `list`, the process
 * first, up to `most`; returns how many.  Only the process itself if the kernel has
 * no children files. */
size_t process_tree(pid_t pid, pid_t *list, size_t most);
/* So many processes of a worker are looked at. */
#define PROCESS_TREE_MOST 256

/* ---- pidfd ---- */

/* How a process ended. */
struct pidfd_end {
	bool signalled;
	int code; /* exit status, or signal */
	bool core_dumped;
};

/*
 * A pidfd: CLOEXEC; or -1 and errno.  Where pidfd_open(2) is refused, pidfd_to_watch() fails, and
 * pidfd_of() returns the process's directory in /proc, which pidfd_pid(), pidfd_has_ended() and
 * pidfd_signal() take as well, but which cannot be watched.
 */
int pidfd_to_watch(pid_t pid);
int pidfd_of(pid_t pid);
bool pidfd_is_directory(int pidfd);
pid_t pidfd_fork(int *pidfd); /* fork(2); its pidfd for the parent */
pid_t pidfd_pid(int pidfd);   /* -1: the process was reaped */
/* -1 and errno.  Where pidfd_send_signal(2) is refused: kill(2) by number. */
int pidfd_signal(int pidfd, int signal);

/* Signal the main thread of a stopped process, unless the thread blocks the signal.
 * When a stopped process continues, any thread may take a signal that was sent to
 * the whole process; the kernel prefers the main thread only of a process that runs.
 * A program whose handlers run in its main thread alone, such as Python, would sleep
 * on.  Before Linux 6.9 a process that is no child of ours does (only a child keeps its
 * pid until we reap it). */
int pidfd_signal_main(int pidfd, pid_t pid, int signal);

/* Send to the whole process group that the process leads.  With
 * PIDFD_SIGNAL_PROCESS_GROUP (Linux 6.9) by pidfd; else kill(-pid), which is
 * safe only while the leader is not reaped: the caller guarantees that. */
int pidfd_signal_group(int pidfd, pid_t pid, int signal);

/* Has the process ended, our child or not?  In doubt: no. */
bool pidfd_has_ended(int pidfd);
/* Has our child ended?  1: yes, and *end is filled; 0: no; -1: errno.  Does not
 * reap it (WNOWAIT): its group may still be signalled. */
int pidfd_peek(int pidfd, struct pidfd_end *end);
int child_peek(pid_t pid, struct pidfd_end *end); /* pidfd_peek() by number */
/* pidfd_peek(), and reap the child. */
int pidfd_reap(int pidfd, struct pidfd_end *end);

/* Does the pidfd refer to our child `pid`, which may have ended?  False: errno, or
 * 0. */
bool pidfd_is_child(int pidfd, pid_t pid);

/* Is the process, our child or not, stopped right now, with all of its threads?  1, 0, or -1
 * and errno.  Leaves the notice for others (WNOWAIT). */
int pidfd_is_stopped(int pidfd);

/* How did a process end that is not our child, and was started at `start`
 * (process_facts.start)?  1: `end` is filled; 0: the process lives; -1: it has
 * ended, but the kernel does not tell how (before Linux 6.15, once it is reaped). */
int pidfd_look(int pidfd, pid_t pid, uint64_t start, struct pidfd_end *end);

/* The pid of any ended child, without reaping it; 0: none has ended; -1 and errno
 * (ECHILD: no children at all). */
pid_t child_peek_any(void);
int child_reap(pid_t pid); /* a child that child_peek_any() has returned */
/* A thread or process has stopped because it asked nclust to trace it: end the
 * tracing.  All functions of this file that look for an end do that too. */
void child_let_go(pid_t pid);

/* ---- environ ---- */

/*
 * Look up a variable in the environment that a process was started with
 * (/proc/PID/environ, which requires the rights of ptrace(2)).  The process can
 * have changed these pages, and can make reading them block.
 */
struct environ_look {
	pid_t pid;
	char key[32];
	char value[4200]; /* a longer one is cut */
};

/* Fill in the value of a struct environ_look; to be called by remote_run().  0; -1
 * and errno: ENOENT: the process has no such variable, or is gone; EAGAIN: the
 * process is in execve(2), look again soon; else the environment cannot be read. */
int environ_find(void *look);

/* ---- disposition ---- */

/* Reset the dispositions of all signals to their default, also of those that glibc keeps
 * for itself (32 and 33: a caller can have left them ignored).  Safe between clone and exec.
 * 0, or -1 and errno. */
int disposition_reset(void);

/* ---- memory ---- */

/* Give back memory that only the start needed: freed heap, unused stack, and pages
 * of code and constants, which the kernel maps again from its cache when they are
 * used.  For a process that will run for long and do little. */
void memory_settle(void);

/* ---- affinity ---- */

/* How many CPUs this process may run on; at least 1. */
unsigned affinity_count(void);
/* How many it may use, by the quota of its cgroup, too. */
unsigned affinity_usable(void);

/* Where a CPU is.  `core`: the lowest usable CPU of the same core; `thread`: how
 * many usable CPUs of that core come before this CPU. */
struct affinity_cpu {
	unsigned cpu;
	unsigned node;
	unsigned core;
	unsigned thread;
};
/* Look up where the CPUs of the list are, whose `cpu` is set, ascending.  `root` is
 * "" in earnest; tests give a directory with a copy of /sys beneath it.  A CPU of
 * which nothing can be read (an old kernel, a CPU just taken offline) counts as a
 * core of its own, on node 0. */
void affinity_locate(const char *root, struct affinity_cpu *list, unsigned count);
/*
 * Sort the CPUs so that the first ones of the list interfere least: each core's
 * first thread before its second, and of each kind all of one NUMA node before
 * the next node's.  `whole`: the caller will use all CPUs, so sort node by node
 * and core by core.
 */
void affinity_sort(struct affinity_cpu *list, unsigned count, bool whole);

/* A CPU set (heap, CPU_ALLOC) of `count` CPUs of those that nclust may use, sorted, beginning
 * with number `first`, modulo their number.  NULL: out of memory, or the kernel does not tell
 * which these are. */
cpu_set_t *affinity_some(unsigned first, unsigned count, bool whole, size_t *size);

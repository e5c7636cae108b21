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

/* ---- disposition ---- */

/* Reset the dispositions of all signals to their default, also of those that glibc keeps
 * for itself (32 and 33: a caller can have left them ignored).  Safe between clone and exec.
 * 0, or -1 and errno. */
int disposition_reset(void);

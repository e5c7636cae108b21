/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

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

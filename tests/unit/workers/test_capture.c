/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "os/look/remote.h"
#include "supervisor/workers/capture.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The output of a worker that an earlier nclust has left. */

ROOM_HEARS(NULL)

REPLACED(int, remote_fd)(struct remote *r, int fd)
{
	char path[40];

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)r->tid, fd);
	return open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
}

/* A worker with these two for its output. */
static pid_t worker(int out, int error)
{
	int ready[2];
	char byte = 0;
	pid_t pid;

	ck_assert_int_eq(pipe(ready), 0);
	pid = fork();
	if (pid == 0) {
		if (dup2(out, 1) == 1 && dup2(error, 2) == 2)
			(void)!write(ready[1], &byte, 1);
		for (;;)
			(void)pause();
	}
	(void)close(ready[1]);
	ck_assert_int_eq(read(ready[0], &byte, 1), 1);
	(void)close(ready[0]);
	return pid;
}

static void end_worker(pid_t pid)
{
	(void)kill(pid, SIGKILL);
	(void)waitpid(pid, NULL, 0);
}

TEST(nothing_but_a_pipe_is_kept_of_a_worker)
{
	struct child child = {.output = {-1, -1}};
	char path[40];
	int ends[2];
	int both;
	int sockets[2];

	ck_assert_int_eq(pipe(ends), 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", ends[1]);
	both = open(path, O_RDWR);
	ck_assert_int_ne(both, -1);
	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, sockets), 0);
	child.pid = worker(sockets[0], both);
	capture_reopen(&child);
	ck_assert_int_eq(child.output[0], -1);
	ck_assert_int_eq(write(both, "x", 1), 1);
	ck_assert_int_eq(read(child.output[1], path, sizeof(path)), 1);
	end_worker(child.pid);
	(void)close(child.output[1]);
	(void)close(sockets[0]);
	(void)close(sockets[1]);
	(void)close(both);
	(void)close(ends[0]);
	(void)close(ends[1]);
}

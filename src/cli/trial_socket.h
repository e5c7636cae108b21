/* SPDX-License-Identifier: MIT */
#ifndef CLI_TRIAL_SOCKET_H
#define CLI_TRIAL_SOCKET_H

#include "base/nsec.h"
#include "os/socket/endpoint.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The sockets that a worker waits at for others to come: those that listen, and
 * UDP sockets at a port of somebody's choice.  Found in /proc, so that it is seen
 * whoever made them, and in whichever way.
 */
#define HELD_MAX 32
#define HELD_TEXT 128

enum held_kind { HELD_TCP, HELD_UDP, HELD_UNIX };

struct held_socket {
	enum held_kind kind;
	uint64_t inode;
	union endpoint at;
	socklen_t size;
	char text[HELD_TEXT]; /* "tcp:0.0.0.0:80", "unix:/run/x" */
	pid_t pid;            /* one that holds it … */
	int fd;               /* … and its number there */
};

/* A file that is open for writing, but for a database. */
#define HELD_FILES 8
#define HELD_PATH 240
struct held_file {
	char path[HELD_PATH];
	uint64_t inode;
	bool appends;
};

/* Of a process and of all in its session. */
struct held {
	struct held_socket list[HELD_MAX];
	size_t count;
	unsigned processes;
	unsigned threads; /* of the one that has the most … */
	unsigned running; /* … and of the one of which the most compute */
	nsec_t cpu;       /* that they have used, all together */
	/* What keeps its state in itself: "redis-server", or the path of a
	 * database file that is open; "": nothing that is known. */
	char store[HELD_TEXT];
	struct held_file files[HELD_FILES];
	size_t file_count;
};

void held_look(struct held *held, pid_t leader);

const struct held_socket *held_by_inode(const struct held *held, uint64_t inode);
/* The one of another worker that has the same address. */
const struct held_socket *held_alike(const struct held *held, const struct held_socket *socket);

const struct held_file *held_file(const struct held *held, const char *path);

/* What is notable of it, such as "backlog 5, SO_REUSEPORT"; "": nothing, or it
 * cannot be looked at.  Returned. */
const char *held_options(const struct held_socket *socket, char *to, size_t size);

/* Has the path the number of its process in it: no other has that one. */
bool held_is_private(const struct held_socket *socket);
/* Has the other worker one of its own in its place: a path that differs from copy
 * to copy? */
bool held_has_own(
	const struct held *held, const struct held *other, const struct held_socket *socket);

/* Connect to it, from this machine: nonblocking, and done at once or refused.
 * The descriptor, or -1 and errno. */
int held_visit(const struct held_socket *socket);

#endif

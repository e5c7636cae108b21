/* SPDX-License-Identifier: MIT */
#ifndef CLI_HELD_H
#define CLI_HELD_H

#include "base/nsec.h"
#include "cli/trial.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * What a worker on trial has open: the sockets at which others can reach it (those that
 * listen, and UDP sockets at a port that the kernel did not choose), the files that it
 * writes to, and its threads.
 */
#define HELD_MAX 32
#define HELD_TEXT 128

struct held_socket {
	uint64_t inode;
	char text[HELD_TEXT]; /* "tcp:0.0.0.0:80", "unix:/run/x" */
	unsigned port;        /* of TCP; 0: it is no TCP socket */
	bool datagrams;
	char options[48]; /* what is notable, such as "backlog 5, SO_REUSEPORT" */
};

/* A file that is open for writing. */
#define HELD_FILES 8
#define HELD_PATH 240
struct held_file {
	char path[HELD_PATH];
	uint64_t inode;
	bool appends;
};

/* Of a process and of all in its session. */
struct held {
	struct held_socket list[HELD_MAX]; /* in the order of their descriptors */
	size_t count;
	unsigned processes;
	unsigned threads; /* of the process that has the most … */
	unsigned running; /* … and those that compute, of the process with most of these */
	nsec_t cpu;       /* that they have used, all together */
	/* What keeps its state in itself: "redis-server", or the path of a
	 * database file that is open; "": nothing that is known. */
	char store[HELD_PATH];
	struct held_file files[HELD_FILES];
	size_t file_count;
};

/* A socket that is one of the listeners of the trial gets the address of that listener. */
void held_look(struct held *held, const struct trial *t, pid_t leader);

const struct held_socket *held_by_inode(const struct held *held, uint64_t inode);
/* The socket at the same address, of another worker. */
const struct held_socket *held_alike(const struct held *held, const struct held_socket *socket);
const struct held_file *held_file(const struct held *held, const char *path);

/* Connect to an address, "tcp:*:80", from this machine.  The descriptor; -1: it was refused,
 * or waits for more than 1 s. */
int held_visit(const char *address);

#endif

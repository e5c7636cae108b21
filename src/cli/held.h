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
 * What a worker of doctor's trial holds open.  Clients reach the worker at its sockets: those
 * that listen, and UDP sockets at a port that the kernel did not choose.  Beside them are the
 * files that the worker writes to, and its threads.
 */
#define HELD_MAX 32
#define HELD_TEXT 128

struct held_socket {
	uint64_t inode;
	char text[HELD_TEXT]; /* "tcp:0.0.0.0:80", "unix:/run/x" */
	unsigned port;        /* of TCP; 0: not a TCP socket */
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

/* Of a process and all processes of its session. */
struct held {
	struct held_socket list[HELD_MAX]; /* in the order of their descriptors */
	size_t count;
	unsigned processes;
	unsigned threads; /* of the process that has the most threads */
	unsigned running; /* threads that compute, of the process with most of these */
	nsec_t cpu;       /* CPU time that all these processes have used */
	/* The program that keeps its data in itself: "redis-server", or the path of
	 * a database file that is open; "": none that is known. */
	char store[HELD_PATH];
	struct held_file files[HELD_FILES];
	size_t file_count;
};

/* Fill in what the session of `leader` has open.  A socket that is a listener of the trial gets
 * the address of that listener. */
void held_look(struct held *held, const struct trial *t, pid_t leader);

const struct held_socket *held_by_inode(const struct held *held, uint64_t inode);
/* The socket of another worker at the same address. */
const struct held_socket *held_alike(const struct held *held, const struct held_socket *socket);
const struct held_file *held_file(const struct held *held, const char *path);

/* Connect to an address, "tcp:*:80", from this machine.  Returns the descriptor; -1:
 * refused, or no answer for 1 s. */
int held_visit(const char *address);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef OS_LEAST_H
#define OS_LEAST_H

#include "os/socket/reuseport.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * A program in the kernel that gives a new connection of a group (reuseport.h) to
 * the member that has the least to do: one where somebody waits for connections
 * and none is on its way; else the one with the shortest queue, and of equal ones
 * the one that has been busy longest, unless that is very long.  A
 * member that is marked as stuck gets none until somebody waits there again,
 * unless all are.
 *
 * It follows pointers of the kernel (bpf_probe_read_kernel()) from the socket to
 * those that wait for it, in accept(2), poll(2) or epoll_wait(2).  This requires
 * CAP_BPF and CAP_PERFMON, Linux 5.14, its BTF, and no seccomp filter or lockdown
 * against it.
 *
 * Each member has a number below REUSEPORT_MAX, which is not its place.  Connections
 * that wait in a member which leaves, or stops listening, go to others.
 */
struct least_state { /* shared with the kernel */
	uint64_t turn;
	uint64_t none;                 /* more than any member can have to do */
	uint64_t since[REUSEPORT_MAX]; /* the last one it got */
	uint32_t given[REUSEPORT_MAX]; /* how many it got */
	uint32_t count;                /* members to choose from … */
	uint32_t rung;                 /* the bell has */
	uint8_t number[REUSEPORT_MAX]; /* … and which */
	uint8_t stuck[REUSEPORT_MAX];
};

struct least {
	int members; /* BPF_MAP_TYPE_REUSEPORT_SOCKARRAY */
	int map;     /* of `state` */
	int program;
	/* Readable once a member that was busy got a connection, because all are;
	 * again after least_hear(), and `rung` set to 0. */
	int bell;
	struct least_state *state;
	void *heard; /* a page of the bell's */
};

/* -1 and errno: EPERM without the rights. */
int least_open(struct least *l);
void least_close(struct least *l);

/* Make a listening socket of the group a member; it may be one already.  EBUSY: it
 * is in another such struct's map, which lives until its program was replaced. */
int least_add(const struct least *l, int fd, unsigned number);
/* Choose among those members from now on; `fd` is one of the group. */
int least_choose(
	const struct least *l, int fd, const uint8_t *numbers, unsigned count);
void least_hear(const struct least *l);

#endif

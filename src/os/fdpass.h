/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* What one message can bring (SCM_MAX_FD of linux/include/net/scm.h). */
#define FDPASS_MOST 253

/* One datagram (or packet) with its sender and its descriptors. */
struct fdpass_message {
	ssize_t len; /* of the data; larger than the buffer: the data were cut */
	bool cut;
	bool has_cred;
	struct ucred cred;    /* SCM_CREDENTIALS, if SO_PASSCRED is on; or 0 */
	int fds[FDPASS_MOST]; /* CLOEXEC; the caller's to close */
	size_t fd_count;
	bool lost; /* not all descriptors were taken */
};

/* Receive without blocking.  1: a message; 0: none now; -1: errno; a closed
 * SEQPACKET peer: 1 with len 0. */
int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m);
/* Peek at the next message, which stays in the queue: its data and its sender. */
int fdpass_look(int fd, void *data, size_t size, struct fdpass_message *m);
/* Read from a stream, as read(2), with the descriptors of one message at most: what
 * was sent before it may come along, what was sent after it does not. */
ssize_t fdpass_read(int fd, void *data, size_t size, struct fdpass_message *m);
/*
 * The same calls for a sender with fewer rights than nclust: close(2) of a
 * descriptor that it sends may never return.  So a child receives the descriptors
 * and exits with them (the child may hang), or, as `take` says, nobody does.
 */
enum fdpass_take {
	FDPASS_NOTHING,
	FDPASS_LEAVE, /* leave a message with descriptors in the queue: EBUSY */
};
int fdpass_receive_apart(
	int fd, void *data, size_t size, enum fdpass_take take, struct fdpass_message *m);
ssize_t fdpass_read_apart(
	int fd, void *data, size_t size, enum fdpass_take take, struct fdpass_message *m);

/* Close the descriptors of the message, except those that are -1. */
void fdpass_drop(struct fdpass_message *m);
/* Send one packet with up to FDPASS_MOST descriptors, without blocking and without
 * SIGPIPE; the descriptors stay the caller's.  0, or -1 and errno. */
int fdpass_send(int fd, const void *data, size_t len, const int *fds, size_t fd_count);
/* The same, but wait for a receiver that takes no more, for a second each time. */
int fdpass_send_patiently(int fd, const void *data, size_t len, const int *fds, size_t fd_count);
/* Senders of descriptors to this socket, or to one that it accepts, get EPERM from
 * now on (SO_PASSRIGHTS of unix(7), Linux 6.16).  Does nothing on older kernels. */
void fdpass_refuse(int fd);
/* 0: fdpass_refuse() was called and is in force; 1: it was not; -1: an older kernel. */
int fdpass_passes(int fd);
/* write(2), never blocking, without SIGPIPE; `passed` (or -1) was sent if a byte
 * was, and stays the caller's. */
ssize_t fdpass_write(int fd, const void *data, size_t len, int passed);
/* A pair of stream sockets: ours, which does not block, and another process's; CLOEXEC. */
int fdpass_pair(int *ours, int *theirs);

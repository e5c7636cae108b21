/* SPDX-License-Identifier: MIT */
#ifndef OS_FDPASS_H
#define OS_FDPASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/types.h>

/* One datagram (or packet) with its sender and its descriptors. */
struct fdpass_message {
	ssize_t len; /* of the data; may be more than the buffer: cut */
	bool cut;
	bool has_cred;
	struct ucred cred; /* SCM_CREDENTIALS, if SO_PASSCRED is on */
	int fds[8];        /* CLOEXEC; the caller's to close; more are closed */
	size_t fd_count;
};

/* Receive without blocking.  1: a message; 0: none now; -1: errno; a closed
 * SEQPACKET peer: 1 with len 0. */
int fdpass_receive(int fd, void *data, size_t size, struct fdpass_message *m);
/* Send one packet with up to 8 descriptors, without blocking and without
 * SIGPIPE; the descriptors stay the caller's.  0, or -1 and errno. */
int fdpass_send(
	int fd, const void *data, size_t len, const int *fds, size_t fd_count);
/* Read from a stream, as read(2), with at most one descriptor, which comes with
 * the first byte that was sent with it: a read ends before the bytes of the
 * next descriptor.  *passed is -1 or the caller's (CLOEXEC); *lost: one came
 * that could not be received (no room for it, or there were more). */
ssize_t fdpass_read(int fd, void *data, size_t size, int *passed, bool *lost);
/* As write(2), never blocking, without SIGPIPE; `passed` (or -1) was sent if a
 * byte was, and stays the caller's. */
ssize_t fdpass_write(int fd, const void *data, size_t len, int passed);
/* A pair of streams: ours, which does not block, and another's; CLOEXEC. */
int fdpass_pair(int *ours, int *theirs);

#endif

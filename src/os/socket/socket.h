/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

/* A listening (or, for UDP, bound) socket, as a plan. */
struct socket_plan {
	int family; /* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: dual
				stack, 0.0.0.0 where v6 is missing */
	int type;   /* SOCK_STREAM, SOCK_DGRAM; unix: SOCK_SEQPACKET, too */
	uint8_t ip[16];
	uint32_t scope_id;
	uint16_t port;     /* host order */
	const char *path;  /* unix; '@' first: abstract */
	int backlog;       /* -1: somaxconn */
	int mode;          /* unix; -1: by umask */
	long owner, group; /* unix; -1: ours */
	int v6only;        /* -1: 0 for AF_UNSPEC, else the system's */
	const char *interface;
	bool freebind;
	int defer_accept; /* seconds; -1 */
	bool nonblock;
	bool nodelay;
	int keepalive;      /* seconds; 0: off; -1: as the system says */
	int fastopen;       /* 0: off */
	uint32_t mark;      /* 0: none */
	int rcvbuf, sndbuf; /* -1: the system's */
	const char *text;   /* the address, for messages */
};

/*
 * Open, set, bind and listen; CLOEXEC, SO_REUSEADDR.  A unix path: a stale socket
 * is replaced once connect(2) has proved it dead, a live one is refused
 * (EADDRINUSE), a file that is no socket is never touched; paths too long for
 * sun_path go through /proc/self/fd.  Mode and owner are right from the first
 * moment that the path exists.  *made (dev, ino) identifies the file.  Returns
 * the descriptor, or -1 with `err`.
 */
struct socket_file {
	dev_t dev;
	ino_t ino; /* 0: no file */
	uid_t uid; /* names are made and removed with the rights of this user; 0: nclust's */
	gid_t gid;
	unsigned number; /* of the worker that has bound it; 0: nclust has */
};
int socket_open(const struct socket_plan *plan, struct socket_file *made, struct error *err);

/* Is the descriptor, which came from another process, a socket; of which type, and
 * listening?  -1 and `err`. */
struct socket_facts {
	int family;
	int type;
	bool listening;
	uint16_t port;  /* 0: no port */
	char text[128]; /* "tcp:127.0.0.1:80", "unix:/run/x" */
};
int socket_look(int fd, struct socket_facts *facts, struct error *err);

/* Socket options that are numbers.  0, or -1 and errno; then *value is 0. */
int socket_get(int fd, int level, int option, int *value);
int socket_option(int fd, int level, int option); /* 0: the socket has no such option */
int socket_set(int fd, int level, int option, int value);
/*
 * The functions below take the socket's lock, which a worker that has the socket
 * can hold for ever; where need be a child makes the calls (vfork.h).  The
 * socket's own address and the other end's (0: unknown); and accept4(2),
 * nonblocking: how many of at most `most` connections were put into `to`, or -1
 * and errno (ETIMEDOUT).
 */
union endpoint;
socklen_t socket_own(int fd, union endpoint *at);
socklen_t socket_other(int fd, union endpoint *at);
int socket_accept(int fd, int *to, int most);
/* Change the backlog of a listening socket. */
int socket_backlog(int fd, int backlog);
/* listen(2) on a socket that no other process has yet. */
int socket_listen(int fd, int backlog);
/* Stop listening, for all processes that have the socket. */
void socket_stop_listening(int fd);
/* Make a socket listen again after a shutdown(2).  -1 and errno. */
int socket_revive(int fd, int backlog);
/* Let a datagram socket receive from all peers again, not only from the one it is
 * connected to.  1: it was connected; 0; -1 and errno. */
int socket_disconnect(int fd);
int socket_set_nonblock(int fd, bool on);

/* SO_COOKIE: unique since boot; 0: unknown. */
uint64_t socket_cookie(int fd);

/* SO_PEERCRED; and whether gid is among the peer's groups (SO_PEERGROUPS). */
int socket_peer(int fd, struct ucred *cred);
bool socket_peer_in_group(int fd, gid_t gid);

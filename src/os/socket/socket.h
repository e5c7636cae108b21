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

/* Remove the file if the path still leads to it (socket_unix.h).  -1: the file stays,
 * because another process holds the directory, or its file system keeps us waiting. */
int socket_unlink(const char *path, const struct socket_file *made);

/* Does the path lead to the file that nclust made?  0: yes; 1: it was removed, and
 * has its name again; -1 and errno; ENOENT: the file is gone, or dead; EEXIST: another file
 * has the name. */
int socket_keep_name(const char *path, const struct socket_file *made);
/* Remove the name alone, if it leads to that file.  1: it did; 0: no; -1 and errno. */
int socket_take_name(const char *path, const struct socket_file *made);
/* Let an inotify instance report when a name of the file is removed or made (IN_ATTRIB), of
 * whatever directory, as long as the file is there. */
void socket_watch_names(const char *path, const struct socket_file *made, int inotify);
/* Connect to the socket whose file that is, with the rights of its user.  -1 and errno; ESTALE:
 * another file has the name. */
int socket_connect_name(int fd, const char *path, const struct socket_file *made);
/* Has another file that name?  In doubt: no. */
bool socket_is_replaced(const char *path, const struct socket_file *made);

/* Give a spare name, by which nclust can keep it, to the file of a socket that a process of
 * this user has bound, and belongs to the user (root: to anybody).  *found has the number, and the
 * file's dev and ino (ino 0: unknown).  -1 and errno. */
struct vfork_user;
int socket_spare_name(const char *path, const struct vfork_user *user, struct socket_file *found);

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

/*
 * A unix stream or datagram socket bound to `name` in a directory: for control
 * and notify.  Created with `mode` and owned by uid:gid (-1: ours).  SO_PASSCRED
 * for datagrams.  Nonblocking, CLOEXEC.  An existing file is replaced: the caller
 * holds the lock.
 */
int socket_open_at(
	int dirfd, const char *name, int type, mode_t mode, long uid, long gid, struct error *err);
/* The same without a directory: a datagram socket with an abstract name that the
 * kernel chooses. */
int socket_open_nowhere(struct error *err);
/* A datagram socket (blocking, CLOEXEC) that is connected to that bound one of ours. */
int socket_connect_self(int fd, struct error *err);
/* The socket's name as sd_notify(3) wants it, "@NAME"; -1: it has none. */
int socket_own_name(int fd, char *text, size_t size);
/* Connect to `name` in a directory (SOCK_STREAM or SOCK_SEQPACKET; blocking, CLOEXEC).
 * EAGAIN when connect(2), or later a send(2), has made no progress for 10 s. */
int socket_connect_at(int dirfd, const char *name, int type, struct error *err);
/* A datagram socket connected to a unix path ('@': abstract), for sd_notify(3);
 * CLOEXEC, the caller's. fdpass_send() on it fails with EAGAIN while the receiver's
 * queue is full, and poll(2) reports when there is room.  -1 and errno. */
int socket_connect_datagrams(const char *path);

/* SO_COOKIE: unique since boot; 0: unknown. */
uint64_t socket_cookie(int fd);

/* SO_PEERCRED; and whether gid is among the peer's groups (SO_PEERGROUPS). */
int socket_peer(int fd, struct ucred *cred);
bool socket_peer_in_group(int fd, gid_t gid);

/* ---- socket options ---- */

/* The options that a program has set on a socket before it binds it.  A socket that
 * replaces this one must have them, too: accepted connections inherit some. */
enum { SOCKET_OPTIONS = 27 };

struct socket_options {
	struct {
		uint32_t data[4]; /* as getsockopt(2) gave it */
		uint32_t size;    /* 0: the socket has no such option */
	} list[SOCKET_OPTIONS];
	bool nonblock; /* O_NONBLOCK of the file description */
};

void socket_options_read(struct socket_options *options, int fd);

/* Set on `fd` the options that differ between `before` and `now`.  The others are
 * left, because users of `fd` may have changed them since.  An option that the
 * kernel refuses (it may require privilege) stays unchanged. */
void socket_options_follow(
	int fd, const struct socket_options *before, const struct socket_options *now);

bool socket_has_reuseport(int fd);
int socket_set_reuseport(int fd, bool on);

/* ---- socket key ---- */

/* The key of a socket: two binds with the same key want the same socket.  It
 * contains the whole address, and all else that decides which packets a socket gets. */
struct socket_key {
	int family;   /* AF_INET, AF_INET6 */
	int type;     /* SOCK_STREAM, SOCK_DGRAM */
	int protocol; /* IPPROTO_TCP, IPPROTO_MPTCP and so on */
	uint8_t ip[16];
	uint32_t scope;  /* of a link-local address */
	uint32_t device; /* SO_BINDTODEVICE: index of the device, or 0 */
	uint16_t port;   /* host order */
	bool v6only;
};

#define SOCKET_ADDRESS_MAX 128 /* struct sockaddr_storage */

/* The key that this socket would have, bound to this address; `any` holds `size`
 * bytes as bind(2) takes them.  -1: no internet socket, a socket of another network
 * namespace, or it cannot be bound to that address. */
int socket_key_of(struct socket_key *key, int fd, const void *any, socklen_t size);
/* The key of a bound socket. */
int socket_key_bound(struct socket_key *key, int fd);
/* The same of a socket that a worker may have, too. */
int socket_key_look(struct socket_key *key, int fd);
/* The key of a socket that nclust cannot look at, from the name of its protocol
 * ("TCPv6") and its IPV6_V6ONLY (-1: unknown, assume the default). */
int socket_key_guess(
	struct socket_key *key, const char *protocol, const void *any, socklen_t size, int v6only);

bool socket_key_equal(const struct socket_key *a, const struct socket_key *b);
bool socket_key_is_any(const struct socket_key *key); /* 0.0.0.0, :: */
bool socket_key_is_loopback(const struct socket_key *key);
bool socket_key_is_tcp(const struct socket_key *key); /* or MPTCP */
/* Are the keys equal but for TCP and MPTCP?  Each can replace the other, because
 * MPTCP falls back to TCP. */
bool socket_key_like(const struct socket_key *a, const struct socket_key *b);
/* Turn ::ffff:1.2.3.4 into 1.2.3.4; true: the key had such an address. */
bool socket_key_unmap(struct socket_key *key);

/* "tcp:0.0.0.0:80", "tcp:*:80" for both families.  Returns `to`. */
#define SOCKET_KEY_TEXT 80
const char *socket_key_text(const struct socket_key *key, char to[SOCKET_KEY_TEXT]);

/* Open a socket bound to the key's address, CLOEXEC; with SO_REUSEADDR if `again`,
 * with SO_REUSEPORT if `join`: it joins that user's sockets there and no other
 * user's (socket_born_to()).  -1 and errno. */
int socket_key_open(const struct socket_key *key, uid_t uid, bool again, bool join);
/* Bind a socket to the key's address.  -1 and errno. */
int socket_key_bind(const struct socket_key *key, int fd);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "os/look/remote.h"
#include "os/look/remote_waits.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- connections ---- */

/*
 * The sockets of another process, seen from outside.  Each is duplicated by
 * pidfd_getfd(2), asked for its state, and closed at once, because the process's
 * own close(2) sends no FIN while nclust has a duplicate: 5 to 8 us each.
 * remote.h says which rights that requires.  If descriptors cannot be duplicated
 * (Docker's default profile refuses the call) sock_diag(7) is asked for TCP
 * sockets by their inodes: slower, and good for looking only.
 */

enum connection_kind {
	CONNECTION_TCP,      /* TCP, MPTCP */
	CONNECTION_UNIX,     /* a stream or sequenced packets */
	CONNECTION_LISTENER, /* a TCP socket that listens */
};

/* What connections_end() does with a connection: the first of these that can be done. */
enum connection_deed {
	DEED_HAND = 1, /* give it to all->hand */
	DEED_END = 2,  /* shut it down, in both directions */
	DEED_ASKS =
		4, /* with DEED_END: if the client's next request lies unread, which it repeats */
};

/* A socket of a process.  Times are in ms, of a resolution of connections_tick(). */
struct connection {
	uint64_t cookie; /* SO_COOKIE: unique since boot */
	uint64_t inode;
	uint64_t bytes_out;   /* sent, without retransmissions */
	uint64_t bytes_acked; /* of these: acknowledged by the peer */
	uint64_t bytes_in;    /* received, those in the queue included */
	pid_t pid;            /* the process that has the socket */
	int fd;               /* its number in that process; -1: known by its inode only */
	pid_t peer;           /* CONNECTION_UNIX: of the client (SO_PEERCRED); 0: unknown */
	uint32_t queue;    /* bytes received and not read; of a listener: connections that wait */
	uint32_t unsent;   /* bytes written and not sent yet */
	uint32_t unacked;  /* segments without an ACK */
	uint32_t sent_ago; /* since data were sent last, or the connection began */
	uint32_t received_ago;
	uint32_t ack_ago;
	uint32_t segments_in; /* segments with data that were received */
	uint32_t segments_out;
	uint32_t acks_out; /* segments without data that were sent */
	uint32_t rtt;      /* smoothed round-trip time, us */
	uint16_t port;     /* the local port */
	uint8_t kind;      /* enum connection_kind */
	uint8_t state;     /* TCP_... of netinet/tcp.h */
	uint8_t deeds;     /* set by the caller, for connections_end() */
	bool handed;       /* all->hand has taken it */
	bool whole;        /* unread bytes are one request, as all->is_whole says */
	bool asks;         /* unread bytes begin one request that every client repeats */
	bool local;    /* the peer is on this host: a unix socket, loopback or the same address */
	bool http;     /* unread bytes begin with a head of HTTP/1 */
	bool frames;   /* unread bytes are a message of a WebSocket */
	bool unknown;  /* unread bytes are of neither (TLS, HTTP/2) */
	bool is_inner; /* set by the caller: the peer is a process of the worker */
	bool prompt;   /* TCP_QUICKACK is off: the last answer carried the ACK */
	bool awaited;  /* by connections_activity(): a thread waits in a call that reads from it */
	bool has_name; /* CONNECTION_UNIX: the socket has a name, as accepted ones do */
};

/* The most sockets of one worker that are looked at. */
#define CONNECTIONS_MOST 16384
/* The most descriptors of other kinds that are looked at, 5 us each. */
#define CONNECTIONS_OTHERS 8192

/* Are the `count` unread bytes, of which the first `size` are at `text`, one whole request?  And:
 * take a connection with DEED_HAND, of which `fd` is a duplicate; true: it is taken.  Both may run in
 * a child, as a function of remote_run(). */
typedef bool connection_is_whole(const char *text, size_t size, size_t count);
typedef bool connection_hand(void *context, int fd, const struct connection *c);

/* The owner zeroes this struct; the list is heap. */
struct connections {
	struct connection *list;
	size_t count;
	bool peeks;                    /* set by the caller: read unread bytes too */
	connection_is_whole *is_whole; /* set by the caller; or NULL */
	connection_hand *hand;         /* the same, for connections_end() */
	void *context;                 /* its first argument */
	int channel;                   /* a descriptor of ours that `hand` uses */
	unsigned others;               /* descriptors that are none of these sockets */
	bool too_many;                 /* not all were looked at */
	bool refused;                  /* the process has sockets that cannot be looked at */
};
void connections_free(struct connections *all);

/* Add the sockets of a process (`r` is made from its pid, `pidfd` refers to it).  0,
 * or -1 and errno: ESRCH, ENOENT: the process is gone; EACCES, EPERM: nclust may not
 * look at it. */
int connections_add(struct connections *all, struct remote *r, int pidfd);

/* Sort by cookie, so that entries of the same socket follow each other. */
void connections_sort(struct connections *all);

/* Do the deeds with the connections of a process, and return how many were shut down.  A connection on
 * which data has come since the look stays, and is added to *late, but for a quiet one with DEED_HAND
 * alone; a descriptor that is another socket by now is left alone.  Connections with DEED_ASKS are added
 * to *asked: their request is taken out of the queue first, or the process would act on it; one with
 * other unread bytes stays. */
unsigned connections_end(
	struct remote *r, int pidfd, struct connections *all, unsigned *late, unsigned *asked);

/* "127.0.0.1:4711"; "a peer" where the address is unknown. */
const char *connections_peer(struct remote *r, const struct connection *c, char *to, size_t size);

/* The resolution of the kernel's times (a jiffy), us. */
unsigned connections_tick(void);

/* What a process was seen to do, running or stopped. */
enum activity {
	ACTIVITY_UNKNOWN,
	ACTIVITY_WAITS,  /* for a descriptor, signal or child; several threads: for anything */
	ACTIVITY_SLEEPS, /* until a time, or on a futex */
	ACTIVITY_RUNS,   /* computes, or writes, connects and the like */
};
/* What the process does now.  `stopped_in`: its activity at its last stop.  After a stop the
 * kernel hides which call was restarted (restart_syscall(2)): then `stopped_in` is returned.  Notes
 * in `all`, if that is not NULL, which of the process's connections are awaited. */
enum activity connections_activity(
	struct remote *r, enum activity stopped_in, struct connections *all);

/* ---- other end ---- */

/*
 * Find the process that has the other end of our connection, on this machine.
 * Behind a shared listener any free worker may have accepted the connection.
 * sock_diag(7) finds the other end's socket by its addresses (an exact look-up,
 * not a dump), and its inode is searched among the descriptors of the candidates.
 */

/* The inode of the other end.  0: the connection is not accepted yet, the other end
 * is gone, or it cannot be found. */
uint64_t other_end_inode(int fd);
/* Does sock_diag(7) answer at all?  Asks for our own end, which exists. */
bool other_end_works(int fd);

/* Which of `count` inodes (at most 32; 0: none) do this process and those below it
 * have?  Bit n for inodes[n].  *denied becomes true if nclust may not look at one of the
 * processes. */
uint32_t other_end_held(pid_t pid, const uint64_t *inodes, size_t count, bool *denied);

/* ---- waits for client ---- */

/*
 * Does a process wait for a connection?  An idle server does, at almost any
 * moment; a server that loops, is stopped, or whose threads wait for each other
 * does not.  A look is a sample: a process may wait between two looks.  A look
 * costs some 10 us for each thread, and only reads.
 */
enum awaits {
	AWAITS_NOTHING, /* the process has the listener, and no thread waits for it */
	AWAITS_CONNECTION,
	AWAITS_UNKNOWN, /* the process has no such listener, or nclust may not look */
};

/*
 * In doubt the process waits: a thread in poll(2) or io_uring_enter(2) may wait
 * for anything; a thread in epoll_wait(2) waits for a connection unless the
 * listener is in another epoll set of the process.  *denied becomes true if
 * nclust may not look at the process.
 */
enum awaits waits_for_client(
	struct remote *process, remote_wanted *is_listener, const void *context, bool *denied);

/* Has a program of an event loop (libuv) finished, but for what may come over the socket with this
 * inode?  It waits for nothing else, without a limit of time, and none of its threads is at work.
 * In doubt: no. */
bool waits_for_nothing_but(struct remote *process, uint64_t inode);

/* State, system call and kernel function of the process's threads: "thread 41: R;
 * thread 42: S in futex (futex_do_wait); and 6 more".  Returns `to`. */
const char *awaits_threads_text(pid_t pid, char *to, size_t size);

/* ---- holder ---- */

#define HOLDER_TEXT 64

/*
 * The process of our network namespace that has the port: "nginx (pid 77)" if
 * nclust may look at its descriptors, else "a process of uid 33"; "" if no
 * process has the port or the kernel does not tell.  `type` is SOCK_STREAM or
 * SOCK_DGRAM.  The search through /proc ends after 100 ms.  Returns the pid; 0: unknown.
 */
pid_t holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port);

/* ---- lockwait ---- */

/* The lock of a file for which a process waits, in flock(2) or fcntl(2). */
struct lockwait {
	char path[200]; /* escaped for people */
	pid_t holder;   /* 0, -1: unknown */
};

/* Does the process, or a descendant of it, wait for a file lock?  False: no, or unknown. */
bool lockwait_look(struct lockwait *l, pid_t pid);

/* Has one of these processes locked a file, so that no other one can? */
bool locks_are_held(const pid_t *list, size_t count);

/* ---- store ---- */

/* Where a program keeps what a second copy of it beside the first would not know. */
enum store {
	STORE_NONE,   /* none that is seen */
	STORE_ITSELF, /* it is known by its name */
	STORE_LOCK,   /* a file is locked, so that no other process can */
	STORE_FILE,   /* a file is open in which it writes where it likes */
};

/* Look at a process and those below it; `locks`: is a lock a sign?  `what` says what was found, as
 * "redis-server keeps its state in itself". */
#define STORE_TEXT 200
enum store store_look(pid_t pid, bool locks, char what[STORE_TEXT]);
/* STORE_ITSELF alone, by names, which is a cheaper look. */
bool store_is_known(pid_t pid, char what[STORE_TEXT]);
/* Have both, or those below them, the same file open to append to it? */
bool store_same_log(pid_t one, pid_t other, char path[STORE_TEXT]);

/* ---- why alive ---- */

/* Why is a process still there after SIGKILL?  Returns "it waits in the kernel (state D)"; "" if
 * it has ended.  This call itself never waits for the process. */
const char *why_alive(pid_t pid, char *to, size_t size);

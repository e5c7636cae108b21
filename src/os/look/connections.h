/* SPDX-License-Identifier: MIT */
#ifndef OS_CONNECTIONS_H
#define OS_CONNECTIONS_H

#include "os/look/remote.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The sockets of another process, seen from outside.  Each is duplicated by
 * pidfd_getfd(2), asked for its state, and closed at once, because the
 * process's close(2) sends no FIN while we have it: 5 to 8 us each.  remote.h
 * says which rights that requires.  If descriptors cannot be duplicated
 * (Docker's default profile refuses the call) the kernel is asked for TCP
 * sockets by their inodes: slower, and good for looking only.
 */

enum connection_kind {
	CONNECTION_TCP,      /* TCP, MPTCP */
	CONNECTION_UNIX,     /* a stream or sequenced packets */
	CONNECTION_LISTENER, /* TCP: one that listens */
};

/* Times are in ms since then, of a resolution of connections_tick(). */
struct connection {
	uint64_t cookie; /* SO_COOKIE: of no other one, ever */
	uint64_t inode;
	uint64_t bytes_out; /* sent, retransmissions too */
	uint64_t bytes_in;  /* received, also those in the queue */
	pid_t pid;          /* whose … */
	int fd;             /* … descriptor; -1: not by its descriptor */
	pid_t peer;         /* CONNECTION_UNIX: who connected (SO_PEERCRED); 0: not known */
	uint32_t queue;     /* bytes received, not read; connections that wait */
	uint32_t unsent;    /* bytes written, not sent yet */
	uint32_t unacked;   /* segments */
	uint32_t sent_ago;  /* data; since the birth where nothing was */
	uint32_t received_ago;
	uint32_t ack_ago;
	uint32_t segments_in; /* with data */
	uint32_t segments_out;
	uint32_t acks_out; /* segments without data */
	uint32_t rtt;      /* us, smoothed */
	uint16_t port;     /* our side's */
	uint8_t kind;      /* enum connection_kind */
	uint8_t state;     /* TCP_... of netinet/tcp.h */
	bool marked;       /* set by the caller of connections_end() … */
	bool asks;         /* … also, if its next request lies unread */
	bool http;         /* what lies unread begins with a head of HTTP/1 … */
	bool frames;       /* … or is a message of a WebSocket */
	bool is_inner;     /* set by callers: the peer is one of the worker's */
	bool prompt;       /* TCP_QUICKACK is off: its last answer carried the ACK */
	bool has_name;     /* CONNECTION_UNIX: as those that were accepted have */
};

/* More than that many of one worker are not looked at. */
#define CONNECTIONS_MOST 16384
/* Nor are more descriptors of other kinds, which take 5 us each. */
#define CONNECTIONS_OTHERS 8192

/* The owner zeroes it; the list is heap. */
struct connections {
	struct connection *list;
	size_t count;
	size_t room;
	bool peeks;      /* set by callers: look at what lies unread */
	unsigned others; /* descriptors that are no sockets */
	bool too_many;   /* there are more */
	bool refused;    /* they are there, and cannot be looked at */
};
void connections_free(struct connections *all);

/* Add the sockets of a process (`r` is made from its pid, `pidfd` refers to
 * it).  0, or -1 and errno: it is gone (ESRCH, ENOENT), or may not be seen
 * (EACCES …). */
int connections_add(struct connections *all, struct remote *r, int pidfd);

/* Sort by cookie, so that entries of the same socket follow each other. */
void connections_sort(struct connections *all);

/* Shut down, in both directions, the marked connections of a process, and
 * return their number.  Connections on which data has come since they were
 * looked at stay, and are added to *late; a descriptor that is another socket
 * by now is left alone.  Of those that ask, which are added to *asked, the head of a
 * request of HTTP/1 is taken out of the queue first, or the process would act on it;
 * where something else is there they stay. */
unsigned connections_end(struct remote *r, int pidfd, const struct connections *all, unsigned *late,
	unsigned *asked);

/* "127.0.0.1:4711"; "a peer" where it cannot be told. */
const char *connections_peer(struct remote *r, const struct connection *c, char *to, size_t size);

/* The resolution of the kernel's times (a jiffy), us. */
unsigned connections_tick(void);

/* What a process is seen to do, running or stopped. */
enum activity {
	ACTIVITY_UNKNOWN,
	ACTIVITY_WAITS,  /* for a descriptor, a signal, a child; one of several
			    threads for whatever else */
	ACTIVITY_SLEEPS, /* for a time, or waits on a futex */
	ACTIVITY_RUNS,   /* or writes, connects … */
};
/* `stopped_in`: the activity at its last stop.  After a stop the kernel hides
 * which call was restarted (restart_syscall(2)): then that one is returned. */
enum activity connections_activity(struct remote *r, enum activity stopped_in);

#endif

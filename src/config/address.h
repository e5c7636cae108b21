/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * The content of a `listen` value: an address, and its options.  Plain data;
 * nothing is opened, nothing is resolved but user and group names.
 */
enum address_kind {
	ADDRESS_TCP,
	ADDRESS_UDP,
	ADDRESS_UNIX,    /* path, or '@' and an abstract name */
	ADDRESS_FD,      /* a descriptor that nclust was started with */
	ADDRESS_INHERIT, /* by name, from nclust's own LISTEN_FDS */
};

struct address {
	enum address_kind kind;
	/* AF_INET, AF_INET6, AF_UNIX; AF_UNSPEC: a bare port (one dual-stack
	 * socket, 0.0.0.0 where v6 is missing), or not known (fd, inherit) */
	int family;
	int type;          /* SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET; 0: not known */
	uint8_t ip[16];    /* network order; 4 bytes used for AF_INET */
	uint32_t scope_id; /* of a link-local v6 address, else 0 */
	uint16_t port;     /* host order; 0: nclust chooses once */
	int fd;            /* ADDRESS_FD */
	char *path;        /* unix path or "@name"; inherit: the name */

	/* options; -1 or NULL: not given */
	char *name; /* in LISTEN_FDNAMES; never NULL once parsed */
	int backlog;
	int mode;
	long owner;      /* uid */
	long group;      /* gid */
	int v6only;      /* 0, 1 or -1 */
	char *interface; /* SO_BINDTODEVICE */
	bool freebind;
	int defer_accept; /* seconds, TCP_DEFER_ACCEPT */
	bool nonblock;
	bool nodelay;   /* TCP_NODELAY, of the connections; so is keepalive */
	int keepalive;  /* seconds without data, SO_KEEPALIVE; 0: the system's default */
	int fastopen;   /* TCP_FASTOPEN: length of its queue */
	long long mark; /* SO_MARK */
	int rcvbuf;     /* bytes */
	int sndbuf;

	/* canonical, without options: "tcp:0.0.0.0:8000", "tcp:*:8000" (bare
	 * port), "tcp:[::1]:80", "unix:/run/x", "unix-dgram:/run/x", "fd:3", "inherit:http" */
	char *text;
	/* canonical, but for name and backlog: ", v6only=yes, freebind" */
	char *options;
	/* heap: the whole as it was given, with "{slot}", where each slot has
	 * such an address of its own, and the rest is that of one slot; NULL:
	 * all slots share it.  Of `http`: a port alone, which is at ::1, too */
	char *each;
};

/*
 * Parse "ADDRESS[, option=value]...".  On success the address owns heap
 * strings: address_fini().  On failure nothing is left and `err` says what
 * was wanted and what was found.
 * The default name: the port, the path's last part, "fd3", or the inherited
 * name.  Bytes that LISTEN_FDNAMES or an option cannot have (':', ',', blanks and
 * all that is not printable ASCII) become '_' in it, and are an error in `name=`.
 */
int address_parse(struct address *a, const char *text, struct error *err);
/* Parse a text that may have "{slot}", for that slot. */
int address_parse_slot(struct address *a, const char *text, unsigned slot, struct error *err);
/* The address of that slot; a copy where all slots share one. */
int address_of_slot(struct address *to, const struct address *a, unsigned slot, struct error *err);
void address_fini(struct address *a);
int address_copy(struct address *to, const struct address *from);

/* Is the port 0, so that the kernel chooses one? */
bool address_takes_any_port(const struct address *a);
/* The same place (text), whatever the options.  Port 0 is another one for each name. */
bool address_same_place(const struct address *a, const struct address *b);
/* The same place and the same options. */
bool address_equal(const struct address *a, const struct address *b);

/* The whole as a user would write it, options included; heap, or NULL when out of
 * memory. address_parse() of it gives an equal address, but for `each`. */
char *address_format(const struct address *a);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The messages between a Node.js cluster worker and its primary, as bytes: one
 * JSON object a line (serialization "json").  Not documented by Node; read in
 * lib/internal/cluster/{child,primary,utils}.js and lib/internal/child_process.js
 * of 16 to 24, and traced.
 *
 * Node's own messages begin with {"cmd":"NODE_ (Bun puts a byte 0x02 before its
 * own); all others are a user's, which are never parsed: JSON.stringify() writes
 * lone surrogates and \u0000, which few readers take.
 */

#define NODEIPC_ADDRESS_MAX 256 /* longer ones are cut, see address_len */
#define NODEIPC_DATA_MAX 4096   /* a query's data; more is left out */
#define NODEIPC_KEY_MAX 24      /* of nclust's keys; others are unknown */
#define NODEIPC_LINE_MAX 65536  /* of Node's messages; longer ones are broken */

enum nodeipc_kind {
	NODEIPC_USER,        /* body: all of the line */
	NODEIPC_UNKNOWN,     /* Node's own, and nothing to us */
	NODEIPC_BROKEN,      /* Node's own, and cannot be read */
	NODEIPC_ONLINE,      /* it has started as a cluster worker */
	NODEIPC_QUERY,       /* it wants a server: place, data, seq to answer */
	NODEIPC_LISTENING,   /* its server listens: place */
	NODEIPC_CLOSE,       /* its server is closed: key */
	NODEIPC_LEAVING,     /* exitedAfterDisconnect: seq to answer */
	NODEIPC_TAKEN,       /* answer to a connection: ack, accepted */
	NODEIPC_HANDLE,      /* came with a descriptor; body: the message */
	NODEIPC_HANDLE_ACK,  /* our last handle has arrived */
	NODEIPC_HANDLE_NACK, /* it has not: no descriptor was free */
};

enum nodeipc_family {
	NODEIPC_TCP,
	NODEIPC_UNIX,
	NODEIPC_UDP,
	NODEIPC_FD, /* descriptor `fd` of the primary */
};

enum {
	NODEIPC_V6ONLY = 1,    /* UV_TCP_IPV6ONLY, UV_UDP_IPV6ONLY */
	NODEIPC_REUSEADDR = 4, /* UV_UDP_REUSEADDR */
	NODEIPC_REUSEPORT = 8, /* UV_UDP_REUSEPORT */
};

/* The address that a server is to be bound to. */
struct nodeipc_place {
	enum nodeipc_family family;
	bool v6;
	bool has_address;                  /* TCP: else all addresses of both families */
	char address[NODEIPC_ADDRESS_MAX]; /* "": none; of an abstract unix path
					      with '@' in place of its first NUL */
	size_t address_len;                /* the length before the cut */
	uint16_t port;
	int fd;
	unsigned flags;
	int backlog;    /* 0: Node's default */
	uint32_t index; /* the n-th server of that place in this worker */
	bool readable_all;
	bool writable_all;
};

struct nodeipc_message {
	enum nodeipc_kind kind;
	bool bun;    /* the line began with a 0x02 */
	int64_t seq; /* -1: none */
	int64_t ack;
	bool accepted;
	struct nodeipc_place place;
	char *data; /* heap: JSON, or NULL; nodeipc_forget() */
	char key[NODEIPC_KEY_MAX];
	const char *body; /* in the line */
	size_t body_len;
};

/* Decode one line without its newline.  Never fails: an unreadable line is BROKEN. */
void nodeipc_decode(struct nodeipc_message *m, const char *line, size_t len);
void nodeipc_forget(struct nodeipc_message *m);

/* process.send("ready"), as pm2 has taught it. */
bool nodeipc_is_ready(const struct nodeipc_message *m);

/* ---- to a worker: a line without its newline, at the end of the buffer ---- */

/* The kind of reader: Bun wants its 0x02. */
struct nodeipc_writer {
	struct buffer *out;
	bool bun;
};

/* Answers to a query; `data` is the first worker's, JSON, or NULL.  A shared
 * server's goes with the descriptor of the socket. */
struct nodeipc_answer {
	uint64_t key; /* number of the server; not in an error */
	int64_t ack;
	int64_t seq;
	const char *data;
};
void nodeipc_put_shared(const struct nodeipc_writer *w, const struct nodeipc_answer *a, bool udp);
/* The primary will accept and hand over connections.  `address` NULL: no name. */
void nodeipc_put_faux(const struct nodeipc_writer *w, const struct nodeipc_answer *a,
	const char *address, bool v6, uint16_t port);
/* No server can be had; `error` as errno(3) has it. */
void nodeipc_put_error(const struct nodeipc_writer *w, const struct nodeipc_answer *a, int error);
/* With the descriptor of a connection; answered by TAKEN of that seq. */
void nodeipc_put_connection(const struct nodeipc_writer *w, uint64_t key, int64_t seq);
/* Close all servers, wait for their connections, and leave. */
void nodeipc_put_disconnect(const struct nodeipc_writer *w, int64_t seq);
void nodeipc_put_ack(const struct nodeipc_writer *w, int64_t ack, int64_t seq);
void nodeipc_put_handle_ack(const struct nodeipc_writer *w);

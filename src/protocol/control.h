/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/error.h"
#include "base/nsec.h"
#include "protocol/eventkind.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The control protocol: JSON-RPC 2.0, one object a line, both ways (man/nclust-control.7).
 * Bytes <-> structs, nothing else; daemon and client share it.
 */
#define CONTROL_VERSION 1
#define CONTROL_LINE_MAX (64U * 1024) /* of a request, newline included */
#define CONTROL_DEPTH_MAX 16
#define CONTROL_RESULT_MAX (16U * 1024 * 1024)

enum control_method {
	METHOD_STATUS,
	METHOD_RESTART,
	METHOD_RELOAD,
	METHOD_SCALE,
	METHOD_STOP,
	METHOD_SIGNAL,
	METHOD_EVENTS,
	METHOD_CONFIG,
	METHOD_UPGRADE,
	METHOD_SEND,
	METHOD_LOGS,
	METHOD_ASK, /* of old: refused */
	METHOD_DRAIN,
	METHOD_UNDRAIN,
	METHOD_START,
	METHODS,
};
bool control_method_writes(enum control_method method);

enum control_error {
	CONTROL_PARSE = -32700,
	CONTROL_INVALID = -32600,
	CONTROL_NO_METHOD = -32601,
	CONTROL_PARAMS = -32602,
	CONTROL_INTERNAL = -32603,
	CONTROL_NOT_FOUND = -32000,
	CONTROL_BUSY = -32001,
	CONTROL_NOT_PERMITTED = -32002,
	CONTROL_FAILED = -32003,
	CONTROL_TIMED_OUT = -32004,
	CONTROL_BAD_CONFIG = -32005, /* reload: the file has mistakes; each is
					a line of the message */
};

enum scale_kind { SCALE_TO, SCALE_BY };

struct control_request {
	char id[80]; /* as JSON text: a number or a string */
	enum control_method method;
	char target[160]; /* cluster, or cluster.slot; "": the instance */
	bool no_wait;     /* all methods that change something */
	enum scale_kind scale_kind;
	int count;    /* scale: {"count":4} or {"by":-1} */
	int signal;   /* signal: {"signal":"USR1"} */
	bool all;     /* signal, send */
	bool now;     /* stop */
	bool follow;  /* events, logs */
	bool metrics; /* status: only the values of which metrics are made */
	/* status: {"readiness":"agent 10.0.0.1,http 10.0.0.2"}, without workers:
	 * load balancers that ask whether they may send clients here */
	char readiness[256];
	bool has_timeout; /* drain, undrain */
	nsec_t timeout;   /* {"timeout":SECONDS} */
	int last;         /* events: {"last":N}, -1: all of the history */
	/* logs: {"after":N}, only files that come after the "last" of another answer */
	uint64_t after;
	nsec_t since;                /* {"since":SECONDS since 1970}, 0: all */
	char kinds[EVENTKINDS_TEXT]; /* {"kinds":["exited","ready"]}, "": all */
	bool has_canary;             /* restart; else as in the settings */
	int canary;                  /* {"canary":N} */
	bool has_bake;               /* restart, as above */
	bool drop_ports;             /* restart, reload */
	nsec_t bake;                 /* {"bake":SECONDS} */
	/* send: {"message":TEXT}, the text of a value.  Decoded: heap, the
	 * caller's to free (control_fini); encoded: borrowed. */
	char *message;
	/* restart: {"command":[WORD,WORD]}, ends with NULL.  Memory as of `message`. */
	char **command;
};

/*
 * Decode one line (without its newline).  0; or -1 with *code and `err`, and
 * `id` filled where one could be read (else "null").  Refuses: batches, no id,
 * unknown fields, depth over CONTROL_DEPTH_MAX (checked before parsing),
 * invalid UTF-8, NUL, numbers out of range, a target that is no target.
 */
int control_decode(
	struct control_request *r, const char *line, size_t len, int *code, struct error *err);
/* Free what was decoded on the heap. */
void control_fini(struct control_request *r);
/* The same request as one line with its newline. */
int control_encode(struct buffer *out, const struct control_request *r);

/* Lines of the server, each with its newline. */
int control_put_error(struct buffer *out, const char *id, int code, const char *message);
/* Begin `{"jsonrpc":"2.0","id":ID,"result":VALUE}`: the caller then writes VALUE. */
int control_begin_result(struct buffer *out, const char *id);
/* End that line: `}` and newline. */
int control_end_result(struct buffer *out);
/* A notification: {"jsonrpc":"2.0","method":"event","params":PARAMS}; params is JSON
 * text of an object; with `id` it gets a member "request":ID. */
int control_put_event(struct buffer *out, const char *id, const char *params);

/* "web", "web.2", "shop/web", "shop/web.2": split at the slash; a slot is a last
 * part of digits.  As names may hold dots, the caller, who knows the clusters,
 * decides: `whole` is the part behind the slash, `cluster` and `slot` its reading as
 * a slot (slot -1: none). */
struct control_target {
	char instance[65]; /* "": none given */
	char whole[96];
	char cluster[65];
	long slot;
};
int control_parse_target(struct control_target *t, const char *text, struct error *err);

/* SPDX-License-Identifier: MIT */
#ifndef CLI_CLIENT_H
#define CLI_CLIENT_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/nsec.h"
#include "protocol/control.h"
#include "protocol/line_reader.h"

#include <jansson.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * One connection to one running nclust, from the client's side: greeting,
 * one request after the other, progress, and the one answer to each.
 *
 * Only the greeting has a time limit: a server that accepts and is silent is
 * dead, while a rolling restart may honestly take an hour.
 */
#define CLIENT_HELLO_WAIT (10 * SECOND)
#define CLIENT_PASSED 32

struct client {
	int fd;
	int cancel; /* readable when the user wants to end; -1: none; borrowed */
	int reader; /* output whose reader's end ends a wait; -1: none; borrowed */
	nsec_t end; /* when a wait ends in any case */
	/* Descriptors that have come, in their order; a caller that wants them sets
	 * takes_passed, and takes them by fd_release(). */
	bool takes_passed;
	int passed[CLIENT_PASSED];
	size_t passed_count;
	char in[CONTROL_LINE_MAX]; /* bytes that were read and not yet cut into lines */
	struct line_reader lines;
	struct buffer spare; /* a result or a refusal, composed anew */
	char name[65];
	pid_t pid;
	char **clusters; /* heap */
	size_t cluster_count;
};

/* A descriptor for `cancel`: from now on the signals that end a program are blocked,
 * and make this descriptor readable.  -1 and `err`. */
int client_cancel_open(struct error *err);
/* Which of these signals has come; 0: none. */
int client_cancel_signal(void);

void client_init(struct client *c);
void client_fini(struct client *c);

/*
 * Connect to the control socket in an instance's directory, check whose server it
 * is before anything is sent, and read the greeting.  -1 and `err`, status 69
 * where no server runs, 77 where it is another user's, 75 where it does not
 * answer.
 */
int client_open(struct client *c, int dirfd, const char *name, struct error *err);
/* The same on a connected socket, which belongs to the client from then on. */
int client_greet(struct client *c, int fd, nsec_t deadline, struct error *err);

/*
 * The next line without its newline, borrowed until the next call.  1; 0 when the
 * connection has ended; -1 and `err` (ECANCELED: by `cancel`, `reader` or `end`).
 */
int client_line(
	struct client *c, nsec_t deadline, const char **line, size_t *len, struct error *err);

/* The answer to a request.  Both texts belong to the client and are valid until its
 * next call. */
struct answer {
	int code;           /* 0: success; else enum control_error */
	const char *result; /* JSON text as the server wrote it */
	size_t len;
	const char *message; /* with a code: the server's sentence */
};
/* Make an error of a refusal, with the exit status that fits.  Returns -1. */
int answer_refused(const struct answer *answer, struct error *err);

/* Called with the params of each notification; -1 ends the wait.  Of an event
 * "message" the member "message" is the text that was sent, as a string. */
typedef int client_event(json_t *params, void *data);

/*
 * Send a request (the client adds its id) and wait for the answer.  0: an answer
 * has come, success or refusal; -1 and `err`: none will come (status 75 where the
 * connection was cut).
 */
int client_call(struct client *c, struct control_request *request, client_event *on_event,
	void *data, struct answer *answer, struct error *err);
/* client_call() in two steps: several requests may be sent before the answer to the
 * first one is read. */
int client_ask(struct client *c, struct control_request *request, struct error *err);
int client_take(struct client *c, client_event *on_event, void *data, struct answer *answer,
	struct error *err);
/* client_take() that never waits, for a caller with a loop that waits until `fd` is
 * readable.  1: the answer; 0: not yet; -1 and `err`. */
int client_look(struct client *c, client_event *on_event, void *data, struct answer *answer,
	struct error *err);

/* Wait for the end of the connection; messages that still come are dropped. */
int client_wait_end(struct client *c, struct error *err);

/* VALUE of `{"jsonrpc":"2.0","id":1,"result":VALUE}`, if the line is exactly of this
 * form (each request has that id); NULL if not. */
const char *client_raw_result(const char *line, size_t len, size_t *value_len);

#endif

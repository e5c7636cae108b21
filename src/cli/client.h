/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/nsec.h"
#include "cli/verb.h"
#include "protocol/control.h"
#include "protocol/line_reader.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
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
	int cancel;   /* readable when the user wants to end; -1: none; borrowed */
	int reader;   /* output whose reader's end ends a wait; -1: none; borrowed */
	nsec_t end;   /* when a wait ends in any case */
	bool follows; /* the request has no outcome: what happens is shown until nclust ends */
	/* Descriptors that have come, in their order; a caller takes them by fd_release(). */
	int passed[CLIENT_PASSED];
	size_t passed_count;
	char in[CONTROL_LINE_MAX]; /* bytes that were read and not yet cut into lines */
	struct line_reader lines;
	json_t *last; /* the message with the last answer; or NULL */
	char name[65];
	pid_t pid;
	char changed
		[256];   /* the file of its settings that has changed since they were read; or "" */
	char **clusters; /* heap */
	size_t cluster_count;
};

/* A descriptor for `cancel`: from now on the signals that end a program are blocked, but
 * for those that are ignored (nohup), and make this descriptor readable.  -1 and `err`. */
int client_cancel_open(struct error *err);
/* Which of these signals has come; 0: none. */
int client_cancel_signal(void);
/* The same for other signals. */
int client_signals_open(const int *list, size_t count, struct error *err);

void client_init(struct client *c);
void client_fini(struct client *c);

/*
 * Connect to the instance of that name (`place`: the value of --runtime-directory, or
 * NULL), check whose server it is before anything is sent, and read the greeting.  -1
 * and `err`, status 69 where no server runs, 77 where it is another user's, 75 where it
 * does not answer.
 */
int client_open(struct client *c, const char *place, const char *name, struct error *err);
/* The same on a connected socket, which belongs to the client from then on. */
int client_greet(struct client *c, int fd, nsec_t deadline, struct error *err);

/* The answer to a request.  It belongs to the client and is valid until its next call. */
struct answer {
	int code;            /* 0: success; else enum control_error */
	json_t *result;      /* without a code: never NULL */
	const char *message; /* with a code: the server's sentence */
};
/* The exit status for an error code (man/nclust.1). */
int answer_exit_status(int code);

/* Called with the params of each notification; -1 ends the wait.  Of an event
 * "message" the member "message" is the text that was sent, as a string. */
typedef int client_event(json_t *params, void *data);

/*
 * Send a request (the client adds its id) and wait for the answer.  0: success.  -1 and
 * `err`: a refusal, of which *answer has the code, or no answer will come (status 75
 * where the connection was cut), and the code is 0.
 */
int client_call(struct client *c, struct control_request *request, client_event *on_event,
	void *data, struct answer *answer, struct error *err);
/* client_call() in two steps that never wait, for a caller with a loop that waits until
 * `fd` is readable.  The second returns 1: success; 0: no answer yet; -1: as above. */
int client_ask(struct client *c, struct control_request *request, struct error *err);
int client_look(struct client *c, client_event *on_event, void *data, struct answer *answer,
	struct error *err);

/* Wait for the end of the connection, and of the process where it can be seen; messages that still
 * come are dropped. */
int client_wait_end(struct client *c, struct error *err);

/* SPDX-License-Identifier: MIT */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/client.h"
#include "cli/target.h"
#include "cli/verb.h"

/*
 * From a verb's words to connections: looks for running instances, greets
 * those that matter and finds what TARGET means among them.
 */
struct session {
	struct client *clients; /* heap; connected */
	struct known *known;    /* heap; what each of them runs */
	size_t count;
	struct resolved meant; /* which client, which cluster or slot */
	struct client *client; /* that one; NULL: all of them */
};

/*
 * With `all`, no target stands for all instances that run (at least one);
 * else for the only one.  `cancel`: see struct client.  -1 and `err`: status
 * 69 where nobody runs, 64 where it is not clear who was meant.
 */
int session_open(
	struct session *s, const struct arguments *a, bool all, int cancel, struct error *err);
void session_close(struct session *s);

/* Shows what came of a request, good or bad.  Returns the exit status. */
typedef int session_show(const struct answer *answer, void *data);
/*
 * Open a session, send one request to the instance that the arguments mean, show
 * its answer, and, if that was asked to stop, wait for its end.  A failure is
 * written to stderr.  `reader` and `on_event`: see client.h; on_event() and
 * show() get `data`.  Returns the exit status.
 */
int session_ask(const struct arguments *a, struct control_request *request, int reader,
	client_event *on_event, session_show *show, void *data);

/* The same, with progress for a terminal; the answer is written as the options
 * say. */
int session_request(const struct arguments *a, struct control_request *request);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include "cli/client.h"
#include "cli/target.h"
#include "cli/verb.h"

/*
 * From a verb's words to connections: looks for running instances, greets those
 * that matter and finds what TARGET means among them.
 */
struct session {
	struct client *clients; /* heap; connected */
	struct known *known;    /* heap; clusters that each of them runs */
	size_t count;
	struct resolved meant; /* the meaning of TARGET: which client, which cluster or slot */
	struct client *client; /* the client of `meant`; NULL: all */
};

/*
 * With `all`, a missing target means all instances that run (at least one); else
 * the only one.  `cancel`: see struct client.  -1 and `err`: status 69 where no
 * instance runs, 64 where the target is ambiguous.
 */
int session_open(
	struct session *s, const struct arguments *a, bool all, int cancel, struct error *err);
void session_close(struct session *s);

/* Shows the answer to a request, success or refusal.  Returns the exit status. */
typedef int session_show(const struct answer *answer, void *data);
/*
 * Open a session, send one request to the instance that the arguments mean, show
 * its answer, and, if the instance was asked to stop, wait for its end.  A
 * failure is written to stderr.  `reader` and `on_event`: see client.h;
 * on_event() and show() get `data`.  Returns the exit status.
 */
int session_ask(const struct arguments *a, struct control_request *request, int reader,
	client_event *on_event, session_show *show, void *data);

#endif

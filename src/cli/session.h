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
	size_t count;
	struct resolved meant; /* which client, which cluster or slot */
	struct client *client; /* that one; NULL: all of them */
};

/*
 * With `all`, no target stands for all instances that run (at least one);
 * else for the only one.  `cancel`: see struct client.  -1 and `err`: status
 * 69 where nobody runs, 64 where it is not clear who was meant.
 */
int session_open(struct session *s, const struct arguments *a, bool all,
	int cancel, struct error *err);
void session_close(struct session *s);

/* One request to the client that was meant, progress to a terminal; the
 * answer is written as the options say.  Returns the exit status. */
int session_request(const struct arguments *a, struct control_request *request);

#endif

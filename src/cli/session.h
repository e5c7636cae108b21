/* SPDX-License-Identifier: MIT */
#pragma once

#include "cli/client.h"

/*
 * The instance, cluster and slot that a user's word means among running
 * instances.  Pure.  An instance's name wins over a cluster of that name
 * elsewhere, and a cluster's over a slot's reading of it ("web.2" may be a name).
 */
struct resolved {
	size_t instance;  /* index into the list */
	char target[160]; /* as the server takes it: "", "web" or "web.2" */
	bool slot;
};

/* Of the clients only their names and clusters count.  `text` may be NULL: the only
 * instance.  -1: err->status is 64 where the word is ambiguous or no target at all, 69
 * where no such thing exists. */
int target_resolve(struct resolved *out, const char *text, const struct client *list, size_t count,
	struct error *err);

/*
 * From a verb's words to connections: looks for running instances, greets those
 * that matter and finds what TARGET means among them.
 */
struct session {
	struct client *clients; /* heap; connected */
	size_t count;
	bool lacking;          /* an instance runs and does not answer */
	char killed[65];       /* the first one whose socket is there, and no nclust; or "" */
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
 * Open a session, send the arguments' request to the instance that they mean, show
 * its answer, and, if the instance was asked to stop, wait for its end.  A
 * failure is written to stderr.  `reader` and `on_event` are those of struct client;
 * on_event() and show() get `data`.  Returns the exit status.
 */
int session_ask(
	struct arguments *a, int reader, client_event *on_event, session_show *show, void *data);

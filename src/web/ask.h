/* SPDX-License-Identifier: MIT */
#ifndef WEB_ASK_H
#define WEB_ASK_H

#include "base/nsec.h"
#include "protocol/control.h"
#include "protocol/line_reader.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * A connection to nclust, by its control protocol.  One question is under way at
 * a time; nclust makes its answer in slices, and a few milliseconds later it is
 * here.
 */
struct ask {
	struct ev_loop *loop;
	ev_io io;
	struct line_reader lines;
	bool under_way; /* a question that is not answered yet */
	nsec_t asked;

	/* The answer's result, as JSON; NULL: an error.  Not of a question with
	 * `follow`. */
	void (*answered)(void *context, const char *json, size_t len);
	/* What happens, or did if it was asked for, as JSON. */
	void (*happened)(void *context, const char *json, size_t len);
	/* nclust's refusal, as JSON; NULL: answered() gets NULL. */
	void (*refused)(void *context, const char *json, size_t len);
	void *context; /* of these */
	int passed;    /* a descriptor that came with an event, until it is
			  taken; or -1 */
};

/* Takes over the descriptor of a stream. */
void ask_init(struct ask *ask, struct ev_loop *loop, int fd);
void ask_fini(struct ask *ask);

/* Only if no question is under way.  If it cannot be sent, nclust has ended: the
 * loop ends, as it does when nclust closes the connection. */
void ask_send(struct ask *ask, struct control_request request);

#endif

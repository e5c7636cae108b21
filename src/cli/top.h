/* SPDX-License-Identifier: MIT */
#ifndef CLI_TOP_H
#define CLI_TOP_H

#include "cli/client.h"
#include "cli/logs.h"
#include "cli/top_screen.h"
#include "cli/top_view.h"
#include "cli/verb.h"

/*
 * `nclust top`.  One connection asks for the status each second, another one gets
 * the events, a third one is there while something is changed.  None is waited for,
 * so that keys are heard whatever nclust does.
 */
enum top_mode {
	TOP_LIST,
	TOP_FILTER,   /* its text is typed */
	TOP_QUESTION, /* shall `request` be sent? */
	TOP_READ,     /* what a worker or a cluster wrote or did */
	TOP_HELP,
};

struct top {
	const char *runtime_directory;
	char instance[65];
	char target[TOP_TARGET]; /* that is looked at; "": all */
	struct top_view view;
	struct screen screen;
	enum top_mode mode;

	struct client status;
	struct client events;
	struct client change;
	bool connected; /* to the first two */
	bool asked;     /* and the answer is not there yet */
	nsec_t next;    /* look, or connect again */
	nsec_t looked;
	nsec_t answered;
	struct error lost; /* why it is not connected */

	json_t *happened; /* events, the latest last */
	double latest;    /* its time */
	char reading[TOP_TARGET];
	bool reads_events; /* else what it has written */
	size_t back;       /* lines before the last one */
	struct client reader;
	struct logs logs;
	json_t *written; /* lines as if they were events */

	struct control_request request;
	char message[512]; /* what became of it */
	enum colour tone;
	size_t width[COLUMNS]; /* of the widest cell since the last resize */
	bool over;
};

/* Draw all of it. */
void top_draw(struct top *t);
/* Read what the target has written, or go on with it; end that.  `cancel`: see
 * struct client. */
void top_read_begin(struct top *t, int cancel);
void top_read_answer(struct top *t);
void top_read_more(struct top *t);
void top_read_end(struct top *t);
/* Connect to the instance, for one request. */
int top_reach(struct top *t, struct client *c, int cancel, struct error *err);
/* Rows of the list, with the screen as it is. */
size_t top_list_rows(const struct top *t);

#endif

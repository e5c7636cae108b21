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
 * the events, a third one exists while a change is made.  The loop waits for no
 * answer, so that keys work whatever nclust does.
 */
enum top_mode {
	TOP_LIST,
	TOP_FILTER,   /* the text of the filter is typed */
	TOP_QUESTION, /* is `request` to be sent? */
	TOP_READ,     /* the output or the events of a target are read */
	TOP_HELP,
};

struct top {
	const char *runtime_directory;
	char instance[65];
	char target[TOP_TARGET]; /* the target that is shown; "": all */
	struct top_view view;
	struct screen screen;
	enum top_mode mode;

	struct client status;
	struct client events;
	struct client change;
	bool connected; /* `status` and `events` are */
	bool asked;     /* for the status, and the answer has not come yet */
	nsec_t next;    /* time of the next request, or of the next try to connect */
	nsec_t looked;
	nsec_t answered;
	struct error lost; /* why the connection is lost */

	json_t *happened; /* events, the latest last */
	double latest;    /* time of the last event */
	char reading[TOP_TARGET];
	bool reads_events; /* TOP_READ shows events, else output */
	size_t back;       /* how many lines before the last one are shown */
	struct client reader;
	struct logs logs;
	json_t *written; /* output lines, in the form of events */

	struct control_request request;
	char message[512]; /* the outcome of the last change */
	enum colour tone;
	size_t width[COLUMNS]; /* of the widest cell since the last resize */
	bool over;
};

/* Draw the screen. */
void top_draw(struct top *t);
/* Begin to read the target's output; read on; end.  `cancel`: see struct client. */
void top_read_begin(struct top *t, int cancel);
void top_read_answer(struct top *t);
void top_read_more(struct top *t);
void top_read_end(struct top *t);
/* Connect to the instance, for one request. */
int top_reach(struct top *t, struct client *c, int cancel, struct error *err);
/* Rows of the list, with the screen as it is. */
size_t top_list_rows(const struct top *t);

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include "cli/client.h"
#include "cli/table.h"
#include "cli/verb.h"
#include "protocol/control.h"

/* With macros, ncurses could not be called through dlopen(3). */
#define NCURSES_NOMACROS 1
#include <curses.h>

/* ---- top screen ---- */

/* The terminal, by ncurses. */
#define NCURSES_CALLS \
	X(newterm) \
	X(endwin) \
	X(cbreak) \
	X(noecho) \
	X(nodelay) \
	X(keypad) \
	X(set_escdelay) \
	X(curs_set) \
	X(start_color) \
	X(use_default_colors) \
	X(init_pair) \
	X(werase) \
	X(wmove) \
	X(wattrset) \
	X(waddnstr) \
	X(wrefresh) \
	X(clearok) \
	X(wgetch) \
	X(resizeterm) \
	X(def_prog_mode) \
	X(reset_prog_mode) \
	X(stdscr)

struct screen {
	struct { /* first: library_load() fills it in */
#define X(name) __typeof__(name) *name;
		NCURSES_CALLS
#undef X
	};
	bool colour;
	size_t rows;
	size_t columns;
};

/* -1 and `err`: no terminal, a terminal without the needed capabilities, or no
 * library.  Leaves the terminal unchanged. */
int screen_load(struct screen *s, struct error *err);
/* Take the terminal.  The caller has blocked the signals that end a program. */
int screen_open(struct screen *s, struct error *err);
void screen_close(struct screen *s);

/* Ask the terminal for its size. */
void screen_measure(struct screen *s);
/* Redraw all, as another program may have drawn on the terminal meanwhile. */
void screen_again(struct screen *s);
/* ^Z: give the terminal back and stop, until SIGCONT. */
void screen_suspend(struct screen *s);

/* Put the text between two newlines, with its colours as marks (wrap.h), onto a
 * line, as far as the line has room; `attributes` are added to those of its colours. */
void screen_put(struct screen *s, size_t line, const char *text, size_t len, attr_t attributes);

/* ---- top view ---- */

/*
 * The content of `nclust top`, without drawing: its rows, their order, which of
 * them are grouped, and which one is selected.  Pure.
 */
enum top_kind {
	TOP_INSTANCE,
	TOP_CLUSTER,
	TOP_TEXT, /* a line about the cluster above; cannot be selected */
	TOP_WORKERS,
};

struct top_row {
	enum top_kind kind;
	size_t text;        /* offset in `text`; TOP_WORKERS: unused */
	struct group group; /* TOP_WORKERS; else the cluster alone, or nothing */
	struct sums sums;   /* TOP_WORKERS alone */
};

#define TOP_TARGET sizeof(((struct control_request *)NULL)->target)

/* What the selected row is about, whatever its number after the next look. */
struct top_pick {
	enum top_kind kind;
	char cluster[65];
	long long slot;
};

struct top_view {
	json_t *status; /* of the last look; NULL: none */
	json_t *turned; /* clusters that are grouped against the default */
	char filter[64];
	enum column sort;
	bool backwards;
	size_t height; /* rows that fit on the screen */

	struct buffer list;   /* the rows */
	struct top_row *rows; /* there */
	size_t count;
	struct buffer text; /* lines with colours as marks (wrap.h) */
	size_t selected;
	size_t first; /* the first row on the screen */
	struct top_pick pick;
};

void top_view_init(struct top_view *v);
void top_view_fini(struct top_view *v);

/* Take over a new status; NULL: nclust is gone.  -1: out of memory. */
int top_view_look(struct top_view *v, json_t *status);
/* Make the rows anew, after a change of the view. */
int top_view_make(struct top_view *v);

/* Sort by this column; a second call turns the order round. */
void top_view_sort(struct top_view *v, enum column column);
/* Is the least above? */
bool top_view_ascends(const struct top_view *v);
/* Select the row that is so many rows further, or the nearest to that one. */
void top_view_move(struct top_view *v, long rows);
/* Group the workers of the selected cluster, or give each a row. */
void top_view_turn(struct top_view *v);

/* The selected row; NULL: none. */
const struct top_row *top_view_row(const struct top_view *v);
/* The target of a change at the selected row: "" (the instance), "web", "web.2".
 * The cluster, if the row is a group, or the method takes no slot. */
const char *top_view_target(
	const struct top_view *v, enum control_method method, char to[TOP_TARGET]);

/* ---- top ---- */

/*
 * `nclust top`.  One connection asks for the status each second, another one gets
 * the events, a third one exists while a change is made.  The loop waits for no
 * answer, so that keys work whatever nclust does.
 */
enum top_mode {
	TOP_LIST,
	TOP_FILTER,   /* the text of the filter is typed */
	TOP_QUESTION, /* is `request` to be sent? */
	TOP_HELP,
};

struct top {
	const char *runtime_directory;
	char instance[65];
	char target[TOP_TARGET]; /* the target that is shown; "": all */
	struct top_view view;
	struct screen screen;
	enum top_mode mode;
	int signals; /* readable when one has come */

	struct client status;
	struct client events;
	struct client change;
	bool connected; /* `status` and `events` are */
	bool asked;     /* for the status, and the answer has not come yet */
	nsec_t next;    /* time of the next request, or of the next try to connect */
	nsec_t answered;
	struct error lost; /* why the connection is lost */

	json_t *happened; /* events, the latest last */
	double latest;    /* time of the last event */

	struct control_request request;
	char message[512]; /* the outcome of the last change */
	enum colour tone;
	struct table table;  /* with the widest cells since the last resize */
	struct wrap lines;   /* a line that is composed, and then drawn */
	struct buffer drawn; /* that line */
	bool over;
};

/* Draw the screen. */
void top_draw(struct top *t);
/* Rows of the list, with the screen as it is. */
size_t top_list_rows(const struct top *t);

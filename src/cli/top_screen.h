/* SPDX-License-Identifier: MIT */
#ifndef CLI_TOP_SCREEN_H
#define CLI_TOP_SCREEN_H

#include "base/error.h"
#include "cli/wrap.h"

#include <stdbool.h>
#include <stddef.h>

/* With macros, ncurses could not be called through dlopen(3). */
#define NCURSES_NOMACROS 1
#include <curses.h>

/*
 * The terminal, by ncurses: found by dlopen(3), because linked, the library and
 * its tables would be in each process of nclust.
 *
 * A process that has opened it and is killed by a fault of its own gives the
 * terminal back as it was.
 */
struct screen {
	__typeof__(newterm) *newterm;
	__typeof__(endwin) *endwin;
	__typeof__(cbreak) *cbreak;
	__typeof__(noecho) *noecho;
	__typeof__(nodelay) *nodelay;
	__typeof__(keypad) *keypad;
	__typeof__(set_escdelay) *set_escdelay;
	__typeof__(curs_set) *curs_set;
	__typeof__(start_color) *start_color;
	__typeof__(use_default_colors) *use_default_colors;
	__typeof__(init_pair) *init_pair;
	__typeof__(werase) *werase;
	__typeof__(wmove) *wmove;
	__typeof__(wattrset) *wattrset;
	__typeof__(waddnstr) *waddnstr;
	__typeof__(wrefresh) *wrefresh;
	__typeof__(clearok) *clearok;
	__typeof__(wgetch) *wgetch;
	__typeof__(resizeterm) *resizeterm;
	__typeof__(def_prog_mode) *def_prog_mode;
	__typeof__(reset_prog_mode) *reset_prog_mode;
	WINDOW **all; /* ncurses' stdscr */
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

/* Begin a new picture; show it. */
void screen_begin(struct screen *s);
void screen_end(struct screen *s);
/* Put the text between two newlines, with its colours as marks (wrap.h), onto a
 * line, as far as the line has room; `attributes` are added to those of its colours. */
void screen_put(struct screen *s, size_t line, const char *text, size_t len, attr_t attributes);
/* The next key that was pressed; ERR: none. */
int screen_key(struct screen *s);

#endif

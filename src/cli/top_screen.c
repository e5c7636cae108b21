/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include "base/scope.h"
#include "cli/output.h"
#include "os/library.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <termios.h>

#define LIBRARY "libncursesw.so.6"
#define PLAIN_ONE "'watch nclust status' needs none of that"

static int load_library(struct screen *s, struct error *err)
{
	static const char *const names[] = {
#define X(name) #name,
		NCURSES_CALLS
#undef X
	};

	if (library_load(LIBRARY, names, COUNT_OF(names), s) == 0)
		return 0;
#ifdef NCLUST_STATIC
	return error_fail(err, EX_UNAVAILABLE,
		"top: this nclust is linked statically, and cannot load the "
		"library that draws; " PLAIN_ONE);
#else
	return error_fail(err, EX_UNAVAILABLE,
		"top: the library " LIBRARY " cannot be loaded: install "
		"the package libncursesw6; " PLAIN_ONE);
#endif
}

/* ---- open and close ---- */

int screen_load(struct screen *s, struct error *err)
{
	const char *name = getenv("TERM");

	if (isatty(STDIN_FILENO) != 1 || isatty(STDOUT_FILENO) != 1) {
		return error_fail(err, EX_USAGE,
			"top: needs a terminal to draw on and to read keys "
			"from; 'nclust status' works anywhere");
	}
	if (name == NULL || *name == '\0' || strcmp(name, "dumb") == 0) {
		return error_fail(err, EX_USAGE,
			"top: a terminal of TERM=%s cannot be drawn "
			"on; " PLAIN_ONE,
			name != NULL ? name : "");
	}
	return load_library(s, err);
}

int screen_open(struct screen *s, struct error *err)
{
	struct termios modes;

	if (s->newterm(NULL, stdout, stdin) == NULL) {
		return error_fail(err, EX_USAGE,
			"top: the terminal type TERM=%.64s is "
			"unknown; " PLAIN_ONE,
			getenv("TERM"));
	}
	(void)s->cbreak();
	(void)s->noecho();
	/* ^S would stop this process in the midst of a picture, with all signals blocked. */
	if (tcgetattr(STDIN_FILENO, &modes) != -1) {
		modes.c_iflag &= ~(tcflag_t)IXON;
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &modes);
	}
	(void)s->def_prog_mode();
	(void)s->nodelay(*s->stdscr, TRUE);
	(void)s->keypad(*s->stdscr, TRUE);
	(void)s->set_escdelay(25);
	(void)s->curs_set(0);
	s->colour = output_wants_colour(STDOUT_FILENO) && s->start_color() == OK &&
		s->use_default_colors() == OK && s->init_pair(RED, COLOR_RED, -1) == OK &&
		s->init_pair(GREEN, COLOR_GREEN, -1) == OK &&
		s->init_pair(YELLOW, COLOR_YELLOW, -1) == OK;
	screen_measure(s);
	return 0;
}

void screen_close(struct screen *s)
{
	(void)s->wmove(*s->stdscr, (int)s->rows - 1, 0);
	(void)s->curs_set(1);
	(void)s->endwin();
}

void screen_measure(struct screen *s)
{
	struct winsize size = output_size();

	s->rows = size.ws_row > 0 ? size.ws_row : 24;
	s->columns = size.ws_col > 0 ? size.ws_col : 80;
	(void)s->resizeterm((int)s->rows, (int)s->columns);
}

void screen_again(struct screen *s)
{
	(void)s->reset_prog_mode();
	(void)s->curs_set(0);
	(void)s->clearok(*s->stdscr, TRUE);
	screen_measure(s);
}

void screen_suspend(struct screen *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTSTP);
	(void)s->curs_set(1);
	(void)s->endwin();
	(void)raise(SIGTSTP);
	/* the signal was blocked: now it comes, and ncurses' handler stops the process */
	(void)sigprocmask(SIG_UNBLOCK, &set, NULL);
	(void)sigprocmask(SIG_BLOCK, &set, NULL);
	screen_again(s);
}

/* ---- drawing ---- */

static attr_t attribute_of(const struct screen *s, enum colour colour)
{
	if (colour == BOLD || colour == DIM)
		return colour == BOLD ? A_BOLD : A_DIM;
	if (s->colour && (colour == RED || colour == GREEN || colour == YELLOW))
		return (attr_t)NCURSES_BITS((int)colour, 0);
	return A_NORMAL;
}

void screen_put(struct screen *s, size_t line, const char *text, size_t len, attr_t attributes)
{
	attr_t colour = A_NORMAL;
	size_t room = s->columns;
	size_t at = 0;

	if (line >= s->rows)
		return;
	(void)s->wmove(*s->stdscr, (int)line, 0);
	while (at < len) {
		size_t run = at;
		size_t fits;

		while (run < len && (unsigned char)text[run] >= ' ')
			run++;
		fits = wrap_fit(text + at, run - at, &room);
		(void)s->wattrset(*s->stdscr, (int)(colour | attributes));
		(void)s->waddnstr(*s->stdscr, text + at, (int)fits);
		if (fits < run - at)
			break;
		if (run < len)
			colour = attribute_of(s, (enum colour)text[run]);
		at = run + 1;
	}
	/* a selected line is coloured up to the edge */
	(void)s->wattrset(*s->stdscr, (int)attributes);
	while ((attributes & A_REVERSE) != 0 && room-- > 0)
		(void)s->waddnstr(*s->stdscr, " ", 1);
	(void)s->wattrset(*s->stdscr, (int)A_NORMAL);
}

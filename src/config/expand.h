/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "config/option.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * Turns a value of an INI file's line into one that field_set() takes: "${VAR}"
 * is replaced in `command`, `env`, `listen` and `relay`, quotes are taken off in
 * `env`, and a relative path becomes one of the file's directory.  A command line
 * needs this for lists of paths alone: its shell has done the rest.
 */

/* `dir` stands before a relative path: "" or "conf/".  Heap; NULL and `err`. */
char *expand_value(
	const struct option_row *row, const char *text, const char *dir, struct error *err);

/* Has a value with paths, as a user wrote it, a part that only a shell would replace, such as "~/",
 * "~root", "$HOME" or, in a file, a '*', or systemd, such as "%h" there?  Then -1 and `err`. */
int expand_check_path(
	const struct option_row *row, bool in_file, const char *text, struct error *err);

/* "{slot}", "{slot+9229}", "{slot%2}": is the word between the braces such a word, and which
 * number does it give to the slot? */
bool expand_slot(const char *word, size_t len, unsigned slot, uint64_t *number);
/* Is the word between "{slot" and '}' meant to be one, and is none?  Returns -1 and `err`. */
int expand_check_slot(const char *at, struct error *err);

/* `text` with each "{cluster}" (NULL: these stay), and each "{slot}" and "{slot+9229}" (-1: these
 * stay) replaced; heap, or NULL and `err`. */
char *expand_names(const char *text, const char *cluster, long slot, struct error *err);

/* "1, B=2" and "1 B=2" are meant for several variables: a guess, which quotes in a file overrule.  Any
 * other '=' before shows that the value itself is such a list. */
bool expand_has_next_variable(const char *value);

/* Append "NAME=value" so that expand_value() of `env` gives it back.  Returns -1 if
 * `out` has failed. */
int expand_quote_env(struct buffer *out, const char *entry);

/* ---- slotword ---- */

/* Does one of the words (NULL-terminated, or NULL) open that port for a debugger?  Returns what
 * stands before the port there ("--inspect="); NULL: none does. */
const char *slotword_of_debugger(char *const *words, unsigned port);
/* Does the port stand by itself in the text, as 9100 in "--metrics=:9100"? */
bool slotword_has_port(const char *text, unsigned port);

/* ---- known programs ---- */

/* The signal by which the command, as it was written, stops soon, if it is a known one that may
 * take long to stop by SIGTERM ("INT"); or NULL. */
const char *command_stop_signal(const char *command);

/* Is the command, as it was written, a scheduler, each copy of which would do all of the work? */
bool command_schedules(const char *command);

/* An address of each worker's own, in the place of `metrics` and `nclust ask`. */
#define LISTEN_EACH "127.0.0.1:{slot+9200}"

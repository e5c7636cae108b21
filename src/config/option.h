/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "config/diff.h"

#include <stdbool.h>
#include <stddef.h>

struct field;

/*
 * A type of settings.  parse() makes a value of the text, or leaves the setting as it was
 * and returns -1.  (Where `out` has failed the setting may have the new value: it is reported
 * as out of memory.)  hold() (or NULL) lets the value point into the text, which is kept as
 * long.  Given NULL, it frees what the value has on the heap: then the value is the default,
 * which has nothing there.
 */
struct option_type {
	int (*parse)(const struct field *f, const char *text, struct error *err);
	void (*hold)(const struct field *f, const char *kept);
};

extern const struct option_type type_flag, /* command line only, without a value */
	type_name, type_relay, type_hand_on, type_after, type_path, type_paths, type_fallback,
	type_bool, type_count, type_percent, type_duration, type_memory_limit, type_size,
	type_choice, type_command, type_run, type_log, type_workers, type_listen, type_pass,
	type_ports, type_user, type_group, type_control_group, type_http, type_umask, type_nice,
	type_env, type_capabilities, type_limit, type_ready, type_stop_signal, type_give_up,
	type_exits, type_probe, type_header, type_threads,
	type_signal_rule, /* the name ends in a signal's: "signal-USR1" */
	type_hook;        /* the name ends in an event's: "on-exit" */

/* What settings are about: the parts of nclust.ini(5), in its order. */
enum option_group {
	GROUP_NONE, /* command line only */
	GROUP_PROCESSES,
	GROUP_SOCKETS,
	GROUP_READINESS,
	GROUP_HEALTH,
	GROUP_RESTARTS,
	GROUP_STOPPING,
	GROUP_ROLLOUTS,
	GROUP_ORDER,
	GROUP_LIMITS,
	GROUP_LOGS,
	GROUP_EVENTS,
	GROUP_MESSAGES,
	GROUP_INSTANCE, /* all of [nclust] */
	OPTION_GROUPS,
};

/*
 * THE TABLE: one row per setting.  INI reader, command line, checks, --help,
 * manual, sample file, completion, `nclust config` and the difference at a
 * reload are all made from it.  Nothing else lists the settings but
 * man/settings.mdoc, which has the manual's text for each.
 */
struct option_row {
	const char *section; /* "nclust", "cluster"; NULL: command line only */
	const char *name;
	const struct option_type *type;
	unsigned short offset; /* in settings or cluster_settings */
	enum option_group group;
	enum change change; /* what a reload must do */
	char letter;        /* short option, or 0 */
	bool bytes;         /* type_limit: "64M" makes sense */
	bool repeatable;
	bool common;           /* shown by --help */
	long long least, most; /* of a number; nsec of a duration, bytes of a size */
	const char *word;      /* stands for one value of these, which need not be in
				  between; without a fallback, for none; or NULL */
	long long word_value;
	bool automatic;             /* type_count: "auto" stands for COUNT_AUTO */
	const char *const *choices; /* type_choice: index = value; ends in NULL */
	const char *fallback;       /* the default as text; NULL: none */
	const char *unset;          /* what stands for "none" in the manual */
	const char *argument;       /* "time" */
	const char *example;        /* for the sample, where no fallback fits */
	const char *help;           /* one line, no capital, no full stop */
};

#define OPTIONS_MAX 120 /* rows that there may be */
extern const struct option_row option_rows[];
extern const size_t option_count;

/* The row after `row` (NULL: the first one) that is of that section, "nclust" or
 * "cluster" (NULL: of any, or of the command line alone); NULL at the end. */
const struct option_row *option_next(const char *section, const struct option_row *row);

/* Is it a row for several keys, whose names only begin alike? */
static inline bool option_is_family(const struct option_row *row)
{
	return row->type == &type_signal_rule || row->type == &type_hook;
}

/*
 * The n-th key of a row, for lists of keys; NULL: no more.  One key, but for a
 * family: for signals an example, for events all.
 */
const char *option_key(const struct option_row *row, size_t n);

/*
 * The row of a key in a section ("nclust", "cluster"; NULL: whatever can
 * stand on a command line), or NULL.  *member is which one of a family it is:
 * the number behind "signal-", -1 where that is no signal; the enum hook_event
 * behind "on-".  It is 0 for all other rows.  `member` may be NULL.
 */
const struct option_row *option_find(const char *section, const char *name, int *member);
const struct option_row *option_find_letter(char letter);

/* The name that an unknown key was most likely meant to be, or NULL. */
const char *option_nearest(const char *section, const char *name);

/*
 * One setting of `base` (struct settings or struct cluster_settings, as the row's section
 * says): its value, and that value as text, which is written in one way only.  field_set()
 * parses and stores, or leaves the setting as it was and returns -1; repeatable settings
 * grow, until field_clear().
 */
int field_set(
	const struct option_row *row, void *base, int member, const char *text, struct error *err);
/* The same by the key, which must exist. */
int field_set_key(
	const char *section, void *base, const char *key, const char *text, struct error *err);
/* The same for a setting of another nclust, whose table may have other keys; 1: no such
 * key here.  Users and groups are not looked up, because their numbers are carried. */
int field_carry(
	const char *section, void *base, const char *key, const char *text, struct error *err);
/* Of a repeatable setting: is the text that `text` would replace there already? */
bool field_has(const struct option_row *row, const void *base, int member, const char *text);
/* The line that gives a key of a family in the cluster's own section; 0: there is none. */
unsigned field_line(const char *section, const void *base, const char *key);
void field_set_line(const struct option_row *row, const void *base, int member, unsigned line);
/* Set what is set in another struct; `keep`: only the keys that are not set here. */
int field_give(
	const struct option_row *row, void *base, const void *from, bool keep, struct error *err);
/* Clear a setting, and free its heap blocks. */
void field_clear(const struct option_row *row, void *base);

/* How many texts a setting has; 0: not set (inherited, none).  A setting at its default has one. */
size_t field_count(const struct option_row *row, const void *base);
/* The n-th text: field_set() of it gives the same value. */
const char *field_at(const struct option_row *row, const void *base, size_t n);
/* The key of the n-th text: the row's name, or a family's "signal-USR1".  Returns `to`. */
const char *field_key(const struct option_row *row, const void *base, size_t n, char to[40]);

/* Called for each text of a section's settings, in the order of the table. */
typedef void field_taker(void *to, const char *key, const char *text);
void field_each(const char *section, const void *base, field_taker *take, void *to);

/* The setting that a text is for. */
struct field {
	const struct option_row *row;
	void *base; /* struct settings or struct cluster_settings */
	void *at;   /* in there */
	int member; /* of a family */
	bool known; /* users and groups are not looked up */
	/* gets the one way in which the value is written, or nothing where that is the text */
	struct buffer *out;
};
void hold_text(const struct field *f, const char *kept);
void hold_list(const struct field *f, const char *kept);

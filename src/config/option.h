/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_OPTION_H
#define CONFIG_OPTION_H

#include "base/error.h"
#include "config/config.h"
#include "config/value.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * THE TABLE: one row per setting.  INI reader, command line, checks, --help,
 * manual, sample file, completion, `nclust config` and the difference at a
 * reload are all made from it.  Nothing else lists the settings but
 * man/settings.mdoc, which has the manual's text for each.
 */
enum option_type {
	OPT_FLAG, /* command line only, without a value */
	OPT_NAME,
	OPT_RELAY, /* a name, or the URL of a broker */
	OPT_AFTER,
	OPT_PATH,
	OPT_PATHS,
	OPT_FALLBACK,
	OPT_BOOL,
	OPT_COUNT,
	OPT_PERCENT,
	OPT_DURATION,
	OPT_MEMORY_LIMIT, /* a size "for" a time */
	OPT_SIZE,
	OPT_CHOICE,
	OPT_COMMAND,
	OPT_RUN, /* a command in a struct hook */
	OPT_LOG,
	OPT_WORKERS,
	OPT_LISTEN,
	OPT_PASS,
	OPT_PORTS,
	OPT_USER,
	OPT_GROUP,
	OPT_CONTROL_GROUP,
	OPT_HTTP,
	OPT_UMASK,
	OPT_NICE,
	OPT_ENV,
	OPT_CAPABILITIES,
	OPT_LIMIT,
	OPT_READY,
	OPT_STOP_SIGNAL,
	OPT_GIVE_UP,
	OPT_EXITS,
	OPT_PROBE,
	OPT_HEADER,
	OPT_THREADS,
	OPT_SHARED_MEMORY,
	OPT_SIGNAL_RULE, /* the name ends in a signal's: "signal-USR1" */
	OPT_HOOK,        /* the name ends in an event's: "on-exit" */
	OPTION_TYPES,
} __attribute__((packed)); /* the table is small */

struct option_row {
	const char *section; /* "nclust", "cluster"; NULL: command line only */
	const char *name;
	unsigned short offset; /* in settings or cluster_settings */
	enum option_type type;
	enum change change; /* what a reload must do */
	char letter;        /* short option, or 0 */
	bool bytes;         /* OPT_LIMIT: "64M" makes sense */
	bool repeatable;
	bool common;           /* shown by --help */
	long long least, most; /* OPT_COUNT, OPT_PERCENT; nsec for OPT_DURATION,
				       bytes for OPT_MEMORY_LIMIT,
				       OPT_SIZE */
	const char *word;      /* of these: stands for one value,
				       which need not be in between; or NULL */
	long long word_value;
	const char *const *choices; /* OPT_CHOICE: index = value; ends in NULL
				     */
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
	return row->type == OPT_SIGNAL_RULE || row->type == OPT_HOOK;
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
/* Set what is set in another struct; `keep`: only the keys that are not set here. */
int field_give(const struct option_row *row, void *base, const void *from, bool keep,
	struct error *err);
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

/* ---- types ---- */

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

/*
 * A type of settings.  parse() makes a value of the text, or leaves the setting as it was
 * and returns -1; TYPE_NONE: the text says that there is no value.  (Where `out` has failed
 * the setting may have the new value: it is reported as out of memory.)  hold() lets the
 * value point into the text, which is kept as long.  Given NULL, it frees what the value has
 * on the heap: then the value is the default, which has nothing there.
 */
enum { TYPE_NONE = 1 };
typedef int type_parse(const struct field *f, const char *text, struct error *err);
typedef void type_hold(const struct field *f, const char *kept);

type_parse parse_workers, parse_threads, parse_shared_memory;
type_parse parse_command, parse_hook, parse_probe, parse_ready, parse_header;
type_parse parse_stop_signal, parse_exits, parse_capabilities, parse_pass, parse_ports;
type_parse parse_limit, parse_signal_rule, parse_log, parse_after;
type_hold hold_command, hold_hook, hold_probe, hold_log;

#endif

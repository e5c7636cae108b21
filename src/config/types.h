/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_TYPES_H
#define CONFIG_TYPES_H

#include "config/option.h"
#include "config/value.h"

/* The setting that a text is for. */
struct field {
	const struct option_row *row;
	void *base; /* struct settings or struct cluster_settings */
	void *at;   /* in there */
	int member; /* of a family */
	bool known; /* users and groups are not looked up */
};

/*
 * A type of settings.  parse() makes a value of the text, which is a heap block, and
 * replaces the text by the one way in which that value is written; or it leaves the
 * setting as it was and returns -1.  The value may point into the text, which is kept as
 * long.  free() frees whatever else the value has on the heap.
 */
typedef int type_parse(const struct field *f, char **text, struct error *err);
typedef void type_free(const struct field *f);

type_parse parse_workers, parse_threads, parse_shared_memory;
type_parse parse_command, parse_run, parse_hook, parse_probe, parse_ready, parse_header;
type_parse parse_stop_signal, parse_exits, parse_capabilities, parse_pass, parse_ports;
type_parse parse_limit, parse_signal_rule, parse_log, parse_after;
type_free free_command, free_run, free_hooks, free_probe, free_ready, free_rules, free_log;

/* Replace a text by a formatted one. */
int text_become(char **text, struct error *err, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Replace it by the text in `out`. */
int text_take(char **text, struct buffer *out, struct error *err);
/* Replace it by NULL: the setting has no value. */
void text_none(char **text);

#endif

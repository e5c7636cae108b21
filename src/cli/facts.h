/* SPDX-License-Identifier: MIT */
#ifndef CLI_FACTS_H
#define CLI_FACTS_H

#include "base/buffer.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * The findings of `nclust doctor`: facts, each with its consequence for nclust.  They are a
 * list of JSON objects {name, mark, found, does}, as --json prints it; the owner frees it.
 */
enum fact_mark {
	FACT_OK,
	FACT_NOTE, /* good to know */
	FACT_WARN, /* a feature will be missing, slower or limited */
	FACT_BAD,  /* nclust cannot run here */
};

/* `does`: the consequence, or what to do; "": nothing need be done. */
void facts_add(json_t *facts, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* How many workers `workers = auto` gives, by affinity and quota. */
unsigned facts_cpus(void);

/* Facts about this machine, found by trying, where a try leaves no trace. */
void facts_machine(json_t *facts, const char *runtime_directory);
void facts_intercept(json_t *facts); /* can ports of servers be taken over? */
/* What a kernel of this release (uname(2)) lacks, and what is different for its users.  `try`: try
 * this kernel for what distributions may have brought to that release. */
void facts_kernel(json_t *facts, const char *release, bool try);
bool facts_is_release(const char *release, unsigned major, unsigned minor); /* or newer? */

bool facts_bad(const json_t *facts); /* does a fact prevent running? */
/* Append the facts from the n-th on as aligned lines, broken at `width` (0: never). */
void facts_format(const json_t *facts, size_t n, struct buffer *out, size_t width, bool colour);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CLI_LOGS_H
#define CLI_LOGS_H

#include "cli/client.h"
#include "os/place/sharedmem.h"
#include "protocol/logwire.h"

#include <regex.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * The output of workers, read from files whose descriptors nclust sends: see
 * nclust-control(7).  Initialised with zeros.
 */
struct log_slot {
	char cluster[65];
	uint32_t number;
	struct linering ring;
	uint64_t at;               /* place in the file up to which was read */
	int64_t latest;            /* the greatest time of a line so far: clocks are set back */
	struct linering_text text; /* the lines that are shown now */
};

struct log_record {
	struct logline line;
	const struct log_slot *slot;
	int64_t when;
	size_t order; /* grows in the order of reading */
};

struct logs {
	const char *target; /* whose output; borrowed */
	/* which lines are wanted */
	bool only_stderr;
	nsec_t since; /* 0: all lines */
	bool has_pattern;
	regex_t pattern;

	struct log_slot **slots; /* heap */
	size_t count;
	struct buffer kept;         /* the records */
	struct log_record *records; /* there; valid until logs_drop() */
	size_t record_count;
	json_t *missing; /* of the last answer: clusters that keep no output */
	uint64_t last;   /* number of the last file that has come */
	bool whole; /* all files have come that there were; nclust sends later ones as they begin */
};

/* Ask for files that have not come yet.  -1 and `err`. */
int logs_ask(struct logs *l, struct client *c, struct error *err);
/* Take files that have come, and ask for more.  1: some have; 0: none yet; -1 and `err`. */
int logs_look(struct logs *l, struct client *c, struct error *err);

/* Read the lines that have come since the last call, in the order of their time.
 * -1: out of memory. */
int logs_read(struct logs *l);
void logs_drop(struct logs *l);
void logs_fini(struct logs *l);

#endif

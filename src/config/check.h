/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/config.h"

/* Can each program be executed, and each `env-file` and the token be read?  A start finds out by
 * doing so. */
void config_note_files(struct settings *s, struct faults *faults);

/* Has a cluster a `relay` to a broker?  And if no broker can be used: add `why` to `faults`, for
 * each such cluster. */
bool config_has_broker(const struct settings *s);
void config_no_broker(const struct settings *s, const char *why, struct faults *faults);

/*
 * Checks of several values, once all are there: names, users' groups, times of
 * stop steps, duplicates, exclusions.  An instance without a name gets one
 * from its file or its command.
 */
void settings_check(struct settings *s, struct faults *faults);

/* The parts of settings_check(), each of which looks at several settings. */
struct check {
	struct settings *s;
	struct faults *faults;
	size_t at; /* the cluster, or INSTANCE */
	struct cluster_settings *c;
};

/* Begin at INSTANCE.  What only looks at settings that are read only does not change them. */
struct check check_begin(const struct settings *s, struct faults *faults);
/* Go on to the next cluster, but for those of refused sections; false: there is none. */
bool check_next(struct check *k);
/* Where the key came from. */
const struct origin *check_origin(const struct check *k, const char *key);
/* Was the key refused already?  Then faults that follow from that are not reported. */
bool check_is_bad(const struct check *k, const char *key);
/* Report a mistake in `key`, at the key's line or, if no line has the key, at the head of the
 * cluster's section. */
void check_fault(const struct check *k, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same if the rule is broken, which the sentence tells. */
void check_rule(const struct check *k, bool is_broken, const char *key, const char *format, ...)
	__attribute__((format(printf, 4, 5)));

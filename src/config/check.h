/* SPDX-License-Identifier: MIT */
#ifndef CONFIG_CHECK_H
#define CONFIG_CHECK_H

#include "config/origin.h"

/* The parts of settings_check(), each of which looks at several settings. */
struct check {
	struct settings *s;
	struct faults *faults;
	size_t at; /* the cluster */
	struct cluster_settings *c;
};

/* Where the cluster's key came from. */
const struct origin *check_origin(const struct check *k, const char *key);
/* Was the key refused already?  Then faults that follow from that are not reported. */
bool check_is_bad(const struct check *k, const char *key);
/* Report a mistake in `key` of the cluster, at the key's line or, if no line has the key, at
 * the head of the section. */
void check_fault(const struct check *k, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Check the addresses where a cluster listens. */
void check_listen(const struct check *k);
/* Has each slot an address of its own, if it should have one? */
void check_slots(const struct settings *s, unsigned cpus, struct faults *faults);
/* Check the addresses where nclust itself listens. */
void check_http(const struct settings *s, struct faults *faults);

#endif

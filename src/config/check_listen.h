/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/check.h"

/* Do the templates of the cluster's command, such as "{fd:http}", fit its listeners?
 * 0; or -1, and in `err` the first that does not. */
int config_check_command(const struct cluster_settings *c, struct error *err);

/* Checks that depend on this machine: can the sinks of the workers' output be opened
 * (this makes new files), and has each slot an address of its own where `listen` has
 * "{slot}"?  Mistakes are added to `faults`; `cpus`: for `workers`. */
void config_check_here(const struct settings *s, unsigned cpus, struct faults *faults);

/* Check the addresses where a cluster listens, and note in `places` where each slot does.  A place
 * that is noted already is a mistake. */
void check_listen(const struct check *k, struct buffer *places);
/* Check the addresses where nclust itself listens. */
void check_http(const struct check *k);

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include "supervisor/common/state.h"

/* Reload: first read and check everything and open what is new; only then
 * change anything.  If a step fails, all stays as it was.  Rollouts that a
 * reload starts are in each service's `awaited`. */
struct reload_result {
	struct buffer text; /* on failure: the mistakes, one a line; else a
				sentence on what changes */
	bool bad_config;    /* the file has mistakes */
};

/* Begin one: the configuration is read (reread.h), then reload_run() is called,
 * and `reloaded` of the parts.  `restart`: also roll what has not changed;
 * `drops_ports`: the new workers may listen on less than the old ones.  -1 and
 * `err`: it was not begun. */
int reload_begin(struct supervisor *sup, bool restart, bool drops_ports, struct error *err);
/* Reload these settings, which are then its own; or NULL: fail, because of these
 * mistakes.  0, or -1 with the text. */
int reload_run(struct supervisor *sup, struct settings *settings, const char *mistakes,
	bool restart, bool drops_ports, struct reload_result *result);
void reload_result_fini(struct reload_result *result);

/* For signal-X = reload; with `restart` for HUP, which also restarts what has not
 * changed, and all workers if there is no file. */
void reload_from_signal(struct supervisor *sup, bool restart);

#endif

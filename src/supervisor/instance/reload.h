/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RELOAD_H
#define SUPERVISOR_RELOAD_H

#include "supervisor/common/state.h"

/* Reload: first read and check everything and open what is new; only then change
 * anything.  If a step fails, all stays unchanged.  The change that a reload
 * begins in a cluster is in the service's stage.awaited. */

/* Begin a reload: the configuration is read (reread.h), then reload_run() is called,
 * and the hooks `reloaded` and `reload`.  `restart`: also roll clusters that have not changed;
 * `drops_ports`: new workers may listen on fewer addresses than the old ones.  -1
 * and `err`: it did not begin. */
int reload_begin(struct supervisor *sup, bool restart, bool drops_ports, struct error *err);
/* Reload with these settings, which the call takes over; or NULL: fail, because of
 * these mistakes.  0, or -1 with the text. */
int reload_run(struct supervisor *sup, struct settings *settings, const char *mistakes,
	bool restart, bool drops_ports, struct reload_result *result);
void reload_result_fini(struct reload_result *result);

/* For signal-X = reload; with `restart` for HUP, which also restarts clusters that
 * have not changed, and all workers if there is no file. */
void reload_from_signal(struct supervisor *sup, bool restart);

#endif

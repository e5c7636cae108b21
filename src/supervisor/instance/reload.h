/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* Reload: first read and check everything and open what is new; only then change
 * anything.  If a step fails, all stays unchanged.  What a reload has changed in a
 * cluster is over when the service's stage.awaited says so. */

/* Begin a reload: the configuration is read, then reload_run() is called,
 * moment_reloaded() and moment_verb().  `restart`: also roll clusters that have not changed;
 * `drops_ports`: new workers may listen on fewer addresses than the old ones.  -1
 * and `err`: it did not begin. */
int reload_begin(struct supervisor *sup, bool restart, bool drops_ports, struct error *err);
/* Reload with these settings, which the call takes over; or NULL: fail, because of
 * these mistakes.  0, or -1; `text` is a sentence on the changes, or the mistakes in lines. */
int reload_run(struct supervisor *sup, struct settings *settings, const char *mistakes,
	bool restart, bool drops_ports, struct buffer *text);

/* For signal-X = reload; with `restart` for HUP, which also restarts clusters that
 * have not changed, and all workers if there is no file. */
void reload_from_signal(struct supervisor *sup, bool restart);

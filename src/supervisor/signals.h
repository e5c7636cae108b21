/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/state.h"

/*
 * Signals come in by a signalfd of nclust's own, with all of them blocked: no handler runs
 * anywhere.  libev's signal and child watchers are not used (its default loop would reap children
 * before nclust looks).
 */

/* Before anything resets dispositions: was SIGHUP ignored (nohup)? */
bool signals_hup_was_ignored(void);
/* Is there a controlling terminal?  SIGHUP with it gone means: stop. */
bool signals_has_terminal(void);
int signals_init(struct supervisor *sup, struct error *err);
void signals_fini(struct supervisor *sup);

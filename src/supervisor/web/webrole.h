/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

void web_on_go_on(struct supervisor *sup);
void web_on_shutdown(struct supervisor *sup);
int web_on_reload(struct supervisor *sup, const struct settings *settings, struct error *err);
void web_on_verb(struct supervisor *sup, const struct verb_step *verb);

/*
 * The process that answers by HTTP (src/web/web.h).  nclust holds its listening
 * socket, so that no client is refused while the process is started again, and
 * talks to it as to a client of the control socket that may only look.
 */

/* At the start, if `http` is set: open its address, start the process, and wait
 * until it can answer.  -1 and `err`, with the exit status that fits. */
int web_begin(struct supervisor *sup, struct error *err);

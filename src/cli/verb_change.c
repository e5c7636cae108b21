/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "cli/session.h"

/* All verbs that change something: one request, its outcome the exit status.  Of
 * its fields only those are sent that the method has. */
int verb_change(const struct arguments *a)
{
	struct control_request request = {
		.method = a->verb->method,
		.no_wait = arguments_has(a, OPTION_NO_WAIT),
		.scale_kind = a->scale_kind,
		.count = a->count,
		.signal = a->signal,
		.all = arguments_has(a, OPTION_ALL),
		.now = arguments_has(a, OPTION_NOW),
		.has_canary = arguments_has(a, OPTION_CANARY),
		.canary = a->canary,
		.has_bake = arguments_has(a, OPTION_BAKE),
		.drop_ports = arguments_has(a, OPTION_DROP_PORTS),
		.bake = a->bake,
		.has_timeout = arguments_has(a, OPTION_TIMEOUT),
		.timeout = a->timeout,
		.message = a->message,
		.command = a->command,
	};

	return session_request(a, &request);
}

/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "cli/session.h"

/* Runs all verbs that change something: one request, whose outcome is the exit
 * status.  Only the fields that the method has are sent. */
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

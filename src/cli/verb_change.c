/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "cli/session.h"

/* The verbs that change something: one request each, its outcome the exit
 * status. */

static int change(const struct arguments *a, struct control_request request)
{
	request.no_wait = arguments_has(a, OPTION_NO_WAIT);
	return session_request(a, &request);
}

int verb_restart(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_RESTART,
			.has_canary = arguments_has(a, OPTION_CANARY),
			.canary = a->canary,
			.has_bake = arguments_has(a, OPTION_BAKE),
			.bake = a->bake,
			.drop_ports = arguments_has(a, OPTION_DROP_PORTS)});
}

int verb_reload(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_RELOAD,
			.drop_ports = arguments_has(a, OPTION_DROP_PORTS)});
}

int verb_upgrade(const struct arguments *a)
{
	return change(a, (struct control_request){.method = METHOD_UPGRADE});
}

int verb_scale(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_SCALE,
			.scale_kind = a->scale_kind,
			.count = a->count});
}

int verb_stop(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_STOP,
			.now = arguments_has(a, OPTION_NOW)});
}

int verb_signal(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_SIGNAL,
			.signal = a->signal,
			.all = arguments_has(a, OPTION_ALL)});
}

int verb_send(const struct arguments *a)
{
	return change(a,
		(struct control_request){.method = METHOD_SEND,
			.message = a->message,
			.all = arguments_has(a, OPTION_ALL)});
}

/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"

#include <sysexits.h>

int verb_doctor(const struct arguments *a)
{
	if (a->target != NULL) {
		log_error("doctor: trying a command out is not built yet");
		return EX_USAGE;
	}
	log_error("doctor: not built yet");
	return 1;
}

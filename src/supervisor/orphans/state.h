/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_ORPHANS_STATE_H
#define SUPERVISOR_ORPHANS_STATE_H

#include "os/place/statefile.h"

#include <stdbool.h>
#include <stdint.h>

/*
 * What is left to the next nclust, and what an earlier one has left: in the struct
 * supervisor of common/state.h.
 */
struct heritage;

struct orphans {
	struct statefile file;
	bool failed;          /* what is beside it cannot be written: told */
	uint32_t last_number; /* of a service */
	struct heritage *heritage; /* what an earlier one has left; or NULL */
	int keeper_socket;         /* where the next one calls, or -1 */
};

#endif

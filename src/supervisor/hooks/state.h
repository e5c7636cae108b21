/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOOKS_STATE_H
#define SUPERVISOR_HOOKS_STATE_H

/* What this room alone knows: it is in struct supervisor of common/state.h. */
struct helper;
struct hooks;

struct commands {
	struct helper *helpers; /* that run now */
	struct hooks *hooks;    /* NULL: none was ever run */
};

#endif

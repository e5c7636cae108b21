/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HOOKS_STATE_H
#define SUPERVISOR_HOOKS_STATE_H

/* What only this room knows: a member of struct supervisor. */
struct helper;
struct hooks;

struct commands {
	struct helper *helpers; /* that run now */
	struct hooks *hooks;    /* NULL: none was ever run */
};

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_UPGRADE_STATE_H
#define SUPERVISOR_UPGRADE_STATE_H

/*
 * What this room knows, and a status tells: it is in struct supervisor of
 * common/state.h.
 */
struct reexec;

struct upgrade {
	struct reexec *reexec; /* under way, or NULL */
	char *exe_path;        /* that we were started by; NULL: not known */
	unsigned count;        /* so far */
};

#endif

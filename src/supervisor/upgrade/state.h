/* SPDX-License-Identifier: MIT */
#pragma once

/* The state of the room upgrade: a member of struct supervisor (common/state.h). */
struct reexec;

struct upgrade {
	struct reexec *reexec; /* the upgrade that is under way, or NULL */
	char *exe_path;        /* the path by which nclust was started; NULL: not known */
	unsigned count;        /* upgrades so far */
};

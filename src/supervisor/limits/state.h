/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/* What only this room knows of a worker in a cgroup: struct child points to it. */
struct limited {
	char *group;      /* heap: the name of its cgroup, "NAME/WORKER"; or NULL */
	unsigned grouped; /* 1: the worker is in its cgroup */
	bool incomplete;  /* some limit could not be set at its birth */
	unsigned refused; /* forks, as a status has said last */
};

/* SPDX-License-Identifier: MIT */
#pragma once

#include "config/settings.h"

/* What a reload changes, per cluster and for the instance. */
enum change {
	CHANGE_NONE,
	CHANGE_LIVE,    /* the new settings apply at once */
	CHANGE_ROLL,    /* the workers must be replaced */
	CHANGE_RESTART, /* only a restart of nclust can apply it */
} __attribute__((packed));

/*
 * A digest of all settings that workers are born with: two clusters with the same
 * one need no rollout from one to the other.  0: out of memory.
 */
uint64_t config_digest(const struct cluster_settings *c);
/* The same for `workers` alone. */
uint64_t config_digest_workers(const struct cluster_settings *c);

struct diff_cluster {
	const struct cluster_settings *old; /* NULL: a new cluster */
	struct cluster_settings *new;       /* NULL: dropped */
	enum change change;
	bool workers_changed; /* `workers`: the operator's number is void */
	bool command_changed; /* learned readiness is void */
	char keys[256];       /* the changed keys: "workers, env" */
};

struct diff {
	struct diff_cluster *clusters; /* heap */
	size_t count;
	enum change instance;
	char instance_keys[256];
};

/* Compare; 0, or -1 when out of memory.  Pointers are borrowed from both. */
int diff_settings(struct diff *d, const struct settings *old, const struct settings *new);
void diff_fini(struct diff *d);

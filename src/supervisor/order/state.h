/* SPDX-License-Identifier: MIT */
#pragma once

/* What only this room knows of a cluster.  It is in struct service. */
struct before;

/* What a cluster waits for. */
enum before_kind { BEFORE_START, BEFORE_ROLLOUT, BEFORE_STOP };

struct order {
	struct before *before; /* `before` or `before-stop` runs; or NULL */
	enum before_kind kind;
	unsigned rollout; /* under way when `before` began; 0: none */
};

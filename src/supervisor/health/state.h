/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_HEALTH_STATE_H
#define SUPERVISOR_HEALTH_STATE_H

#include <stdbool.h>

/*
 * What this room alone knows of a cluster: who looks after its workers.  It is in
 * the struct of common/state.h.
 */
struct asks {
	struct prover *prover;   /* asks if workers are ready; or NULL */
	struct checker *checker; /* and if they are well; or NULL */
	bool denied_told;        /* that no check can be made */
	struct staller *staller;
	struct recycler *recycler;
};

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include "core/cluster.h"

const struct cluster_settings *cluster_settings(const struct cluster *c);
/* The settings of a generation that has workers; NULL: it has none. */
const struct cluster_settings *cluster_generation_settings(
	const struct cluster *c, unsigned generation);
/* The settings that the cluster is on the way to: of the latest request, else those in force. */
const struct cluster_settings *cluster_next_settings(const struct cluster *c);
enum cluster_state cluster_state(const struct cluster *c);
/* Are all wanted workers ready, or is none wanted? */
bool cluster_all_ready(const struct cluster *c);
/* Was the cluster asked to stop, and has not failed? */
bool cluster_was_stopped(const struct cluster *c);
unsigned cluster_wanted(const struct cluster *c);
/* Counters, not counted; with the slots whose last run did its work. */
unsigned cluster_ready(const struct cluster *c);
unsigned cluster_spares(const struct cluster *c); /* wanted ones */
unsigned cluster_most(const struct cluster *c);   /* wanted, spares, and what a rollout adds */
bool cluster_has_spare(const struct cluster *c);  /* is there a spare that may serve now? */
unsigned cluster_alive(const struct cluster *c);
/* Has every wanted slot a ready worker, or will have none by its restart policy, and
 * are no other workers alive? */
bool cluster_is_settled(const struct cluster *c);
unsigned cluster_generation(const struct cluster *c);
/* The generation to which a rollout goes; without a rollout, that in force. */
unsigned cluster_latest_generation(const struct cluster *c);
uint32_t cluster_slots(const struct cluster *c);    /* also those that leave */
bool cluster_ever_ready(const struct cluster *c);   /* any worker, ever */
int cluster_exit_status(const struct cluster *c);   /* to end with, at REPORT_ENDED */
bool cluster_knows_notify(const struct cluster *c); /* READY=1 was seen */
bool cluster_knows_listen(const struct cluster *c); /* listen(2) was seen */
/* How much longer that worker is to be drained (ACTION_DRAIN); -1: it is not drained. */
nsec_t cluster_drain_left(const struct cluster *c, uint32_t slot, uint64_t worker, nsec_t now);
void cluster_view_slot(const struct cluster *c, uint32_t slot, struct slot_view *view);
struct rollout_view cluster_view_rollout(const struct cluster *c);

/*
 * The id of the latest EVENT_ROLL.  The rollout may have to wait its turn: then
 * REPORT_ROLLOUT_STARTED comes later, or REPORT_ROLLOUT_SUPERSEDED without it.
 */
unsigned cluster_last_rollout(const struct cluster *c);
uint64_t cluster_last_worker(const struct cluster *c); /* id; 0: none yet */

const char *cluster_state_name(enum cluster_state state);
const char *slot_state_name(enum slot_state state);

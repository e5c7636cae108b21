/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/moment.h"

/* Gives a worker that will start the lane for its generation and slot. */
void steer_choose_lane(struct child *child);
void steer_on_uses(struct child *child, struct listener *l, enum listener_use use);

/* A rollout to that generation begins. */
void steer_begin(struct steer *s, unsigned generation);
/* May nclust open or close sockets of this listener?  Not while another program listens at the same
 * address (group_has_stranger()). */
bool steer_is_among_us(struct steer *s, const struct listener *l);
/* Opens the socket of LANE_WAITS, if the kernel can move its queue.  True: it is open. */
bool steer_open_waits(struct steer *s, struct listener *l);
/* Returns the latest lane of that slot's own sockets and workers; LANE_NONE: there are none. */
unsigned steer_latest_lane(const struct steer *s, uint32_t slot);
#define LANE_NONE UINT_MAX

/* SPDX-License-Identifier: MIT */
#ifndef TEST_LANES_LIB_H
#define TEST_LANES_LIB_H

#include "../room_lib.h"

#include "supervisor/common/news.h"
#include "supervisor/drain/drain.h"
#include "supervisor/drain/steer.h"
#include "supervisor/sockets/group.h"
#include "supervisor/workers/service.h"

/*
 * A room in which each worker gets the lane of its slot, and one cluster, `web`,
 * with one listener.
 */
static int lanes_on_prepare(
	struct child *child, struct birth *birth, struct error *err)
{
	(void)birth;
	(void)err;
	child->traffic.lane =
		steer_lane(child->service, child->generation, child->slot);
	return 0;
}

static void lanes_on_born(struct child *child, struct birth *birth)
{
	(void)birth;
	steer_on_born(child, NULL);
}

static const struct part lanes_part = {
	.name = "lanes",
	.prepare = lanes_on_prepare,
	.born = lanes_on_born,
	.left = steer_left,
	.report = steer_on_report,
	.drop = steer_on_drop,
};

ROOM_PARTS(&lanes_part, &news_part, &plain_part)

static struct service *web;
static struct listener *l;

#endif

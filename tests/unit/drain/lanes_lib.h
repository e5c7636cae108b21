/* SPDX-License-Identifier: MIT */
#pragma once

#include "../room_lib.h"
#include "supervisor/drain/drain.h"
#include "supervisor/drain/internal.h"
#include "supervisor/drain/steer.h"
#include "supervisor/drain/steer_open.h"
#include "supervisor/workers/service.h"

/* A room in which each worker gets a lane, and one cluster, `web`, with one listener. */
REPLACED(void, drain_on_prepare)(struct child *child, struct birth *birth)
{
	(void)birth;
	steer_choose_lane(child);
}

REPLACED(void, drain_on_gone)(struct child *child)
{
	steer_left(child);
}

ROOM_HEARS("steer", "imbalance", "news")

/* Does a worker wait in a way that keeps it on its socket? */
static bool stubborn;

REPLACED(struct drain_view, drain_glance)(struct child *child, unsigned least)
{
	(void)child;
	(void)least;
	return (struct drain_view){.stubborn = stubborn};
}

static struct service *web;
static struct listener *l;

/* So many workers, which are ready. */
static inline void begin_lanes(const char *ini, unsigned workers)
{
	web = room_web(ini);
	l = web->sockets.listeners.list[0];
	room_ready(web, workers);
}

static inline void restart(void)
{
	const struct event roll = {.slot = SLOT_ALL};
	struct error err;

	ck_assert_int_eq(service_roll(web, &roll, &err), 0);
	room_tick(web);
}

FIXTURE(NULL, room_end)

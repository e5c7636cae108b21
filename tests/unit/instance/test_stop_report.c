/* SPDX-License-Identifier: MIT */
#include "../room_lib.h"

#include "supervisor/instance/lifecycle.h"

#include <stdio.h>

/* What is said of the workers that a stop waits for. */
ROOM_HEARS("news", "instance")

static void begin(const char *stop_signal)
{
	char ini[256];

	snprintf(ini, sizeof(ini),
		"[cluster:web]\ncommand = /bin/web\nworkers = 1\n"
		"ready = notify\ndrain = off\nstop-signal = %s\n",
		stop_signal);
	room_ready(room_web(ini), 1);
	lifecycle_stop(&room, false);
}

static void waits(void)
{
	ev_invoke(room.loop, &room.instance.stop_waits, EV_TIMER);
}

TEST(the_signal_that_it_has_got_and_the_next_one)
{
	begin("QUIT:3s TERM:1s");
	room_pass(SECOND);
	waits();
	ck_assert(room_logged("has got SIGQUIT, the next signal follows in "));
	room_pass(2 * SECOND + SECOND / 2);
	waits();
	ck_assert(room_logged("has got SIGTERM, SIGKILL follows in "));
	room_end();
}

TEST(after_sigkill_nothing_follows)
{
	begin("TERM:3s");
	room_pass(SECOND);
	waits();
	ck_assert(room_logged("has got SIGTERM, SIGKILL follows in "));
	room_pass(3 * SECOND);
	waits();
	ck_assert(room_logged("has got SIGKILL; to end it "));
	room_end();
}

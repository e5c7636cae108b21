/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * sd_notify(3) datagrams: lines "KEY=VALUE".  Source: sd_notify(3) and
 * systemd.exec(5).  Unknown keys are ignored, as there; a datagram with a NUL
 * inside (one at its end is allowed, as there), an empty one, or one over
 * NOTIFY_MAX bytes is refused whole.  Of equal keys the last counts; a value
 * that is none leaves things as they were.  BARRIER=1 needs no word here: its
 * descriptor is closed as every one is that comes with a message; MAINPID is
 * not obeyed.
 */
#define NOTIFY_MAX 4096

struct notify_message {
	bool ready;
	bool reloading;
	bool stopping;
	bool watchdog; /* WATCHDOG=1 */
	bool trigger;  /* WATCHDOG=trigger: take it as if it had been silent */
	bool has_status;
	char status[256]; /* STATUS=, cut at a UTF-8 boundary, control bytes
				and invalid UTF-8 escaped; may be "" */
	bool has_errno;
	int error; /* ERRNO= */
	bool has_extend;
	nsec_t extend; /* EXTEND_TIMEOUT_USEC= */
	bool has_watchdog_time;
	nsec_t watchdog_time; /* WATCHDOG_USEC=; 0 is none */
};

/* 0; -1: not a message at all (nothing of it counts). */
int notify_decode(struct notify_message *m, const char *data, size_t len);

/* What nclust itself tells its service manager: READY, RELOADING, STOPPING,
 * EXTEND_TIMEOUT_USEC, WATCHDOG=1 and STATUS, and nothing else of a message.  Writes into `to`, and
 * returns the length (0: nothing, or it does not fit).  monotonic: for RELOADING
 * (MONOTONIC_USEC). */
size_t notify_encode(char *to, size_t size, const struct notify_message *m, nsec_t monotonic);

/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/nsec.h"

#include <stdbool.h>
#include <stddef.h>

struct fdpass_message;

/*
 * Answers HTTP clients while a cluster has no ready worker (`fallback`), in the courier's process:
 * 503, Retry-After and a page, and the connection is closed.  nclust sends the listening sockets when
 * they are needed (struct courier_order of protocol/courier.h).  They are shared with workers; a
 * connection that a worker takes at once is the worker's.
 */
#define ANSWERER_GUESTS_MOST 256 /* clients at once */

struct answerer;

/* For so many clients at once.  NULL: no memory. */
struct answerer *answerer_new(unsigned places);
void answerer_free(struct answerer *a);

/* An order of that many bytes, and the page with it; keeps the sockets of the message. */
void answerer_obey(struct answerer *a, const char *order, size_t size, struct fdpass_message *m);

/* Waits for clients, and until `also` is readable, at most until then, and answers; tells nclust how
 * many have been answered.  `channel`: nclust's, or -1: it has ended, and clients get a second more.
 * False: there is nothing to wait for, and it has not waited. */
bool answerer_turn(struct answerer *a, int channel, int also, nsec_t until);

/* Is a client there that still has time to leave? */
bool answerer_has_guests(const struct answerer *a);

/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * The process that passes messages between nclust and a broker of NATS, by libnats.  One thread does
 * that; another waits for libnats' answer that all has arrived; a third one bounds the time that is
 * left when nclust has closed the channel.  The supervisor starts the process from the same binary,
 * with one channel, a stream.  First nclust sends four lines: the subject, user and password (or
 * nothing), the hosts with commas between them, and the name that the broker shows;
 * then messages, one a line, which are published as they are.
 *
 * It gives up all rights before it connects, and connects again for ever, less and less
 * often.  While there is no connection it reads nothing, so that messages wait at
 * nclust.  What others publish it writes to the channel as lines
 * that begin with '{'; other lines begin with one of the signs below ('=' was one). It ends when
 * nclust has closed the channel, after what it has read is published.  Returns the exit
 * status: EX_CONFIG if the library cannot be loaded, EX_NOPERM if the rights stay.
 */
enum {
	NATSROLE_UP = '+',   /* connected; the most bytes of a message */
	NATSROLE_DOWN = '-', /* not connected; the reason */
	NATSROLE_TOO_LARGE = '!' /* a message was, for the broker */,
	NATSROLE_MISSED = '~',   /* so many that came were dropped, because
				    nclust did not read them in time */
	NATSROLE_NONSENSE = '?', /* something came that is no line of JSON */
};

int natsrole_main(int channel, uid_t user);

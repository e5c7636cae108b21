/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/messages/messages.h"

/*
 * Messages to and from other machines, for one cluster: `relay = nats://...`.  A process of its own
 * (nats/natsrole.h) talks with the broker; this is nclust's end of the channel to that process.
 *
 * nclust never waits for the process: what it does not take waits in a queue of at most 1 MiB, and
 * more is dropped and counted.  What comes from the process may be anything: nclust counts and
 * drops lines that are no messages.
 */

struct broker {
	struct service *service;
	char *setup; /* heap: the first lines for the process */
	struct role_life life;
	ev_io io;          /* its fd: nclust's end of the channel, or -1 */
	bool up;           /* the process is connected to the broker */
	nsec_t dropped_at; /* when messages that come too fast were logged; or 0 */
	struct line_reader in;
	struct queue out;
	struct buffer head; /* beginning of each message; empty before the first */
	char id[NATSWIRE_ID];
	char host[NATSWIRE_HOST];
	uint64_t most;          /* most bytes that the broker takes in a message */
	uint64_t sent;          /* messages put into the queue */
	uint64_t received;      /* messages from other machines */
	uint64_t dropped;       /* messages for which there was no room */
	uint64_t dropped_known; /* how many of them were logged */
	uint64_t large;         /* of these: larger than the broker takes */
	uint64_t missed;        /* messages that came faster than nclust reads */
	uint64_t invalid;       /* lines from the process that are no messages */
	uint64_t other;         /* of these: messages of another format */
};

/* At the start: begins for the clusters that have a broker. */
void brokers_begin(struct supervisor *sup);

/* Sends a message of a worker to other machines.  `origin`: from `"from":` to the value. */
void broker_send(
	struct broker *b, const char *origin, size_t origin_len, const char *line, size_t len);

void broker_on_go_on(struct supervisor *sup);
void broker_on_reloaded(struct service *service);
void broker_on_shutdown(struct supervisor *sup);
void broker_on_drop(struct service *service);
void broker_on_status(struct json_writer *w, const struct service *service);

void *broker_carried(struct carry_reader *r, void *service);

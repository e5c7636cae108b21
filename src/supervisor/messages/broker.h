/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_BROKER_H
#define SUPERVISOR_BROKER_H

#include "protocol/lineup.h"
#include "protocol/natswire.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/role.h"
#include "supervisor/common/state.h"
#include "supervisor/messages/queue.h"

/*
 * Messages to and from other machines: `relay = nats://...`.  A process of its own
 * (nats/natsrole.h) talks with the broker; here is what goes to it and comes from it,
 * for one cluster.  nclust never waits for it: what it does not take waits in a queue of
 * at most 1 MiB, and more is dropped and counted.  What comes from it may be
 * anything: lines that are no messages are counted, and go nowhere; and reading it takes
 * half of a CPU at most.
 */
struct json_writer;
struct reload_result;

struct broker {
	struct service *service;
	char *setup; /* heap: what the process was told first */
	struct role_life life;
	ev_io io;        /* its fd: our end of the channel, or -1 */
	ev_timer rest;   /* while it runs, nothing is read */
	nsec_t whole_at; /* as in allowance.h */
	bool up;
	uint64_t awaits; /* it is connected, and so many others are not yet */
	bool down_told;
	bool dirty;
	nsec_t told_at; /* that messages come too fast; or 0 */
	struct lineup in;
	struct queue out;
	struct buffer head; /* of each message; empty before the first */
	char id[NATSWIRE_ID];
	char host[NATSWIRE_HOST];
	uint64_t most;         /* bytes that the broker takes */
	uint64_t sent;         /* messages put into the queue */
	uint64_t received;     /* from other machines */
	uint64_t dropped;      /* messages for which there was no room … */
	uint64_t dropped_told; /* … and how many of them were reported */
	uint64_t large;        /* of these: the broker takes no such ones */
	uint64_t missed;       /* that came faster than nclust reads */
	uint64_t invalid;      /* that came and were none */
	uint64_t other;        /* of these: of another format */
};

/* At the start: begin for the clusters that ask for it. */
void brokers_begin(struct supervisor *sup);
/* Once a turn, if sup->channels.brokers_dirty: send what was queued. */
void brokers_flush(struct supervisor *sup);

/* Send a message of a worker to other machines.  `origin`: from `"from":` to the
 * value. */
void broker_send(
	struct broker *b, const char *origin, size_t origin_len, const char *line, size_t len);

/* The hooks of messages_part. */
void broker_on_go_on(struct supervisor *sup);
void broker_on_reloaded(struct supervisor *sup, struct reload_result *result, bool failed);
void broker_on_end(struct supervisor *sup);
void broker_on_drop(struct service *service);
void broker_on_status(struct json_writer *w, const struct service *service);

/* How it goes through an upgrade; the process goes on meanwhile. */
extern const struct carried carried_broker;
void *broker_carried(struct carry_reader *r, void *service);

#endif

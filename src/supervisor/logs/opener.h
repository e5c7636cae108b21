/* SPDX-License-Identifier: MIT */
#pragma once

#include "protocol/logwire.h"
#include "supervisor/common/job.h"

/*
 * The logger's requests (LOGWIRE_ASK) wait in a list.  A process opens one file, a sink has one
 * such process at a time, and a cluster few: so a disk that hangs holds up no other cluster.  A
 * process that takes too long is killed.  One that SIGKILL does not end still counts as its
 * cluster's.
 */
#define OPENERS 64
#define OPENERS_OF_ONE 4
#define ASKS_MOST 20000U

struct ask {
	struct ask *next;
	struct supervisor *sup;
	struct logwire_packet p; /* as it came */
	struct job job;          /* answers it */
};

/* Take an ask of the logger's. */
void opener_take(struct supervisor *sup, const struct logwire_packet *p);
/* Begin with what waits. */
void opener_run(struct supervisor *sup);
/* nclust ends: answer all that was asked, if that takes no longer than `span`. */
void opener_finish(struct supervisor *sup, nsec_t span);
/* Drop what waits: the logger asks again. */
void opener_forget(struct supervisor *sup);
/* After an upgrade: wait for the commands that run on. */
void opener_resume(struct supervisor *sup);
/* Release all. */
void opener_free(struct supervisor *sup);

/* Compress the last old file of that sink, by a command.  As long as that runs, the
 * file is not renamed. */
void opener_pack(struct supervisor *sup, const struct logwire_packet *p);

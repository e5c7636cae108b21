/* SPDX-License-Identifier: MIT */
#pragma once

#include "logger/cluster.h"
#include "logger/keep.h"
#include "logger/source.h"
#include "os/fdpass.h"
#include "protocol/logwire.h"

#include <ev.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * The logger as it runs (logger.c), and how it reads the pipes of its workers: each pipe with
 * data gets a share of a turn of the loop, the data are cut into lines, and the lines go to the
 * sinks of the pipe's cluster.  Pipes are read in the order in which data have come; one whose
 * worker is to wait keeps its place before those that are read meanwhile, and one for which a call
 * hangs (logger/sink.h) is neither watched nor queued.
 */
#define READ_MOST OFFLOAD_DATA /* of one pipe in one turn of the loop */

struct logger {
	struct ev_loop *loop;
	struct ev_io channel;
	struct ev_io answers; /* the channel again, while it takes no more */
	struct ev_prepare turn;
	struct ev_periodic far;
	bool colour;
	struct source *sources;    /* heap */
	unsigned pipes;            /* open */
	struct source_pipe *come;  /* to be queued: have got data in this turn */
	struct source_pipe *queue; /* the first is to be read first; not watched */
	struct keep keep;
	struct remember remember;
	struct offload offload;
	struct clusters clusters;
	unsigned width;              /* of the longest name before a line */
	struct source_prefix prefix; /* of lines of the read under way; len 0: not needed yet */
	bool look_at_size;           /* look up the size of our terminal */
	char data[READ_MOST];        /* of the read under way */
	int over;                    /* the channel, when the supervisor has closed it */
};

/* A supervisor has taken over, by that channel. */
void logger_resumed(struct logger *logger, int channel);

/* Take over a worker's pipes, with their descriptors (-1 then). */
void reading_take_pipes(
	struct logger *logger, const struct logwire_packet *p, struct fdpass_message *m);
/* Read each pipe that has data, but those whose workers are to wait.  Returns whether some was. */
bool reading_turn(struct logger *logger);
/* A worker has ended: read what it has left, and answer with its last words. */
void reading_take_ended(struct logger *logger, const struct logwire_packet *p);
/* Send the answers that are due; what the channel does not take goes later. */
void reading_send_answers(struct logger *logger);
/* Give the workers' terminals the size that ours leaves for a line. */
void reading_look_at_size(struct logger *logger);
/* Read nothing more.  The process closes the pipes as it exits, because that may hang. */
void reading_end(struct logger *logger);

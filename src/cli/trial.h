/* SPDX-License-Identifier: MIT */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "base/buffer.h"
#include "base/error.h"
#include "base/nsec.h"
#include "cli/client.h"
#include "os/pidfd.h"
#include "protocol/lineup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A command on trial (`nclust doctor -- COMMAND`): an nclust of our own, called
 * "doctor", runs it in a runtime directory that nobody else knows, and is asked
 * by its control socket what becomes of it.  Its output, and the command's, are
 * kept here.  A signal that wants us to end, and the end of the time that all of
 * it may take, end each wait; trial_end() leaves nothing behind, and should we be
 * killed the kernel tells the nclust to stop.
 */
#define TRIAL_TIME (30 * SECOND)
#define TRIAL_STOP_TIMEOUT "5s"
#define TRIAL_LIVES 12
#define TRIAL_LISTENERS 16
#define TRIAL_SLOTS 2

/* One worker, from what the instance has told of it.  Times are seconds since
 * 1970, 0: not yet. */
struct trial_life {
	uint64_t worker; /* its id; 0: unused */
	int slot;
	pid_t pid;
	double started;
	double ready;
	double stopping;
	double exited;
	bool killed;   /* it did not end of the stop signal */
	char exit[64]; /* "exit 1", "killed by SIGTERM" */
};

/* One listener of the instance. */
struct trial_listener {
	char address[128];
	uint64_t inode;
	bool learned; /* no setting names it */
	bool bound;   /* a worker has bound it by itself */
	long queue;   /* -1: has none */
};

/* What comes through the pipe that the instance and its workers write to: the
 * last lines of each. */
struct trial_output {
	int fd; /* -1: there is none */
	struct lineup lines;
	struct buffer own;
	struct buffer workers;       /* without their names */
	char last[TRIAL_SLOTS][256]; /* the last line by slot */
};

struct trial {
	char directory[4096]; /* "": none was made */
	int stop;             /* readable: no more waiting (client_cancel_open()) */
	nsec_t end;           /* of all, by trial_clock() */
	nsec_t lag;           /* what trial_clock() leaves out … */
	nsec_t paused;        /* … as of then … */
	nsec_t cpu;           /* … when so much had been used */

	/* one start of the instance */
	int pidfd; /* -1: it does not run */
	pid_t pid;
	struct pidfd_end ended;
	struct client client;
	struct trial_output output;

	/* what is known of it */
	struct trial_life lives[TRIAL_LIVES];
	struct trial_listener listeners[TRIAL_LISTENERS];
	size_t listener_count;
	bool says_ready; /* READY=1 came from a worker */
	bool listens;    /* one was seen to call listen(2) */
	bool node;       /* one asked for its server as Node's workers do */
};

/* Once, before all else: signals that would end us are blocked from then on.  -1
 * and `err`. */
int trial_begin(struct trial *t, const char *runtime_directory, struct error *err);
void trial_end(struct trial *t);

/*
 * Start the instance, with these options (NULL-terminated) beside those that all
 * trials have, and the command.  Returns when it can be asked.  -1 and `err`: it
 * has ended (status: the one it ended with), or the wait was ended (ECANCELED).
 */
int trial_start(
	struct trial *t, const char *const *options, const char *const *command, struct error *err);
void trial_stop(struct trial *t);

/* Learn what is new: lives, listeners, and what it has learned.  -1 and `err`
 * (ECANCELED: the wait was ended; else it has ended, or does not answer). */
int trial_look(struct trial *t, struct error *err);
/* A moment, or less where something has come; looks.  -1 as above. */
int trial_wait(struct trial *t, struct error *err);
/* Ask for so many workers, or send a signal to one; returns at once. */
int trial_scale(struct trial *t, int count, struct error *err);
int trial_signal(struct trial *t, int slot, int signal, struct error *err);

/* The time for all bounds: it goes on only slowly while the instance, what it
 * runs, or we ourselves wait for a CPU, so that a busy machine changes nothing in
 * what is found. */
nsec_t trial_clock(const struct trial *t);
/* How much of the time that has passed is left out of it: `wants`: one of them
 * could run and does not, or does; `used`: the CPU time that all have got. */
nsec_t trial_lag(nsec_t passed, bool wants, nsec_t used);

/* The worker that was started last in a slot; NULL: none. */
const struct trial_life *trial_latest(const struct trial *t, int slot);
const struct trial_life *trial_life(const struct trial *t, uint64_t worker);
/* The listener with that inode; NULL: none. */
const struct trial_listener *trial_listener(const struct trial *t, uint64_t inode);

/* The instance's own last line that has these words in it, from there on.  False:
 * none. */
bool trial_logged(const struct trial *t, const char *words, char *to, size_t size);
/* The workers' last `most` lines. */
void trial_last_lines(const struct trial *t, size_t most, struct buffer *out);
/* The worker there has ended: until no more of it comes, within a few seconds. */
void trial_settle(struct trial *t, unsigned slot);

/* trial_output.c: the end for the instance, or -1; take what is there. */
int trial_output_open(struct trial_output *o);
void trial_output_drain(struct trial_output *o);

/* What trial_look() does with what came (trial_view.c). */
void trial_take_event(struct trial *t, json_t *event);
void trial_take_status(struct trial *t, json_t *status);

#endif

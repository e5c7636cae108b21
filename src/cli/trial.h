/* SPDX-License-Identifier: MIT */
#ifndef CLI_TRIAL_H
#define CLI_TRIAL_H

#include "base/error.h"
#include "base/nsec.h"
#include "cli/client.h"
#include "os/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/*
 * A command on trial (`nclust doctor -- COMMAND`): an nclust of our own, called
 * "doctor", runs the command in a runtime directory that no other process knows, and
 * is asked for its events and its status.  Each wait ends at a signal that ends a
 * program, and when the time of the whole trial is over; trial_end() leaves nothing
 * behind, and if this process is killed the kernel tells the nclust to stop.
 */
#define TRIAL_TIME (30 * SECOND)
#define TRIAL_STOP_TIMEOUT "5s"

struct trial {
	char directory[4096]; /* "": none was made */
	int stop;             /* readable: no more waiting (client_cancel_open()) */
	nsec_t now;           /* since the beginning, for all bounds; see trial_wait() */
	nsec_t looked;        /* by the clock: when `now` was updated */
	nsec_t end;           /* by the clock: when the trial ends, whatever `now` is */
	bool over;            /* no more is asked or waited for, because of `err` */
	/* ECANCELED: a signal came, or the time is over; else the instance has ended (status:
	 * its exit status), does not answer, or could not be started */
	struct error err;

	/* one start of the instance */
	int pidfd; /* -1: the instance does not run */
	struct pidfd_end ended;
	int log; /* a memfd: the instance's stderr */
	struct client client;
	json_t *events; /* all that the instance has reported */
	json_t *status;
};

/* Called once, first: signals that end a program are blocked from then on.  The trial may
 * be over already. */
void trial_begin(struct trial *t, const char *runtime_directory);
void trial_end(struct trial *t);

/*
 * Start the instance: `options` are the user's, and `own` those of this start
 * (each NULL-terminated); other options of a trial take precedence over the
 * user's.  Returns when the instance answers.  False: the trial is over.
 */
bool trial_start(struct trial *t, const char *const *options, const char *const *own,
	const char *const *command);
void trial_stop(struct trial *t);

/* Let a moment pass, then read what is new.  Time counts by these moments, at most
 * 0.1 s each, so that a machine that lets us wait for a CPU does not end the trial.
 * False: the trial is over. */
bool trial_wait(struct trial *t);
/* Ask the instance for so many workers, or to send a signal to one; returns at once. */
void trial_scale(struct trial *t, int count);
void trial_signal(struct trial *t, int slot, int signal);

/* The worker that was started last in a slot; 0: none. */
uint64_t trial_worker(const struct trial *t, int slot);
pid_t trial_pid(const struct trial *t, uint64_t worker);
/* The event of that name ("exited") of a worker, or NULL; and its time, in seconds
 * since 1970, or 0. */
json_t *trial_event(const struct trial *t, uint64_t worker, const char *name);
double trial_time(const struct trial *t, uint64_t worker, const char *name);

/* Of the status: the only cluster; its listeners, and the listener with that inode, or NULL. */
json_t *trial_cluster(const struct trial *t);
json_t *trial_listeners(const struct trial *t);
json_t *trial_listener(const struct trial *t, uint64_t inode);

/* Copy the last line of the instance's log that contains these words, from there on.
 * False: none does. */
bool trial_logged(const struct trial *t, const char *words, char *to, size_t size);

/* ---- held ---- */

/*
 * The sockets, files and threads of a worker in doctor's trial.  Sockets: those at which
 * clients reach the worker, which listen, or are of UDP at a port that the kernel did not
 * choose.  Files: those that the worker writes to.
 */
#define HELD_MAX 32
#define HELD_TEXT 128

struct held_socket {
	uint64_t inode;
	char text[HELD_TEXT]; /* "tcp:0.0.0.0:80", "unix:/run/x" */
	unsigned port;        /* of TCP; 0: not a TCP socket */
	bool datagrams;
	char options[48]; /* what is notable, such as "backlog 5, SO_REUSEPORT" */
};

/* A file that is open for writing. */
#define HELD_FILES 8
#define HELD_PATH 240
struct held_file {
	char path[HELD_PATH];
	uint64_t inode;
	bool appends;
};

/* Of a process and all processes of its session. */
struct held {
	struct held_socket list[HELD_MAX]; /* in the order of their descriptors */
	size_t count;
	unsigned processes;
	unsigned threads; /* of the process that has the most threads */
	unsigned running; /* threads that compute, of the process with most of these */
	nsec_t cpu;       /* CPU time that all these processes have used */
	/* The program that keeps its data in itself: "redis-server", or the path of
	 * a database file that is open; "": none that is known. */
	char store[HELD_PATH];
	struct held_file files[HELD_FILES];
	size_t file_count;
};

/* Fill in what the session of `leader` has open.  A socket that is a listener of the trial gets
 * the address of that listener. */
void held_look(struct held *held, const struct trial *t, pid_t leader);

const struct held_socket *held_by_inode(const struct held *held, uint64_t inode);
/* The socket of another worker at the same address. */
const struct held_socket *held_alike(const struct held *held, const struct held_socket *socket);
const struct held_file *held_file(const struct held *held, const char *path);

/* Connect to an address, "tcp:*:80", from this machine.  Returns the descriptor; -1:
 * refused, or no answer for 1 s. */
int held_visit(const char *address);

#endif

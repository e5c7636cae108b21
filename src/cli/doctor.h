/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/error.h"
#include "base/nsec.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "cli/wrap.h"
#include "os/look/look.h"
#include "os/pidfd.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* ---- trial ---- */

/*
 * A command on trial (`nclust doctor -- COMMAND`): an nclust of our own, called
 * "doctor", runs the command in a runtime directory that no other process knows, and
 * is asked for its events and its status.  Each wait ends at a signal that ends a
 * program, and when the time of the whole trial is over; trial_end() leaves nothing
 * behind, and if this process is killed the kernel tells the nclust to stop.
 */
#define TRIAL_TIME (60 * SECOND)
#define TRIAL_STOP_TIMEOUT "10s"

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
/* Is such an option, "--log" or "-l", among the words? */
bool trial_has_option(const char *const *options, const char *name);
/* Is a probe given as --ready? */
bool trial_has_probe(const char *const *options);

/* Let a moment pass, then read what is new.  Time counts by these moments, at most
 * 0.1 s each, so that a machine that lets us wait for a CPU does not end the trial.
 * False: the trial is over. */
bool trial_wait(struct trial *t);
/* Ask the instance for so many workers; returns at once. */
void trial_scale(struct trial *t, int count);

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

/* A sentence of the instance without its name before it. */
const char *trial_words(const char *sentence);

/* ---- held ---- */

/*
 * The sockets of a worker in doctor's trial at which clients reach it: those which listen, or are
 * of UDP at a port that the kernel did not choose.
 */
#define HELD_MAX 32
#define HELD_TEXT 128

struct held_socket {
	uint64_t inode;
	char text[HELD_TEXT]; /* "tcp:0.0.0.0:80", "unix:/run/x" */
	unsigned port;        /* of TCP; 0: not a TCP socket */
	bool datagrams;
};

/* Of a process and those below it. */
struct held {
	struct held_socket list[HELD_MAX]; /* in the order of their descriptors */
	size_t count;
	bool lives;
	bool busy;  /* a thread computes, or waits for the disk or the like */
	nsec_t cpu; /* CPU time that all these processes have used */
};

/* Fill in what `leader` and those below it have open.  A socket that is a listener of the trial gets
 * the address of that listener. */
void held_look(struct held *held, const struct trial *t, pid_t leader);

/* The socket of that inode; else one at this address; NULL: none. */
const struct held_socket *held_find(const struct held *held, uint64_t inode, const char *text);

/* Connect to an address, "tcp:*:80", from this machine.  Returns the descriptor; -1:
 * refused, or no answer for 1 s. */
int held_visit(const char *address);

/* ---- exam ---- */

/*
 * The examination of a command, one step after the other.  Each step starts from a trial
 * as the step before has left it, and adds to the report what it has found, unless the
 * trial is over.
 */

enum exam_how {
	HOW_PASSED, /* the worker uses the socket that nclust made */
	HOW_BOUND,  /* the worker binds a socket, and nclust takes it over */
	HOW_OWN,    /* the worker binds a socket, and keeps it */
};

/* How a second copy uses the same address. */
enum exam_share {
	SHARE_UNKNOWN,
	SHARE_SAME,    /* the second copy has the same socket */
	SHARE_SPREAD,  /* another socket there: the kernel spreads connections */
	SHARE_STOLEN,  /* the second copy has taken the path away from the first */
	SHARE_OTHER,   /* the second copy has another address, or none */
	SHARE_PRIVATE, /* a path that differs from copy to copy */
};

struct exam_place {
	struct held_socket socket;
	enum exam_how how;
	enum exam_share share;
};

struct exam {
	struct trial *trial;
	const struct arguments *arguments;
	json_t *report; /* an object, as --json prints it */
	json_t *facts;  /* of the report */

	uint64_t first;    /* the worker's id */
	bool ended;        /* the program has ended by itself, or is never ready */
	bool notifies;     /* it sends READY=1 */
	bool node;         /* it has been a worker of Node's cluster */
	bool primary;      /* tried without that: the program is a primary by itself */
	bool loads;        /* at first it answered 503 */
	bool takes_passed; /* the worker has accepted from a socket that nclust made */
	struct exam_place places[HELD_MAX];
	size_t place_count;
	struct held held;  /* all that the worker has open */
	struct held apart; /* and a worker into which nclust puts nothing, if that was tried */
	enum store store;  /* where it keeps its state */
	size_t shown;      /* so many events are facts */
	bool named;        /* the user has named addresses */
	bool beside;       /* a second copy can serve beside the first, be it for a restart */
	char cookie[256];  /* "Cookie: NAME=VALUE\r\n", as its first answer set it; or "" */
	bool harms;        /* a copy that stops shuts the others' socket down */
	bool moves;        /* a second copy has taken other ports in place of the first one's */
};

/* Start the instance on trial; `apart`: with nothing of nclust's in the program. */
bool exam_begin(const struct exam *e, bool apart);
/* Run one worker until it serves, ends, or is idle. */
void exam_start(struct exam *e);
#define UP_MOST 30 /* seconds until a copy is ready; nclust takes 11 without a port */
/* Wait until a worker after the one called `before` is up in the slot.  Its id; 0: none is, or it waits
 * for a lock.  A program that shows nothing else need but live. */
uint64_t exam_await(const struct exam *e, int slot, uint64_t before);
/* Do both copies live, and is neither ready?  Then the report says that a start would fail. */
bool exam_never_ready(struct exam *e, uint64_t second);
/* Run a second copy beside the first. */
void exam_copy(struct exam *e);
/* Stop both copies. */
void exam_stop(struct exam *e);

/* Add what nclust has said of the command since the last time, without what was asked for, and
 * without ends, of which each step tells. */
void exam_tell_news(struct exam *e);
/* The event of a worker's end, as trial_event() has it. */
json_t *exam_end_of(const struct exam *e, uint64_t worker);
/* Does the program accept on passed sockets, and open no other? */
bool exam_needs_address(const struct exam *e);
/* Will N copies work? */
bool exam_copies_work(const struct exam *e);
/* The command line to run the command with: as many copies as work, or as are given,
 * and the options that it needs. null: no command line works.  The caller frees it. */
json_t *exam_command_line(const struct exam *e);

/* ---- facts ---- */

/*
 * The findings of `nclust doctor`: facts, each with its consequence for nclust.  They are a
 * list of JSON objects {name, mark, found, does}, as --json prints it; the owner frees it.
 */
enum fact_mark {
	FACT_OK,
	FACT_NOTE, /* good to know */
	FACT_WARN, /* a feature will be missing, slower or limited */
	FACT_BAD,  /* nclust cannot run here */
};

/* `does`: the consequence, or what to do; "": nothing need be done. */
void facts_add(json_t *facts, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* What can be found, each with what is said of it. */
struct finding {
	const char *json;
	enum fact_mark mark;
	const char *name; /* NULL: nothing is said */
	const char *found;
	const char *advice;
};
/* Add a finding; `subject`, an address or a time, stands before it. */
void facts_add_finding(json_t *facts, const struct finding *f, const char *subject);
/* "20 ms", "3.4 s" */
const char *facts_seconds(char to[24], double seconds);

/* Facts about this machine, found by trying, where a try leaves no trace. */
void facts_machine(json_t *facts, const char *runtime_directory);
/* What a kernel of this release (uname(2)) lacks, and what is different for its users. */
void facts_kernel(json_t *facts, const char *release);

bool facts_bad(const json_t *facts); /* does a fact prevent running? */
/* Add the facts from the n-th on as aligned lines. */
void facts_put(const json_t *facts, size_t n, struct wrap *lines);

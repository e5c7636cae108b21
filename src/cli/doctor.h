/* SPDX-License-Identifier: MIT */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "base/error.h"
#include "base/nsec.h"
#include "cli/client.h"
#include "cli/verb.h"
#include "cli/wrap.h"
#include "os/process.h"

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

/* ---- exam ---- */

/*
 * The examination of a command, one step after the other, and its findings, as
 * plain data.  Each step starts from a trial as the step before has left it, and
 * fills the findings, unless the trial is over.
 */

/* How the worker learns of a socket that nclust holds. */
enum exam_way {
	WAY_PASSED,    /* as nclust does by default */
	WAY_NO_PID,    /* --listen-pid=no: for wrappers that fork */
	WAY_STDIN,     /* --pass stdin */
	WAY_NO_SOCKET, /* nclust holds no socket */
};

/* The sign that the worker is ready. */
enum exam_sign { SIGN_NONE, SIGN_ALIVE, SIGN_LISTEN, SIGN_NOTIFY };

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
	const char *purpose; /* "metrics", "inspector", as its answers show; or NULL */
	uint64_t answers;    /* a hash of the first copy's answers; or 0 */
	bool differs;        /* each copy answers for itself, at a port beside the first */
	bool named;          /* the user has given the address */
};

/* What a second copy does to a file that the first one writes to. */
enum exam_file { FILE_ALONE, FILE_APPENDED, FILE_OVERWRITTEN, FILE_REPLACED };

enum exam_life {
	LIFE_WAITING, /* the program opens nothing, and does nothing */
	LIFE_SERVING,
	LIFE_ENDED, /* the program has ended by itself */
};

/* What became of a request that was half sent when the signal came. */
enum exam_request {
	REQUEST_UNTRIED,   /* no socket was there, or the worker did not accept */
	REQUEST_NO_HTTP,   /* refused before the request was complete */
	REQUEST_ANSWERED,  /* in full */
	REQUEST_LOST,      /* the connection was cut */
	REQUEST_FORGOTTEN, /* neither an answer nor an end */
};

struct exam_stop {
	bool tried;
	int signal;
	bool ended; /* the signal was enough, without SIGKILL */
	double after;
	char exit[64];
	enum exam_request request;
};

/* How a copy has ended, as nclust reports it; `exit` is "" while it lives. */
struct exam_end {
	char exit[64]; /* "exit 1", "killed by SIGTERM" */
	double after;
	char cause[256]; /* "cannot bind '/x': Permission denied", or "" */
	char last_output[256];
};

#define OWN_MAX 4
#define MADE_MAX 32

struct exam {
	struct trial *trial;
	const struct arguments *arguments;

	enum exam_way way;
	enum exam_life life;
	enum exam_sign sign;
	uint64_t first; /* the worker's id */
	struct exam_end first_end;
	double ready_after;
	double waited;      /* how long the copy was watched, in seconds */
	bool takes_passed;  /* the worker has accepted from a socket that nclust made */
	bool node;          /* the program asks for its servers as Node's workers do */
	bool unprivileged;  /* set-user-ID programs have no effect in the worker */
	char refused[256];  /* why nothing can be taken over */
	unsigned threads;   /* most threads of one process */
	unsigned computing; /* of these, threads that went on computing */
	unsigned cpus;      /* CPUs that all copies together can use */
	struct exam_place places[HELD_MAX];
	size_t place_count;
	struct held held; /* all that the worker has open */

	char own[OWN_MAX][HELD_TEXT]; /* addresses that the program binds if it is given none */
	size_t own_count;

	enum exam_file files[HELD_FILES]; /* for each file of `held` */
	/* Files that the first copy has made; once a copy has stopped, those that it has removed. */
	char made[MADE_MAX][HELD_PATH];
	size_t made_count;

	bool second_ready;
	double second_after;
	struct exam_end second_end;
	char second_lock[200]; /* the lock that the second copy waits for; "": none */

	struct exam_stop quiet; /* SIGTERM to an idle worker */
	struct exam_stop busy;  /* SIGTERM with a request half sent */
	struct exam_stop other; /* likewise, with another signal that the worker catches */
};

/* Run one worker that learns of its sockets in the usual way, until it serves, ends,
 * or is idle; if that fails, try the other ways. */
void exam_start(struct exam *e);
/* Run a second copy beside the first. */
void exam_copy(struct exam *e);
/* Stop both copies. */
void exam_stop(struct exam *e);
/* If the command needs an address: find the address that it opens if it is given none (`own`). */
void exam_without_socket(struct exam *e);

/* Drop from `made` the files that are gone; or, with `there` false, those that are
 * still there. */
void exam_keep_files(struct exam *e, bool there);

/* The end of a worker, if it has ended. */
void exam_note_end(const struct exam *e, uint64_t worker, struct exam_end *end);

/* A client of a worker, and the answer that it got. */
struct visitor {
	int fd; /* -1: not connected */
	bool closed;
	char answer[2048]; /* the beginning of the answer */
	size_t len;
};
void visitor_say(struct visitor *v, const char *text);
/* Wait until an answer comes or, with `all`, until the connection is closed, but no
 * longer than `most`. */
void visitor_await(const struct exam *e, struct visitor *v, bool all, nsec_t most);
bool visitor_is_answered(const struct visitor *v); /* is there an answer by HTTP? */

/* Does the program accept on passed sockets, and open no other? */
bool exam_needs_address(const struct exam *e);
/* Will N copies work? */
bool exam_copies_work(const struct exam *e);
/* Can a second copy not run beside the first, not even for a restart? */
bool exam_is_alone(const struct exam *e);

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

/* How many workers `workers = auto` gives, by affinity and quota. */
unsigned facts_cpus(void);

/* Facts about this machine, found by trying, where a try leaves no trace. */
void facts_machine(json_t *facts, const char *runtime_directory);
/* What a kernel of this release (uname(2)) lacks, and what is different for its users.  `try`: try
 * this kernel for what distributions may have brought to that release. */
void facts_kernel(json_t *facts, const char *release, bool try);

bool facts_bad(const json_t *facts); /* does a fact prevent running? */
/* Add the facts from the n-th on as aligned lines. */
void facts_put(const json_t *facts, size_t n, struct wrap *lines);

/* ---- doctor ---- */

/*
 * `nclust doctor -- COMMAND`: what an examination has found, as facts for people,
 * as JSON, and as the command line to use.
 */

/* Add the facts of one step, once it is done. */
void doctor_tell_start(const struct exam *e, json_t *facts);
void doctor_tell_copy(const struct exam *e, json_t *facts);
void doctor_tell_stop(const struct exam *e, json_t *facts);

/* The command line to run the command with: as many copies as work, and the options
 * that it needs. null: no command line works.  The caller frees it. */
json_t *doctor_command_line(const struct exam *e);
/* All findings in one object, which the caller frees. */
json_t *doctor_pack(const struct exam *e, json_t *facts);

#endif

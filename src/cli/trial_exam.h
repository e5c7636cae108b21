/* SPDX-License-Identifier: MIT */
#ifndef CLI_TRIAL_EXAM_H
#define CLI_TRIAL_EXAM_H

#include "cli/trial.h"
#include "cli/trial_socket.h"

/*
 * What is tried with a command, one step after the other, and what is found.
 * Each step takes a trial that is where the step before has left it, and ends
 * with the findings filled; -1 and `err` only where the trial itself is over
 * (ECANCELED, or the instance has ended).  All of it is plain data.
 */

/* How the worker learns of a socket that nclust holds. */
enum exam_way {
	WAY_PASSED, /* as nclust does by itself */
	WAY_STDIN,  /* --pass stdin */
	WAY_NO_PID, /* --listen-pid=no: for wrappers that fork */
	WAY_UNTOLD, /* there is none */
};

/* The sign by which it is ready. */
enum exam_sign { SIGN_NONE, SIGN_ALIVE, SIGN_LISTEN, SIGN_NOTIFY };

enum exam_how {
	HOW_PASSED, /* the socket that nclust made, which it was given */
	HOW_BOUND,  /* it binds it, and nclust takes it over */
	HOW_OWN,    /* it binds it, and it stays its own */
};

/* How a second copy uses the same address. */
enum exam_share {
	SHARE_UNKNOWN,
	SHARE_SAME,    /* it has the same socket */
	SHARE_SPREAD,  /* one of its own at the same address: the kernel
			 spreads what comes */
	SHARE_STOLEN,  /* it has taken the path away from the first */
	SHARE_OTHER,   /* it has another address, or none */
	SHARE_PRIVATE, /* a path that differs from copy to copy */
};

/* What a port is for, as far as that is seen. */
enum exam_port { PORT_ANY, PORT_METRICS, PORT_INSPECTOR };

#define OWN_MAX 4
#define MADE_MAX 32

struct exam_place {
	struct held_socket socket;
	enum exam_how how;
	enum exam_share share;
	enum exam_port port;
	uint64_t answers; /* a sum over those of the first copy; or 0 */
	bool differs;     /* each copy answers for itself, beside the first port */
	bool named;       /* the user has given its address */
	char text[HELD_TEXT];
	char options[48];
};

/* What a second copy does to a file that the first one writes to. */
enum exam_file { FILE_ALONE, FILE_APPENDED, FILE_OVERWRITTEN, FILE_REPLACED };

enum exam_life {
	LIFE_WAITING, /* it opens nothing, and does nothing */
	LIFE_SERVING,
	LIFE_ENDED, /* by itself */
};

/* What became of a request that was half sent when the signal came. */
enum exam_request {
	REQUEST_UNTRIED,   /* there was no socket for it, or no time */
	REQUEST_UNHEARD,   /* nobody accepted it */
	REQUEST_NO_HTTP,   /* it was refused before it was whole */
	REQUEST_ANSWERED,  /* in full */
	REQUEST_LOST,      /* the connection was cut */
	REQUEST_FORGOTTEN, /* neither */
};

struct exam_stop {
	bool tried;
	int signal;
	bool ended; /* of that signal */
	size_t way; /* in which the request was halved */
	double after;
	char exit[64];
	enum exam_request request;
};

struct exam {
	struct trial *trial;
	char *const *command;
	const char *const *listen; /* the user's addresses */
	size_t listen_count;

	enum exam_way way;
	enum exam_life life;
	enum exam_sign sign;
	uint64_t first; /* the worker's id */
	double ready_after;
	bool slow;             /* it needs more than 1 s, waits for a CPU apart */
	double waited;         /* until it was given up on */
	bool takes_passed;     /* it has accepted from a socket of ours */
	unsigned processes;    /* at most at a time */
	unsigned threads;      /* at most in one process … */
	unsigned computing;    /* … of which so many went on computing */
	unsigned cpus;         /* that there are for all copies */
	uint64_t caught;       /* signals that it handles, bit n-1 for n */
	char exit[64];         /* LIFE_ENDED */
	char last[256];        /* its last output */
	char in_use[256];      /* "cannot bind …", as nclust has told it */
	char refused[256];     /* why nothing can be taken over */
	char store[HELD_TEXT]; /* what keeps its state in itself, or "" */
	bool unprivileged;     /* set-user-ID programs have no effect in it */
	struct exam_place places[HELD_MAX];
	size_t place_count;
	size_t held;            /* these, and those that it was given */
	struct held first_held; /* all that it has */

	char own[OWN_MAX][HELD_TEXT]; /* what it binds if it is given none */
	size_t own_count;

	enum exam_file files[HELD_FILES]; /* of first_held */
	char made[MADE_MAX][HELD_PATH];   /* the first has made them; … */
	size_t made_count;                /* … once one has stopped: which it removes */

	bool second_ready;
	bool first_gone; /* it ended when the second one came */
	double second_after;
	char second_exit[64]; /* "": it lives */
	char second_last[256];
	char second_lock[200]; /* "": it waits for none */

	struct exam_stop quiet; /* SIGTERM, with nothing to do */
	struct exam_stop busy;  /* with a request half sent */
	struct exam_stop other; /* another signal that it catches, likewise */
};

/* Run one worker that learns of its sockets in that way, until it serves, ends,
 * or is idle. */
int exam_start(struct exam *e, enum exam_way way, struct error *err);
/* Run a second one beside it. */
int exam_copy(struct exam *e, struct error *err);
/* Stop the one and the other. */
int exam_stop(struct exam *e, struct error *err);

/* For exam_copy() (trial_beside.c). */
void beside_ask_first(struct exam *e);
void beside_ask_second(struct exam *e, const struct trial_life *second);
/* For exam_copy() and exam_stop() (trial_files.c). */
void files_compare(struct exam *e, const struct held *second);
void files_made(struct exam *e);
/* Forget those of `made` of which that is not so. */
void files_keep(struct exam *e, bool there);

/* Does it take passed sockets, and no other? */
bool exam_needs_address(const struct exam *e);
/* Then: which would it open without them? */
int exam_untold(struct exam *e, struct error *err);

/* Will N copies work? */
bool exam_copies_work(const struct exam *e);
/* Can a second copy not run beside the first, not even for a restart? */
bool exam_is_alone(const struct exam *e);

#endif

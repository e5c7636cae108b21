/* SPDX-License-Identifier: MIT */
#ifndef CLI_EXAM_H
#define CLI_EXAM_H

#include "cli/held.h"
#include "cli/verb.h"

/*
 * What is tried with a command, one step after the other, and what is found.
 * Each step takes a trial that is where the step before has left it, and ends
 * with the findings filled; -1 and `err` only where the trial itself is over
 * (ECANCELED, or the instance has ended).  All of it is plain data.
 */

/* How the worker learns of a socket that nclust holds. */
enum exam_way {
	WAY_PASSED, /* as nclust does by itself */
	WAY_NO_PID, /* --listen-pid=no: for wrappers that fork */
	WAY_STDIN,  /* --pass stdin */
	WAY_UNTOLD, /* nclust holds none */
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

struct exam_place {
	struct held_socket socket;
	enum exam_how how;
	enum exam_share share;
	enum exam_port port;
	uint64_t answers; /* a hash of what the first copy answers there; or 0 */
	bool differs;     /* each copy answers for itself, beside the first port */
	bool named;       /* the user has given its address */
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
	REQUEST_UNTRIED,   /* there was no socket for it, or nobody accepted it */
	REQUEST_NO_HTTP,   /* it was refused before it was whole */
	REQUEST_ANSWERED,  /* in full */
	REQUEST_LOST,      /* the connection was cut */
	REQUEST_FORGOTTEN, /* neither */
};

struct exam_stop {
	bool tried;
	int signal;
	bool ended; /* by that signal, without SIGKILL */
	double after;
	char exit[64];
	enum exam_request request;
};

/* How a copy has ended, as nclust reports it; `exit` is "" while it lives. */
struct exam_end {
	char exit[64]; /* "exit 1", "killed by SIGTERM" */
	double after;
	char cause[256]; /* "cannot bind …", or "" */
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
	double waited;      /* for so long it was watched, in seconds */
	bool takes_passed;  /* it has accepted from a socket of ours */
	bool node;          /* it asks for its servers as Node's workers do */
	bool unprivileged;  /* set-user-ID programs have no effect in it */
	char refused[256];  /* why nothing can be taken over */
	unsigned threads;   /* at most in one process … */
	unsigned computing; /* … of which so many went on computing */
	unsigned cpus;      /* that there are for all copies */
	struct exam_place places[HELD_MAX];
	size_t place_count;
	struct held held; /* all that it has */

	char own[OWN_MAX][HELD_TEXT]; /* what it binds if it is given none */
	size_t own_count;

	enum exam_file files[HELD_FILES]; /* of `held` */
	/* Files that the first copy has made; once a copy has stopped, those that it has removed. */
	char made[MADE_MAX][HELD_PATH];
	size_t made_count;

	bool second_ready;
	double second_after;
	struct exam_end second_end;
	char second_lock[200]; /* "": it waits for none */

	struct exam_stop quiet; /* SIGTERM, with nothing to do */
	struct exam_stop busy;  /* with a request half sent */
	struct exam_stop other; /* another signal that it catches, likewise */
};

/* Run one worker that learns of its sockets in the usual way, until it serves, ends, or is
 * idle; then in other ways, if that has failed. */
int exam_start(struct exam *e, struct error *err);
/* Run a second one beside it. */
int exam_copy(struct exam *e, struct error *err);
/* Stop the one and the other. */
int exam_stop(struct exam *e, struct error *err);
/* If it needs an address: find the one that it opens if it is given none (`own`). */
int exam_untold(struct exam *e, struct error *err);

/* Parts of exam_copy(): exam_beside.c, exam_files.c. */
int beside_ask_first(struct exam *e, struct error *err);
int beside_ask_second(struct exam *e, uint64_t second, struct error *err);
void files_compare(struct exam *e, const struct held *second);
void files_made(struct exam *e);
/* Of the files in `made`, forget those that are gone; or, with `there` false, those that
 * are still there. */
void files_keep(struct exam *e, bool there);

/* The end of a worker, if it has ended. */
void exam_note_end(const struct exam *e, uint64_t worker, struct exam_end *end);

/* A client of a worker, and what it was answered. */
struct visitor {
	int fd; /* -1: there is none */
	bool closed;
	char answer[2048]; /* the beginning */
	size_t len;
};
void visitor_say(struct visitor *v, const char *text);
/* Wait until an answer comes or, with `all`, until the connection is closed, but no longer
 * than `most`.  -1 and `err`. */
int visitor_await(struct exam *e, struct visitor *v, bool all, nsec_t most, struct error *err);
bool visitor_is_answered(const struct visitor *v); /* by HTTP */

/* Does it take passed sockets, and no other? */
bool exam_needs_address(const struct exam *e);
/* Will N copies work? */
bool exam_copies_work(const struct exam *e);
/* Can a second copy not run beside the first, not even for a restart? */
bool exam_is_alone(const struct exam *e);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_CLIENTS_H
#define SUPERVISOR_CLIENTS_H

#include "protocol/control.h"
#include "protocol/json.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/part.h"

extern const struct part control_part;

/*
 * The control socket and its clients.  All that a client can make grow is
 * bounded: a request line (64 KiB, 10 s), unread output (1 MiB, 10 s without
 * progress), the number of clients (64, of whom 48 may be readers, who have no
 * right to change anything; the next one evicts the oldest reader that has no
 * request under way, see clients.c).  No request has descriptors: a client that
 * sends one loses its connection.  A client that exceeds a bound gets an error and
 * is closed; the others do not notice.  A client has one request under way at a
 * time; what it sends meanwhile waits in the socket.
 */
#define CLIENTS_MAX 64
#define READERS_MAX 48
#define CLIENT_PATIENCE (10 * SECOND)
#define CLIENT_OUT_MAX (1024U * 1024)

enum client_state {
	CLIENT_IDLE,
	CLIENT_WAITING,   /* for the outcome of a change */
	CLIENT_STATUS,    /* a status is being made in slices */
	CLIENT_FOLLOWING, /* events -f */
	CLIENT_CLOSING,   /* after what is queued is sent */
	CLIENT_EVENTS,    /* the history is being sent in slices */
	CLIENT_ASKING,    /* connections to workers are being made for it */
};

/* What a change must still see of a cluster. */
struct expectation {
	struct service *service;
	unsigned rollout;     /* this one or a later one; 0: no rollout */
	bool settled;         /* scale: all wanted are ready, no more are alive */
	uint64_t last_before; /* the latest worker when that was asked for */
	bool fewer;           /* scale: no worker is left in a removed slot */
	bool ended;           /* stop */
	bool met;             /* it is over; a rollout that is done may still be
			     taken back */
	bool failed;          /* so it ended … */
	char *text;           /* … and this says how; heap, or NULL */
};

struct client {
	struct supervisor *sup;
	ev_io io;
	struct client *next; /* newest first */
	bool may_write;
	bool own;         /* of a role of ours: never evicted, nor counted */
	bool half_closed; /* it will send no more */
	enum client_state state;
	struct buffer in;
	struct buffer out;
	nsec_t line_since;  /* when an unfinished line began; or NEVER */
	nsec_t stuck_since; /* output makes no progress; or NEVER */
	nsec_t idle_since;
	nsec_t served;     /* its last share of a turn */
	unsigned waits_in; /* it got none in this turn of the loop; or 0 */
	struct control_request request;
	struct expectation *expected;
	size_t expected_count;
	bool expects_end; /* of the whole instance */
	bool expects_upgrade;
	unsigned expects_host; /* its turn (drain/host.h); or 0 */
	bool expects_reload;   /* the configuration is being read for it */
	bool failed;
	char outcome[600]; /* the sentence of the result or error */
	/* CLIENT_STATUS: where the next slice begins */
	size_t at_service;
	uint32_t at_slot;
	unsigned at_part;
	struct json_writer writer;
	/* CLIENT_EVENTS: where the next slice begins, and how many of those
	 * that are wanted are not sent */
	uint64_t events_at;
	unsigned events_skip;
	struct reach *reach;            /* ASKING: heap (ask.h); else NULL */
	uint64_t missed;                /* messages of workers not shown */
	uint32_t only_slot;             /* of a status, or of events */
	bool status_only;               /* only … */
	struct service *status_service; /* … this one */
};

struct clients {
	struct supervisor *sup;
	ev_io listen;
	ev_timer bounds;
	struct socket_file file; /* of the control socket */
	struct client *first;
	unsigned count;
	nsec_t spent;  /* on readers … */
	unsigned turn; /* … in this turn of the loop */
};

/* How these go through an upgrade: the control socket, its clients, one client,
 * and what it waits for. */
extern const struct carried carried_clients;
extern const struct carried carried_client_list;
extern const struct carried carried_client;
extern const struct carried carried_expectation;
/* Make empty ones, to be filled by an upgrade; NULL: no memory.  clients are
 * watched again when nclust resumes. */
struct clients *clients_carried(struct supervisor *sup);
struct client *client_carried(struct clients *all);
void client_is_own(struct client *c); /* not counted any more */
int clients_init(struct supervisor *sup, struct error *err);
/* The other end of this stream is one of our own roles: let it in as a reader.
 * Takes over the descriptor.  -1: no memory. */
int clients_add_own(struct supervisor *sup, int fd);
/* Close these connections.  What they have not read yet they still can. */
void clients_drop_own(struct supervisor *sup);

/* After events: has an expectation come true? */
void clients_look(struct supervisor *sup);

/* The newest client; NULL: there is none. */
struct client *clients_first(const struct supervisor *sup);

/* For requests.c and status.c. */
void client_write(struct client *c); /* send what is queued, as far as it goes */
void client_later(struct client *c); /* in a turn of its own */
/* Send the line that is queued, and this descriptor, which stays ours, with it.  -1:
 * the client does not read, and the line is dropped. */
int client_pass(struct client *c, size_t line, int fd);
void client_error(struct client *c, int code, const char *message);
void client_done(struct client *c); /* the request is answered */
/* Those who wait for a census get their status, with it or without. */
void clients_counted(struct supervisor *sup);
/* Tell it how many messages it was not shown, because it reads too slowly. */
void client_tell_missed(struct client *c);

#endif

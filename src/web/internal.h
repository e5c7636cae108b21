/* SPDX-License-Identifier: MIT */
#pragma once

#include "base/buffer.h"
#include "base/nsec.h"
#include "base/scope.h"
#include "protocol/control.h"
#include "protocol/line_reader.h"

#include <ev.h>
#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stddef.h>

/* ---- library ---- */

/* libmicrohttpd: library_load() fills this in. */
#define MHD_CALLS \
	X(start_daemon) \
	X(stop_daemon) \
	X(add_connection) \
	X(run) \
	X(get_timeout) \
	X(get_daemon_info) \
	X(get_connection_info) \
	X(lookup_connection_value) \
	X(create_response_from_buffer) \
	X(create_response_from_callback) \
	X(add_response_header) \
	X(queue_response) \
	X(destroy_response) \
	X(suspend_connection) \
	X(resume_connection)

struct mhd {
#define X(name) __typeof__(MHD_##name) *name;
	MHD_CALLS
#undef X
};

/* ---- ask ---- */

/*
 * A connection to nclust, by its control protocol.  One question is under way at
 * a time; nclust makes its answer in slices, and a few milliseconds later it is
 * here.
 */
struct ask {
	struct ev_loop *loop;
	ev_io io;
	struct line_reader lines;
	bool under_way; /* a question that is not answered yet */
	nsec_t asked;

	/* The answer's result, as JSON; NULL: an error.  Not of a question with
	 * `follow`. */
	void (*answered)(void *context, const char *json, size_t len);
	/* What happens, or did if it was asked for, as JSON. */
	void (*happened)(void *context, const char *json, size_t len);
	void *context; /* of these */
};

/* Takes over the descriptor of a stream. */
void ask_init(struct ask *ask, struct ev_loop *loop, int fd);
void ask_fini(struct ask *ask);

/* Only if no question is under way.  If it cannot be sent, nclust has ended: the
 * loop ends, as it does when nclust closes the connection. */
void ask_send(struct ask *ask, struct control_request request);

/* ---- the process ---- */

/*
 * For the files of this folder alone.  Other folders include web.h.
 *
 * guests.c lets connections in and bounds them, requests.c decides what each of them gets,
 * answers.c and page.c make that, agent.c answers HAProxy, web.c runs the loop.
 * A connection has one request, so that its place is free when the request is answered.
 */
#define GUESTS_MAX 64
#define HEAD_MAX 8192U /* of a request, in bytes */

enum guest_phase {
	GUEST_NONE,    /* the place is free */
	GUEST_ASKS,    /* the request is not complete */
	GUEST_WAITS,   /* for nclust's answer; suspended */
	GUEST_READS,   /* the answer is on its way */
	GUEST_FOLLOWS, /* the events; suspended while there is none for the guest */
};

/* The source of an answer. */
enum wants {
	WANTS_NOTHING,
	WANTS_LIFE, /* of nclust: any answer will do */
	WANTS_STATUS,
	WANTS_READINESS, /* a status of what readiness is made of */
	WANTS_METRICS,   /* a status of what metrics are made of */
	WANTS_PAST,      /* the events of nclust's history */
	WANTS_SAMPLES,   /* what this process has kept */
};

struct web;

/* An answer; several guests may read the same. */
struct answer {
	unsigned refs;
	unsigned status;
	struct MHD_Response *response;
};

struct guest {
	struct web *web;
	enum guest_phase phase;
	struct MHD_Connection *connection;
	int fd;
	nsec_t since;      /* when the phase began */
	unsigned question; /* WAITS: the number of nclust's request for it */
	const struct page *page;
	struct answer *answer; /* the answer to be given; or NULL */
	/* FOLLOWS */
	struct buffer events; /* not sent yet */
	bool suspended;
	bool ended; /* after these events */
	nsec_t begun;
};

#define AGENT_GUESTS_MAX 64
#define AGENT_LINE_MAX 128

/* Clients of the agent that wait for nclust's answer. */
struct agent_guest {
	int fd;
	unsigned question; /* the number of nclust's request for them */
};

struct agent {
	ev_io listener;
	struct agent_guest guests[AGENT_GUESTS_MAX];
	unsigned count;
	nsec_t since; /* when the first of them began to wait */
	double free;  /* part of a weight at the last look (agent.c) */
};

/* ---- samples.c ---- */

#define SAMPLE_PACE (15 * SECOND) /* none at once: a start uses all of a CPU */
/* Of each cluster, in the last 15 minutes. */
struct samples {
	nsec_t due; /* the next one; NSEC_NEVER: none */
	struct sampled **list;
	size_t count;
};

/* Takes a sample from a status, if one is due.  `json`: NULL: an error. */
void samples_take(struct samples *all, const char *json, size_t len);
void samples_forget(struct samples *all);
/* /samples */
struct answer *samples_answer(const struct web *web);

/* ---- the loop ---- */

struct web {
	struct ev_loop *loop;
	struct mhd mhd;
	struct MHD_Daemon *daemon;
	ev_io listener;
	ev_io also;
	ev_io ready;  /* the library's epoll set */
	bool resumed; /* a guest was resumed: the library runs without an event then */
	ev_prepare turn;
	ev_timer timer;  /* for the earliest of these times, and when the library wants to run */
	nsec_t sweep_at; /* each second, while there are guests; or 0 */
	nsec_t ask_at;   /* when a question may be asked that waits; or 0 */
	struct samples samples;
	bool for_sample; /* the last request was for them alone */

	struct guest guests[GUESTS_MAX];
	unsigned guest_count;
	struct agent agent;

	struct ask status;
	enum wants asked;   /* of the last request */
	struct buffer past; /* the events of the answer so far */
	unsigned question;  /* the number of the last request */
	nsec_t next_ask;    /* not before */
	struct ask events;
	bool following; /* events were asked for */

	char *token;   /* NULL: no token is required */
	bool any_host; /* the Host of a request does not matter */
};

/* ---- guests.c ---- */

/* Begin to let guests in.  `also`: -1, or a second listener. */
void guests_init(struct web *web, int listener, int also);
/* Ends the guests whose time is over. */
void guests_sweep(struct web *web, nsec_t now);
/* Called by the library: a connection begins or is over. */
void guest_on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code);
struct guest *guest_of(const struct web *web, struct MHD_Connection *connection);
void guest_set_phase(struct guest *g, enum guest_phase phase);
/* Send a text and close, to a client that the library does not have. */
void client_dismiss(int fd, const char *text);

/* ---- requests.c ---- */

enum MHD_Result request_on_access(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **context);
void request_on_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code);
/* Ask nclust for what guests wait for, if any do. */
void requests_ask(struct web *web);
void requests_on_answer(void *context, const char *json, size_t len);
void requests_on_past(void *context, const char *json, size_t len);
/* nclust does not answer: the guest gets an error. */
void request_give_up(struct web *web, struct guest *g);

/* ---- stream ---- */

/* The answer that lets the guest follow the events, or a refusal; NULL: out of memory. */
struct answer *stream_begin(struct web *web, struct guest *g);
void stream_on_event(void *context, const char *json, size_t len);
/* Each second: has the guest left, or has it to be sent something? */
void stream_look(struct guest *g, nsec_t now);
/* End the guest's events after those that it has not read yet. */
void stream_end(struct guest *g);

/* ---- agent.c ---- */

/* Begin to accept clients. */
void agent_init(struct web *web, int listener);
/* nclust's answer for clients that have waited; NULL: none has come. */
void agent_answer(struct web *web, const char *json, size_t len);

/* ---- answers.c ---- */

/* A page of the table, and how it is made of a status. */
struct page {
	const char *path;
	enum wants wants;
	const char *type;
	/* Returns the HTTP status.  NULL: the page is the stream of events, the samples, or the
	 * page for people. */
	unsigned (*make)(struct buffer *body, const char *json, size_t len);
};
/* NULL: no such page.  `accept` may be NULL. */
const struct page *page_find(const char *path, const char *accept);

/* Answers with one reference each; NULL: out of memory.  `header` and `value` may be
 * NULL.  A response is taken over. */
struct answer *answer_of(
	const struct web *web, unsigned status, const char *type, struct MHD_Response *response);
/* Takes the body over. */
struct answer *answer_new(
	const struct web *web, unsigned status, const char *type, struct buffer *body);
struct answer *answer_text(const struct web *web, unsigned status, const char *text,
	const char *header, const char *value);
struct answer *answer_make(
	const struct web *web, const struct page *page, const char *json, size_t len);
void answer_unref(const struct web *web, struct answer *a);

/* The sum of that number of all objects of a list. */
double answer_sum(const json_t *list, const char *key);

/* Has the cluster of a status a ready worker, or is it ready without one? */
bool answer_is_ready(const json_t *cluster);

/* ---- page.c ---- */

/* The page for people, without data of nclust.  `encodings`: the Accept-Encoding, or NULL. */
struct answer *page_answer(const struct web *web, const char *encodings);

/* ---- metrics ---- */

/*
 * A status (man/nclust-control.7) as metrics: Prometheus' text format 0.0.4, or
 * OpenMetrics 1.0.  What the status does not have, or as null, is left out.
 * Labels are names of clusters, listeners and states, and numbers of slots, never
 * a pid: there are as many series as the settings allow.
 */
void metrics_write(struct buffer *out, const json_t *status, bool openmetrics);

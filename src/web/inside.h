/* SPDX-License-Identifier: MIT */
#ifndef WEB_INSIDE_H
#define WEB_INSIDE_H

#include "base/buffer.h"
#include "base/nsec.h"
#include "web/ask.h"
#include "web/library.h"

#include <ev.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * What the files of the web process share: this is no interface to it.
 *
 * guests.c lets connections in and bounds them, requests.c says what each of them
 * gets, answers.c, page.c, stream.c and scrape.c make that, web.c runs the loop.  A
 * connection has one request, so that its place is free when it is answered.
 */
#define GUESTS_MAX 64
#define SCRAPE_GUESTS_MAX 16 /* of them may wait for workers */
#define HEAD_MAX 8192U       /* of a request, in bytes */

enum guest_phase {
	GUEST_NONE,    /* the place is free */
	GUEST_ASKS,    /* its request is not complete */
	GUEST_WAITS,   /* for nclust's answer, or workers'; suspended */
	GUEST_READS,   /* its answer is on its way */
	GUEST_FOLLOWS, /* the events; suspended while there is none for it */
};

/* What an answer is made of. */
enum wants {
	WANTS_NOTHING,
	WANTS_LIFE, /* of nclust: any answer will do */
	WANTS_STATUS,
	WANTS_READINESS, /* a status of what that is made of */
	WANTS_METRICS,   /* a status of what they are made of */
	WANTS_PAST,      /* the events that nclust remembers */
	WANTS_WORKERS,   /* what workers tell of themselves */
};

/* What a guest gets; several may read the same. */
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
	unsigned question; /* WAITS: the number of the one for it */
	const struct page *page;
	char cluster[72];      /* WAITS for the metrics of its workers */
	struct answer *answer; /* is to be given to it; or NULL */
	/* FOLLOWS */
	struct buffer events; /* not sent yet */
	bool suspended;
	bool ended; /* after these */
	nsec_t begun;
};

#define AGENT_GUESTS_MAX 64
#define AGENT_LINE_MAX 128

/* Clients of the agent, who wait for nclust's answer. */
struct agent_guest {
	int fd;
	unsigned question; /* the number of the one for it */
};

struct agent {
	ev_io listener;
	struct agent_guest guests[AGENT_GUESTS_MAX];
	unsigned count;
	nsec_t since; /* the first of them waits since then */
	double free;  /* part of a weight at the last look (agent.c) */
};

struct web {
	struct ev_loop *loop;
	struct library mhd;
	struct MHD_Daemon *daemon;
	ev_io listener;
	ev_io also;
	ev_io ready;  /* the library's epoll set */
	ev_timer run; /* when the library wants to run */
	bool resumed; /* a guest was: it does not wait for an event then */
	ev_prepare turn;
	ev_timer sweep; /* each second, while there are guests */

	struct guest guests[GUESTS_MAX];
	unsigned guest_count;
	struct agent agent;

	struct ask status;
	enum wants asked;   /* by the last question */
	struct buffer past; /* the events that it was answered by */
	unsigned question;  /* the number of the last one */
	bool plain_only;    /* an earlier nclust knows no other status */
	nsec_t next_ask;    /* not before */
	ev_timer gap;
	struct ask events;
	bool following; /* events were asked for */
	struct ask workers;
	struct scrape *scrape; /* heap: the one under way; or NULL */
	ev_timer scrape_timer; /* its end, or when the next one may begin */

	char *token;   /* NULL: none is asked for */
	bool any_host; /* the name that it was asked by does not matter */
};

/* ---- guests.c ---- */

/* Begin to let guests in.  `also`: -1, or a second listener. */
void guests_init(struct web *web, int listener, int also);
/* Called by the library: a connection begins or is over. */
void guest_on_connection(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_ConnectionNotificationCode code);
struct guest *guest_of(const struct web *web, struct MHD_Connection *connection);
void guest_set_phase(struct guest *g, enum guest_phase phase);

/* ---- requests.c ---- */

enum MHD_Result request_on_access(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version, const char *data, size_t *size, void **context);
void request_on_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code);
/* Ask nclust what guests wait for, if anybody does. */
void requests_ask(struct web *web);
void requests_on_answer(void *context, const char *json, size_t len);
void requests_on_past(void *context, const char *json, size_t len);
/* nclust does not answer: neither does this guest wait any more. */
void request_give_up(struct web *web, struct guest *g);
/* It has waited for this answer; NULL: there is no memory. */
void request_wake(struct web *web, struct guest *g, struct answer *a);

/* ---- stream.c ---- */

/* The answer that lets it follow the events, or a refusal; NULL: no memory. */
struct answer *stream_begin(struct web *web, struct guest *g);
void stream_on_event(void *context, const char *json, size_t len);
/* Each second: has it left, or is it to hear something? */
void stream_look(struct guest *g, nsec_t now);
/* What it has not got yet is the last. */
void stream_end(struct guest *g);

/* ---- scrape.c ---- */

void scrape_init(struct web *web, int channel);
void scrape_fini(struct web *web);
/* So many wait for workers that no more may. */
bool scrape_is_full(const struct web *web);
/* This guest waits for the metrics of that cluster's workers. */
void scrape_want(struct web *web, struct guest *g, const char *cluster);

/* ---- agent.c ---- */

/* Begin to let clients in. */
void agent_init(struct web *web, int listener);
/* nclust's answer for those who have waited; NULL: there is none. */
void agent_answer(struct web *web, const char *json, size_t len);

/* ---- answers.c ---- */

/* One of the pages, and how it is made of a status. */
struct page {
	const char *path;
	enum wants wants;
	const char *type;
	/* Returns the HTTP status.  NULL: it is the stream of events, the page
	 * for people, or made of what workers say. */
	unsigned (*make)(struct buffer *body, const char *json, size_t len);
};
/* NULL: there is none.  `accept` may be NULL. */
const struct page *page_find(const char *path, const char *accept);

/* Each with one reference; NULL: no memory.  `header` and `value` may be
 * NULL.  A response and a body are taken over. */
struct answer *answer_of(
	const struct web *web, unsigned status, const char *type, struct MHD_Response *response);
struct answer *answer_new(
	const struct web *web, unsigned status, const char *type, struct buffer *body);
struct answer *answer_text(const struct web *web, unsigned status, const char *text,
	const char *header, const char *value);
struct answer *answer_make(
	const struct web *web, const struct page *page, const char *json, size_t len);
void answer_unref(const struct web *web, struct answer *a);

/* Has the cluster of a status a ready worker, or is it ready without one? */
bool answer_is_ready(const json_t *cluster);

/* ---- page.c ---- */

/* The page for people, which holds nothing of nclust. */
struct answer *page_answer(const struct web *web);

#endif

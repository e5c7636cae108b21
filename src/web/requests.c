/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/socket/endpoint.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

/*
 * A status costs nclust some 20 us for each worker.  However many guests there
 * are, nclust is asked again only after this time, or after a few times what the
 * last answer took; all guests that came meanwhile get the same answer.
 */
#define GAP (50 * MSEC)
#define GAP_FACTOR 3
#define GAP_MOST (1 * SECOND)
/* nclust remembers 120 KiB. */
#define PAST_MAX (512U * 1024)

/* ---- is the guest welcome? ---- */

/* Compares in the same time wherever the two differ. */
static bool is_equal(const char *given, const char *token)
{
	size_t len = strlen(token);
	unsigned char differs = strlen(given) != len;

	for (size_t i = 0; i < len && *given != '\0'; i++) {
		differs |= (unsigned char)(*given ^ token[i]);
		given += given[1] != '\0';
	}
	return differs == 0;
}

static const char *request_header(
	const struct web *web, struct MHD_Connection *connection, const char *key)
{
	return web->mhd.lookup_connection_value(connection, MHD_HEADER_KIND, key);
}

static bool has_token(const struct web *web, struct MHD_Connection *connection)
{
	static const char scheme[] = "Bearer ";
	const char *given = request_header(web, connection, "Authorization");

	if (web->token == NULL)
		return true;
	return given != NULL && strncasecmp(given, scheme, 7) == 0 &&
		is_equal(given + 7, web->token);
}

/*
 * A page in this machine's browser can make a name of its own mean 127.0.0.1 (DNS
 * rebinding) and then read our answers.  So without a token only requests by an
 * address or by "localhost" are answered.
 */
static bool is_right_host(const struct web *web, struct MHD_Connection *connection)
{
	static const char local[] = "localhost";
	const char *host = request_header(web, connection, "Host");
	char name[64];
	struct in_addr ip;
	size_t len;

	if (web->any_host || host == NULL || *host == '[')
		return true;
	len = strcspn(host, ":");
	if (len >= sizeof(name))
		return false;
	memcpy(name, host, len);
	name[len] = '\0';
	if (inet_pton(AF_INET, name, &ip) == 1)
		return true;
	return len >= strlen(local) && strcasecmp(name + len - strlen(local), local) == 0 &&
		(len == strlen(local) || name[len - strlen(local) - 1] == '.');
}

static bool has_body(const struct web *web, struct MHD_Connection *connection)
{
	const char *len = request_header(web, connection, "Content-Length");

	return request_header(web, connection, "Transfer-Encoding") != NULL ||
		(len != NULL && strcmp(len, "0") != 0);
}

/* Refuse the request, or NULL: go on. */
static struct answer *refuse_request(const struct web *web, struct MHD_Connection *connection,
	const char *url, const char *method)
{
	const struct page *page = page_find(url, NULL);
	const size_t head =
		web->mhd.get_connection_info(connection, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)
			->header_size;

	/* the library has room for a little more, and then says the same */
	if (head > HEAD_MAX)
		return answer_text(web, MHD_HTTP_REQUEST_HEADER_FIELDS_TOO_LARGE,
			"the head of a request has at most 8 KiB\n", NULL, NULL);
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
		return answer_text(web, MHD_HTTP_METHOD_NOT_ALLOWED,
			"nothing can be changed here: only GET and HEAD\n", "Allow", "GET, HEAD");
	if (has_body(web, connection))
		return answer_text(
			web, MHD_HTTP_BAD_REQUEST, "a request has no body here\n", NULL, NULL);
	if (!is_right_host(web, connection))
		return answer_text(web, 421,
			"ask by an IP address or by 'localhost'; with "
			"'http-token' any name will do\n",
			NULL, NULL);
	/* a browser cannot send the token before it has a page that asks for it */
	if ((page == NULL || page->wants != WANTS_NOTHING) && !has_token(web, connection))
		return answer_text(web, MHD_HTTP_UNAUTHORIZED,
			"this requires the token of 'http-token', as "
			"'Authorization: Bearer TOKEN'\n",
			"WWW-Authenticate", "Bearer");
	if (page == NULL)
		return answer_text(web, MHD_HTTP_NOT_FOUND,
			"there is /, /healthz, /readyz, /metrics, /status, /events, "
			"/history, /samples\n",
			NULL, NULL);
	return NULL;
}

/* ---- requests ---- */

static enum MHD_Result give_answer(struct web *web, struct guest *g, struct answer *a)
{
	enum MHD_Result done;

	if (a == NULL)
		return MHD_NO; /* out of memory: the connection is closed */
	if (g->phase != GUEST_FOLLOWS)
		guest_set_phase(g, GUEST_READS);
	done = web->mhd.queue_response(g->connection, a->status, a->response);
	answer_unref(web, a);
	return done;
}

enum MHD_Result request_on_access(void *cls, struct MHD_Connection *connection, const char *url,
	const char *method, const char *version UNUSED, const char *data UNUSED, size_t *size,
	void **context)
{
	struct web *web = cls;
	struct guest *g = guest_of(web, connection);
	struct answer *refusal;

	if (g == NULL || *size != 0)
		return MHD_NO;
	if (*context == NULL) { /* only the head has come */
		*context = g;
		refusal = refuse_request(web, connection, url, method);
		return refusal != NULL ? give_answer(web, g, refusal) : MHD_YES;
	}
	if (g->phase == GUEST_WAITS) {
		struct answer *a = g->answer;

		g->answer = NULL;
		return give_answer(web, g, a);
	}
	g->page = page_find(url, request_header(web, connection, "Accept"));
	if (g->page->wants == WANTS_NOTHING)
		return give_answer(web, g,
			page_answer(web, request_header(web, connection, "Accept-Encoding")));
	if (g->page->wants == WANTS_SAMPLES)
		return give_answer(web, g, samples_answer(web));
	if (g->page->make == NULL && g->page->wants == WANTS_LIFE)
		return give_answer(web, g, stream_begin(web, g));
	g->question = web->question + 1;
	guest_set_phase(g, GUEST_WAITS);
	web->mhd.suspend_connection(connection);
	requests_ask(web);
	return MHD_YES;
}

void request_on_completed(void *cls, struct MHD_Connection *connection, void **context,
	enum MHD_RequestTerminationCode code UNUSED)
{
	struct guest *g = guest_of(cls, connection);

	*context = NULL;
	if (g != NULL)
		guest_set_phase(g, GUEST_ASKS);
}

/* ---- nclust ---- */

static bool is_due(const struct web *web, const struct guest *g)
{
	return g->phase == GUEST_WAITS && g->answer == NULL && g->question <= web->question &&
		(g->page->wants == WANTS_LIFE || g->page->wants == web->asked);
}

/* Any answer is a sign of life, too, so guests that want only that come last; else the first comes
 * first. */
static bool goes_before(const struct guest *a, const struct guest *b)
{
	bool only_life = a->page->wants == WANTS_LIFE;

	if (only_life != (b->page->wants == WANTS_LIFE))
		return !only_life;
	return a->since < b->since;
}

/* Tell nclust which load balancer asks whether it may send clients here. */
static void name_monitor(struct control_request *r, const char *kind, int fd)
{
	size_t used = strlen(r->readiness);
	char who[INET6_ADDRSTRLEN + 8];
	char ip[INET6_ADDRSTRLEN] = "local";
	union endpoint at;
	const char *same;
	size_t len;
	const void *bytes;

	if (endpoint_peer(fd, &at) == 0)
		return; /* the guest has left */
	bytes = endpoint_ip(&at, &len);
	if (len > 0)
		inet_ntop(at.any.sa_family, bytes, ip, sizeof(ip));
	len = (size_t)snprintf(who, sizeof(who), "%s %s", kind, ip);
	same = strstr(r->readiness, who);
	if ((same != NULL && strchr(",", same[len]) != NULL) ||
		used + len + 2 > sizeof(r->readiness))
		return;
	snprintf(
		r->readiness + used, sizeof(r->readiness) - used, "%s%s", used > 0 ? "," : "", who);
}

static void name_monitors(const struct web *web, struct control_request *r)
{
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		const struct guest *g = &web->guests[i];

		if (g->phase == GUEST_WAITS && g->answer == NULL &&
			g->page->wants == WANTS_READINESS)
			name_monitor(r, "http", g->fd);
	}
	for (unsigned i = 0; i < web->agent.count; i++)
		name_monitor(r, "agent", web->agent.guests[i].fd);
}

void requests_ask(struct web *web)
{
	struct control_request request = {.method = METHOD_STATUS};
	const struct guest *first = NULL;
	nsec_t now = clock_now();
	bool agent;

	if (web->status.under_way)
		return;
	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		const struct guest *g = &web->guests[i];

		if (g->phase != GUEST_WAITS || g->answer != NULL)
			continue;
		if (first == NULL || goes_before(g, first))
			first = g;
	}
	agent = web->agent.count > 0 &&
		(first == NULL || first->page->wants == WANTS_LIFE ||
			web->agent.since < first->since);
	web->ask_at = 0;
	if (first == NULL && !agent && now < web->samples.due)
		return;
	if (now < web->next_ask) {
		web->ask_at = web->next_ask;
		return;
	}
	web->question++;
	web->for_sample = first == NULL && !agent;
	web->asked = agent ? WANTS_READINESS : first != NULL ? first->page->wants : WANTS_STATUS;
	buffer_init(&web->past, PAST_MAX);
	if (web->asked == WANTS_LIFE || web->asked == WANTS_PAST)
		request.method = METHOD_EVENTS;
	else if (web->asked == WANTS_METRICS)
		request.metrics = true;
	else if (web->asked == WANTS_READINESS)
		name_monitors(web, &request);
	request.last = web->asked == WANTS_PAST ? -1 : 0;
	ask_send(&web->status, request);
}

/* The library calls the request's handler once more, which gives the answer; NULL: out of memory. */
static void request_wake(struct web *web, struct guest *g, struct answer *a)
{
	if (a != NULL)
		a->refs++;
	g->question = UINT32_MAX; /* also if out of memory */
	g->answer = a;
	web->resumed = true;
	web->mhd.resume_connection(g->connection);
}

/* Give all guests that want the same page the same answer. */
static void answer_all_like(struct web *web, const struct page *page, const char *json, size_t len)
{
	struct answer *a = json != NULL ? answer_make(web, page, json, len)
					: answer_text(web, MHD_HTTP_SERVICE_UNAVAILABLE,
						  "nclust did not answer this\n", NULL, NULL);

	for (unsigned i = 0; i < GUESTS_MAX; i++) {
		struct guest *g = &web->guests[i];

		if (is_due(web, g) && g->page == page)
			request_wake(web, g, a);
	}
	answer_unref(web, a);
}

/* One of the events of the history: they become an array. */
void requests_on_past(void *context, const char *json, size_t len)
{
	struct web *web = context;

	buffer_string(&web->past, web->past.len == 0 ? "[" : ",\n");
	buffer_append(&web->past, json, len);
}

void requests_on_answer(void *context, const char *json, size_t len)
{
	struct web *web = context;
	nsec_t now = clock_now();
	nsec_t gap = GAP_FACTOR * (now - web->status.asked);

	if (web->asked == WANTS_PAST && json != NULL) {
		buffer_string(&web->past, web->past.len == 0 ? "[]" : "]");
		json = web->past.failed ? NULL : web->past.data;
		len = web->past.len;
	}
	if (gap < GAP)
		gap = GAP;
	if (!web->for_sample) /* no guest is to wait for that */
		web->next_ask = now + nsec_min(gap, GAP_MOST);
	if (web->asked == WANTS_READINESS)
		agent_answer(web, json, len);
	if (web->asked == WANTS_STATUS)
		samples_take(&web->samples, json, len);
	for (unsigned i = 0; i < GUESTS_MAX; i++)
		if (is_due(web, &web->guests[i]))
			answer_all_like(web, web->guests[i].page, json, len);
	buffer_fini(&web->past);
	requests_ask(web);
}

void request_give_up(struct web *web, struct guest *g)
{
	struct answer *a;

	if (g->answer != NULL || g->question == UINT32_MAX)
		return;
	a = answer_text(web, MHD_HTTP_SERVICE_UNAVAILABLE, "nclust does not answer\n", NULL, NULL);
	request_wake(web, g, a);
	answer_unref(web, a);
}

/* ---- ask ---- */

#define READ_SIZE (64U * 1024)

/* All our requests have this id: nclust's answers begin like this. */
#define ID "1"
static const char result[] = "{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"result\":";
static const char failure[] = "{\"jsonrpc\":\"2.0\",\"id\":" ID ",\"error\":";
static const char event[] = "{\"jsonrpc\":\"2.0\",\"method\":\"event\","
			    "\"params\":{\"request\":" ID ",";

static bool has_prefix(const char *line, size_t len, const char *with)
{
	return len > strlen(with) && memcmp(line, with, strlen(with)) == 0;
}

/* Take the event's own object, without the id, which is the same for all. */
static void take_event(struct ask *ask, const char *line, size_t len)
{
	size_t head = strlen(event);
	scoped_buffer json = {0};

	buffer_append(&json, "{", 1);
	buffer_append(&json, line + head, len - head - 1);
	if (!json.failed)
		ask->happened(ask->context, json.data, json.len);
}

static void take_line(struct ask *ask, const char *line, size_t len)
{
	size_t head = strlen(result);

	if (has_prefix(line, len, event)) {
		take_event(ask, line, len);
	} else if (ask->under_way && has_prefix(line, len, result)) {
		ask->under_way = false;
		ask->answered(ask->context, line + head, len - head - 1);
	} else if (ask->under_way && has_prefix(line, len, failure)) {
		ask->under_way = false;
		ask->answered(ask->context, NULL, 0);
	}
}

static void on_readable(struct ev_loop *loop, ev_io *watcher, int revents UNUSED)
{
	struct ask *ask = watcher->data;
	char data[READ_SIZE] uninitialized;
	ssize_t got = 1;

	/* events are read a little at a time, so that guests can keep up */
	for (int i = ask->under_way ? 0 : TURN_ITEMS - 1; i < TURN_ITEMS && got > 0; i++) {
		const char *line;
		size_t len;

		got = recv(ask->io.fd, data, sizeof(data), MSG_DONTWAIT);
		if (got <= 0)
			break;
		line_reader_begin(&ask->lines, data, (size_t)got);
		while (line_reader_next(&ask->lines, &line, &len))
			take_line(ask, line, len);
	}
	if (ask->under_way && ask->lines.skipped > 0) { /* over 16 MiB */
		ask->under_way = false;
		ask->answered(ask->context, NULL, 0);
	}
	ask->lines.skipped = 0;
	if (got == 0 || (got == -1 && errno != EAGAIN && errno != EINTR))
		ev_break(loop, EVBREAK_ALL);
}

void ask_init(struct ask *ask, struct ev_loop *loop, int fd)
{
	*ask = (struct ask){.loop = loop};
	line_reader_init(&ask->lines, CONTROL_RESULT_MAX);
	ev_io_init(&ask->io, on_readable, fd, EV_READ);
	ask->io.data = ask;
	ev_io_start(loop, &ask->io);
}

void ask_fini(struct ask *ask)
{
	ev_io_stop(ask->loop, &ask->io);
	line_reader_fini(&ask->lines);
	(void)close(ask->io.fd);
}

void ask_send(struct ask *ask, struct control_request request)
{
	scoped_buffer out = {0};

	text_copy(request.id, sizeof(request.id), ID);
	ask->under_way = !request.follow;
	ask->asked = clock_now();
	if (control_encode(&out, &request) == -1 ||
		send(ask->io.fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT) !=
			(ssize_t)out.len)
		ev_break(ask->loop, EVBREAK_ALL);
}

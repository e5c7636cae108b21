/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "base/scope.h"
#include "base/text.h"
#include "os/descriptors.h"
#include "os/fdpass.h"
#include "protocol/control.h"
#include "protocol/json.h"
#include "supervisor/common/news.h"
#include "supervisor/common/registry.h"
#include "supervisor/control/clients.h"
#include "supervisor/control/outcomes.h"
#include "supervisor/workers/slotlog.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <linux/sockios.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

/* ---- events: which are wanted ---- */

static bool contains_text(const char *json, size_t len, const char *part)
{
	return memmem(json, len, part, strlen(part)) != NULL;
}

/* Is the event of the client's target?  Quotes inside of a value are escaped, so that only a field
 * can match. */
static bool is_of_target(const struct client *c, const char *json, size_t len)
{
	char field[200];

	if (*c->request.target == '\0')
		return true;
	snprintf(field, sizeof(field), "\"cluster\":\"%s\"", c->request.target);
	if (!contains_text(json, len, field))
		return false;
	if (c->only_slot == SLOT_ALL)
		return true;
	snprintf(field, sizeof(field), "\"slot\":%" PRIu32 ",", c->only_slot);
	return contains_text(json, len, field);
}

static bool is_of_kind(const struct control_request *r, const char *json, size_t len)
{
	static const char key[] = "\"event\":\"";
	const char *name = memmem(json, len, key, sizeof(key) - 1);
	const char *end;

	if (*r->kinds == '\0')
		return true;
	if (name == NULL)
		return false;
	name += sizeof(key) - 1;
	end = memchr(name, '"', (size_t)(json + len - name));
	return end != NULL && eventkind_listed(r->kinds, name, (size_t)(end - name));
}

static bool is_since(const struct control_request *r, const char *json)
{
	const char *time = json + sizeof(NEWS_START) - 1;

	/* lines that the keeper kept are not checked yet: strtod() would skip a
	 * newline; the doubles of one millisecond may differ */
	return r->since == 0 ||
		(*time >= '0' && *time <= '9' &&
			strtod(time, NULL) + 0.0005 >= nsec_seconds(r->since));
}

bool events_want(const struct client *c, const char *json, size_t len)
{
	return c->request.method == METHOD_EVENTS && is_of_target(c, json, len) &&
		is_of_kind(&c->request, json, len) && is_since(&c->request, json);
}

/* ---- the history ---- */

/* The next event that the client wants; NULL: there are no more. */
static const char *next_wanted(
	const struct client *c, const struct linering_text *t, size_t *at, size_t *len)
{
	while (*at < t->len) {
		const char *this = t->text + *at;
		const char *end = memchr(this, '\n', t->len - *at);

		if (end == NULL)
			break;
		*len = (size_t)(end - this);
		*at += *len + 1;
		if (*len > sizeof(NEWS_START) &&
			memcmp(this, NEWS_START, sizeof(NEWS_START) - 1) == 0 &&
			events_want(c, this, *len))
			return this;
	}
	*at = t->len;
	return NULL;
}

/* How many events of the history are wanted; counts up to `most`. */
static unsigned count_wanted(const struct client *c, unsigned most)
{
	struct linering_text t;
	unsigned wanted = 0;
	size_t at = 0;
	size_t len;

	if (news_history(c->sup, &t) == -1)
		return 0;
	while (wanted < most && next_wanted(c, &t, &at, &len) != NULL)
		wanted++;
	linering_drop(&t);
	return wanted;
}

static void put_event(struct client *c, const char *line, size_t len)
{
	char *copy = news_is_whole(line, len) ? strndup(line, len) : NULL;

	if (copy != NULL)
		(void)control_put_event(&c->out, c->request.id, copy);
	free(copy);
}

void events_begin(struct client *c)
{
	unsigned wanted = c->request.last >= 0 ? count_wanted(c, UINT_MAX) : 0;
	unsigned last = (unsigned)c->request.last;
	unsigned skip = wanted > last ? wanted - last : 0;
	struct linering_text t;
	const char *line;
	size_t at = 0;
	size_t len;

	if (news_history(c->sup, &t) == -1) {
		client_error(c, CONTROL_INTERNAL, "out of memory");
		return;
	}
	while ((line = next_wanted(c, &t, &at, &len)) != NULL)
		if (skip > 0)
			skip--;
		else
			put_event(c, line, len);
	linering_drop(&t);
	if (!c->request.follow) {
		request_finish(c);
		return;
	}
	c->state = CLIENT_FOLLOWING;
	client_write(c);
}

bool events_remember(struct client *c, const struct control_target *t)
{
	const char *const names[] = {t->whole, t->cluster};

	for (unsigned i = 0; i < (t->slot >= 0 ? 2 : 1); i++) {
		text_copy(c->request.target, sizeof(c->request.target), names[i]);
		c->only_slot = i == 0 ? SLOT_ALL : (uint32_t)t->slot;
		if (count_wanted(c, 1) > 0)
			return true;
	}
	return false;
}

/* ---- showlogs ---- */

/* Descriptors of one answer.  The client must read it before it gets more: the
 * kernel counts descriptors in flight for nclust (ETOOMANYREFS of unix(7)). */
#define LOGS_A_TIME 16

struct page {
	int fds[LOGS_A_TIME];
	size_t count;
	uint64_t last;
	bool more;
};

static const struct service *cluster_of(const struct client *c)
{
	return *c->request.target != '\0' ? service_named(c->sup, c->request.target) : NULL;
}

static const struct slotlog *next_of(
	const struct client *c, uint64_t number, const struct service **of)
{
	const struct service *only = cluster_of(c);

	if (only == NULL && *c->request.target != '\0')
		return NULL; /* the cluster is gone */
	return slotlog_after(c->sup, number, only, c->only_slot, of);
}

static int put_logs(const struct client *c, struct json_writer *w, struct page *page)
{
	const struct service *of = NULL;
	const struct slotlog *log;

	json_open_list(w, "logs");
	while ((log = next_of(c, page->last, &of)) != NULL) {
		page->more = page->count == LOGS_A_TIME;
		if (page->more)
			break;
		/* the client cannot write to it, nor open it for writing */
		page->fds[page->count] = descriptors_again(log->fd, O_RDONLY);
		if (page->fds[page->count] == -1)
			return -1;
		page->count++;
		page->last = log->number;
		json_open_object(w);
		json_put_text(w, "cluster", of->name);
		json_put_int(w, "slot", log->slot);
		json_close_object(w);
	}
	json_close_array(w);
	json_put_int(w, "last", (int64_t)page->last);
	json_put_bool(w, "more", page->more);
	return 0;
}

static void put_missing(const struct client *c, struct json_writer *w)
{
	const struct service *only = cluster_of(c);

	json_open_list(w, "missing");
	for (size_t i = 0; i < c->sup->service_count; i++) {
		const struct service *s = c->sup->services[i];
		const char *why = slotlog_missing(s);

		if (why == NULL || (only != NULL && s != only))
			continue;
		json_open_object(w);
		json_put_text(w, "cluster", s->name);
		json_put_text(w, "text", why);
		json_close_object(w);
	}
	json_close_array(w);
}

/* Send one answer.  0: sent; -1 and errno. */
static int send_page(struct client *c, struct buffer *line, struct page *page)
{
	struct json_writer w;
	ssize_t unsent;

	(void)control_begin_result(line, c->request.id);
	json_begin(&w, line);
	json_open_object(&w);
	if (put_logs(c, &w, page) == -1)
		return -1;
	if (c->request.after == 0)
		put_missing(c, &w);
	json_close_object(&w);
	(void)control_end_result(line);
	if (line->failed) {
		errno = ENOMEM;
		return -1;
	}
	if (page->count == 0)
		return buffer_append(&c->out, line->data, line->len);
	/* the line is short, so that it is sent in one piece, or not at all */
	unsent = fdpass_send(c->io.fd, line->data, line->len, page->fds, page->count);
	return (int)unsent;
}

static void answer_page(struct client *c)
{
	struct page page = {.last = c->request.after};
	scoped_buffer line = {.limit = CONTROL_LINE_MAX};

	if (send_page(c, &line, &page) == 0)
		client_done(c);
	else
		client_error(c, errno == EAGAIN ? CONTROL_BUSY : CONTROL_FAILED,
			errno == EAGAIN ? "read the answers first"
					: "the output of the workers cannot be returned");
	for (size_t i = 0; i < page.count; i++)
		fd_close(&page.fds[i]);
}

static bool has_unread(const struct client *c)
{
	int unread = 0;

	return c->out.len > 0 || (ioctl(c->io.fd, SIOCOUTQ, &unread) == 0 && unread > 0);
}

void showlogs_begin(struct client *c)
{
	const struct service *of;

	if (has_unread(c)) {
		client_error(c, CONTROL_BUSY, "read the answers first");
		return;
	}
	if (!c->request.follow || next_of(c, c->request.after, &of) != NULL) {
		answer_page(c);
		return;
	}
	c->state = CLIENT_FOLLOWING;
	client_write(c);
}

void showlogs_look(struct client *c)
{
	const struct service *of;

	if (c->request.method == METHOD_LOGS && !has_unread(c) &&
		next_of(c, c->request.after, &of) != NULL)
		answer_page(c);
}

/* SPDX-License-Identifier: MIT */
#include "supervisor/control/internal.h"

#include "base/text.h"
#include "protocol/control.h"
#include "supervisor/common/news.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* While more than this is unsent, no more of the history is queued. */
#define UNSENT_MAX (24U * 1024)

/* ---- which events are wanted ---- */

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

/* The next line that may be an event, wanted or not; NULL: no more lines. */
static const char *next_line(const struct linering_text *t, size_t *at, size_t *len)
{
	while (*at < t->len) {
		const char *this = t->text + *at;
		const char *end = memchr(this, '\n', t->len - *at);

		if (end == NULL)
			break;
		*len = (size_t)(end - this);
		*at += *len + 1;
		if (*len > sizeof(NEWS_START) &&
			memcmp(this, NEWS_START, sizeof(NEWS_START) - 1) == 0)
			return this;
	}
	*at = t->len;
	return NULL;
}

/* How many events of the history are wanted; counts up to `most`. */
static unsigned count_wanted(const struct client *c, unsigned most)
{
	struct linering_text t;
	const char *line;
	unsigned wanted = 0;
	size_t at = 0;
	size_t len;

	if (news_history(c->sup, 0, &t) == -1)
		return 0;
	while (wanted < most && (line = next_line(&t, &at, &len)) != NULL)
		wanted += events_want(c, line, len);
	linering_drop(&t);
	return wanted;
}

static void put_event(struct client *c, const char *line, size_t len)
{
	char *copy;

	if (!events_want(c, line, len))
		return;
	if (c->events_skip > 0) {
		c->events_skip--;
		return;
	}
	copy = news_is_whole(line, len) ? strndup(line, len) : NULL;
	if (copy != NULL)
		(void)control_put_event(&c->out, c->request.id, copy);
	free(copy);
}

static void finish_history(struct client *c)
{
	if (!c->request.follow) {
		request_finish(c);
		return;
	}
	c->state = CLIENT_FOLLOWING;
	client_write(c);
}

void events_slice(struct client *c, bool all)
{
	struct linering_text t;
	const char *line;
	size_t at = 0;
	size_t len;

	if (news_history(c->sup, c->events_at, &t) == -1) {
		client_error(c, CONTROL_INTERNAL, "out of memory");
		return;
	}
	while ((all || c->out.len < UNSENT_MAX) && (line = next_line(&t, &at, &len)) != NULL)
		put_event(c, line, len);
	c->events_at = t.at + at;
	len = t.len;
	linering_drop(&t);
	if (at >= len)
		finish_history(c);
}

void events_begin(struct client *c)
{
	unsigned wanted = c->request.last >= 0 ? count_wanted(c, UINT_MAX) : 0;

	c->events_at = 0;
	c->events_skip =
		wanted > (unsigned)c->request.last ? wanted - (unsigned)c->request.last : 0;
	c->state = CLIENT_EVENTS;
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

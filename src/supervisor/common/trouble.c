/* SPDX-License-Identifier: MIT */
#include "supervisor/common/trouble.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/diff.h"
#include "os/clock.h"
#include "os/privilege.h"
#include "protocol/json.h"
#include "supervisor/common/carried.h"
#include "supervisor/common/news_text.h"
#include "supervisor/common/registry.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A cluster that does not become ready is reported after so many workers, and again each time their
 * number has doubled. */
#define TRIES_TOLD 8

/* ---- what is kept ---- */

static struct trouble *trouble_get(struct service *service)
{
	if (service->trouble == NULL)
		service->trouble = calloc(1, sizeof(struct trouble));
	return service->trouble;
}

static struct trouble_end *find_end(const struct service *service, uint32_t slot)
{
	const struct trouble *t = service->trouble;

	return t == NULL
		? NULL
		: array_find(end, t->ends, t->end_count, end->slot == slot && end->text != NULL);
}

static struct trouble_end *make_end(const struct service *service, uint32_t slot)
{
	struct trouble *t = service->trouble;
	struct trouble_end *end = find_end(service, slot);

	if (end != NULL)
		return end;
	if (!array_grow(t->ends, t->end_count))
		return NULL;
	t->ends[t->end_count] = (struct trouble_end){.slot = slot};
	return &t->ends[t->end_count++];
}

const struct trouble_end *trouble_of(const struct service *service, uint32_t slot, uint64_t worker)
{
	const struct trouble_end *end = find_end(service, slot);

	return end != NULL && end->worker == worker ? end : NULL;
}

/* Replace a text, unless it stays the same. */
static void keep_text(char **at, const char *text)
{
	if (*at != NULL && strcmp(*at, text) == 0)
		return;
	free(*at);
	*at = *text != '\0' ? strdup(text) : NULL;
}

static void note_end(const struct service *service, const struct news *n)
{
	const struct report *r = &n->report;
	struct trouble_end *end = make_end(service, r->slot);
	char text[64];

	if (end == NULL)
		return;
	end->worker = r->worker;
	end->at = clock_now();
	end->age = r->age;
	keep_text(&end->text,
		r->why == WHY_MEMORY ? "over max-memory" : news_ending_text(text, &r->ending));
	keep_text(&end->cause, n->explain);
	keep_text(&end->output, n->last);
	service->trouble->last = r->slot;
}

/* ---- in words ---- */

/* "exit 1 after 0.1 s; last output: ...", or the cause in place of the output, if it is known. */
static void say_end(struct buffer *out, const struct trouble_end *end)
{
	char age[16];

	if (end->age > 0)
		buffer_printf(out, "%s after %s", end->text, text_age(age, end->age));
	if (end->cause != NULL)
		buffer_printf(out, "%s%s", end->age > 0 ? "; " : "", end->cause);
	else if (end->output != NULL)
		buffer_printf(out, "; last output: %s", end->output);
}

static void say_tries(struct buffer *out, const struct service *service)
{
	const struct trouble *t = service->trouble;
	const struct trouble_end *end = find_end(service, t->last);
	bool ever = cluster_ever_ready(service->core);

	if (t->tries == 1)
		buffer_printf(out, "not ready at the %s try", ever ? "last" : "first");
	else
		buffer_printf(out,
			ever ? "none ready in the last %u tries" : "not once ready in %u tries",
			t->tries);
	if (end == NULL)
		return;
	buffer_string(out, "; ");
	say_end(out, end);
}

static void publish_tries(struct service *service)
{
	scoped_buffer text = {.limit = 2048};
	const char *sentence;

	say_tries(&text, service);
	sentence = buffer_text(&text);
	if (sentence != NULL)
		news_say_of(service, LOG_ERROR, "not-ready", "%s", sentence);
}

const char *trouble_last(const struct service *service)
{
	const struct trouble *t = service->trouble;
	const struct trouble_end *end = t != NULL ? find_end(service, t->last) : NULL;

	return end == NULL ? NULL : end->cause != NULL ? end->cause : end->output;
}

/* ---- taken from the news ---- */

static void on_exited(struct service *service, const struct news *n)
{
	const struct report *r = &n->report;
	struct trouble *t;

	if (!news_is_failure(r) && r->why != WHY_MEMORY)
		return;
	t = trouble_get(service);
	if (t == NULL)
		return;
	note_end(service, n);
	if (r->was_ready || r->why == WHY_MEMORY || service->sup->instance.stopping)
		return;
	t->tries++;
	if (t->tries >= TRIES_TOLD && (t->tries & (t->tries - 1)) == 0 &&
		cluster_ready(service->core) == 0)
		publish_tries(service);
}

static void on_rollout_failed(struct service *service, const struct news *n)
{
	struct trouble *t = trouble_get(service);

	if (t == NULL)
		return;
	keep_text(&t->restart, n->explain);
	t->restart_at = clock_now();
	t->restart_id = n->report.rollout;
}

void trouble_on_news(struct service *service, const struct news *n)
{
	struct trouble *t = service->trouble;

	switch (n->report.kind) {
	case REPORT_EXITED:
		on_exited(service, n);
		break;
	case REPORT_ROLLOUT_FAILED:
		on_rollout_failed(service, n);
		break;
	case REPORT_READY:
		if (t != NULL)
			t->tries = 0;
		break;
	case REPORT_ROLLOUT_DONE:
		if (t == NULL || n->report.back)
			break;
		free(t->restart);
		t->restart = NULL;
		break;
	default:
		break;
	}
}

/* ---- for a status ---- */

static void put_text_of(struct json_writer *w, struct buffer *text)
{
	const char *s = buffer_text(text);

	json_put_text(w, "text", s != NULL ? s : "");
}

static void put_tries(struct json_writer *w, const struct service *service)
{
	const struct trouble *t = service->trouble;
	bool fails = t != NULL && t->tries > 0 && cluster_ready(service->core) == 0;
	bool checked = t != NULL && t->check != NULL &&
		cluster_settings(service->core)->check.kind != PROBE_NONE;
	scoped_buffer text = {.limit = 2048};

	if (!json_open_member(w, "trouble",
		    (fails || checked) && cluster_wanted(service->core) > 0 &&
			    !service_is_done(service)))
		return;
	json_put_int(w, "tries", t->tries);
	if (fails)
		say_tries(&text, service);
	else
		buffer_string(&text, t->check);
	put_text_of(w, &text);
	json_close_object(w);
}

bool trouble_needs_reload(const struct service *service)
{
	const struct settings *file = service->sup->settings;
	const struct cluster_settings *now = cluster_settings(service->core);

	for (size_t i = 0; i < file->cluster_count; i++)
		if (strcmp(file->clusters[i]->name, service->name) == 0)
			return file->clusters[i] != now && now->configured == NULL &&
				!cluster_view_rollout(service->core).under_way &&
				config_digest(file->clusters[i]) != config_digest(now);
	return false;
}

static void put_restart(struct json_writer *w, const struct service *service, nsec_t now)
{
	const struct trouble *t = service->trouble;
	unsigned ready = cluster_ready(service->core);
	scoped_buffer text = {.limit = 2048};
	char age[16];

	if (!json_open_member(w, "failed_restart", t != NULL && t->restart != NULL))
		return;
	json_put_int(w, "rollout", t->restart_id);
	json_put_real(w, "ago", nsec_seconds(now - t->restart_at), 3);
	json_put_text(w, "cause", t->restart);
	json_put_bool(w, "reload", trouble_needs_reload(service));
	buffer_printf(&text, "last restart failed %s ago: %s", text_age(age, now - t->restart_at),
		t->restart);
	if (ready > 0 && !cluster_view_rollout(service->core).going_back)
		buffer_printf(
			&text, "; generation %u keeps serving", cluster_generation(service->core));
	put_text_of(w, &text);
	json_close_object(w);
}

void trouble_put(struct json_writer *w, const struct service *service, nsec_t now)
{
	if (service->accepting != NULL)
		return;
	put_tries(w, service);
	put_restart(w, service, now);
}

void trouble_put_slot(
	struct json_writer *w, const struct service *service, uint32_t slot, nsec_t now)
{
	const struct trouble_end *end = find_end(service, slot);

	if (service->accepting != NULL)
		return;
	if (!json_open_member(w, "last_failure", end != NULL))
		return;
	json_put_text(w, "text", end->text);
	json_put_real(w, "after", nsec_seconds(end->age), 3);
	json_put_real(w, "ago", nsec_seconds(now - end->at), 3);
	if (end->cause != NULL)
		json_put_text(w, "cause", end->cause);
	if (end->output != NULL)
		json_put_text(w, "last_output", end->output);
	json_close_object(w);
}

bool trouble_set_check(struct service *service, const char *text)
{
	struct trouble *t = *text != '\0' ? trouble_get(service) : service->trouble;
	bool is_new = t != NULL && t->check == NULL;

	if (t != NULL)
		keep_text(&t->check, text);
	return is_new && *text != '\0';
}

/* ---- causes ---- */

void trouble_forget_cause(struct child *child)
{
	free(child->life.cause);
	child->life.cause = NULL;
}

void trouble_set_cause(struct child *child, const char *format, ...)
{
	va_list args;

	trouble_forget_cause(child);
	child->life.cause_at = clock_now();
	va_start(args, format);
	if (vasprintf(&child->life.cause, format, args) == -1)
		child->life.cause = NULL;
	va_end(args);
}

void trouble_find_holder(char who[HOLDER_TEXT], int type, unsigned port)
{
	*who = '\0';
	if (port != 0 && holder_of_port(who, type, (uint16_t)port) == getpid())
		text_copy(who, HOLDER_TEXT,
			"nclust itself: 'http', 'agent' or LISTEN_FDS (inherit:NAME)");
}

void trouble_cannot_bind(
	struct child *child, int type, unsigned port, const char *what, int error, const char *hint)
{
	const struct supervisor *sup = child->service->sup;
	bool may = privilege_has(CAP_NET_BIND_SERVICE);
	const char *exe = sup->upgrade.exe_path != NULL ? sup->upgrade.exe_path : "nclust";
	char who[HOLDER_TEXT] = "";

	if (!once_say(child->said, ONCE_CANNOT_BIND)) /* the worker may try again and again */
		return;
	if (error == EADDRINUSE && (hint == NULL || *hint == '\0'))
		trouble_find_holder(who, type, port);
	if (error == EACCES && port > 0 && port < 1024)
		trouble_set_cause(child,
			"cannot bind %s: %s; a port below 1024 requires root or "
			"CAP_NET_BIND_SERVICE, which nclust %s%s, for '-l %u'",
			what, strerror(error),
			may ? "has" : "can have: setcap cap_net_bind_service=+ep ", may ? "" : exe,
			port);
	else if (error != EADDRINUSE)
		trouble_set_cause(child, "cannot bind %s: %s", what, strerror(error));
	else if (hint != NULL && *hint != '\0')
		trouble_set_cause(child, "cannot bind %s: %s", what, hint);
	else if (*who != '\0')
		trouble_set_cause(child, "cannot bind %s: in use by %s", what, who);
	else
		trouble_set_cause(child,
			"cannot bind %s: in use by another process (see: ss "
			"-antup 'sport = :%u')",
			what, port);
	if (child->life.cause != NULL)
		log_worker(
			child, error == EADDRINUSE ? LOG_WARN : LOG_NOTE, "%s", child->life.cause);
}

/* Does a worker that binds its addresses by itself get the cluster's listeners? */
static bool hands_over_listeners(const struct service *service)
{
	return cluster_settings(service->core)->intercept != INTERCEPT_OFF &&
		service->sup->intercept.way != WAY_NONE &&
		array_find(l, service->sockets.listeners.list, service->sockets.listeners.count,
			!(*l)->has_key) == NULL;
}

bool trouble_holds_port(const struct service *service, const struct report *r)
{
	return r->kind == REPORT_EXITED && r->why == WHY_ITSELF && !r->was_ready &&
		service->sockets.listeners.count > 0 && !hands_over_listeners(service);
}

#define NOT_NAMED "'share-ports' does not name it"
#define ONE_HAS_IT \
	"it cannot be shared here: '-l PORT' if the program takes " \
	"LISTEN_FDS, else '-n 1'"

/* The oldest other worker of the cluster, or NULL. */
static const struct child *oldest_other(const struct service *service, uint64_t worker)
{
	const struct child *found = NULL;
	const struct child *c;

	for_each_child (c, children_of(service))
		if (c->worker != worker && (found == NULL || c->worker < found->worker))
			found = c;
	return found;
}

const char *trouble_path(const struct service *service, uint64_t worker)
{
	const struct child *c = oldest_other(service, worker);

	return c != NULL && c->life.paths != NULL ? c->life.paths->name : NULL;
}

void trouble_guess_in_use(const struct service *service, uint64_t worker, char *to, size_t size)
{
	const struct cluster_settings *s = cluster_settings(service->core);
	const struct child *c = oldest_other(service, worker);
	const char *path = trouble_path(service, worker);

	if (path != NULL)
		snprintf(to, size,
			"its address is in use, maybe '%s' by %s.%" PRIu32
			"; to share that: " TROUBLE_SHARE_PATH,
			path, service->name, c->slot, path);
	else if (service->sup->intercept.way != WAY_NONE && s->intercept != INTERCEPT_OFF &&
		s->share_ports == NULL)
		snprintf(to, size,
			"it says that an address is in use, but nclust saw no bind refused%s",
			c != NULL && s->ipc != IPC_OFF && c->channel != NULL
				? ": workers share its socket; 'ipc = off', or 'exclusive: true' "
				  "in Node, gives each its own"
				: " (see: ss -lntup)");
	else if (c == NULL)
		text_copy(to, size,
			"its address is in use, maybe by another process (see: ss -lntup)");
	else
		snprintf(to, size,
			"its address is in use, maybe by %s.%" PRIu32
			", as %s; or by another process (see: ss -lntup)",
			service->name, c->slot, s->share_ports != NULL ? NOT_NAMED : ONE_HAS_IT);
}

/* ---- carried ---- */

static const struct plain_row end_rows[] = {
	PLAIN_ALWAYS(1, trouble_end, slot, UNSIGNED),
	PLAIN_ALWAYS(2, trouble_end, worker, UNSIGNED),
	PLAIN_ALWAYS(3, trouble_end, at, SIGNED),
	PLAIN_ALWAYS(4, trouble_end, age, SIGNED),
	PLAIN(5, trouble_end, text, HEAP),
	PLAIN(6, trouble_end, cause, HEAP),
	PLAIN(7, trouble_end, output, HEAP),
};

static const struct carried carried_end = {
	.called = "a cluster",
	CARRIED_ROWS(end_rows, trouble_end),
};

static const struct plain_row trouble_rows[] = {
	PLAIN_ALWAYS(1, trouble, tries, UNSIGNED),
	PLAIN_ALWAYS(2, trouble, last, UNSIGNED),
	PLAIN(3, trouble, restart, HEAP),
	PLAIN_ALWAYS(4, trouble, restart_at, SIGNED),
	PLAIN_ALWAYS(5, trouble, restart_id, UNSIGNED),
	PLAIN(7, trouble, check, HEAP),
	CARRY_ARRAY(6, trouble, ends, &carried_end, end_count),
};

const struct carried carried_trouble = {
	.called = "a cluster",
	CARRIED_ROWS(trouble_rows, trouble),
};

void trouble_free(struct service *service)
{
	struct trouble *t = service->trouble;

	if (t == NULL)
		return;
	for (size_t i = 0; i < t->end_count; i++) {
		free(t->ends[i].text);
		free(t->ends[i].cause);
		free(t->ends[i].output);
	}
	free(t->ends);
	free(t->restart);
	free(t->check);
	free(t);
	service->trouble = NULL;
}

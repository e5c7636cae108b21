/* SPDX-License-Identifier: MIT */
#include "config/check_listen.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "config/logfile.h"
#include "config/origin.h"
#include "config/value.h"
#include "config/value_log.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Addresses where clusters and nclust itself listen, references to these, and what depends on this
 * machine. */

#define LISTENERS_MAX 60 /* for which a spawn plan has room */

/* "{fd:NAME}": how many listeners have that name. */
static size_t listeners_named(const struct cluster_settings *c, const char *name, size_t len)
{
	size_t count = 0;

	for (size_t i = 0; i < c->listen_count; i++)
		count += strlen(c->listen[i].name) == len &&
			memcmp(c->listen[i].name, name, len) == 0;
	return count;
}

static size_t listeners_with_port(const struct cluster_settings *c)
{
	size_t count = 0;

	for (size_t i = 0; i < c->listen_count; i++)
		count += c->listen[i].kind == ADDRESS_TCP || c->listen[i].kind == ADDRESS_UDP;
	return count;
}

/* `s` begins with '{': does the template fit the cluster's listeners?  -1 and `err`. */
static int check_template(const struct cluster_settings *c, const char *s, struct error *err)
{
	const char *close = strchr(s, '}');
	char shown[100];
	size_t count;
	size_t len;

	if (close == NULL)
		return 0;
	len = (size_t)(close - s) + 1;
	text_escape(shown, sizeof(shown), s, len);
	if (expand_check_slot(shown, err) == -1)
		return -1;
	if (c->accept && strncmp(s, "{fd", 3) == 0 && (s[3] == ':' || s[3] == '}'))
		return error_set(err, 0,
			"'%s' cannot be used with 'accept': the connection is descriptor 0 and 1",
			shown);
	if (strncmp(s, "{fd:", 4) == 0) {
		count = listeners_named(c, s + 4, len - 5);
		if (count != 1)
			return error_set(err, 0, "'%s' names %s", shown,
				count == 0 ? "no listener" : "several listeners");
	} else if (len == 4 && memcmp(s, "{fd}", 4) == 0) {
		if (c->listen_count != 1)
			return error_set(err, 0, "'{fd}' needs exactly one listener, there are %zu",
				c->listen_count);
	} else if (len == 6 && memcmp(s, "{port}", 6) == 0) {
		count = listeners_with_port(c);
		if (count != 1)
			return error_set(err, 0,
				"'{port}' needs exactly one tcp or udp listener, there are %zu",
				count);
	}
	return 0;
}

/* Find the next word, from *at on, with a template that does not fit.  -1 and `err`. */
static int next_template(const struct cluster_settings *c, const struct strings *words, size_t *at,
	struct error *err)
{
	while (*at < words->count)
		for (const char *s = words->list[(*at)++]; (s = strchr(s, '{')) != NULL; s++)
			if (check_template(c, s, err) == -1)
				return -1;
	return 0;
}

int config_check_command(const struct cluster_settings *c, struct error *err)
{
	size_t at = 0;

	return next_template(c, &c->command, &at, err);
}

static void check_templates(const struct check *k, const char *key, const struct strings *words)
{
	struct error err;
	size_t at = 0;

	if (check_is_bad(k, "listen") || check_is_bad(k, key))
		return;
	while (next_template(k->c, words, &at, &err) == -1)
		check_fault(k, key, "%s", err.text);
}

/* The cluster's name is known now. */
static void fill_in_name(const struct check *k)
{
	const struct option_row *row = option_find("cluster", "listen", NULL);
	size_t count = field_count(row, k->c);
	struct strings texts = {0};
	struct error err;

	for (size_t i = 0; i < count; i++) {
		scoped_str whole = expand_names(field_at(row, k->c, i), k->c->name, -1, &err);

		if (whole != NULL)
			(void)strings_add(&texts, whole);
	}
	if (texts.count == count && count > 0) {
		field_clear(row, k->c);
		for (size_t i = 0; i < count; i++)
			if (field_set(row, k->c, 0, texts.list[i], &err) == -1)
				check_fault(k, "listen", "%s", err.text);
	}
	strings_clear(&texts);
}

static void check_listeners(const struct check *k)
{
	const struct cluster_settings *c = k->c;

	check_rule(k, c->listen_count > LISTENERS_MAX, "listen",
		"wanted at most %d listeners, found %zu", LISTENERS_MAX, c->listen_count);
	check_rule(k,
		(c->pass & PASS_STDIN) != 0 && c->listen_count != 1 && !check_is_bad(k, "listen"),
		"pass", "'stdin' needs exactly one listener, there are %zu", c->listen_count);
}

/* Keys that need shared listeners, or that move a worker to another slot. */
static void check_own(const struct check *k)
{
	const struct cluster_settings *c = k->c;
	const struct {
		const char *key;
		bool given;
		bool all;
		const char *why;
	} keys[] = {{"accept", c->accept, false,
			    "there are no slots, each connection has its own process"},
		{"spare", c->spare > 0, false, "a spare takes the place of a worker in any slot"},
		{"balance", c->balance != BALANCE_AUTO && !settings_share(c), true,
			"workers share no listener"},
		{"sticky", c->sticky != STICKY_OFF, true, "workers share no listener"},
		{"max-requests", c->max_requests != 0, true, "workers share no listener"}};

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (keys[i].given && cluster_has_own(c, keys[i].all) &&
			!(keys[i].all && check_origin(k, keys[i].key)->from_defaults))
			check_fault(k, keys[i].key, "cannot be used with '{slot}' in 'listen': %s",
				keys[i].why);
}

static bool is_any(const struct address *a)
{
	static const uint8_t any[16];

	return a->family == AF_UNSPEC || memcmp(a->ip, any, sizeof(any)) == 0;
}

/* Would the one socket keep nclust from opening the other? */
static bool is_taken_by(const struct address *a, const struct address *by)
{
	if (address_takes_any_port(a) || a->interface != NULL || by->interface != NULL)
		return false;
	if (address_same_place(a, by))
		return true;
	return a->kind == ADDRESS_TCP && by->kind == ADDRESS_TCP && a->port == by->port &&
		(a->family == by->family || a->family == AF_UNSPEC || by->family == AF_UNSPEC) &&
		(is_any(a) || is_any(by));
}

static void check_places(const struct check *k)
{
	const struct settings *s = k->s;

	for (size_t i = 0; i < k->c->listen_count; i++) {
		const struct address *a = &k->c->listen[i];
		bool http = s->http.text != NULL && is_taken_by(a, &s->http);

		if (http || (s->agent.text != NULL && is_taken_by(a, &s->agent)))
			check_fault(k, "listen", "'%s' is already used by '%s'", a->text,
				http ? "http" : "agent");
	}
}

/* Note where that slot listens; a mistake if the place is noted already. */
static void note_place(
	const struct check *k, unsigned slot, const struct address *own, struct buffer *all)
{
	const char *name = address_takes_any_port(own) ? own->name : "";
	scoped_str line = NULL;
	const char *first;
	bool in_file; /* both addresses, and not those that other slots have */
	size_t len;
	int place;

	if (asprintf(&line, "\n%s%s%s\t", own->text, *name ? ", name=" : "", name) == -1) {
		line = NULL;
		return;
	}
	first = buffer_text(all) != NULL ? strstr(all->data, line) : NULL;
	if (first == NULL) {
		buffer_printf(all, "%s%c%s", line, slot == 0 ? '=' : '+', k->c->name);
		return;
	}
	first += strlen(line);
	in_file = *first++ == '=' && slot == 0;
	len = strcspn(first, "\n");
	place = (int)strlen(line) - 2;
	if (in_file && len == strlen(k->c->name) && memcmp(first, k->c->name, len) == 0)
		check_fault(k, "listen", "'%.*s' is given twice", place, line + 1);
	else
		check_fault(k, "listen", "'%.*s' is already used by cluster '%.*s'", place,
			line + 1, (int)len, first);
}

/* Note in `all` where each slot of the cluster listens.  A place that is noted already is a mistake. */
static void check_slots(const struct check *k, unsigned cpus, struct buffer *all)
{
	unsigned slots = cluster_range(k->c, cpus).most;

	for (size_t i = 0; i < k->c->listen_count; i++) {
		const struct address *a = &k->c->listen[i];
		unsigned most = a->each != NULL ? slots : 1;

		for (unsigned slot = 0; slot < most; slot++) {
			struct address own uninitialized;
			struct error err uninitialized;

			if (address_of_slot(&own, a, slot, &err) == -1) {
				check_fault(k, "listen", "%s", err.text);
				break;
			}
			note_place(k, slot, &own, all);
			address_fini(&own);
		}
	}
}

static bool is_local(const struct address *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return a->kind == ADDRESS_UNIX || (a->family == AF_INET && a->ip[0] == 127) ||
		(a->family == AF_INET6 && memcmp(a->ip, v6, sizeof(v6)) == 0);
}

void check_http(const struct check *k)
{
	const struct settings *s = k->s;

	if (s->http.text == NULL)
		return;
	/* `http` shows commands with all arguments, which are not for other machines */
	check_rule(k, !is_local(&s->http) && s->http_token == NULL && !s->http_open, "http",
		"other machines can reach '%s': set 'http-token' to a file with a token, or "
		"'http-open = yes' to let anyone look",
		s->http.text);
	check_rule(k, s->agent.text != NULL && is_taken_by(&s->agent, &s->http), "agent",
		"'%.100s' is already used by 'http'", s->agent.text);
}

void check_listen(const struct check *k, struct buffer *places)
{
	fill_in_name(k);
	check_templates(k, "command", &k->c->command);
	check_templates(k, "env", &k->c->env);
	check_listeners(k);
	check_own(k);
	check_places(k);
	check_slots(k, 1, places); /* at least so many CPUs exist */
}

/* ---- on this machine ---- */

/* A file that was opened, and its cluster. */
struct opened {
	const struct cluster_settings *c;
	struct logfile file;
};

static bool rotates_logs(const struct cluster_settings *c)
{
	return c->log_size > 0 || c->log_age > 0;
}

static bool can_open(
	struct check *k, const struct log_sink *sink, unsigned slot, struct buffer *all)
{
	struct opened o = {.c = k->c};
	struct error err;

	if (logfile_open(&o.file, sink, k->c->name, slot, &err) == -1) {
		check_fault(k, "log", "%s", err.text);
		return false;
	}
	(void)close(o.file.fd);
	for (size_t i = 0; i < all->len / sizeof(o); i++) {
		const struct opened *other = (struct opened *)all->data + i;

		if (o.file.inode == 0 || other->file.inode != o.file.inode ||
			other->file.dev != o.file.dev ||
			(!rotates_logs(other->c) && !rotates_logs(k->c)))
			continue;
		/* one that rotates it takes it from the other cluster, whose lines would be lost */
		check_fault(k, "log",
			"'%.200s' is a file of cluster '%s' already; use {cluster}, or 'log-size = "
			"never' and no 'log-age' in both",
			sink->path, other->c->name);
		return false;
	}
	buffer_append(all, &o, sizeof(o));
	return true;
}

void config_check_here(const struct settings *s, unsigned cpus, struct faults *faults)
{
	struct check k = check_begin(s, faults);
	scoped_buffer places = {0};
	scoped_buffer all = {0};

	while (check_next(&k))
		check_slots(&k, cpus, &places);
	k.at = INSTANCE;
	while (check_next(&k)) {
		for (size_t i = 0; i < k.c->log_sink_count; i++) {
			const struct log_sink *sink = &k.c->log_sinks[i];
			unsigned count =
				value_log_is_by_slot(sink) ? cluster_workers(k.c, cpus) : 1;

			for (unsigned slot = 0; slot < count; slot++)
				if (sink->kind >= SINK_FILE && !can_open(&k, sink, slot, &all))
					break;
		}
	}
}

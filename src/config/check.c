/* SPDX-License-Identifier: MIT */
#include "config/natsurl.h"
#include "config/origin.h"

#include "base/cwd.h"
#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "config/logfile.h"
#include "config/procfile.h"
#include "config/value.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#define LISTENERS_MAX 60 /* what a spawn plan has room for */

struct check {
	struct settings *s;
	struct faults *faults;
	size_t at; /* the cluster */
	struct cluster_settings *c;
};

/* Where the cluster's key came from. */
static const struct origin *origin_of(const struct check *k, const char *key)
{
	int member;
	const struct option_row *row = option_find("cluster", key, &member);

	assert(row != NULL);
	return settings_origin(k->s, k->at, row);
}

/* Was the key refused already?  Then what follows from it is no news. */
static bool is_bad(const struct check *k, const char *key)
{
	return origin_of(k, key)->bad;
}

/* A mistake in `key` of the cluster, told where the key stands, or, where it
 * does not stand anywhere, at the head of its section. */
static void fault(const struct check *k, const char *key, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
static void fault(const struct check *k, const char *key, const char *format, ...)
{
	const struct origin_table *t = k->s->origins;
	const struct origin *o = origin_of(k, key);
	const struct origin *place = o->kind == ORIGIN_FILE ? o : &t->clusters[k->at].head;
	char text[480];
	va_list args;

	va_start(args, format);
	(void)vsnprintf(text, sizeof(text), format, args);
	va_end(args);
	if (t->file == NULL)
		faults_add(k->faults, EX_USAGE, "--%s: %s", key, text);
	else if (o->kind == ORIGIN_ARGV)
		faults_add(k->faults, EX_USAGE, "--%s: cluster '%s': %s", key, k->c->name, text);
	else
		faults_add(k->faults, EX_CONFIG, "%s:%u: cluster:%s.%s: %s", origin_path(t, place),
			place->line, k->c->name, key, text);
}

/* Of two keys that do not go together, the one that was given; both: `a`. */
static const char *given_of(const struct check *k, const char *a, const char *b)
{
	return origin_of(k, a)->kind != ORIGIN_DEFAULT ? a : b;
}

static void check_command(const struct check *k)
{
	if (k->c->command.count > 0 || is_bad(k, "command"))
		return;
	if (k->s->origins->file != NULL)
		fault(k, "command", "wanted a command, found none");
	else
		faults_add(k->faults, EX_USAGE, "no command: nclust -n auto -- COMMAND [ARG]...");
}

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

/* `s` begins with '{': does it fit what the cluster listens on?  -1 and `err`. */
static int check_template(const struct cluster_settings *c, const char *s, struct error *err)
{
	const char *close = strchr(s, '}');
	char shown[100];
	unsigned plus;
	size_t count;
	size_t len;

	if (close == NULL)
		return 0;
	len = (size_t)(close - s) + 1;
	(void)text_escape(shown, sizeof(shown), s, len);
	if (strncmp(s, "{slot+", 6) == 0 && !expand_is_slot(s + 1, len - 2, &plus))
		return error_set(
			err, 0, "wanted a number such as '{slot+9229}', found '%s'", shown);
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

/* The next one that does not fit, from *at on, or in a later word.  -1 and `err`. */
static int next_template(const struct cluster_settings *c, const struct strings *words,
	size_t *word, const char **at, struct error *err)
{
	for (; *word < words->count; (*word)++, *at = NULL) {
		const char *s = *at != NULL ? *at : words->list[*word];

		while ((s = strchr(s, '{')) != NULL)
			if (check_template(c, s++, err) == -1) {
				*at = s;
				return -1;
			}
	}
	return 0;
}

int config_check_command(const struct cluster_settings *c, struct error *err)
{
	const char *at = NULL;
	size_t word = 0;

	return next_template(c, &c->command, &word, &at, err);
}

static void check_templates(const struct check *k, const char *key, const struct strings *words)
{
	const char *at = NULL;
	size_t word = 0;
	struct error err;

	if (is_bad(k, "listen") || is_bad(k, key))
		return;
	while (next_template(k->c, words, &word, &at, &err) == -1)
		fault(k, key, "%s", err.text);
}

/* The cluster's name is known now. */
static void fill_in_name(const struct check *k)
{
	int member;
	const struct option_row *row = option_find("cluster", "listen", &member);
	size_t count = k->c->listen_count;
	struct strings texts = {0};
	struct error err;

	for (size_t i = 0; i < count; i++) {
		scoped_str whole = expand_cluster(field_at(row, k->c, i), k->c->name);

		if (whole != NULL)
			(void)strings_add(&texts, whole);
	}
	if (texts.count == count && count > 0) {
		field_clear(row, k->c);
		for (size_t i = 0; i < count; i++)
			if (field_set(row, k->c, member, texts.list[i], &err) == -1)
				fault(k, "listen", "%s", err.text);
	}
	strings_clear(&texts);
}

/* Where a file says nothing, its workers start beside it, so that
 * "node server.js" means a file there; those of a command line where it was
 * given, by the name that this has for the user. */
static char *usual_directory(const struct check *k)
{
	const struct origin_table *t = k->s->origins;
	scoped_str path = NULL;
	const char *text;

	if (t->file == NULL)
		return cwd_name();
	text = origin_path(t, &t->clusters[k->at].head);
	path = origin_whole(k->s, text, strlen(text));
	return path != NULL && strchr(path, '/') != NULL ? procfile_directory(path) : NULL;
}

static void choose_directory(const struct check *k)
{
	const struct origin_table *t = k->s->origins;
	struct cluster_settings *c = k->c;
	scoped_str directory = NULL;
	struct error err;
	int member;

	if (c->directory != NULL || c->chroot != NULL || is_bad(k, "directory"))
		return;
	directory = usual_directory(k);
	if (directory != NULL && field_set_key("cluster", c, "directory", directory, &err) == -1)
		fault(k, "directory", "%s", err.text);
	c->directory_of_file = t->file != NULL && c->directory != NULL;
	c->directory_of_nclust = t->file == NULL;
	/* shown as if set, so that what is shown means the same elsewhere */
	if (c->directory_of_file)
		*settings_origin(k->s, k->at, option_find("cluster", "directory", &member)) =
			t->clusters[k->at].head;
}

static void check_listeners(const struct check *k)
{
	const struct cluster_settings *c = k->c;

	if (c->listen_count > LISTENERS_MAX)
		fault(k, "listen", "wanted at most %d listeners, found %zu", LISTENERS_MAX,
			c->listen_count);
	if ((c->pass & PASS_STDIN) != 0 && c->listen_count != 1 && !is_bad(k, "listen"))
		fault(k, "pass", "'stdin' needs exactly one listener, there are %zu",
			c->listen_count);
}

/* What is for listeners that workers share, or moves a worker to another slot. */
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
			!(keys[i].all && origin_of(k, keys[i].key)->from_defaults))
			fault(k, keys[i].key, "cannot be used with '{slot}' in 'listen': %s",
				keys[i].why);
}

static bool takes_any_port(const struct address *a)
{
	return (a->kind == ADDRESS_TCP || a->kind == ADDRESS_UDP) && a->port == 0;
}

/* The first listener before (cluster, n) that wants the same place. */
static const struct cluster_settings *holder_of(const struct settings *s, const struct address *a)
{
	for (size_t i = 0; i < s->cluster_count; i++) {
		const struct cluster_settings *c = s->clusters[i];

		if (s->origins->clusters[i].shadow)
			continue;
		for (size_t j = 0; j < c->listen_count; j++) {
			if (&c->listen[j] == a)
				return NULL;
			if (address_same_place(&c->listen[j], a))
				return c;
		}
	}
	return NULL;
}

static bool is_any(const struct address *a)
{
	static const uint8_t any[16];

	return a->family == AF_UNSPEC || memcmp(a->ip, any, sizeof(any)) == 0;
}

/* Would the one keep nclust from opening the other? */
static bool is_taken_by(const struct address *a, const struct address *by)
{
	if (takes_any_port(a) || a->interface != NULL || by->interface != NULL)
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
			fault(k, "listen", "'%s' is already used by '%s'", a->text,
				http ? "http" : "agent");
	}
	for (size_t i = 0; i < k->c->listen_count; i++) {
		const struct address *a = &k->c->listen[i];
		const struct cluster_settings *other;

		if (takes_any_port(a))
			continue;
		other = holder_of(k->s, a);
		if (other == k->c)
			fault(k, "listen", "'%s' is given twice", a->text);
		else if (other != NULL)
			fault(k, "listen", "'%s' is already used by cluster '%s'", a->text,
				other->name);
	}
}

/* Note where that slot listens; a mistake if it is noted for another. */
static void note_place(const struct check *k, const struct address *own, struct buffer *all)
{
	scoped_str line = NULL;
	const char *first;

	if (asprintf(&line, "\n%s\t", own->text) == -1) {
		line = NULL;
		return;
	}
	first = buffer_text(all) != NULL ? strstr(all->data, line) : NULL;
	if (first == NULL) {
		(void)buffer_printf(all, "%s%s", line, k->c->name);
		return;
	}
	first += strlen(line);
	fault(k, "listen", "'%s' is already used by cluster '%.*s'", own->text,
		(int)strcspn(first, "\n"), first);
}

static void note_places(const struct check *k, unsigned slots, struct buffer *all)
{
	for (size_t i = 0; i < k->c->listen_count; i++) {
		const struct address *a = &k->c->listen[i];
		unsigned most = a->each != NULL ? slots : 1;
		/* check_places() has told that */
		unsigned slot = holder_of(k->s, a) != NULL;

		for (; slot < most && !takes_any_port(a); slot++) {
			struct address own untouched;
			struct error err untouched;

			if (address_of_slot(&own, a, slot, &err) == -1) {
				fault(k, "listen", "%s", err.text);
				break;
			}
			note_place(k, &own, all);
			address_fini(&own);
		}
	}
}

/* Has each slot an address of its own, where it is to have one? */
static void check_slots(const struct settings *s, unsigned cpus, struct faults *faults)
{
	struct check k = {.s = (struct settings *)(uintptr_t)s, .faults = faults};
	scoped_buffer all = {0};
	bool any = false;

	for (size_t i = 0; i < s->cluster_count; i++)
		any |= cluster_has_own(s->clusters[i], false);
	for (k.at = 0; any && k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
		if (!s->origins->clusters[k.at].shadow)
			note_places(&k, cluster_range(k.c, cpus).most, &all);
	}
}

static void check_user(const struct check *k)
{
	struct cluster_settings *c = k->c;

	if (c->uid >= ROLE_UID_FIRST && c->uid <= ROLE_UID_LAST)
		fault(k, "user",
			"the uids %d to %d are those of nclust's own processes: take another one",
			ROLE_UID_FIRST, ROLE_UID_LAST);
	if (c->user != NULL && c->group == NULL) {
		c->gid = c->user_gid;
		if (c->gid == -1 && !is_bad(k, "group"))
			fault(k, "user", "'%s' has no group of its own: set 'group'", c->user);
	}
	if (c->uid >= 0 && login_find(c) == -1)
		faults_add(k->faults, EX_OSERR, "out of memory");
}

static bool has_stream(const struct cluster_settings *c)
{
	for (size_t i = 0; i < c->listen_count; i++)
		if (c->listen[i].type == SOCK_STREAM || c->listen[i].type == 0)
			return true;
	return false;
}

/* What does not go together. */
static void check_rules(const struct check *k)
{
	const struct cluster_settings *c = k->c;
	bool is_mute = !has_stream(c) && c->intercept == INTERCEPT_OFF && !is_bad(k, "listen");
	const struct {
		bool is_broken;
		const char *key;
		const char *other; /* it is told of the one that was given; or NULL */
		const char *why;
	} rules[] = {
		{c->ready == READY_NOTIFY && c->chroot != NULL, "ready", NULL,
			"'notify' cannot be used with 'chroot': the socket cannot be seen inside"},
		{c->watchdog > 0 && c->chroot != NULL, "watchdog", NULL,
			"cannot be used with 'chroot': the socket cannot be seen inside"},
		{c->ready == READY_LISTEN && c->intercept == INTERCEPT_OFF, "intercept", "ready",
			"'ready' is 'listen', which nclust cannot see with 'intercept' off"},
		{c->spare > 0 && !c->accept && c->restart != RESTART_ALWAYS, "restart", "spare",
			"'spare' cannot be used with a 'restart' other than 'always'"},
		{!c->accept && c->accept_per_address > 0, "accept-per-address", NULL,
			"needs 'accept'"},
		{!c->accept && c->accept_timeout > 0, "accept-timeout", NULL, "needs 'accept'"},
		{c->accept && c->listen_count == 0 && !is_bad(k, "listen"), "accept", NULL,
			"has nothing to accept on: set 'listen'"},
		{c->accept && c->workers.range, "workers", NULL,
			"a range cannot be used with 'accept': it starts a process for each "
			"connection anyway, and 'workers' is the most at once"},
		{c->accept && c->intercept == INTERCEPT_ON, "intercept", NULL,
			"'on' cannot be used with 'accept': nclust listens, and the command gets a "
			"connection"},
		{c->accept && c->leader, "leader", NULL,
			"cannot be used with 'accept': a process for one connection cannot be the "
			"leader"},
		{c->accept && c->ipc == IPC_ON, "ipc", NULL,
			"'on' cannot be used with 'accept': a process for one connection has no "
			"channel"},
		{c->accept && c->metrics.kind == PROBE_HTTP, "metrics", NULL,
			"cannot be used with 'accept': there is no worker to ask"},
		{c->accept && c->pty == PTY_YES, "pty", NULL,
			"'yes' cannot be used with 'accept': the output is the connection"},
		{c->log == LOG_INHERIT && c->pty == PTY_YES, "pty", NULL,
			"'yes' cannot be used with 'log = inherit', which gives the workers "
			"nclust's own output"},
		{c->sticky != STICKY_OFF && settings_share(c), "sticky", NULL,
			"needs 'balance = rr': with 'share' any free worker takes a connection"},
		{c->sticky != STICKY_OFF && c->balance == BALANCE_RANDOM, "sticky", NULL,
			"needs 'balance = rr': a client that stays at its worker cannot be moved "
			"at "
			"random"},
		{c->fallback != NULL && is_mute, "fallback", NULL,
			"has nowhere to answer: there is no listener, and 'intercept' is off"},
		{c->surge == 0 && c->max_unavailable == 0, "surge", "max-unavailable",
			"'surge' and 'max-unavailable' are both 0: no worker could ever be "
			"replaced"},
		{c->memory_max != 0 && c->memory_high > c->memory_max, "memory-high", "memory-max",
			"'memory-high' is more than 'memory-max', which would be reached first"},
	};

	for (size_t i = 0; i < COUNT_OF(rules); i++)
		if (rules[i].is_broken)
			fault(k,
				rules[i].other != NULL ? given_of(k, rules[i].key, rules[i].other)
						       : rules[i].key,
				"%s", rules[i].why);
}

/* A probe by a connection needs somewhere to connect to: a listener, or the
 * port that the worker opens under our eyes. */
static void check_probe(const struct check *k, const char *key, const struct probe *p)
{
	if ((p->kind != PROBE_TCP && p->kind != PROBE_HTTP) || is_bad(k, "listen") ||
		has_stream(k->c) || k->c->intercept != INTERCEPT_OFF)
		return;
	fault(k, key,
		"'%s' has nothing to connect to: there is no listener, and 'intercept' is off",
		p->kind == PROBE_TCP ? "tcp" : "http");
}

/* Is a unix socket what workers would be asked at? */
static bool is_first_unix(const struct cluster_settings *c)
{
	size_t i = 0;

	while (i < c->listen_count && c->listen[i].type != SOCK_STREAM && c->listen[i].type != 0)
		i++;
	return i < c->listen_count && c->listen[i].kind == ADDRESS_UNIX;
}

static void check_metrics(const struct check *k)
{
	const struct probe *p = &k->c->metrics;

	if (p->kind != PROBE_NONE && p->kind != PROBE_HTTP)
		fault(k, "metrics", "wanted 'off' or 'http:/path', found '%s'",
			p->kind == PROBE_TCP ? "tcp" : p->text);
	else if (p->kind != PROBE_NONE && !k->c->accept && is_first_unix(k->c))
		fault(k, "metrics",
			"workers are asked over TCP only, and the first listener is a unix socket");
	else if (!k->c->accept)
		check_probe(k, "metrics", p);
}

static void check_fallback(const struct check *k)
{
	struct cluster_settings *c = k->c;
	struct error err;

	if (c->fallback == NULL)
		return;
	if (strcmp(c->fallback, "503") != 0 && page_read(c, &err) == -1)
		fault(k, "fallback", "%s", err.text);
}

/* What tells how workers last that take many connections. */
static void check_lasting(const struct check *k)
{
	static const char *const keys[] = {"ready", "start-timeout", "check", "check-header",
		"check-interval", "check-timeout", "check-failures", "watchdog", "stall",
		"request-timeout", "hang-signal", "max-memory", "max-age", "max-requests",
		"backoff-min", "backoff-max", "backoff-jitter", "stable-after", "restart",
		"give-up", "drain", "surge", "max-unavailable", "canary", "bake", "old-generations",
		"start-at-once", "spare", "pass", "listen-pid", "share-ports", "balance",
		"fallback", "fallback-after", "watch"};
	static const struct {
		enum hook_event event;
		const char *key;
	} hooks[] = {{HOOK_READY, "on-ready"}, {HOOK_EXIT, "on-exit"}, {HOOK_CRASH, "on-crash"},
		{HOOK_HANG, "on-hang"}};

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (origin_of(k, keys[i])->kind != ORIGIN_DEFAULT &&
			!origin_of(k, keys[i])->from_defaults)
			fault(k, keys[i],
				"cannot be used with 'accept': it is for workers that last, but "
				"here each connection has its own process");
	for (size_t i = 0; i < COUNT_OF(hooks); i++)
		if (k->c->hooks[hooks[i].event].text != NULL &&
			!origin_of(k, hooks[i].key)->from_defaults)
			fault(k, hooks[i].key,
				"cannot be used with 'accept': let the command itself do it for "
				"each connection");
}

static void check_accept(const struct check *k)
{
	const struct cluster_settings *c = k->c;

	if (!c->accept)
		return;
	for (size_t i = 0; i < c->listen_count; i++)
		if (c->listen[i].kind == ADDRESS_UNIX && c->listen[i].type != SOCK_STREAM)
			fault(k, "listen",
				"'%s' cannot be used with 'accept', which gives the command a "
				"stream: let workers take it",
				c->listen[i].text);
		else if (c->listen[i].kind == ADDRESS_UDP)
			fault(k, "listen",
				"'%s' cannot be used with 'accept': there are no connections on "
				"UDP, let workers take it",
				c->listen[i].text);
	check_lasting(k);
}

static void check_backoff(const struct check *k)
{
	struct cluster_settings *c = k->c;
	char min[24];
	char max[24];

	if (c->backoff_min > c->backoff_max)
		fault(k, given_of(k, "backoff-min", "backoff-max"),
			"'backoff-min', %s, is more than 'backoff-max', %s",
			text_duration(min, c->backoff_min), text_duration(max, c->backoff_max));
}

/* nclust counts what the kernel, or itself, gives to each worker. */
static void check_requests(const struct check *k)
{
	const struct cluster_settings *c = k->c;
	bool counts = c->listen_count == 0;

	if (c->max_requests == 0 || c->accept)
		return;
	for (size_t i = 0; i < c->listen_count; i++)
		counts |= c->listen[i].kind != ADDRESS_UNIX && c->listen[i].type != SOCK_DGRAM;
	if (settings_share(c) || c->balance == BALANCE_RANDOM)
		fault(k, "max-requests", "needs 'balance = rr'");
	else if (!counts)
		fault(k, "max-requests", "needs a TCP 'listen'");
}

static void check_relay(const struct check *k)
{
	struct cluster_settings *c = k->c;
	const struct cluster_settings *to = c;
	size_t at;

	if (c->relay == NULL)
		return;
	if (natsurl_is(c->relay) && !natsurl_is_subject(c->name))
		fault(k, "relay",
			"the name '%s' cannot be part of a subject of NATS: its dots need letters "
			"between them",
			c->name);
	if (strcmp(c->relay, "others") != 0 && !natsurl_is(c->relay)) {
		at = settings_find(k->s, k->s->cluster_count, c->relay);
		to = at != SIZE_MAX ? k->s->clusters[at] : NULL;
	}
	if (to == NULL)
		fault(k, "relay",
			"wanted 'off', 'others', a cluster of this file or 'nats://HOST', found "
			"'%s'",
			c->relay);
	else if (to == c && strcmp(c->relay, c->name) == 0)
		fault(k, "relay", "'%s' is this cluster: 'others' are its other workers", c->relay);
	else if (c->ipc == IPC_OFF || to->ipc == IPC_OFF)
		fault(k, "relay", "needs message channels, but 'ipc' of '%s' is off",
			c->ipc == IPC_OFF ? c->name : to->name);
}

static size_t cluster_named(const struct check *k, const char *name)
{
	return settings_find(k->s, k->s->cluster_count, name);
}

/* Does a way from `at` lead back to this cluster?  Then `way` names it, in reverse.
 * A cycle is reported by its first cluster alone. */
static bool leads_back(const struct check *k, size_t at, bool *seen, struct buffer *way)
{
	const char *list = k->s->clusters[at]->after;
	struct dependency d;

	seen[at] = true;
	while (after_next(&list, &d)) {
		size_t to = cluster_named(k, d.name);

		if (to == SIZE_MAX || to < k->at || to == at || (to != k->at && seen[to]))
			continue;
		if (to != k->at && !leads_back(k, to, seen, way))
			continue;
		(void)buffer_printf(
			way, "%s%s", way->len > 0 ? ", " : "", k->s->clusters[at]->name);
		return true;
	}
	return false;
}

static void check_cycle(const struct check *k)
{
	bool *seen = calloc(k->s->cluster_count, sizeof(*seen));
	scoped_buffer way = {.limit = 300};

	if (seen != NULL && leads_back(k, k->at, seen, &way) && way.len > 0)
		fault(k, "after",
			"these clusters would wait for each other, and none would start: %s",
			buffer_text(&way));
	free(seen);
}

/* Called when all clusters have their names. */
static void check_after(const struct check *k)
{
	const char *list;
	struct dependency d;
	struct error err;

	/* meant for the others */
	if (origin_of(k, "after")->from_defaults && after_drop(k->c, k->c->name, &err) == -1)
		fault(k, "after", "%s", err.text);
	list = k->c->after;
	while (after_next(&list, &d)) {
		size_t at = cluster_named(k, d.name);

		if (at == SIZE_MAX)
			fault(k, "after", "wanted clusters of this file, found '%s'", d.name);
		else if (at == k->at)
			fault(k, "after", "'%s' cannot wait for itself", d.name);
		else if (d.done && k->s->clusters[at]->restart == RESTART_ALWAYS)
			fault(k, "after",
				"'%s' is never done: its 'restart' is 'always', and not "
				"'on-failure' or 'never'",
				d.name);
	}
	check_cycle(k);
}

static void check_name(struct check *k)
{
	struct settings *s = k->s;
	const struct origin_table *t = s->origins;
	const struct origin *head = &t->clusters[k->at].head;
	char at[ORIGIN_TEXT_MAX];
	size_t first;

	if (k->c->name == NULL)
		k->c->name = strdup(s->name);
	if (k->c->name == NULL) {
		faults_add(k->faults, EX_OSERR, "out of memory");
		return;
	}
	first = settings_find(s, k->at, k->c->name);
	if (first != SIZE_MAX)
		faults_add(k->faults, EX_CONFIG, "%s:%u: cluster '%s' is given twice, first in %s",
			origin_path(t, head), head->line, k->c->name,
			origin_text(at, s, &t->clusters[first].head, head));
}

static bool is_local(const struct address *a)
{
	static const uint8_t v6[16] = {[15] = 1};

	return a->kind == ADDRESS_UNIX || (a->family == AF_INET && a->ip[0] == 127) ||
		(a->family == AF_INET6 && memcmp(a->ip, v6, sizeof(v6)) == 0);
}

/* A mistake in a key of [nclust]. */
static void instance_fault(
	const struct settings *s, struct faults *faults, const char *key, const char *text)
{
	int member;
	const struct origin *o = settings_origin(s, INSTANCE, option_find("nclust", key, &member));

	if (o->kind == ORIGIN_FILE)
		faults_add(faults, EX_CONFIG, "%s:%u: nclust.%s: %s", origin_path(s->origins, o),
			o->line, key, text);
	else
		faults_add(faults, EX_USAGE, "--%s: %s", key, text);
}

/* Commands with all their words are nothing for every machine around. */
static void check_http(const struct settings *s, struct faults *faults)
{
	char text[400];

	if (s->http.text == NULL || is_local(&s->http) || s->http_token != NULL || s->http_open)
		return;
	(void)snprintf(text, sizeof(text),
		"other machines can reach '%s': set 'http-token' to a file with a token, or "
		"'http-open = yes' to let anyone look",
		s->http.text);
	instance_fault(s, faults, "http", text);
}

static void check_agent(const struct settings *s, struct faults *faults)
{
	char text[200];

	if (s->agent.text == NULL || s->http.text == NULL || !is_taken_by(&s->agent, &s->http))
		return;
	(void)snprintf(text, sizeof(text), "'%.100s' is already used by 'http'", s->agent.text);
	instance_fault(s, faults, "agent", text);
}

static bool is_one_of(const char *word, size_t len, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (strlen(list[i]) == len && strncmp(list[i], word, len) == 0)
			return true;
	return false;
}

/* "node", "/usr/bin/python3.11": does it run a script? */
static bool is_interpreter(const char *program)
{
	static const char *const names[] = {"node", "nodejs", "bun", "deno", "python", "pypy",
		"ruby", "perl", "php", "java", "sh", "bash", "dash", "zsh", "Rscript", "lua", "tsx",
		"npx"};
	const char *slash = strrchr(program, '/');
	const char *last = slash != NULL ? slash + 1 : program;
	size_t len = strlen(last);

	while (len > 0 && strchr("0123456789.", last[len - 1]) != NULL)
		len--;
	return is_one_of(last, len, names, COUNT_OF(names));
}

/* The script that the command runs, or its program; and its suffix. */
static const char *script_of(const struct strings *command, const char **suffix)
{
	static const char *const valued[] = {"-r", "--require", "--import", "--loader", "-W", "-X",
		"-I", "-cp", "-classpath", "--env-file"};
	static const char *const before[] = {"run", "serve"};
	const char *dot;
	size_t i = 1;

	*suffix = NULL;
	if (command->count == 0 || !is_interpreter(command->list[0]))
		return command->count > 0 ? command->list[0] : "";
	for (; i < command->count; i++) {
		const char *word = command->list[i];
		size_t len = strlen(word);

		if (is_one_of(word, len, valued, COUNT_OF(valued)))
			i++;
		else if (*word != '-' && !is_one_of(word, len, before, COUNT_OF(before)))
			break;
	}
	/* "sh -c 'exec ...'" has a script, but no name */
	if (i >= command->count || strpbrk(command->list[i], " \t\n;") != NULL)
		return command->list[0];
	dot = strrchr(command->list[i], '.');
	if (dot != NULL && strchr(dot, '/') == NULL && strcmp(command->list[i - 1], "-m") != 0)
		*suffix = dot;
	return command->list[i];
}

static char *instance_name(const struct settings *s)
{
	const struct strings none = {0};
	const char *suffix = ".ini";
	const char *path = s->origins->file;
	scoped_str directory = NULL;

	/* there is one in each project */
	if (s->config_file != NULL && procfile_is(s->config_file)) {
		directory = procfile_directory(s->config_file);
		return directory != NULL ? name_from_path(directory, NULL) : NULL;
	}
	if (path == NULL)
		path = script_of(s->cluster_count > 0 ? &s->clusters[0]->command : &none, &suffix);
	return name_from_path(path, suffix);
}

static int set_name(struct settings *s)
{
	scoped_str name = instance_name(s);
	struct error err;

	return name != NULL ? field_set_key("nclust", s, "name", name, &err) : -1;
}

void settings_check(struct settings *s, struct faults *faults)
{
	struct check k = {.s = s, .faults = faults};

	if (s->name == NULL && set_name(s) == -1) {
		faults_add(faults, EX_OSERR, "out of memory");
		return;
	}
	check_http(s, faults);
	check_agent(s, faults);
	for (k.at = 0; k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
		if (s->origins->clusters[k.at].shadow)
			continue;
		check_name(&k);
		if (k.c->name == NULL)
			return;
		check_command(&k);
		fill_in_name(&k);
		choose_directory(&k);
		check_templates(&k, "command", &k.c->command);
		check_templates(&k, "env", &k.c->env);
		check_listeners(&k);
		check_own(&k);
		check_places(&k);
		check_user(&k);
		cluster_settings_finish(k.c);
		check_accept(&k);
		check_rules(&k);
		check_requests(&k);
		check_probe(&k, "ready", &k.c->ready_probe);
		check_probe(&k, "check", &k.c->check);
		check_metrics(&k);
		check_fallback(&k);
		check_backoff(&k);
	}
	/* when all have their names */
	for (k.at = 0; k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
		if (s->origins->clusters[k.at].shadow)
			continue;
		check_relay(&k);
		check_after(&k);
	}
	check_slots(s, 1, faults); /* as many as there are at least */
}

void config_note_files(const struct settings *s, struct faults *faults)
{
	struct check k = {.s = (struct settings *)(uintptr_t)s, .faults = faults};

	for (k.at = 0; k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
		for (size_t i = 0; i < k.c->env_file.count; i++)
			if (access(k.c->env_file.list[i], F_OK) == -1 &&
				(errno == ENOENT || errno == ENOTDIR))
				fault(&k, "env-file",
					"there is no file '%.300s' (yet), and no start without it",
					k.c->env_file.list[i]);
	}
}

bool config_has_broker(const struct settings *s)
{
	for (size_t i = 0; i < s->cluster_count; i++)
		if (natsurl_is(s->clusters[i]->relay))
			return true;
	return false;
}

void config_no_broker(const struct settings *s, const char *why, struct faults *faults)
{
	struct check k = {.s = (struct settings *)(uintptr_t)s, .faults = faults};

	for (k.at = 0; k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
		if (natsurl_is(k.c->relay))
			fault(&k, "relay", "%s", why);
	}
}

/* A file that was opened, and whose. */
struct opened {
	const struct cluster_settings *c;
	struct logfile file;
};

static bool rotates(const struct cluster_settings *c)
{
	return c->log_size > 0 || c->log_age > 0;
}

/* Who rotates a file takes it from the other, whose lines would be lost. */
static bool is_of_another(const struct check *k, const struct log_sink *sink,
	const struct opened *o, const struct logfile *file)
{
	if (o->file.inode != file->inode || o->file.dev != file->dev || file->inode == 0 ||
		(!rotates(o->c) && !rotates(k->c)))
		return false;
	fault(k, "log",
		"'%.200s' is a file of cluster '%s' already; use {cluster}, or 'log-size = never' "
		"and no 'log-age' in both",
		sink->path, o->c->name);
	return true;
}

static bool can_open(
	struct check *k, const struct log_sink *sink, unsigned slot, struct buffer *all)
{
	struct opened o = {.c = k->c};
	struct error err;

	if (logfile_open(&o.file, sink, k->c->name, slot, &err) == -1) {
		fault(k, "log", "%s", err.text);
		return false;
	}
	(void)close(o.file.fd);
	for (size_t i = 0; i < all->len / sizeof(o); i++)
		if (is_of_another(k, sink, (struct opened *)all->data + i, &o.file))
			return false;
	(void)buffer_append(all, &o, sizeof(o));
	return true;
}

void config_check_here(const struct settings *s, unsigned cpus, struct faults *faults)
{
	struct check k = {.s = (struct settings *)(uintptr_t)s, .faults = faults};
	scoped_buffer all = {0};

	check_slots(s, cpus, faults);
	for (k.at = 0; k.at < s->cluster_count; k.at++) {
		k.c = s->clusters[k.at];
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

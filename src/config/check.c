/* SPDX-License-Identifier: MIT */
#include "config/check.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "config/address.h"
#include "config/check_listen.h"
#include "config/expand.h"
#include "config/natsurl.h"
#include "config/option.h"
#include "config/origin.h"
#include "config/procfile.h"
#include "config/value.h"
#include "config/value_list.h"

#include <assert.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

struct check check_begin(const struct settings *s, struct faults *faults)
{
	return (struct check){
		.s = (struct settings *)(uintptr_t)s, .faults = faults, .at = INSTANCE};
}

bool check_next(struct check *k)
{
	do { /* INSTANCE + 1 is the first */
		if (++k->at >= k->s->cluster_count)
			return false;
	} while (k->s->origins->clusters[k->at].shadow);
	k->c = k->s->clusters[k->at];
	return true;
}

const struct origin *check_origin(const struct check *k, const char *key)
{
	const struct option_row *row = option_find(section_of(k->at), key, NULL);

	assert(row != NULL);
	return settings_origin(k->s, k->at, row);
}

bool check_is_bad(const struct check *k, const char *key)
{
	return check_origin(k, key)->bad;
}

static void __attribute__((format(printf, 3, 0)))
add_fault(const struct check *k, const char *key, const char *format, va_list args)
{
	const struct origin_table *t = k->s->origins;
	const struct origin *o = check_origin(k, key);
	bool instance = k->at == INSTANCE;
	const struct origin *place =
		instance || o->kind == ORIGIN_FILE ? o : &t->clusters[k->at].head;
	unsigned line = field_line(section_of(k->at), settings_base(k->s, k->at), key);
	char text[480];

	vsnprintf(text, sizeof(text), format, args);
	if (instance ? o->kind != ORIGIN_FILE : t->file == NULL)
		faults_add(k->faults, EX_USAGE, "--%s: %s", key, text);
	else if (o->kind == ORIGIN_ARGV)
		faults_add(k->faults, EX_USAGE, "--%s: cluster '%s': %s", key, k->c->name, text);
	else
		faults_add(k->faults, EX_CONFIG, "%s:%u: %s%s.%s: %s", origin_path(t, place),
			line > 0 ? line : place->line,
			instance ? "nclust" : "cluster:", instance ? "" : k->c->name, key, text);
}

void check_fault(const struct check *k, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	add_fault(k, key, format, args);
	va_end(args);
}

void check_rule(const struct check *k, bool is_broken, const char *key, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	if (is_broken)
		add_fault(k, key, format, args);
	va_end(args);
}

/* Of two keys that exclude each other, the key that was given; both: `a`. */
static const char *given_of(const struct check *k, const char *a, const char *b)
{
	return check_origin(k, a)->kind != ORIGIN_DEFAULT ? a : b;
}

/* "python3 web.py" in quotes is the name of one program, which PATH hardly has. */
static void check_one_word(const struct check *k)
{
	const char *word = k->c->command.list[0];
	size_t len = strcspn(word, "/ \t");
	bool shell = value_shell_part(word) != NULL;
	scoped_str text = NULL;

	if (k->c->command.count != 1 || (word[len] != ' ' && word[len] != '\t'))
		return;
	if (asprintf(&text, "'%.200s' is one word%s%s%.200s%s", word,
		    shell ? ", and no shell runs it; write: sh -c '"
			  : "; write it without the quotes: ",
		    k->s->origins->file != NULL || shell ? "" : "-- ", word,
		    shell ? "'" : "") == -1)
		text = NULL;
	if (text != NULL && k->s->origins->file != NULL)
		check_fault(k, "command", "%s", text);
	else
		faults_add(k->faults, EX_USAGE, "%s", text != NULL ? text : "out of memory");
}

static void check_command(const struct check *k)
{
	if (k->c->command.count > 0 && !check_is_bad(k, "command"))
		check_one_word(k);
	if (k->c->command.count > 0 || check_is_bad(k, "command"))
		return;
	if (k->s->origins->file != NULL)
		check_fault(k, "command", "wanted a command, found none");
	else if (k->faults->count == 0)
		faults_add(k->faults, EX_USAGE, "no command: nclust -n auto -- COMMAND [ARG]...");
}

/* Without `directory` workers of a file start beside the file, so that "node
 * server.js" means a file there; workers of a command line where it was given, by
 * the name that this directory has for the user. */
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

	if (c->directory != NULL || c->chroot != NULL || check_is_bad(k, "directory"))
		return;
	directory = usual_directory(k);
	if (directory != NULL && field_set_key("cluster", c, "directory", directory, &err) == -1)
		check_fault(k, "directory", "%s", err.text);
	c->directory_of_file = t->file != NULL && c->directory != NULL;
	c->directory_of_nclust = t->file == NULL;
	/* stored as if set, so that the value shown means the same elsewhere */
	if (c->directory_of_file)
		*settings_origin(k->s, k->at, option_find("cluster", "directory", NULL)) =
			t->clusters[k->at].head;
}

static void check_user(const struct check *k)
{
	struct cluster_settings *c = k->c;

	check_rule(k, c->uid >= ROLE_UID_FIRST && c->uid <= ROLE_UID_LAST, "user",
		"the uids %d to %d are those of nclust's own processes: take another one",
		ROLE_UID_FIRST, ROLE_UID_LAST);
	if (c->user != NULL && c->group == NULL) {
		c->gid = c->user_gid;
		check_rule(k, c->gid == -1 && !check_is_bad(k, "group"), "user",
			"'%s' has no group of its own: set 'group'", c->user);
	}
	if (c->uid >= 0 && login_find(c) == -1)
		faults_add(k->faults, EX_OSERR, "out of memory");
}

/* Of [defaults], what a cluster cannot have is not meant for it. */
static void drop_default(const struct check *k, const char *key)
{
	const struct option_row *row = option_find("cluster", key, NULL);
	struct error err;

	if (row->fallback == NULL)
		field_clear(row, k->c);
	else if (field_set(row, k->c, 0, row->fallback, &err) == -1)
		check_fault(k, key, "%s", err.text);
	*settings_origin(k->s, k->at, row) = (struct origin){0};
}

/* Keys for workers that take many connections. */
static void check_lasting(const struct check *k)
{
	static const char *const keys[] = {"ready", "start-timeout", "check", "check-header",
		"check-interval", "check-timeout", "check-failures", "watchdog", "stall",
		"request-timeout", "hang-signal", "max-memory", "max-age", "max-requests",
		"backoff-min", "backoff-max", "backoff-jitter", "stable-after", "restart",
		"give-up", "drain", "surge", "max-unavailable", "canary", "bake", "old-generations",
		"start-at-once", "spare", "pass", "listen-pid", "share-ports", "balance", "sticky",
		"shared-memory", "fallback", "fallback-after", "watch"};
	static const struct {
		enum hook_event event;
		const char *key;
	} hooks[] = {{HOOK_READY, "on-ready"}, {HOOK_EXIT, "on-exit"}, {HOOK_CRASH, "on-crash"},
		{HOOK_HANG, "on-hang"}};

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (check_origin(k, keys[i])->from_defaults)
			drop_default(k, keys[i]);
		else
			check_rule(k, check_origin(k, keys[i])->kind != ORIGIN_DEFAULT, keys[i],
				"cannot be used with 'accept': it is for workers that last, but "
				"here each connection has its own process");
	for (size_t i = 0; i < COUNT_OF(hooks); i++)
		check_rule(k,
			k->c->hooks[hooks[i].event].text != NULL &&
				(field_line("cluster", k->c, hooks[i].key) > 0 ||
					check_origin(k, hooks[i].key)->kind == ORIGIN_ARGV),
			hooks[i].key,
			"cannot be used with 'accept': let the command itself do it for each "
			"connection");
}

static void check_accept(const struct check *k)
{
	const struct cluster_settings *c = k->c;

	if (!c->accept)
		return;
	for (size_t i = 0; i < c->listen_count; i++) {
		const struct address *a = &c->listen[i];

		check_rule(k, a->type != SOCK_STREAM && a->type != 0, "listen",
			"'%s' cannot be used with 'accept', which gives the command a stream: let "
			"workers take it",
			a->text);
	}
	check_lasting(k);
}

static void check_with_accept(const struct check *k)
{
	const struct cluster_settings *c = k->c;
	const struct {
		const char *key;
		bool accept; /* the cluster for which this is a mistake */
		bool given;
		const char *why;
	} keys[] = {{"accept-per-address", false, c->accept_per_address > 0, "needs 'accept'"},
		{"accept-timeout", false, c->accept_timeout > 0, "needs 'accept'"},
		{"workers", true, c->workers.range,
			"a range cannot be used with 'accept': it starts a process for each "
			"connection anyway, and 'workers' is the most at once"},
		{"intercept", true, c->intercept == INTERCEPT_ON,
			"'on' cannot be used with 'accept': nclust listens, and the command gets "
			"a connection"},
		{"leader", true, c->leader,
			"cannot be used with 'accept': a connection cannot be the leader"},
		{"ipc", true, c->ipc == IPC_ON,
			"'on' cannot be used with 'accept': a connection has no channel"},
		{"pty", true, c->pty == PTY_YES,
			"'yes' cannot be used with 'accept': the output is the connection"}};

	check_rule(k, c->accept && c->listen_count == 0 && !check_is_bad(k, "listen"), "accept",
		"has nothing to accept on: set 'listen'");
	for (size_t i = 0; i < COUNT_OF(keys); i++) {
		bool is_wrong = keys[i].given && keys[i].accept == c->accept;

		if (is_wrong && check_origin(k, keys[i].key)->from_defaults)
			drop_default(k, keys[i].key);
		else
			check_rule(k, is_wrong, keys[i].key, "%s", keys[i].why);
	}
}

/* Is there nothing to connect to: neither a listener, nor a port that the worker opens under
 * nclust's eyes? */
static bool is_mute(const struct check *k)
{
	/* the first listener that may be of streams is the address of workers' probes */
	return k->c->intercept == INTERCEPT_OFF && !check_is_bad(k, "listen") &&
		array_find(l, k->c->listen, k->c->listen_count,
			l->type == SOCK_STREAM || l->type == 0) == NULL;
}

/* What excludes each other. */
static void check_rules(const struct check *k)
{
	const struct cluster_settings *c = k->c;

	check_rule(k, c->ready == READY_NOTIFY && c->ready_fd == 0 && c->chroot != NULL, "ready",
		"'notify' cannot be used with 'chroot': the socket cannot be seen inside");
	check_rule(k,
		c->ready_fd != 0 && c->ready_fd < 3 + (int)c->listen_count && c->pass != PASS_STDIN,
		"ready", "descriptor %d is a listener's: write 'fd:%zu'", c->ready_fd,
		3 + c->listen_count);
	check_rule(k, c->watchdog > 0 && c->chroot != NULL, "watchdog",
		"cannot be used with 'chroot': the socket cannot be seen inside");
	check_rule(k, c->ready == READY_LISTEN && c->intercept == INTERCEPT_OFF,
		given_of(k, "intercept", "ready"),
		"'ready' is 'listen', which nclust cannot see with 'intercept' off");
	check_rule(k, c->spare > 0 && !c->accept && c->restart != RESTART_ALWAYS,
		given_of(k, "restart", "spare"),
		"'spare' cannot be used with a 'restart' other than 'always'");
	check_with_accept(k);
	check_rule(k, c->log == LOG_INHERIT && c->pty == PTY_YES, "pty",
		"'yes' cannot be used with 'log = inherit', which gives the workers nclust's own "
		"output");
	check_rule(k,
		c->sticky != STICKY_OFF && (settings_share(c) || c->balance == BALANCE_RANDOM),
		"sticky", "needs 'balance = rr', by which a client can stay at its worker");
	check_rule(k,
		c->max_requests != 0 &&
			(c->sticky != STICKY_OFF || settings_share(c) ||
				c->balance == BALANCE_RANDOM || c->ipc == IPC_OFF),
		"max-requests",
		"counts what nclust hands to workers of Node's cluster, but here 'sticky', "
		"'balance' or 'ipc' lets the kernel do that: set 'max-age' or 'max-memory' "
		"instead");
	check_rule(k, c->fallback != NULL && is_mute(k), "fallback",
		"has nowhere to answer: there is no listener, and 'intercept' is off");
	check_rule(k, c->surge == 0 && c->max_unavailable == 0,
		given_of(k, "surge", "max-unavailable"),
		"'surge' and 'max-unavailable' are both 0: no worker could ever be replaced");
	check_rule(k, c->memory_max != 0 && c->memory_high > c->memory_max,
		given_of(k, "memory-high", "memory-max"),
		"'memory-high' is more than 'memory-max', which would be reached first");
}

static void check_probe(const struct check *k, const char *key, const struct probe *p)
{
	check_rule(k, (p->kind == PROBE_TCP || p->kind == PROBE_HTTP) && is_mute(k), key,
		"'%s' has nothing to connect to: there is no listener, and 'intercept' is off",
		p->kind == PROBE_TCP ? "tcp" : "http");
}

static void check_fallback(const struct check *k)
{
	struct error err;

	if (k->c->fallback != NULL && strcmp(k->c->fallback, "503") != 0 &&
		page_read(k->c, &err) == -1)
		check_fault(k, "fallback", "%s", err.text);
}

static void check_backoff(const struct check *k)
{
	const struct cluster_settings *c = k->c;
	char min[24];
	char max[24];

	check_rule(k, c->backoff_min > c->backoff_max, given_of(k, "backoff-min", "backoff-max"),
		"'backoff-min', %s, is more than 'backoff-max', %s",
		text_duration(min, c->backoff_min), text_duration(max, c->backoff_max));
}

static size_t cluster_named(const struct check *k, const char *name)
{
	return settings_find(k->s, k->s->cluster_count, name);
}

static void check_relay(const struct check *k)
{
	struct cluster_settings *c = k->c;
	const struct cluster_settings *to = c;
	size_t at;

	if (c->relay == NULL)
		return;
	check_rule(k, natsurl_is(c->relay) && !natsurl_is_subject(c->name), "relay",
		"the name '%s' cannot be part of a subject of NATS: its dots need letters between "
		"them",
		c->name);
	if (strcmp(c->relay, "others") != 0 && !natsurl_is(c->relay)) {
		at = cluster_named(k, c->relay);
		to = at != SIZE_MAX ? k->s->clusters[at] : NULL;
	}
	if (to == NULL)
		check_fault(k, "relay",
			"wanted 'off', 'others', a cluster of this file or 'nats://HOST', found "
			"'%s'",
			c->relay);
	else if (to == c && strcmp(c->relay, c->name) == 0)
		check_fault(k, "relay", "'%s' is this cluster: 'others' are its other workers",
			c->relay);
	else if (c->ipc == IPC_OFF || to->ipc == IPC_OFF)
		check_fault(k, "relay", "needs message channels, but 'ipc' of '%s' is off",
			c->ipc == IPC_OFF ? c->name : to->name);
}

/* Does a way from `at` lead back to this cluster?  Then `way` names the clusters on
 * it, in reverse.  A cycle is reported for its first cluster alone. */
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
		buffer_printf(way, "%s%s", way->len > 0 ? ", " : "", k->s->clusters[at]->name);
		return true;
	}
	return false;
}

static void check_cycle(const struct check *k)
{
	bool *seen = calloc(k->s->cluster_count, sizeof(*seen));
	scoped_buffer way = {.limit = 300};

	if (seen != NULL && leads_back(k, k->at, seen, &way) && way.len > 0)
		check_fault(k, "after",
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

	/* the word is meant for the other clusters */
	if (check_origin(k, "after")->from_defaults && after_drop(k->c, k->c->name, &err) == -1)
		check_fault(k, "after", "%s", err.text);
	list = k->c->after;
	while (after_next(&list, &d)) {
		size_t at = cluster_named(k, d.name);

		if (at == SIZE_MAX)
			check_fault(k, "after", "wanted clusters of this file, found '%s'", d.name);
		else if (at == k->at)
			check_fault(k, "after", "'%s' cannot wait for itself", d.name);
		else if (d.done && k->s->clusters[at]->restart == RESTART_ALWAYS)
			check_fault(k, "after",
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
	return value_index_of(last, len, names, COUNT_OF(names)) != -1;
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

		if (value_index(word, valued, COUNT_OF(valued)) != -1)
			i++;
		else if (*word != '-' && value_index(word, before, COUNT_OF(before)) == -1)
			break;
	}
	/* "sh -c 'exec ...'" and "node -e 'serve()'" have a script, but no name, "php -S :80" none */
	if (i >= command->count || strpbrk(command->list[i], " \t\n;:()\"'") != NULL)
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

	/* each project has one of that name */
	if (s->config_file != NULL && procfile_is(s->config_file)) {
		directory = procfile_directory(s->config_file);
		return directory != NULL ? name_from_path(directory, NULL) : NULL;
	}
	if (path == NULL)
		path = script_of(s->cluster_count > 0 ? &s->clusters[0]->command : &none, &suffix);
	return name_from_path(path, suffix);
}

void settings_check(struct settings *s, struct faults *faults)
{
	struct check k = check_begin(s, faults);
	scoped_buffer places = {0};
	scoped_str name = s->name == NULL ? instance_name(s) : NULL;
	struct error err;

	if (s->name == NULL &&
		(name == NULL || field_set_key("nclust", s, "name", name, &err) == -1)) {
		faults_add(faults, EX_OSERR, "out of memory");
		return;
	}
	check_http(&k);
	while (check_next(&k)) {
		check_name(&k);
		if (k.c->name == NULL)
			return;
		check_command(&k);
		k.c->workers_by_default = check_origin(&k, "workers")->kind == ORIGIN_DEFAULT;
		choose_directory(&k);
		check_listen(&k, &places);
		check_user(&k);
		cluster_settings_finish(k.c);
		check_accept(&k);
		check_rules(&k);
		check_probe(&k, "ready", &k.c->ready_probe);
		check_probe(&k, "check", &k.c->check);
		check_fallback(&k);
		check_backoff(&k);
	}
	/* when all clusters have their names */
	k.at = INSTANCE;
	while (check_next(&k)) {
		check_relay(&k);
		check_after(&k);
	}
}

static void note_env_file(const struct check *k, const char *path)
{
	struct error err;
	size_t len = 0;
	scoped_str text = trusted_read(path, ENV_FILE_MAX, &len, NULL, &err);
	struct envfile f = {.rest = text};
	char *entry;
	int got = 0;

	if (access(path, R_OK) == -1)
		check_fault(k, "env-file", "cannot read '%.300s' (yet): %s; no start without it",
			path, strerror(errno));
	if (text == NULL)
		return; /* the start may read it as another user */
	f.rest += text_bom(text, len);
	while ((got = envfile_next(&f, &entry, &err)) == 1)
		if (f.warns)
			check_fault(k, "env-file", "'%.300s', line %u: " ENVFILE_WARNING, path,
				f.line, (int)strcspn(entry, "="), entry);
	if (got == -1)
		check_fault(k, "env-file", "'%.300s', line %u: %s; no start with it", path, f.line,
			err.text);
}

/* Will a start find the program?  Not asked where a slot or a file decides that. */
static void note_program(const struct check *k, const char *key, const char *name)
{
	const char *path = k->c->clear_env ? NULL : getenv("PATH");
	const char *own = cluster_env(k->c, "PATH=");
	bool is_path = strchr(name, '/') != NULL;
	bool is_needed = strcmp(key, "command") == 0 || strcmp(key, "before") == 0;
	char found[PATH_MAX] uninitialized;
	int failure;

	if (strchr(name, '{') != NULL || (!is_path && k->c->env_file.count > 0))
		return;
	failure = cluster_find_program(k->c, own != NULL ? own : path, name, found);
	check_rule(k, failure != 0, key, "cannot execute '%.300s' (yet): %s%s", name,
		failure == ENOENT && !is_path ? "it is not in PATH" : strerror(failure),
		is_needed ? "; no start without it" : "");
}

#define NO_DIRECTORY "cannot find the directory '%.300s' (yet); no start without it"

static void note_hooks(const struct check *k)
{
	const struct option_row *row = NULL;
	const char *key;

	while ((row = option_next("cluster", row)) != NULL) {
		const void *at = (const char *)k->c + row->offset;
		const struct hook *hook = at;

		for (size_t n = 0; (key = option_key(row, n)) != NULL; n++, hook++)
			if ((row->type == &type_run || row->type == &type_hook) &&
				hook->text != NULL)
				note_program(k, key, hook->command.list[0]);
	}
}

/* Will a start find the directory of that file? */
static void note_directory(const struct check *k, const char *key, const char *file)
{
	struct error err;
	scoped_str whole = expand_names(file, k->c->name, 0, &err);
	char *slash = whole != NULL && *whole != '@' ? strrchr(whole, '/') : NULL;

	if (slash == NULL)
		return;
	slash[1] = '\0';
	check_rule(k, access(whole, F_OK) == -1 && errno == ENOENT, key, NO_DIRECTORY, whole);
}

void config_note_files(struct settings *s, struct faults *faults)
{
	struct check k = check_begin(s, faults);
	struct error err;

	if (config_read_token(s, &err) == -1)
		faults_add(faults, EX_CONFIG, "%s; no start without it", err.text);
	while (check_next(&k)) {
		note_program(&k, "command", k.c->command.list[0]);
		note_hooks(&k);
		for (size_t i = 0; i < k.c->env_file.count; i++)
			note_env_file(&k, k.c->env_file.list[i]);
		check_rule(&k,
			k.c->directory != NULL && k.c->chroot == NULL &&
				access(k.c->directory, F_OK) == -1 && errno == ENOENT,
			"directory", NO_DIRECTORY, k.c->directory);
		check_rule(&k, k.c->workers.most.fixed > 0 && k.c->canary > k.c->workers.most.fixed,
			"canary", "%u, but there are at most %u workers: all of them are canaries",
			k.c->canary, k.c->workers.most.fixed);
		for (size_t i = 0; i < k.c->log_sink_count; i++)
			if (k.c->log_sinks[i].kind == SINK_FILE)
				note_directory(&k, "log", k.c->log_sinks[i].path);
		for (size_t i = 0; i < k.c->listen_count; i++)
			if (k.c->listen[i].kind == ADDRESS_UNIX)
				note_directory(&k, "listen", k.c->listen[i].path);
	}
}

bool config_has_broker(const struct settings *s)
{
	return array_find(c, s->clusters, s->cluster_count, natsurl_is((*c)->relay)) != NULL;
}

void config_no_broker(const struct settings *s, const char *why, struct faults *faults)
{
	struct check k = check_begin(s, faults);

	while (check_next(&k))
		check_rule(&k, natsurl_is(k.c->relay), "relay", "%s", why);
}

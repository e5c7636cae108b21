/* SPDX-License-Identifier: MIT */
#include "config/value_command.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/option.h"
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* Commands, and probes, some of which are commands. */

/* Of an http probe's request; far less than a server takes. */
#define PATH_LENGTH_MAX 1000
#define HEADER_LENGTH_MAX 500

/* What to write for a part that only a shell understands. */
static const char *way_without_shell(const struct field *f, const char *part)
{
	bool expands = f->row->type == &type_command;

	if (strncmp(part, "exec", 4) == 0)
		return "leave it out";
	if (*part == '~' && expands)
		return "write ${HOME}/";
	if (*part == '$' && part[1] != '(' && expands)
		return "write ${NAME} if it is one of nclust's own environment, else sh -c '...'";
	if (part[strspn(part, NAME_BYTES)] == '=')
		return "write 'env' in front of it";
	return "write sh -c '...'";
}

/* An INI line would be cut at a ';' after a blank: then the words are quoted, behind `prefix`. */
static int split_words(const struct field *f, struct strings *words, const char *prefix,
	const char *text, struct error *err)
{
	const char *part = f->known ? NULL : value_shell_part(text);
	scoped_str whole = NULL;

	if (part != NULL)
		return error_set(err, 0,
			"no shell runs this, and '%.*s' would be %s: %s, or put it in quotes if it "
			"is meant",
			(int)strcspn(part, " \t\n"), part,
			part == text + strspn(text, " \t\n") ? "the program" : "an argument",
			way_without_shell(f, part));
	if (value_split(words, text, err) == -1)
		return -1;
	if (words->count == 0 || words->list[0][0] == '\0') {
		strings_clear(words);
		return value_wanted(err, text, "a command");
	}
	if (strstr(text, " ;") == NULL && strstr(text, "\t;") == NULL)
		return 0;
	whole = value_join(words);
	if (whole != NULL && buffer_printf(f->out, "%s%s", prefix, whole) == 0)
		return 0;
	strings_clear(words);
	return error_set(err, ENOMEM, "cannot keep a command");
}

static int set_command(
	const struct field *f, struct strings *words, const char *text, struct error *err)
{
	struct strings got = {0};

	if (split_words(f, &got, "", text, err) == -1)
		return -1;
	strings_clear(words);
	*words = got;
	return 0;
}

static int parse_command(const struct field *f, const char *text, struct error *err)
{
	return set_command(f, &((struct cluster_settings *)f->base)->command, text, err);
}

static void hold_command(const struct field *f, const char *kept)
{
	struct cluster_settings *c = f->base;

	c->command_text = kept;
	if (kept == NULL)
		strings_clear(&c->command);
}

const struct option_type type_command = {parse_command, hold_command};

static int parse_hook(const struct field *f, const char *text, struct error *err)
{
	struct hook *hook = (struct hook *)f->at + f->member;

	return set_command(f, &hook->command, text, err);
}

static void hold_hook(const struct field *f, const char *kept)
{
	struct hook *hook = (struct hook *)f->at + f->member;

	hook->text = kept;
	if (kept == NULL)
		strings_clear(&hook->command);
}

const struct option_type type_run = {parse_hook, hold_hook};
const struct option_type type_hook = {parse_hook, hold_hook};

/* ---- probes ---- */

static void clear_probe(struct probe *p)
{
	strings_clear(&p->command);
	*p = (struct probe){.kind = PROBE_NONE};
}

static bool is_probe(const char *text)
{
	return strcmp(text, "tcp") == 0 || strncmp(text, "http:", 5) == 0 ||
		strncmp(text, "exec:", 5) == 0;
}

#define ALPHANUMERIC "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

/* Characters that a request line may have unescaped, perhaps after "//HOST". */
static bool is_http_path(const char *path)
{
	size_t host = 0;
	size_t len = 0;

	for (; path[len] != '\0'; len++)
		if (path[len] <= ' ' || path[len] > '~' || path[len] == '#')
			return false;
	if (strncmp(path, "//", 2) == 0)
		host = strspn(path + 2, ALPHANUMERIC "-._:[]");
	path += host > 0 ? host + 2 : 0;
	return path[0] == '/' && path[1] != '/' && len <= PATH_LENGTH_MAX;
}

/* Store the probe of a text for which is_probe() is true. */
static int set_probe(const struct field *f, const char *text, struct error *err)
{
	struct probe got = {.kind = PROBE_TCP};

	if (strncmp(text, "http:", 5) == 0) {
		got.kind = PROBE_HTTP;
		if (!is_http_path(text + 5))
			return value_wanted(err, text,
				"a path after 'http:' or 'http://HOST', of at most %d bytes and "
				"without blanks, such as 'http:/health'",
				PATH_LENGTH_MAX);
	} else if (strncmp(text, "exec:", 5) == 0) {
		got.kind = PROBE_EXEC;
		if (split_words(f, &got.command, "exec:", text + 5, err) == -1)
			return -1;
	}
	clear_probe(f->at);
	*(struct probe *)f->at = got;
	return 0;
}

/* The probe's text is that behind "http:" or "exec:". */
static void hold_probe(const struct field *f, const char *kept)
{
	struct probe *p = f->at;

	if (kept == NULL)
		clear_probe(p);
	else if (p->kind == PROBE_HTTP || p->kind == PROBE_EXEC)
		p->text = kept + 5;
}

static int parse_probe(const struct field *f, const char *text, struct error *err)
{
	bool http = strcmp(f->row->argument, "http:/path") == 0;

	if (strcmp(text, "off") == 0) {
		clear_probe(f->at);
		return 0;
	}
	if (is_probe(text) && (!http || strncmp(text, "http:", 5) == 0))
		return set_probe(f, text, err);
	return value_wanted(err, text,
		http ? "'off' or 'http:/path'" : "'off', 'tcp', 'http:/path' or 'exec:COMMAND'");
}

const struct option_type type_probe = {parse_probe, hold_probe};

static int parse_ready(const struct field *f, const char *text, struct error *err)
{
	static const char *const modes[] = {[READY_AUTO] = "auto",
		[READY_NOTIFY] = "notify",
		[READY_ALIVE] = "alive",
		[READY_LISTEN] = "listen"};
	struct cluster_settings *c = f->base;
	bool timed = strncmp(text, "alive:", 6) == 0;
	bool by_fd = strncmp(text, "fd:", 3) == 0;
	int mode = is_probe(text) ? READY_PROBE
		: timed           ? READY_ALIVE
		: by_fd           ? READY_NOTIFY
				  : value_index(text, modes, COUNT_OF(modes));
	unsigned fd = 0;
	nsec_t alive = SECOND;
	char shown[24];

	if (mode == -1)
		return value_wanted(err, text,
			"'auto', 'notify', 'listen', 'alive', a time alive such as 'alive:5s', "
			"'fd:3', 'tcp', 'http:/path' or 'exec:COMMAND'");
	if (by_fd && value_count(&fd, text + 3, 3, READY_FD_MOST, err) == -1)
		return -1;
	if (timed && value_duration(&alive, text + 6, 0, HOUR, err) == -1)
		return -1;
	if (mode == READY_ALIVE)
		buffer_printf(f->out, "alive:%s", text_duration(shown, alive));
	if (by_fd)
		buffer_printf(f->out, "fd:%u", fd);
	if (mode != READY_PROBE)
		clear_probe(f->at);
	else if (set_probe(f, text, err) == -1)
		return -1;
	c->ready = (enum ready_mode)mode;
	c->ready_fd = (int)fd;
	c->ready_alive = alive;
	return 0;
}

const struct option_type type_ready = {parse_ready, hold_probe};

static int parse_header(const struct field *f UNUSED, const char *text, struct error *err)
{
	size_t len = strspn(text, ALPHANUMERIC "!#$%&'*+-.^_`|~");

	if (strncasecmp(text, "Host:", 5) == 0)
		return error_set(err, 0, "the Host of the request is set by 'http://HOST/path'");
	for (const char *at = text; *at != '\0'; at++)
		if (((unsigned char)*at < ' ' && *at != '\t') || *at == 0x7f)
			len = 0;
	if (len == 0 || text[len] != ':' || strlen(text) > HEADER_LENGTH_MAX)
		return value_wanted(err, text,
			"a header line of at most %d bytes, such as 'X-Forwarded-Proto: https'",
			HEADER_LENGTH_MAX);
	return 0;
}

const struct option_type type_header = {parse_header, hold_list};

/* ---- where the program may be ---- */

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

int value_candidates(struct strings *to, const char *path, const char *name)
{
	scoped_str dirs = strdup(path != NULL ? path : DEFAULT_PATH);
	char *rest = strchr(name, '/') == NULL ? dirs : NULL;
	char full[PATH_MAX] uninitialized;
	bool good = dirs != NULL;

	*to = (struct strings){0};
	while (good && rest != NULL) {
		const char *dir = strsep(&rest, ":");

		/* a relative entry would depend on the worker's directory */
		if (*dir == '/' && snprintf(full, sizeof(full), "%s/%s", dir, name) < PATH_MAX)
			good = strings_add(to, full) == 0;
	}
	if (good && (to->count > 0 || strings_add(to, name) == 0))
		return 0;
	strings_clear(to);
	return -1;
}

/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/after.h"
#include "config/natsurl.h"
#include "config/value.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

static void *place_of(const struct option_row *row, const void *base)
{
	/* who asks for a value does not write to it */
	return (char *)(uintptr_t)base + row->offset;
}

static int no_memory(struct error *err)
{
	return error_set(err, ENOMEM, "cannot keep a setting");
}

static int replace(char **field, const char *text, struct error *err)
{
	char *copy = strdup(text);

	if (copy == NULL)
		return no_memory(err);
	free(*field);
	*field = copy;
	return 0;
}

static int set_name(char **field, const char *text, struct error *err)
{
	if (!text_is_name(text))
		return value_wanted(err, text,
			"a name of 1 to 64 of 'A-Z a-z 0-9 . _ -', not "
			"beginning with '.' or '-'");
	return replace(field, text, err);
}

static int set_relay(char **field, const char *text, struct error *err)
{
	struct natsurl url;

	if (strstr(text, "://") == NULL)
		return set_name(field, text, err);
	if (natsurl_parse(&url, text, err) == -1)
		return -1;
	return replace(field, text, err);
}

static int check_path(const char *text, struct error *err)
{
	if (*text == '\0')
		return value_wanted(err, text, "a path");
	if (strlen(text) >= PATH_MAX)
		return value_wanted(err, text, "a path of at most %d bytes", PATH_MAX - 1);
	if (*text == '"' || *text == '\'') {
		(void)value_wanted(err, text, "a path");
		return error_hint(err, "write it without quotes");
	}
	return 0;
}

static int add_text(
	const struct option_row *row, struct strings *field, const char *text, struct error *err)
{
	if (row->type == OPT_PATHS ? check_path(text, err) == -1 : value_header(text, err) == -1)
		return -1;
	if (row->type == OPT_HEADER && field->count == HEADERS_MAX)
		return error_set(err, 0, "at most %d lines can be given", HEADERS_MAX);
	return strings_add(field, text) == -1 ? no_memory(err) : 0;
}

/* OPT_FALLBACK, of which a path of that name can be written "./503", and OPT_PORTS. */
static int set_text(const struct option_row *row, char **field, const char *text, struct error *err)
{
	bool ports = row->type == OPT_PORTS;

	if (strcmp(text, row->fallback) == 0 || (!ports && strcmp(text, "none") == 0)) {
		free(*field);
		*field = NULL;
		return 0;
	}
	if ((ports ? value_ports : check_path)(text, err) == -1)
		return -1;
	return replace(field, text, err);
}

static int set_choice(const struct option_row *row, int *field, const char *text, struct error *err)
{
	char words[200];
	size_t used = 0;
	/* of signals, "SIGQUIT" as "QUIT" */
	bool prefixed = strncmp(text, "SIG", 3) == 0;
	int value = 0;

	for (; row->choices[value] != NULL; value++) {
		if (strcmp(row->choices[value], text) == 0 ||
			(prefixed && value > 0 && strcmp(row->choices[value], text + 3) == 0)) {
			*field = value;
			return 0;
		}
		if (used < sizeof(words))
			used += (size_t)snprintf(words + used, sizeof(words) - used, "%s'%s'",
				value == 0                                ? ""
					: row->choices[value + 1] == NULL ? " or "
									  : ", ",
				row->choices[value]);
	}
	return value_wanted(err, text, "%s", words);
}

static int add_listen(struct cluster_settings *c, const char *text, struct error *err)
{
	struct address a;
	struct address *list;

	if (address_parse_slot(&a, text, 0, err) == -1)
		return -1;
	list = reallocarray(c->listen, c->listen_count + 1, sizeof(*list));
	if (list == NULL) {
		address_fini(&a);
		return no_memory(err);
	}
	c->listen = list;
	list[c->listen_count++] = a;
	return 0;
}

/* A port alone is, with `local_only`, one of 127.0.0.1 and ::1, where only this machine's users
 * get: the address is the first one's, and its `each` what was given. */
static int set_http(struct address *to, const char *text, bool local_only, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	char local[300];
	bool alone = local_only && digits > 0 && strchr(", \t", text[digits]) != NULL &&
		snprintf(local, sizeof(local), "127.0.0.1:%s", text) < (int)sizeof(local);
	struct address a = {0};

	if (strcmp(text, "off") != 0) {
		if (address_parse(&a, alone ? local : text, err) == -1)
			return -1;
		if (alone && (a.each = strdup(text)) == NULL) {
			address_fini(&a);
			return no_memory(err);
		}
		if (a.kind != ADDRESS_TCP && a.kind != ADDRESS_UNIX) {
			address_fini(&a);
			return value_wanted(err, text,
				"'off', a port, an address with a port, or "
				"'unix:PATH'");
		}
	}
	address_fini(to);
	*to = a;
	return 0;
}

static int set_user(struct cluster_settings *c, const char *text, struct error *err)
{
	long uid;
	long gid;

	if (value_user(&uid, &gid, text, err) == -1 || replace(&c->user, text, err) == -1)
		return -1;
	c->uid = uid;
	c->user_gid = gid;
	return 0;
}

static int set_group(char **field, long *gid, const char *text, struct error *err)
{
	long got;

	if (value_group(&got, text, err) == -1 || replace(field, text, err) == -1)
		return -1;
	*gid = got;
	return 0;
}

static int set_nice(int *field, const char *text, struct error *err)
{
	bool minus = text[0] == '-';
	uint64_t n;

	if (!value_digits(&n, text + minus, 0, minus ? 20 : 19))
		return value_wanted(err, text, "a whole number from -20 to 19");
	*field = minus ? -(int)n : (int)n;
	return 0;
}

/* The place of the variable that stands at the beginning of `text`, or NULL. */
static char **find_env(const struct strings *env, const char *text)
{
	size_t len = strcspn(text, "=");

	for (size_t i = 0; text[len] == '=' && i < env->count; i++)
		if (strncmp(env->list[i], text, len + 1) == 0)
			return &env->list[i];
	return NULL;
}

static int add_env(struct strings *env, const char *text, struct error *err)
{
	size_t len = strcspn(text, "=");
	char **place = find_env(env, text);

	if (len == 0 || text[len] == '\0' || strcspn(text, " \t\"'") < len)
		return value_wanted(err, text, "'VARIABLE=value'");
	if (place != NULL)
		return replace(place, text, err);
	return strings_add(env, text) == -1 ? no_memory(err) : 0;
}

static int set_ready(struct cluster_settings *c, const char *text, struct error *err)
{
	enum ready_mode mode;
	nsec_t alive = SECOND;

	if (strcmp(text, "auto") == 0) {
		mode = READY_AUTO;
	} else if (strcmp(text, "notify") == 0) {
		mode = READY_NOTIFY;
	} else if (strcmp(text, "listen") == 0) {
		mode = READY_LISTEN;
	} else if (strcmp(text, "alive") == 0) {
		mode = READY_ALIVE;
	} else if (strncmp(text, "alive:", 6) == 0) {
		if (value_duration(&alive, text + 6, 0, HOUR, err) == -1)
			return -1;
		mode = READY_ALIVE;
	} else if (value_is_probe(text)) {
		if (value_probe(&c->ready_probe, text, err) == -1)
			return -1;
		mode = READY_PROBE;
	} else {
		return value_wanted(err, text,
			"'auto', 'notify', 'listen', 'alive', a time alive "
			"such as 'alive:5s', 'tcp', 'http:/path' or "
			"'exec:COMMAND'");
	}
	if (mode != READY_PROBE)
		value_probe_clear(&c->ready_probe);
	c->ready = mode;
	c->ready_alive = alive;
	return 0;
}

static int set_check(
	struct probe *check, const struct option_row *row, const char *text, struct error *err)
{
	if (strcmp(text, "off") == 0) {
		value_probe_clear(check);
		return 0;
	}
	if (!value_is_probe(text))
		return value_wanted(err, text,
			strcmp(row->argument, "http:/path") == 0 ? "'off' or 'http:/path'"
								 : "'off', 'tcp', 'http:/path' or "
								   "'exec:COMMAND'");
	return value_probe(check, text, err);
}

static int set_give_up(struct cluster_settings *c, const char *text, struct error *err)
{
	uint64_t n;
	nsec_t window;
	struct error ignored;
	size_t len;

	if (strcmp(text, "never") == 0) {
		c->give_up_count = 0;
		c->give_up_window = 0;
		return 0;
	}
	len = value_number(&n, text, GIVE_UP_MAX);
	if (len == 0 || n == 0 || text[len] != '/' ||
		value_duration(&window, text + len + 1, SECOND, 24 * HOUR, &ignored) == -1)
		return value_wanted(err, text,
			"'never', or 1 to %d deaths in 1s to 24h such as "
			"'5/1m'",
			GIVE_UP_MAX);
	c->give_up_count = (unsigned)n;
	c->give_up_window = window;
	return 0;
}

/* ---- numbers, one value of which may have a name ---- */

static bool is_size(const struct option_row *row)
{
	return row->type == OPT_MEMORY_LIMIT || row->type == OPT_SIZE;
}

static bool is_unsigned(const struct option_row *row)
{
	return row->type == OPT_COUNT || row->type == OPT_PERCENT;
}

static void store_number(const struct option_row *row, void *field, long long value)
{
	if (is_unsigned(row))
		*(unsigned *)field = (unsigned)value;
	else if (is_size(row))
		*(uint64_t *)field = (uint64_t)value;
	else
		*(nsec_t *)field = value;
}

static long long number_in(const struct option_row *row, const void *field)
{
	if (is_unsigned(row))
		return *(const unsigned *)field;
	if (is_size(row))
		return (long long)*(const uint64_t *)field;
	return *(const nsec_t *)field;
}

static int parse_number(
	const struct option_row *row, long long *value, const char *text, struct error *err)
{
	unsigned count;
	nsec_t time;
	uint64_t size;

	if (is_unsigned(row)) {
		if ((row->type == OPT_COUNT ? value_count : value_percent)(
			    &count, text, (unsigned)row->least, (unsigned)row->most, err) == -1)
			return -1;
		*value = count;
	} else if (is_size(row)) {
		if (value_size(&size, text, (uint64_t)row->most, err) == -1)
			return -1;
		if (size < (uint64_t)row->least)
			return value_wanted(err, text, "a size of at least %lld bytes, such as 64M",
				row->least);
		*value = (long long)size;
	} else {
		if (value_duration(&time, text, row->least, row->most, err) == -1)
			return -1;
		*value = time;
	}
	return 0;
}

/* Where "off" is 0, a time or a size of 0 is "off"; no count or share is: 0 is no
 * weight, and no number of processes. */
static bool is_word(const struct option_row *row, const char *text)
{
	struct option_row zero = *row;
	struct error ignored;
	long long value;

	zero.least = 0;
	zero.most = 0;
	return strcmp(text, row->word) == 0 ||
		(row->word_value == 0 && !is_unsigned(row) &&
			parse_number(&zero, &value, text, &ignored) == 0);
}

static int set_number(
	const struct option_row *row, void *field, const char *text, struct error *err)
{
	static const char wanted[] = "wanted ";
	char rest[sizeof(err->text)];
	long long value = 0;

	if (row->word != NULL && is_word(row, text)) {
		store_number(row, field, row->word_value);
		return 0;
	}
	if (parse_number(row, &value, text, err) == 0) {
		store_number(row, field, value);
		return 0;
	}
	if (row->word == NULL)
		return -1;
	(void)text_copy(rest, sizeof(rest), err->text + strlen(wanted));
	return error_set(err, 0, "%s'%s' or %s", wanted, row->word, rest);
}

/* "500M", or "500M for 30s". */
static int set_memory_limit(const struct option_row *row, struct memory_limit *limit,
	const char *text, struct error *err)
{
	static const char between[] = " for ";
	const char *at = strstr(text, between);
	struct memory_limit given = {0};
	char size[32];

	(void)text_copy(size, sizeof(size), text);
	if (at != NULL && (size_t)(at - text) < sizeof(size))
		size[at - text] = '\0';
	if (set_number(row, &given.bytes, size, err) == -1)
		return -1;
	if (at != NULL && given.bytes == 0)
		return value_wanted(err, text, "'off' alone");
	if (at != NULL &&
		value_duration(&given.span, at + strlen(between), SECOND, 24 * HOUR, err) == -1)
		return -1;
	*limit = given;
	return 0;
}

/* What no rule can be made for: cannot be caught, is nclust's own business, or
 * means that nclust itself has crashed. */
static bool is_received(int signal)
{
	static const int never[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGWINCH, SIGSEGV, SIGBUS,
		SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};

	for (size_t i = 0; i < COUNT_OF(never); i++)
		if (never[i] == signal)
			return false;
	return true;
}

static struct signal_rule *find_rule(const struct cluster_settings *c, int signal)
{
	for (size_t i = 0; i < c->signal_count; i++)
		if (c->signals[i].signal == signal)
			return &c->signals[i];
	return NULL;
}

static int add_rule(struct cluster_settings *c, int signal, const char *text, struct error *err)
{
	struct signal_rule rule = {.signal = signal};
	struct signal_rule *place = find_rule(c, signal);
	struct signal_rule *list;
	char name[16];

	if (!is_received(signal))
		return error_set(
			err, 0, "no rule can be made for %s", text_signal_name(name, signal));
	if (value_signal_rule(&rule, text, err) == -1)
		return -1;
	if (place != NULL) {
		*place = rule;
		return 0;
	}
	list = reallocarray(c->signals, c->signal_count + 1, sizeof(*list));
	if (list == NULL)
		return no_memory(err);
	c->signals = list;
	list[c->signal_count++] = rule;
	return 0;
}

int field_set(
	const struct option_row *row, void *base, int member, const char *text, struct error *err)
{
	void *field = place_of(row, base);
	struct cluster_settings *c = base;
	struct settings *s = base;

	/* takes back the value of [defaults] */
	if ((row->type == OPT_AFTER || row->type == OPT_RUN) && strcmp(text, "none") == 0) {
		field_clear(row, base);
		return 0;
	}
	switch (row->type) {
	case OPT_NAME:
		return set_name(field, text, err);
	case OPT_RELAY:
		return set_relay(field, text, err);
	case OPT_AFTER:
		return after_parse(field, text, err);
	case OPT_PATH:
		if (check_path(text, err) == -1)
			return -1;
		return replace(field, text, err);
	case OPT_FALLBACK:
	case OPT_PORTS:
		return set_text(row, field, text, err);
	case OPT_PATHS:
	case OPT_HEADER:
		if (row->word != NULL && strcmp(text, row->word) == 0) {
			strings_clear(field);
			return 0;
		}
		return add_text(row, field, text, err);
	case OPT_BOOL:
		return value_bool(field, text, err);
	case OPT_COUNT:
	case OPT_PERCENT:
	case OPT_SIZE:
	case OPT_DURATION:
		return set_number(row, field, text, err);
	case OPT_MEMORY_LIMIT:
		return set_memory_limit(row, field, text, err);
	case OPT_CHOICE:
		return set_choice(row, field, text, err);
	case OPT_COMMAND:
		return value_command(&c->command, &c->command_text, text, err);
	case OPT_RUN:
		return value_command(
			&((struct hook *)field)->command, &((struct hook *)field)->text, text, err);
	case OPT_LOG:
		return value_log(c, text, err);
	case OPT_WORKERS:
		return value_workers(field, text, err);
	case OPT_LISTEN:
		return add_listen(c, text, err);
	case OPT_PASS:
		return value_pass(field, text, err);
	case OPT_USER:
		return set_user(c, text, err);
	case OPT_GROUP:
		return set_group(field, &c->gid, text, err);
	case OPT_CONTROL_GROUP:
		return set_group(field, &s->control_gid, text, err);
	case OPT_HTTP:
		return set_http(field, text, row->offset == offsetof(struct settings, http), err);
	case OPT_UMASK:
		return value_octal(field, text, err);
	case OPT_NICE:
		return set_nice(field, text, err);
	case OPT_ENV:
		return add_env(field, text, err);
	case OPT_CAPABILITIES:
		if (value_capabilities(field, text, err) == -1)
			return -1;
		c->capabilities_given = true;
		return 0;
	case OPT_LIMIT:
		return value_limit(field, text, row->bytes, err);
	case OPT_READY:
		return set_ready(c, text, err);
	case OPT_STOP_SIGNAL:
		return value_stop_steps(c->stop, &c->stop_count, text, err);
	case OPT_GIVE_UP:
		return set_give_up(c, text, err);
	case OPT_EXITS:
		return value_exits(field, text, err);
	case OPT_PROBE:
		return set_check(field, row, text, err);
	case OPT_THREADS:
		return value_threads(field, text, err);
	case OPT_SHARED_MEMORY:
		return value_shared_memory(field, text, err);
	case OPT_SIGNAL_RULE:
		return add_rule(c, member, text, err);
	case OPT_HOOK:
		if (strcmp(text, "none") != 0)
			return value_command(
				&c->hooks[member].command, &c->hooks[member].text, text, err);
		value_command_clear(&c->hooks[member].command, &c->hooks[member].text);
		c->hooks_none |= 1U << member;
		return 0;
	case OPT_FLAG:
	case OPTION_TYPES:
		break;
	}
	return error_set(err, 0, "not a setting");
}

bool field_has(const struct option_row *row, const void *base, int member, const char *text)
{
	const struct cluster_settings *c = base;

	if (row->type == OPT_SIGNAL_RULE)
		return find_rule(c, member) != NULL;
	if (row->type == OPT_HOOK)
		return c->hooks[member].text != NULL || (c->hooks_none & 1U << member) != 0;
	return row->type == OPT_ENV && find_env(&c->env, text) != NULL;
}

void field_clear(const struct option_row *row, void *base)
{
	void *field = place_of(row, base);
	struct cluster_settings *c = base;

	switch (row->type) {
	case OPT_NAME:
	case OPT_RELAY:
	case OPT_AFTER:
	case OPT_PATH:
	case OPT_FALLBACK:
	case OPT_PORTS:
	case OPT_USER:
	case OPT_GROUP:
	case OPT_CONTROL_GROUP:
		free(*(char **)field);
		*(char **)field = NULL;
		break;
	case OPT_HTTP:
		address_fini(field);
		break;
	case OPT_PATHS:
	case OPT_HEADER:
	case OPT_ENV:
		strings_clear(field);
		break;
	case OPT_COMMAND:
		value_command_clear(&c->command, &c->command_text);
		break;
	case OPT_RUN:
		value_command_clear(
			&((struct hook *)field)->command, &((struct hook *)field)->text);
		break;
	case OPT_LOG:
		value_log_clear(c);
		break;
	case OPT_READY:
		value_probe_clear(&c->ready_probe);
		break;
	case OPT_PROBE:
		value_probe_clear(field);
		break;
	case OPT_LISTEN:
		for (size_t i = 0; i < c->listen_count; i++)
			address_fini(&c->listen[i]);
		free(c->listen);
		c->listen = NULL;
		c->listen_count = 0;
		break;
	case OPT_SIGNAL_RULE:
		free(c->signals);
		c->signals = NULL;
		c->signal_count = 0;
		break;
	case OPT_HOOK:
		for (size_t i = 0; i < HOOK_EVENTS; i++)
			value_command_clear(&c->hooks[i].command, &c->hooks[i].text);
		break;
	default:
		break; /* it has nothing on the heap */
	}
}

/* The event of the n-th hook that is set. */
static size_t hook_at(const struct cluster_settings *c, size_t n)
{
	size_t event = 0;

	while (c->hooks[event].text == NULL || n-- > 0)
		event++;
	return event;
}

static size_t count_hooks(const struct cluster_settings *c)
{
	size_t count = 0;

	for (size_t i = 0; i < HOOK_EVENTS; i++)
		count += c->hooks[i].text != NULL;
	return count;
}

size_t field_count(const struct option_row *row, const void *base)
{
	const void *field = place_of(row, base);
	const struct cluster_settings *c = base;

	switch (row->type) {
	case OPT_FLAG:
	case OPTION_TYPES:
		return 0;
	case OPT_NAME:
	case OPT_RELAY:
	case OPT_AFTER:
	case OPT_PATH:
	case OPT_COMMAND:
	case OPT_USER:
	case OPT_GROUP:
	case OPT_CONTROL_GROUP:
		return *(char *const *)field != NULL;
	case OPT_HTTP:
		return ((const struct address *)field)->text != NULL;
	case OPT_PATHS:
	case OPT_HEADER:
	case OPT_ENV:
		return ((const struct strings *)field)->count;
	case OPT_RUN:
		return ((const struct hook *)field)->text != NULL;
	case OPT_LISTEN:
		return c->listen_count;
	case OPT_SIGNAL_RULE:
		return c->signal_count;
	case OPT_HOOK:
		return count_hooks(c);
	case OPT_UMASK:
		return *(const int *)field != -1;
	case OPT_NICE:
		return *(const int *)field != INT_MIN;
	case OPT_CAPABILITIES:
		return c->capabilities_given;
	case OPT_LIMIT:
		return ((const struct limit *)field)->given;
	default:
		return 1;
	}
}

static int format_duration(struct buffer *out, nsec_t t)
{
	char text[24];

	return buffer_string(out, text_duration(text, t));
}

static int format_number(const struct option_row *row, const void *field, struct buffer *out)
{
	long long value = number_in(row, field);

	if (row->word != NULL && value == row->word_value)
		return buffer_string(out, row->word);
	if (row->type == OPT_COUNT)
		return buffer_printf(out, "%lld", value);
	if (row->type == OPT_PERCENT)
		return buffer_printf(out, "%lld%%", value);
	if (is_size(row))
		return value_format_size(out, (uint64_t)value);
	return format_duration(out, value);
}

static int format_memory_limit(
	const struct option_row *row, const struct memory_limit *limit, struct buffer *out)
{
	if (format_number(row, &limit->bytes, out) == -1 || limit->span == 0)
		return out->failed ? -1 : 0;
	(void)buffer_string(out, " for ");
	return format_duration(out, limit->span);
}

static int format_stop(struct buffer *out, const struct cluster_settings *c)
{
	char name[16];

	for (unsigned i = 0; i < c->stop_count; i++) {
		const struct stop_step *step = &c->stop[i];

		(void)buffer_printf(
			out, "%s%s", i > 0 ? " " : "", text_signal_name(name, step->signal) + 3);
		if (step->wait == -1 || step->wait == c->stop_timeout)
			continue;
		(void)buffer_string(out, ":");
		(void)format_duration(out, step->wait);
	}
	return out->failed ? -1 : 0;
}

static int format_listen(struct buffer *out, const struct address *a)
{
	scoped_str text = a->each != NULL ? strdup(a->each) : address_format(a);

	if (text == NULL) {
		out->failed = true;
		return -1;
	}
	return buffer_string(out, text);
}

static int format_ready(struct buffer *out, const struct cluster_settings *c)
{
	if (c->ready == READY_AUTO)
		return buffer_string(out, "auto");
	if (c->ready == READY_NOTIFY)
		return buffer_string(out, "notify");
	if (c->ready == READY_LISTEN)
		return buffer_string(out, "listen");
	if (c->ready == READY_PROBE)
		return value_format_probe(out, &c->ready_probe);
	(void)buffer_string(out, "alive:");
	return format_duration(out, c->ready_alive);
}

static int format_give_up(struct buffer *out, const struct cluster_settings *c)
{
	if (c->give_up_count == 0)
		return buffer_string(out, "never");
	(void)buffer_printf(out, "%u/", c->give_up_count);
	return format_duration(out, c->give_up_window);
}

int field_format(const struct option_row *row, const void *base, size_t n, struct buffer *out)
{
	const void *field = place_of(row, base);
	const struct cluster_settings *c = base;

	switch (row->type) {
	case OPT_NAME:
	case OPT_RELAY:
	case OPT_AFTER:
	case OPT_PATH:
	case OPT_COMMAND:
	case OPT_USER:
	case OPT_GROUP:
	case OPT_CONTROL_GROUP:
		return buffer_string(out, *(char *const *)field);
	case OPT_FALLBACK:
	case OPT_PORTS:
		return buffer_string(
			out, *(char *const *)field != NULL ? *(char *const *)field : row->fallback);
	case OPT_PATHS:
	case OPT_HEADER:
	case OPT_ENV:
		return buffer_string(out, ((const struct strings *)field)->list[n]);
	case OPT_BOOL:
		return buffer_string(out, *(const bool *)field ? "yes" : "no");
	case OPT_COUNT:
	case OPT_PERCENT:
	case OPT_SIZE:
	case OPT_DURATION:
		return format_number(row, field, out);
	case OPT_RUN:
		return buffer_string(out, ((const struct hook *)field)->text);
	case OPT_LOG:
		return value_format_log(out, c);
	case OPT_MEMORY_LIMIT:
		return format_memory_limit(row, field, out);
	case OPT_CHOICE:
		return buffer_string(out, row->choices[*(const int *)field]);
	case OPT_WORKERS:
		return value_format_workers(out, field);
	case OPT_LISTEN:
		return format_listen(out, &c->listen[n]);
	case OPT_HTTP:
		return format_listen(out, field);
	case OPT_PASS:
		return value_format_pass(out, *(const unsigned *)field);
	case OPT_UMASK:
		return buffer_printf(out, "0%03o", *(const unsigned *)field);
	case OPT_NICE:
		return buffer_printf(out, "%d", *(const int *)field);
	case OPT_CAPABILITIES:
		return value_format_capabilities(out, c->capabilities);
	case OPT_LIMIT:
		return value_format_limit(out, field);
	case OPT_READY:
		return format_ready(out, c);
	case OPT_STOP_SIGNAL:
		return format_stop(out, c);
	case OPT_GIVE_UP:
		return format_give_up(out, c);
	case OPT_EXITS:
		return value_format_exits(out, field);
	case OPT_PROBE:
		return value_format_probe(out, field);
	case OPT_THREADS:
		return value_format_threads(out, *(const unsigned *)field);
	case OPT_SHARED_MEMORY:
		return value_format_shared_memory(out, field);
	case OPT_SIGNAL_RULE:
		return value_format_signal_rule(out, &c->signals[n]);
	case OPT_HOOK:
		return buffer_string(out, c->hooks[hook_at(c, n)].text);
	case OPT_FLAG:
	case OPTION_TYPES:
		break;
	}
	return 0;
}

const char *field_key(const struct option_row *row, const void *base, size_t n, char to[40])
{
	const struct cluster_settings *c = base;
	char name[16];

	if (row->type == OPT_SIGNAL_RULE)
		(void)snprintf(
			to, 40, "signal-%s", text_signal_name(name, c->signals[n].signal) + 3);
	else
		(void)text_copy(to, 40, option_key(row, row->type == OPT_HOOK ? hook_at(c, n) : 0));
	return to;
}

void field_put_all(const struct option_row *row, const void *base, struct buffer *out)
{
	const struct cluster_settings *c = base;
	size_t count = field_count(row, base);
	char key[40];

	for (size_t n = 0; n < count; n++) {
		(void)buffer_printf(out, "%s=", field_key(row, base, n, key));
		(void)field_format(row, base, n, out);
		(void)buffer_append(out, "", 1);
	}
	/* what the file says may have changed */
	if (row->type == OPT_FALLBACK && c->fallback_page != NULL)
		(void)buffer_string(out, c->fallback_page);
	/* the same name may have become another id */
	if (row->type == OPT_USER) {
		(void)buffer_append(out, &c->uid, sizeof(c->uid));
		(void)buffer_append(out, &c->user_gid, sizeof(c->user_gid));
		(void)buffer_append(out, c->groups, c->group_count * sizeof(*c->groups));
	}
	if (row->type == OPT_GROUP && c->group != NULL)
		(void)buffer_append(out, &c->gid, sizeof(c->gid));
}

/* SPDX-License-Identifier: MIT */
#include "config/value_list.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/option.h"
#include "config/value.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

int value_signal(const char *name)
{
	int signal = text_signal(name);

	return signal > SIGSYS && signal < SIGRTMIN ? -1 : signal;
}

static int parse_stop_signal(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;
	struct stop_step got[STOP_STEPS_MAX];
	const char *at = text;
	char word[48];
	char shown[24];
	unsigned n = 0;

	for (; value_next_word(&at, word, sizeof(word)); n++) {
		char *time = strchr(word, ':');

		if (n == STOP_STEPS_MAX)
			return value_wanted(err, text, "at most %d signals", STOP_STEPS_MAX);
		if (time != NULL)
			*time++ = '\0';
		got[n].timeout = -1;
		got[n].signal = value_signal(word);
		if (got[n].signal == -1)
			return value_wanted(err, word, "a signal");
		if (time != NULL && value_duration(&got[n].timeout, time, 0, 24 * HOUR, err) == -1)
			return -1;
		buffer_printf(f->out, "%s%s%s%s", n > 0 ? " " : "",
			text_signal_name(word, got[n].signal) + 3, time != NULL ? ":" : "",
			time != NULL ? text_duration(shown, got[n].timeout) : "");
	}
	if (n == 0)
		return value_wanted(err, text, "a signal, or a list such as 'QUIT:10s TERM:5s'");
	memcpy(c->stop, got, n * sizeof(*got));
	c->stop_count = n;
	return 0;
}

const struct option_type type_stop_signal = {parse_stop_signal, NULL};

static bool exit_bit(const uint64_t bits[4], unsigned n)
{
	return n < 256 && (bits[n / 64] >> (n % 64) & 1) != 0;
}

static void put_exits(struct buffer *out, const uint64_t bits[4])
{
	for (unsigned low = 0; low < 256; low++) {
		unsigned high = low;

		if (!exit_bit(bits, low))
			continue;
		while (exit_bit(bits, high + 1))
			high++;
		buffer_printf(out, "%s%u", out->len > 0 ? " " : "", low);
		if (high > low)
			buffer_printf(out, "-%u", high);
		low = high;
	}
}

static int parse_exits(const struct field *f, const char *text, struct error *err)
{
	uint64_t bits[4] = {0};
	const char *at = text;
	char word[16];

	while (value_next_word(&at, word, sizeof(word))) {
		uint64_t low;
		uint64_t high;
		char *dash = strchr(word, '-');

		if (dash != NULL)
			*dash++ = '\0';
		if (!value_digits(&low, word, 0, 255) ||
			!value_digits(&high, dash != NULL ? dash : word, low, 255))
			goto bad;
		for (; low <= high; low++)
			bits[low / 64] |= UINT64_C(1) << (low % 64);
	}
	put_exits(f->out, bits);
	if (f->out->len == 0)
		goto bad;
	memcpy(f->at, bits, sizeof(bits));
	return 0;
bad:
	return value_wanted(err, text, "exit statuses from 0 to 255 such as '0 3 10-12'");
}

const struct option_type type_exits = {parse_exits, NULL};

/* ---- names, each of which is a bit ---- */

struct names {
	const char *const *list; /* by the number of the bit */
	size_t count;
	int (*compare)(const char *a, const char *b);
	const char *prefix; /* that may stand before each name */
};

/* False: `word` is none of the names; "": the list is empty. */
static bool parse_names(uint64_t *out, const char *text, const struct names *n, char word[40])
{
	const char *at = text;
	uint64_t bits = 0;
	bool none = strcmp(text, "none") == 0;

	while (!none && value_next_word(&at, word, 40)) {
		size_t skip = strlen(n->prefix);
		size_t i = 0;

		if (strncasecmp(word, n->prefix, skip) != 0)
			skip = 0;
		while (i < n->count && n->compare(n->list[i], word + skip) != 0)
			i++;
		if (i == n->count)
			return false;
		bits |= UINT64_C(1) << i;
	}
	*out = bits;
	return none || bits != 0;
}

static int put_names(struct buffer *out, uint64_t bits, const struct names *n)
{
	for (size_t i = 0; i < n->count; i++)
		if ((bits >> i & 1) != 0)
			buffer_printf(out, "%s%s", out->len > 0 ? " " : "", n->list[i]);
	return bits == 0 ? buffer_string(out, "none") : 0;
}

/* Capabilities by number, as in linux/capability.h. */
static const char *const capabilities[] = {"chown", "dac_override", "dac_read_search", "fowner",
	"fsetid", "kill", "setgid", "setuid", "setpcap", "linux_immutable", "net_bind_service",
	"net_broadcast", "net_admin", "net_raw", "ipc_lock", "ipc_owner", "sys_module", "sys_rawio",
	"sys_chroot", "sys_ptrace", "sys_pacct", "sys_admin", "sys_boot", "sys_nice",
	"sys_resource", "sys_time", "sys_tty_config", "mknod", "lease", "audit_write",
	"audit_control", "setfcap", "mac_override", "mac_admin", "syslog", "wake_alarm",
	"block_suspend", "audit_read", "perfmon", "bpf", "checkpoint_restore"};

static const struct names capability_names = {
	capabilities, COUNT_OF(capabilities), strcasecmp, "cap_"};

static int parse_capabilities(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;
	char word[40];
	const char *near;
	uint64_t bits;

	if (parse_names(&bits, text, &capability_names, word)) {
		c->capabilities = bits;
		c->capabilities_given = true;
		return put_names(f->out, bits, &capability_names);
	}
	near = text_nearest(word, capabilities, COUNT_OF(capabilities));
	(void)value_wanted(err, word[0] != '\0' ? word : text,
		"capabilities such as 'net_bind_service', or 'none'");
	if (word[0] != '\0' && near != NULL)
		error_hint(err, "did you mean '%s'?", near);
	return -1;
}

const struct option_type type_capabilities = {parse_capabilities, NULL};

/* By the bits of enum pass_dialect. */
static const char *const dialects[] = {"systemd", "server-starter", "einhorn", "port", "stdin"};
static const struct names dialect_names = {dialects, COUNT_OF(dialects), strcmp, ""};
_Static_assert(PASS_STDIN == 1U << (COUNT_OF(dialects) - 1), "a bit for each");

static int parse_pass(const struct field *f, const char *text, struct error *err)
{
	uint64_t bits;
	char word[40];

	if (!parse_names(&bits, text, &dialect_names, word))
		return value_wanted(err, text,
			"some of 'systemd server-starter einhorn port stdin', or 'none'");
	*(unsigned *)f->at = (unsigned)bits;
	return put_names(f->out, bits, &dialect_names);
}

const struct option_type type_pass = {parse_pass, NULL};

static int parse_ports(const struct field *f UNUSED, const char *text, struct error *err)
{
	const char *at = text;
	char word[8];
	uint64_t port;
	bool any = false;

	if (strcmp(text, "all") == 0)
		return 0;
	while (value_next_word(&at, word, sizeof(word))) {
		any = value_digits(&port, word, 1, 65535);
		if (!any)
			break;
	}
	return any ? 0 : value_wanted(err, text, "'all' or ports such as '8000 8443'");
}

const struct option_type type_ports = {parse_ports, hold_text};

bool value_ports_have(const char *text, unsigned port)
{
	char word[8];
	uint64_t n;

	while (value_next_word(&text, word, sizeof(word)))
		if (value_digits(&n, word, port, port))
			return true;
	return false;
}

static bool parse_rlim(rlim_t *out, const char *text, bool bytes)
{
	struct error ignored;
	uint64_t n;

	if (strcmp(text, "infinity") == 0 || strcmp(text, "unlimited") == 0) {
		*out = RLIM_INFINITY;
		return true;
	}
	if (bytes ? value_size(&n, text, INT64_MAX, &ignored) == -1
		  : !value_digits(&n, text, 0, INT64_MAX))
		return false;
	*out = (rlim_t)n;
	return true;
}

static void put_rlim(struct buffer *out, rlim_t value)
{
	if (value == RLIM_INFINITY)
		buffer_string(out, "infinity");
	else
		buffer_number(out, value, 10);
}

static int parse_limit(const struct field *f, const char *text, struct error *err)
{
	const char *colon = strchr(text, ':');
	scoped_str soft = strndup(text, strcspn(text, ":"));
	struct rlimit l;

	if (soft == NULL || !parse_rlim(&l.rlim_cur, soft, f->row->bytes) ||
		!parse_rlim(&l.rlim_max, colon != NULL ? colon + 1 : soft, f->row->bytes))
		return value_wanted(err, text, "a %s%s, such as '1024', '1024:4096' or 'infinity'",
			f->row->help, f->row->bytes ? " " SIZE_UNITS : "");
	if (l.rlim_cur > l.rlim_max)
		return value_wanted(err, text, "a soft limit not above the hard one");
	put_rlim(f->out, l.rlim_cur);
	if (l.rlim_max != l.rlim_cur) {
		buffer_string(f->out, ":");
		put_rlim(f->out, l.rlim_max);
	}
	*(struct limit *)f->at = (struct limit){.value = l, .given = true};
	return 0;
}

const struct option_type type_limit = {parse_limit, NULL};

/* ---- signals that nclust receives ---- */

/* Signals without a rule: they cannot be caught, are nclust's own business, or mean
 * that nclust itself has crashed. */
static bool is_received(int signal)
{
	static const int never[] = {SIGKILL, SIGSTOP, SIGCHLD, SIGPIPE, SIGWINCH, SIGSEGV, SIGBUS,
		SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS};

	return !array_has(never, COUNT_OF(never), signal);
}

/* Actions that a user can ask for. */
static const char *const actions[] = {
	[SIGNAL_NEXT] = "next",
	[SIGNAL_ALL] = "all",
	[SIGNAL_FIRST] = "first",
	[SIGNAL_RESTART] = "restart",
	[SIGNAL_RELOAD] = "reload",
	[SIGNAL_STOP] = "stop",
	[SIGNAL_REOPEN_LOGS] = "reopen-logs",
	[SIGNAL_UPGRADE] = "upgrade",
	[SIGNAL_IGNORE] = "ignore",
};

static int read_rule(struct signal_rule *out, int received, const char *text, struct error *err)
{
	struct signal_rule rule = {0};
	const char *at = text;
	char name[16];
	char word[32];

	while (value_next_word(&at, word, sizeof(word))) {
		char *arrow = strstr(word, "->");
		int action;

		if (arrow != NULL && rule.translated == 0) {
			*arrow = '\0'; /* "TERM->QUIT" */
			rule.translated = value_signal(arrow + 2);
			if (value_signal(word) != received || rule.translated == -1)
				goto bad;
			continue;
		}
		action = value_index(word, actions, COUNT_OF(actions));
		if (action == -1 || rule.action != SIGNAL_DEFAULT || rule.translated != 0)
			goto bad;
		rule.action = (enum signal_action)action;
	}
	if (rule.action == SIGNAL_DEFAULT && rule.translated == 0)
		goto bad;
	if (rule.translated != 0 && rule.action != SIGNAL_DEFAULT && rule.action != SIGNAL_NEXT &&
		rule.action != SIGNAL_ALL && rule.action != SIGNAL_FIRST)
		goto bad;
	*out = rule;
	return 0;
bad:
	return value_wanted(err, text,
		"'next', 'all', 'first', 'restart', 'reload', 'stop', 'reopen-logs', 'upgrade', "
		"'ignore', or a translation such as '%s->QUIT'",
		text_signal_name(name, received) + 3);
}

static int parse_signal_rule(const struct field *f, const char *text, struct error *err)
{
	struct signal_rule rule = {0};
	char from[16];
	char to[16];

	text_signal_name(from, f->member);
	if (!is_received(f->member))
		return error_set(err, 0, "no rule can be made for %s", from);
	if (read_rule(&rule, f->member, text, err) == -1)
		return -1;
	if (rule.action != SIGNAL_DEFAULT)
		buffer_string(f->out, actions[rule.action]);
	if (rule.translated != 0)
		buffer_printf(f->out, "%s%s->%s", f->out->len > 0 ? " " : "", from + 3,
			text_signal_name(to, rule.translated) + 3);
	((struct cluster_settings *)f->base)->signals[f->member] = rule;
	return 0;
}

const struct option_type type_signal_rule = {parse_signal_rule, NULL};

/* ---- dependencies (`after`) ---- */

#define BLANK " \t"

/* One dependency between commas, without blanks around it. */
static bool parse_one(struct dependency *d, const char *from, size_t len)
{
	const char *colon = memchr(from, ':', len);
	size_t name = colon != NULL ? (size_t)(colon - from) : len;
	const char *word = colon != NULL ? colon + 1 : "";
	size_t rest = colon != NULL ? len - name - 1 : 0;

	while (name > 0 && strchr(BLANK, from[name - 1]) != NULL)
		name--;
	while (rest > 0 && strchr(BLANK, *word) != NULL) {
		word++;
		rest--;
	}
	if (name >= sizeof(d->name))
		return false;
	memcpy(d->name, from, name);
	d->name[name] = '\0';
	d->done = rest == 4 && memcmp(word, "done", 4) == 0;
	return text_is_name(d->name) &&
		(colon == NULL || d->done || (rest == 5 && memcmp(word, "ready", 5) == 0));
}

/* 1; 0: no more; -1: malformed. */
static int next_dependency(const char **at, struct dependency *d)
{
	size_t len;
	const char *part = value_next_part(at, &len);

	if (part == NULL)
		return 0;
	return parse_one(d, part, len) ? 1 : -1;
}

bool after_next(const char **at, struct dependency *d)
{
	return next_dependency(at, d) == 1;
}

static void put_dependency(struct buffer *out, const struct dependency *d)
{
	buffer_printf(out, "%s%s%s", out->len > 0 ? ", " : "", d->name, d->done ? ": done" : "");
}

static bool is_twice(const char *list, const char *name)
{
	struct dependency d;

	while (after_next(&list, &d))
		if (strcmp(d.name, name) == 0)
			return true;
	return false;
}

static int parse_after(const struct field *f, const char *text, struct error *err)
{
	const char *at = text;
	struct dependency d;
	int got;

	while ((got = next_dependency(&at, &d)) == 1) {
		if (f->out->len > 0 && is_twice(buffer_text(f->out), d.name))
			return error_set(err, 0, "'%s' is given twice", d.name);
		put_dependency(f->out, &d);
	}
	if (got == -1 || f->out->len == 0)
		return value_wanted(err, text, "names of clusters, as in 'db, job: done'");
	return 0;
}

const struct option_type type_after = {parse_after, hold_text};

int after_drop(struct cluster_settings *c, const char *name, struct error *err)
{
	const char *at = c->after;
	scoped_buffer out = {0};
	struct dependency d;

	while (after_next(&at, &d))
		if (strcmp(d.name, name) != 0)
			put_dependency(&out, &d);
	if (out.len == 0)
		buffer_string(&out, "none");
	return buffer_text(&out) != NULL ? field_set_key("cluster", c, "after", out.data, err)
					 : value_no_memory(err);
}

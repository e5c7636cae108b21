/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include "base/scope.h"

#include <ctype.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

size_t text_copy(char *to, size_t size, const char *from)
{
	size_t len = strlen(from);
	size_t n = len < size ? len : size - 1;

	if (size == 0)
		return len;
	memcpy(to, from, n);
	to[n] = '\0';
	return len;
}

size_t text_utf8(const char *s, size_t len)
{
	static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *u = (const unsigned char *)s;
	size_t need;
	uint32_t code;

	if (len == 0 || (u[0] & 0xc0) == 0x80 || u[0] >= 0xf8)
		return 0;
	need = 1U + (u[0] >= 0xc0) + (u[0] >= 0xe0) + (u[0] >= 0xf0);
	code = need == 1 ? u[0] : u[0] & (0x7fU >> need);
	if (len < need)
		return 0;
	for (size_t i = 1; i < need; i++) {
		if ((u[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (u[i] & 0x3fU);
	}
	if (code < least[need] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;
	return need;
}

static bool is_control(const char *s, size_t n)
{
	unsigned char c = (unsigned char)s[0];

	if (n == 1)
		return c < 0x20 || c == 0x7f;
	/* U+0080 to U+009f: terminals may obey them as ESC sequences */
	return n == 2 && c == 0xc2 && (unsigned char)s[1] < 0xa0;
}

/* U+061c, U+200e, U+200f, U+2028 to U+202e, U+2066 to U+2069. */
static bool is_turning(const char *s, size_t n)
{
	unsigned char last = (unsigned char)s[n - 1];

	if (n == 2)
		return memcmp(s, "\xd8\x9c", 2) == 0;
	if (n != 3)
		return false;
	if (memcmp(s, "\xe2\x80", 2) == 0)
		return last == 0x8e || last == 0x8f || (last >= 0xa8 && last <= 0xae);
	return memcmp(s, "\xe2\x81", 2) == 0 && last >= 0xa6 && last <= 0xa9;
}

bool text_is_harmless(const char *s, size_t n)
{
	return !is_control(s, n) && !is_turning(s, n);
}

static size_t escape_text(char *to, size_t size, const char *from, size_t len, bool may_turn)
{
	size_t used = 0;

	if (size == 0)
		return 0;
	while (len > 0) {
		size_t n = text_utf8(from, len);
		char hex[3 * sizeof("\\x00")]; /* of three bytes at most */
		const char *put = from;
		size_t want = n;

		if (*from == '\t') {
			put = " ";
		} else if (n == 0 || is_control(from, n) || (!may_turn && is_turning(from, n))) {
			want = 0;
			for (size_t i = 0; i == 0 || i < n; i++)
				want += (size_t)snprintf(hex + want, sizeof(hex) - want, "\\x%02x",
					(unsigned char)from[i]);
			put = hex;
		}
		if (used + want >= size)
			break;
		memcpy(to + used, put, want);
		used += want;
		n = n > 0 ? n : 1;
		from += n;
		len -= n;
	}
	to[used] = '\0';
	return used;
}

size_t text_escape(char *to, size_t size, const char *from, size_t len)
{
	return escape_text(to, size, from, len, false);
}

size_t text_escape_line(char *to, size_t size, const char *from, size_t len)
{
	return escape_text(to, size, from, len, true);
}

size_t text_bom(const char *s, size_t len)
{
	return len >= 3 && memcmp(s, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
}

bool text_is_name(const char *s)
{
	size_t len = strlen(s);

	if (len < 1 || len > 64 || s[0] == '.' || s[0] == '-')
		return false;
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)s[i]) && strchr("._-", s[i]) == NULL)
			return false;
	return true;
}

/* "TERM", as users know it; NULL: no name for this number. */
static const char *short_name(int signal)
{
	return signal == SIGIO ? "IO" : sigabbrev_np(signal);
}

static int realtime_signal(const char *name)
{
	bool max = strncasecmp(name, "RTMAX", 5) == 0;
	char *end;
	long n = 0;

	if (!max && strncasecmp(name, "RTMIN", 5) != 0)
		return -1;
	name += 5;
	if (*name != '\0') {
		if (*name != (max ? '-' : '+') || !isdigit((unsigned char)name[1]))
			return -1;
		n = strtol(name + 1, &end, 10);
		if (*end != '\0' || n > SIGRTMAX - SIGRTMIN)
			return -1;
	}
	return max ? SIGRTMAX - (int)n : SIGRTMIN + (int)n;
}

int text_signal(const char *name)
{
	char *end;
	long n;

	if (isdigit((unsigned char)*name)) {
		n = strtol(name, &end, 10);
		return *end == '\0' && n > 0 && n <= SIGRTMAX ? (int)n : -1;
	}
	if (strncasecmp(name, "SIG", 3) == 0)
		name += 3;
	for (int signal = 1; signal < NSIG; signal++) {
		const char *other = short_name(signal);

		if (other != NULL && strcasecmp(name, other) == 0)
			return signal;
	}
	return realtime_signal(name);
}

const char *text_signal_name(char to[16], int signal)
{
	const char *name = short_name(signal);

	if (name != NULL)
		snprintf(to, 16, "SIG%s", name);
	else if (signal == SIGRTMIN)
		snprintf(to, 16, "SIGRTMIN");
	else if (signal > SIGRTMIN && signal <= SIGRTMAX)
		snprintf(to, 16, "SIGRTMIN+%d", signal - SIGRTMIN);
	else
		snprintf(to, 16, "signal %d", signal);
	return to;
}

const char *text_age(char to[16], nsec_t age)
{
	static const struct {
		nsec_t below;
		nsec_t unit;
		const char *name;
	} units[] = {
		{180 * SECOND, SECOND, "s"},
		{180 * MINUTE, MINUTE, "min"},
		{72 * HOUR, HOUR, "h"},
		{NSEC_NEVER, 24 * HOUR, "d"},
	};
	nsec_t tenths = age > 0 ? nsec_add(age, SECOND / 20) / (SECOND / 10) : 0;
	size_t i = 0;

	if (tenths < 100) {
		snprintf(to, 16, "%u.%u s", (unsigned)tenths / 10, (unsigned)tenths % 10);
		return to;
	}
	while (age >= units[i].below && i + 1 < COUNT_OF(units))
		i++;
	snprintf(to, 16, "%u %s", (unsigned)(nsec_add(age, units[i].unit / 2) / units[i].unit),
		units[i].name);
	return to;
}

uint64_t text_hash(uint64_t hash, const void *bytes, size_t len)
{
	const unsigned char *at = bytes;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
	return hash;
}

size_t text_lines(const char *s, size_t len)
{
	const char *end;
	size_t count = 0;

	while (len > 0 && (end = memchr(s, '\n', len)) != NULL) {
		len -= (size_t)(end - s) + 1;
		s = end + 1;
		count++;
	}
	return count;
}

size_t text_number(uint64_t *n, const char *text, size_t len, uint64_t most)
{
	uint64_t value = 0;
	size_t used = 0;

	for (; used < len && isdigit((unsigned char)text[used]); used++) {
		unsigned digit = (unsigned)(text[used] - '0');

		if (digit > most || value > (most - digit) / 10)
			return 0;
		value = value * 10 + digit;
	}
	*n = value;
	return used;
}

static const struct {
	nsec_t unit;
	const char *name;
} units_of_time[] = {{HOUR, "h"}, {MINUTE, "m"}, {SECOND, "s"}, {MSEC, "ms"}};

size_t text_decimal(struct decimal *d, const char *text)
{
	size_t len = text_number(&d->whole, text, strlen(text), INT64_MAX);
	uint64_t part = 0;
	size_t digits;

	d->thousandths = 0;
	if (len == 0 || text[len] != '.')
		return len;
	digits = text_number(&part, text + len + 1, strlen(text + len + 1), 999);
	if (digits == 0 || digits > 3)
		return 0;
	d->thousandths = (unsigned)(digits == 1 ? part * 100 : digits == 2 ? part * 10 : part);
	return len + 1 + digits;
}

bool text_of_unit(uint64_t *to, struct decimal d, uint64_t unit, uint64_t most)
{
	return !__builtin_mul_overflow(d.whole, unit, to) &&
		!__builtin_add_overflow(*to, d.thousandths * unit / 1000, to) && *to <= most;
}

/* "m", "min", "mins", "minutes" */
static bool is_unit(const char *word, size_t len, const char *name)
{
	if (len > 2 && word[len - 1] == 's')
		len--;
	return len <= strlen(name) && strncmp(word, name, len) == 0;
}

static nsec_t unit_of(const char *word, size_t len)
{
	static const struct {
		const char *name;
		nsec_t unit;
	} names[] = {{"day", 24 * HOUR}, {"hour", HOUR}, {"hr", HOUR}, {"minute", MINUTE},
		{"second", SECOND}, {"msec", MSEC}};

	for (size_t i = 0; len > 0 && i < COUNT_OF(names); i++)
		if (is_unit(word, len, names[i].name))
			return names[i].unit;
	return 0;
}

bool text_parse_duration(nsec_t *t, const char *text)
{
	uint64_t sum = 0;
	uint64_t part;
	struct decimal d = {0};

	do {
		size_t digits = text_decimal(&d, text);
		const char *word = text + digits + strspn(text + digits, " ");
		size_t len = strcspn(word, "0123456789 ");
		nsec_t unit = unit_of(word, len);
		bool is_zero = d.whole == 0 && d.thousandths == 0 && *word == '\0';

		if (digits == 0 || (unit == 0 && !is_zero) ||
			!text_of_unit(&part, d, (uint64_t)unit, INT64_MAX - sum))
			return false;
		sum += part;
		text = word + len + strspn(word + len, " ");
	} while (*text != '\0');
	*t = (nsec_t)sum;
	return true;
}

const char *text_duration(char to[24], nsec_t t)
{
	if (t == NSEC_NEVER)
		return text_copy(to, 24, "never"), to;
	if (t == 0)
		return text_copy(to, 24, "0s"), to;
	for (size_t i = 0; i < COUNT_OF(units_of_time); i++) {
		if (t % units_of_time[i].unit != 0)
			continue;
		snprintf(to, 24, "%lld%s", (long long)(t / units_of_time[i].unit),
			units_of_time[i].name);
		return to;
	}
	snprintf(to, 24, "%lldns", (long long)t);
	return to;
}

bool text_is_of_shell(const char *command)
{
	static const char *const words[] = {
		".", "cd", "exec", "export", "source", "ulimit", "umask"};
	size_t len = strcspn(command, " \t\n");

	return array_find(word, words, COUNT_OF(words),
		       strlen(*word) == len && strncmp(command, *word, len) == 0) != NULL;
}

const char *text_interpreter(const char *file)
{
	static const char *const known[][2] = {{".js", "node"}, {".mjs", "node"}, {".cjs", "node"},
		{".py", "python3"}, {".rb", "ruby"}, {".php", "php"}, {".pl", "perl"},
		{".jar", "java -jar"}, {".ts", "deno run -A"}};
	const char *dot = strrchr(file, '.');

	for (size_t i = 0; dot != NULL && i < COUNT_OF(known); i++)
		if (strcmp(dot, known[i][0]) == 0)
			return known[i][1];
	return NULL;
}

/* Levenshtein's distance, with two letters that are swapped as one mistake; of words of up to 63
 * bytes. */
static size_t edit_distance(const char *a, const char *b)
{
	size_t rows[3][64];
	size_t la = strlen(a);
	size_t lb = strlen(b);

	if (la > 63 || lb > 63)
		return 64;
	for (size_t j = 0; j <= lb; j++)
		rows[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		const size_t *before = rows[(i + 1) % 3]; /* two letters ago */
		const size_t *last = rows[(i - 1) % 3];
		size_t *row = rows[i % 3];

		row[0] = i;
		for (size_t j = 1; j <= lb; j++) {
			size_t best = last[j - 1] + (a[i - 1] != b[j - 1]);

			if (last[j] + 1 < best)
				best = last[j] + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
				before[j - 2] + 1 < best)
				best = before[j - 2] + 1;
			row[j] = best;
		}
	}
	return rows[la % 3][lb];
}

const char *text_nearest(const char *word, const char *const *names, size_t count)
{
	size_t allowed = strlen(word) / 3;
	const char *best = NULL;

	if (allowed < 1)
		allowed = 1;
	for (size_t i = 0; i < count && names[i] != NULL; i++) {
		size_t d = edit_distance(word, names[i]);

		if (d > allowed)
			continue;
		best = names[i];
		if (d == 0)
			break;
		allowed = d - 1; /* a later name must be nearer */
	}
	return best;
}

/* ---- cmdline ---- */

/* `value`: the text behind the name in the same word, or NULL. */
static enum cmdline_part take_value(struct cmdline *c, const char *value, enum cmdline_takes takes)
{
	c->value = value;
	if (takes == TAKES_NOTHING)
		return value != NULL ? CMDLINE_VALUE : CMDLINE_OPTION;
	if (value == NULL && takes == TAKES_YES)
		c->value = "yes";
	else if (value == NULL && c->next < c->argc && strcmp(c->argv[c->next], "--") != 0)
		c->value = c->argv[c->next++];
	return c->value != NULL ? CMDLINE_OPTION : CMDLINE_NO_VALUE;
}

static enum cmdline_part take_long(struct cmdline *c, const char *name)
{
	enum cmdline_takes takes = TAKES_NOTHING;

	c->name = name;
	c->len = strcspn(name, "=");
	c->value = name[c->len] == '=' ? name + c->len + 1 : NULL;
	c->row = c->find(c->table, name, c->len, &takes);
	return c->row != NULL ? take_value(c, c->value, takes) : CMDLINE_UNKNOWN;
}

static enum cmdline_part take_letter(struct cmdline *c)
{
	enum cmdline_takes takes = TAKES_NOTHING;
	const char *rest = c->letters + 1;

	c->name = c->letters;
	c->len = 0;
	c->value = NULL;
	c->letters = NULL;
	c->row = c->find(c->table, c->name, 0, &takes);
	if (c->row == NULL)
		return CMDLINE_UNKNOWN;
	if (takes != TAKES_NOTHING)
		return take_value(c, *rest != '\0' ? rest + (*rest == '=') : NULL, takes);
	if (*rest != '\0')
		c->letters = rest;
	return CMDLINE_OPTION;
}

enum cmdline_part cmdline_next(struct cmdline *c)
{
	const char *word;

	if (c->letters != NULL)
		return take_letter(c);
	if (c->next >= c->argc)
		return CMDLINE_END;
	word = c->argv[c->next++];
	if (word[0] != '-' || word[1] == '\0')
		return CMDLINE_WORD;
	if (strcmp(word, "--") == 0)
		return CMDLINE_SEPARATOR;
	if (word[1] == '-')
		return take_long(c, word + 2);
	c->letters = word + 1;
	return take_letter(c);
}

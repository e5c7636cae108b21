/* SPDX-License-Identifier: MIT */
#include "config/option.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/address.h"
#include "config/natsurl.h"
#include "config/networks.h"
#include "config/value.h"
#include "config/value_list.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

/* ---- texts, which are the values ---- */

void hold_text(const struct field *f, const char *kept)
{
	*(const char **)f->at = kept;
}

static int parse_name(const struct field *f UNUSED, const char *text, struct error *err)
{
	if (text_is_name(text))
		return 0;
	return value_wanted(err, text,
		"a name of 1 to 64 of 'A-Z a-z 0-9 . _ -', not beginning with '.' or '-'");
}

static int parse_relay(const struct field *f, const char *text, struct error *err)
{
	struct natsurl url;

	return strstr(text, "://") == NULL ? parse_name(f, text, err)
					   : natsurl_parse(&url, text, err);
}

static int parse_hand_on(const struct field *f UNUSED, const char *text, struct error *err)
{
	if (strcmp(text, "local") == 0 || strcmp(text, "all") == 0 || strcmp(text, "off") == 0 ||
		networks_are(text))
		return 0;
	return value_wanted(err, text,
		"'local', 'all', 'off' or networks as '10.0.0.0/8 192.0.2.7 2001:db8::/32'");
}

static int parse_path(const struct field *f UNUSED, const char *text, struct error *err)
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

/* A path of the name "off" or "503" can be written "./503". */
static int parse_fallback(const struct field *f, const char *text, struct error *err)
{
	if (strcmp(text, "none") == 0)
		return buffer_string(f->out, "off");
	return parse_path(f, text, err);
}

static int parse_user(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;

	return f->known ? 0 : value_user(&c->uid, &c->user_gid, text, err);
}

static int parse_group(const struct field *f, const char *text, struct error *err)
{
	long *gid = f->row->type == &type_group ? &((struct cluster_settings *)f->base)->gid
						: &((struct settings *)f->base)->control_gid;

	return f->known ? 0 : value_group(gid, text, err);
}

/* ---- lists of texts: list_kept() makes the values ---- */

static int parse_env(const struct field *f UNUSED, const char *text, struct error *err)
{
	size_t len = strcspn(text, "=");

	if (len == 0 || text[len] == '\0' || strcspn(text, " \t\"'") < len)
		return value_wanted(err, text, "'VARIABLE=value'");
	return 0;
}

void hold_list(const struct field *f, const char *kept UNUSED)
{
	struct strings *list = f->at;

	free(list->list);
	*list = (struct strings){0};
}

/* ---- numbers ---- */

static int parse_bool(const struct field *f, const char *text, struct error *err)
{
	if (value_bool(f->at, text, err) == -1)
		return -1;
	return buffer_string(f->out, *(bool *)f->at ? "yes" : "no");
}

static int parse_choice(const struct field *f, const char *text, struct error *err)
{
	const char *const *choices = f->row->choices;
	char words[200];
	size_t used = 0;
	/* of signals, "SIGQUIT" as "QUIT" */
	bool prefixed = strncmp(text, "SIG", 3) == 0;

	for (int i = 0; choices[i] != NULL; i++) {
		if (strcmp(choices[i], text) == 0 ||
			(prefixed && i > 0 && strcmp(choices[i], text + 3) == 0)) {
			*(int *)f->at = i;
			return buffer_string(f->out, choices[i]);
		}
		if (used < sizeof(words))
			used += (size_t)snprintf(words + used, sizeof(words) - used, "%s'%s'",
				i == 0                           ? ""
					: choices[i + 1] == NULL ? " or "
								 : ", ",
				choices[i]);
	}
	return value_wanted(err, text, "%s", words);
}

static int parse_umask(const struct field *f, const char *text, struct error *err)
{
	if (value_octal(f->at, text, err) == -1)
		return -1;
	return buffer_printf(f->out, "0%03o", *(unsigned *)f->at);
}

static int parse_nice(const struct field *f, const char *text, struct error *err)
{
	bool minus = *text == '-';
	uint64_t n;

	if (!value_digits(&n, text + minus, 0, minus ? 20 : 19))
		return value_wanted(err, text, "a whole number from -20 to 19");
	*(int *)f->at = minus ? -(int)n : (int)n;
	return buffer_printf(f->out, "%d", *(int *)f->at);
}

static bool is_count(const struct option_row *row)
{
	return row->type == &type_count || row->type == &type_percent;
}

/* A number in its unit, of any size. */
static bool read_unit(const struct option_row *row, int64_t *to, const char *text)
{
	uint64_t n = 0;
	size_t len;

	if (row->type == &type_duration)
		return text_parse_duration(to, text);
	if (is_count(row)) {
		len = value_number(&n, text, INT64_MAX);
		if (len == 0 || strcmp(text + len, row->type == &type_percent ? "%" : "") != 0)
			return false;
	} else if (value_size(&n, text, INT64_MAX, &(struct error){0}) == -1) {
		return false;
	}
	*to = (int64_t)n;
	return true;
}

static int refuse_number(
	const struct option_row *row, bool is_small, const char *text, struct error *err)
{
	char word[32] = "";
	char least[32];

	if (row->word != NULL)
		snprintf(word, sizeof(word), "%s'%s' or ", row->automatic ? "'auto' or " : "",
			row->word);
	else if (row->automatic)
		snprintf(word, sizeof(word), "'auto' or ");
	if (row->type == &type_duration)
		return value_wanted_time(err, text, word, row->least, row->most);
	if (row->type == &type_count)
		return value_wanted(err, text, "%sa whole number from %lld to %lld", word,
			row->least, row->most);
	if (row->type == &type_percent)
		return value_wanted(
			err, text, "%sa share from %lld%% to %lld%%", word, row->least, row->most);
	if (strstr(text, "huge") != NULL) {
		(void)value_wanted(err, text, "%sa size such as 64M", word);
		return error_hint(err, "a worker has huge pages where it asks by madvise(2)");
	}
	if (is_small)
		return value_wanted(err, text, "%sa size of at least %s, such as 64M", word,
			value_format_size(least, (uint64_t)row->least));
	return value_wanted(err, text, "%sa size " SIZE_UNITS ", such as 4096 or 64M", word);
}

/* One value of a number may have a name.  Where "off" is 0, a time or a size of 0 is "off"; a
 * count or share is not: 0 is no weight, and no number of processes. */
static int read_number(
	const struct option_row *row, int64_t *to, const char *text, struct error *err)
{
	int64_t n = 0;
	bool is_number = read_unit(row, &n, text);
	bool is_off = is_number && n == 0 && row->word_value == 0 && !is_count(row);

	if (row->word != NULL && (is_off || strcmp(text, row->word) == 0))
		*to = row->word_value;
	else if (row->automatic && strcmp(text, "auto") == 0)
		*to = COUNT_AUTO;
	else if (is_number && n >= row->least && n <= row->most)
		*to = n;
	else
		return refuse_number(row, is_number && n < row->least, text, err);
	return 0;
}

static int put_number(const struct field *f, int64_t value)
{
	const struct option_row *row = f->row;
	char to[32];

	if (row->word != NULL && value == row->word_value)
		return buffer_string(f->out, row->word);
	if (row->automatic && value == COUNT_AUTO)
		return buffer_string(f->out, "auto");
	if (is_count(row))
		return buffer_printf(
			f->out, "%lld%s", (long long)value, row->type == &type_percent ? "%" : "");
	return buffer_string(f->out,
		row->type == &type_duration ? text_duration(to, value)
					    : value_format_size(to, (uint64_t)value));
}

static int parse_number(const struct field *f, const char *text, struct error *err)
{
	int64_t value = 0;

	if (read_number(f->row, &value, text, err) == -1)
		return -1;
	if (is_count(f->row))
		*(unsigned *)f->at = (unsigned)value;
	else
		*(int64_t *)f->at = value;
	return put_number(f, value);
}

/* "500M", or "500M for 30s". */
static int parse_memory_limit(const struct field *f, const char *text, struct error *err)
{
	static const char between[] = " for ";
	const char *at = strstr(text, between);
	scoped_str size = strndup(text, at != NULL ? (size_t)(at - text) : strlen(text));
	nsec_t span = 0;
	char shown[24];
	int64_t bytes = 0;

	if (size == NULL)
		return value_no_memory(err);
	if (read_number(f->row, &bytes, size, err) == -1)
		return -1;
	if (at != NULL && bytes == 0)
		return value_wanted(err, text, "'off' alone");
	if (at != NULL && value_duration(&span, at + strlen(between), SECOND, 24 * HOUR, err) == -1)
		return -1;
	*(struct memory_limit *)f->at = (struct memory_limit){(uint64_t)bytes, span};
	put_number(f, bytes);
	if (span > 0)
		buffer_printf(f->out, "%s%s", between, text_duration(shown, span));
	return 0;
}

static int parse_give_up(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;
	uint64_t n = 0;
	nsec_t window = 0;
	char shown[24];

	if (strcmp(text, "never") != 0) {
		size_t len = value_number(&n, text, GIVE_UP_MAX);

		if (len == 0 || n == 0 || text[len] != '/' ||
			value_duration(&window, text + len + 1, SECOND, 24 * HOUR,
				&(struct error){0}) == -1)
			return value_wanted(err, text,
				"'never', or 1 to %d deaths in 1s to 24h such as '5/1m'",
				GIVE_UP_MAX);
		buffer_printf(f->out, "%u/%s", (unsigned)n, text_duration(shown, window));
	}
	c->give_up_count = (unsigned)n;
	c->give_up_window = window;
	return 0;
}

/* ---- addresses ---- */

static int put_address(const struct field *f, const struct address *a, struct error *err)
{
	scoped_str whole = address_format(a);

	if (whole == NULL)
		return value_no_memory(err);
	return buffer_string(f->out, a->each != NULL ? a->each : whole);
}

static int parse_listen(const struct field *f, const char *text, struct error *err)
{
	struct cluster_settings *c = f->base;

	if (!array_grow(c->listen, c->listen_count))
		return value_no_memory(err);
	if (address_parse_slot(&c->listen[c->listen_count], text, 0, err) == -1)
		return -1;
	return put_address(f, &c->listen[c->listen_count++], err);
}

static void hold_listen(const struct field *f, const char *kept)
{
	struct cluster_settings *c = f->base;

	if (kept != NULL)
		return;
	while (c->listen_count > 0)
		address_fini(&c->listen[--c->listen_count]);
	free(c->listen);
	c->listen = NULL;
}

/* A port alone means, for `http`, 127.0.0.1 and ::1, where only this machine's users
 * get: the address is the first one's, and its `each` the given text. */
static int read_http(const struct field *f, struct address *a, const char *text, struct error *err)
{
	size_t digits = strspn(text, "0123456789");
	char local[300];
	bool alone = f->row->offset == offsetof(struct settings, http) && digits > 0 &&
		strchr(", \t", text[digits]) != NULL &&
		snprintf(local, sizeof(local), "127.0.0.1:%s", text) < (int)sizeof(local);

	if (address_parse(a, alone ? local : text, err) == -1)
		return -1;
	if (alone && (a->each = strdup(text)) == NULL)
		return value_no_memory(err);
	return a->kind == ADDRESS_TCP || a->kind == ADDRESS_UNIX
		? 0
		: value_wanted(err, text, "'off', a port, an address with a port, or 'unix:PATH'");
}

static int parse_http(const struct field *f, const char *text, struct error *err)
{
	struct address a = {0};

	if (strcmp(text, "off") != 0 &&
		(read_http(f, &a, text, err) == -1 || put_address(f, &a, err) == -1)) {
		address_fini(&a);
		return -1;
	}
	address_fini(f->at);
	*(struct address *)f->at = a;
	return 0;
}

static void hold_http(const struct field *f, const char *kept)
{
	if (kept == NULL)
		address_fini(f->at);
}

/* ---- all types ---- */

const struct option_type type_flag = {NULL, NULL};
const struct option_type type_name = {parse_name, hold_text};
const struct option_type type_relay = {parse_relay, hold_text};
const struct option_type type_hand_on = {parse_hand_on, hold_text};
const struct option_type type_path = {parse_path, hold_text};
const struct option_type type_paths = {parse_path, hold_list};
const struct option_type type_fallback = {parse_fallback, hold_text};
const struct option_type type_bool = {parse_bool, NULL};
const struct option_type type_count = {parse_number, NULL};
const struct option_type type_percent = {parse_number, NULL};
const struct option_type type_duration = {parse_number, NULL};
const struct option_type type_memory_limit = {parse_memory_limit, NULL};
const struct option_type type_size = {parse_number, NULL};
const struct option_type type_choice = {parse_choice, NULL};
const struct option_type type_listen = {parse_listen, hold_listen};
const struct option_type type_user = {parse_user, hold_text};
const struct option_type type_group = {parse_group, hold_text};
const struct option_type type_control_group = {parse_group, hold_text};
const struct option_type type_http = {parse_http, hold_http};
const struct option_type type_umask = {parse_umask, NULL};
const struct option_type type_nice = {parse_nice, NULL};
const struct option_type type_env = {parse_env, hold_list};
const struct option_type type_give_up = {parse_give_up, NULL};

/* ---- kept texts ---- */

static struct texts *texts_of(const void *base)
{
	return (struct texts *)(uintptr_t)base; /* both structs begin with them */
}

static bool is_of(const struct option_row *row, const struct kept_text *k)
{
	return &option_rows[k->row] == row;
}

/* The kept text that `text` would replace, or NULL. */
static struct kept_text *find_same(
	const struct option_row *row, const void *base, int member, const char *text)
{
	const struct texts *t = texts_of(base);
	const char *name = row->type == &type_env ? text : NULL;
	size_t length = name != NULL ? strcspn(name, "=") + 1 : 0;

	return array_find(k, t->list, t->count,
		is_of(row, k) &&
			(name != NULL ? strncmp(k->text, name, length) == 0
				      : !row->repeatable ||
						(option_is_family(row) && k->member == member)));
}

static void remove_kept(struct texts *t, struct kept_text *k)
{
	free(k->text);
	t->count--;
	memmove(k, k + 1, (size_t)(t->list + t->count - k) * sizeof(*k));
}

/* Make a list of the texts that are kept. */
static int list_kept(const struct field *f)
{
	const struct texts *t = texts_of(f->base);
	struct strings *s = f->at;
	char **list = reallocarray(s->list, t->count + 1, sizeof(*list));

	if (list == NULL)
		return -1;
	*s = (struct strings){.list = list};
	for (size_t i = 0; i < t->count; i++)
		if (is_of(f->row, &t->list[i]))
			list[s->count++] = t->list[i].text;
	list[s->count] = NULL;
	return 0;
}

/* Keep the text, or that there is none, and let the value hold it. */
static int keep_text(const struct field *f, char *text)
{
	const struct option_row *row = f->row;
	struct texts *t = texts_of(f->base);
	struct kept_text *k = find_same(row, f->base, f->member, text);

	if (k != NULL) {
		free(k->text);
	} else {
		k = &t->list[t->count++];
		k->row = (unsigned short)(row - option_rows);
		k->member = (short)f->member;
	}
	k->line = 0;
	k->text = text;
	/* what is not kept is the default, or none; but a family's "none" replaces the value
	 * that [defaults] has for the key */
	if (text == NULL ? !option_is_family(row)
			 : row->fallback != NULL && strcmp(row->fallback, text) == 0) {
		remove_kept(t, k);
		text = NULL;
	}
	if (row->type->hold == hold_list)
		return list_kept(f);
	if (row->type->hold != NULL)
		row->type->hold(f, text);
	return 0;
}

/* Does the text say that there is no value? */
static bool is_none(const struct option_row *row, const char *text)
{
	return row->word != NULL && row->fallback == NULL && strcmp(text, row->word) == 0;
}

static int set_value(const struct option_row *row, void *base, int member, bool known,
	const char *given, struct error *err)
{
	struct texts *t = base;
	scoped_buffer out = {0};
	const struct field f = {row, base, (char *)base + row->offset, member, known, &out};
	scoped_str text = strdup(given);
	bool none = is_none(row, given);

	if (text == NULL || !array_grow(t->list, t->count))
		return value_no_memory(err);
	if (!none && row->type->parse(&f, given, err) == -1 && !out.failed)
		return -1;
	if (out.failed || out.len > 0) {
		free(text);
		text = buffer_take(&out);
	}
	if (text == NULL || keep_text(&f, none ? NULL : str_release(&text)) == -1)
		return value_no_memory(err);
	return 0;
}

int field_set(
	const struct option_row *row, void *base, int member, const char *text, struct error *err)
{
	if (row->repeatable && !option_is_family(row) && is_none(row, text)) {
		field_clear(row, base);
		return 0;
	}
	if (row->type == &type_header && field_count(row, base) == HEADERS_MAX)
		return error_set(err, 0, "at most %d lines can be given", HEADERS_MAX);
	return set_value(row, base, member, false, text, err);
}

int field_set_key(
	const char *section, void *base, const char *key, const char *text, struct error *err)
{
	int member;
	const struct option_row *row = option_find(section, key, &member);

	return field_set(row, base, member, text, err);
}

int field_carry(
	const char *section, void *base, const char *key, const char *text, struct error *err)
{
	int member;
	const struct option_row *row = option_find(section, key, &member);

	return row == NULL || member == -1 ? 1 : set_value(row, base, member, true, text, err);
}

bool field_has(const struct option_row *row, const void *base, int member, const char *text)
{
	return row->repeatable && find_same(row, base, member, text) != NULL;
}

void field_set_line(const struct option_row *row, const void *base, int member, unsigned line)
{
	if (option_is_family(row))
		find_same(row, base, member, NULL)->line = line;
}

unsigned field_line(const char *section, const void *base, const char *key)
{
	int member;
	const struct option_row *row = option_find(section, key, &member);
	const struct kept_text *k =
		option_is_family(row) ? find_same(row, base, member, NULL) : NULL;

	return k != NULL ? k->line : 0;
}

void field_clear(const struct option_row *row, void *base)
{
	struct field f = {.row = row, .base = base, .at = (char *)base + row->offset};
	struct texts *t = base;

	for (size_t i = t->count; i-- > 0;)
		if (is_of(row, &t->list[i]))
			remove_kept(t, &t->list[i]);
	for (; row->type->hold != NULL && option_key(row, (size_t)f.member) != NULL; f.member++)
		row->type->hold(&f, NULL);
}

int field_give(
	const struct option_row *row, void *base, const void *from, bool keep, struct error *err)
{
	const struct texts *t = texts_of(from);
	bool given = false;

	for (const struct kept_text *k = t->list; k < t->list + t->count; k++) {
		const char *text = k->text != NULL ? k->text : row->word;

		if (!is_of(row, k))
			continue;
		given = true;
		if ((!keep || find_same(row, base, k->member, text) == NULL) &&
			set_value(row, base, k->member, false, text, err) == -1)
			return -1;
	}
	return given || row->fallback == NULL ? 0
					      : set_value(row, base, 0, false, row->fallback, err);
}

/* The n-th kept text that is not NULL ("none"); or NULL. */
static const struct kept_text *find_kept(const struct option_row *row, const void *base, size_t n)
{
	const struct texts *t = texts_of(base);

	return array_find(k, t->list, t->count, is_of(row, k) && k->text != NULL && n-- == 0);
}

size_t field_count(const struct option_row *row, const void *base)
{
	const struct texts *t = texts_of(base);
	size_t count = 0;

	for (size_t i = 0; i < t->count; i++)
		count += is_of(row, &t->list[i]) && t->list[i].text != NULL;
	return count == 0 && row->fallback != NULL ? 1 : count;
}

const char *field_at(const struct option_row *row, const void *base, size_t n)
{
	const struct kept_text *k = find_kept(row, base, n);

	return k != NULL ? k->text : row->fallback;
}

const char *field_key(const struct option_row *row, const void *base, size_t n, char to[40])
{
	const struct kept_text *k = find_kept(row, base, n);
	char name[16];

	if (row->type == &type_signal_rule && k != NULL)
		snprintf(to, 40, "signal-%s", text_signal_name(name, k->member) + 3);
	else
		text_copy(to, 40, option_key(row, k != NULL ? (size_t)k->member : 0));
	return to;
}

void field_each(const char *section, const void *base, field_taker *take, void *to)
{
	const struct option_row *row = NULL;
	char key[40];

	while ((row = option_next(section, row)) != NULL) {
		size_t count = field_count(row, base);

		for (size_t n = 0; n < count; n++)
			take(to, field_key(row, base, n, key), field_at(row, base, n));
	}
}

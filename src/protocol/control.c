/* SPDX-License-Identifier: MIT */
#include "protocol/control.h"

#include "base/scope.h"
#include "base/text.h"
#include "protocol/json.h"

#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#define SCALE_MOST 10000
#define LAST_MOST 1000000
#define SLOT_DIGITS 6
#define DAY (24 * 3600)
#define SINCE_MOST 9000000000.0 /* in the year 2255, and fits in a nsec_t */

/* The fields of `params`, as a set. */
enum field {
	FIELD_TARGET = 1 << 0,
	FIELD_NO_WAIT = 1 << 1,
	FIELD_COUNT = 1 << 2,
	FIELD_BY = 1 << 3,
	FIELD_SIGNAL = 1 << 4,
	FIELD_ALL = 1 << 5,
	FIELD_NOW = 1 << 6,
	FIELD_FOLLOW = 1 << 7,
	FIELD_LAST = 1 << 8,
	FIELD_CANARY = 1 << 9,
	FIELD_BAKE = 1 << 10,
	FIELD_DROP_PORTS = 1 << 12,
	FIELD_MESSAGE = 1 << 11,
	FIELD_SINCE = 1 << 13,
	FIELD_KINDS = 1 << 14,
	FIELD_AFTER = 1 << 15,
	FIELD_FIRST = 1 << 16,
	FIELD_METRICS = 1 << 17,
	FIELD_COMMAND = 1 << 18,
	FIELD_READINESS = 1 << 19,
	FIELD_TIMEOUT = 1 << 20,
};

static const struct {
	const char *name;
	bool writes;
	unsigned fields;
} methods[METHODS] = {
	[METHOD_STATUS] = {"status", false, FIELD_TARGET | FIELD_METRICS | FIELD_READINESS},
	[METHOD_RESTART] = {"restart", true,
		FIELD_TARGET | FIELD_NO_WAIT | FIELD_CANARY | FIELD_BAKE | FIELD_DROP_PORTS |
			FIELD_COMMAND},
	[METHOD_RELOAD] = {"reload", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_DROP_PORTS},
	[METHOD_SCALE] = {"scale", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_COUNT | FIELD_BY},
	[METHOD_STOP] = {"stop", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_NOW},
	[METHOD_SIGNAL] = {"signal", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_SIGNAL | FIELD_ALL},
	[METHOD_EVENTS] = {"events", false,
		FIELD_TARGET | FIELD_FOLLOW | FIELD_LAST | FIELD_SINCE | FIELD_KINDS},
	[METHOD_CONFIG] = {"config", false, FIELD_TARGET},
	[METHOD_UPGRADE] = {"upgrade", true, FIELD_TARGET | FIELD_NO_WAIT},
	[METHOD_SEND] = {"send", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_MESSAGE | FIELD_ALL},
	[METHOD_LOGS] = {"logs", false, FIELD_TARGET | FIELD_FOLLOW | FIELD_AFTER},
	[METHOD_ASK] = {"ask", true, FIELD_TARGET | FIELD_FIRST},
	[METHOD_DRAIN] = {"drain", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_TIMEOUT},
	[METHOD_UNDRAIN] = {"undrain", true, FIELD_TARGET | FIELD_NO_WAIT | FIELD_TIMEOUT},
};

bool control_method_writes(enum control_method method)
{
	return methods[method].writes;
}

static int take_bool(bool *to, const json_t *value, struct error *err)
{
	if (!json_is_boolean(value))
		return error_set(err, 0, "wanted true or false");
	*to = json_is_true(value);
	return 0;
}

static int take_int(int *to, const json_t *value, int least, int most, struct error *err)
{
	json_int_t n = json_integer_value(value);

	if (!json_is_integer(value) || n < least || n > most)
		return error_set(err, 0, "wanted a whole number from %d to %d", least, most);
	*to = (int)n;
	return 0;
}

static int take_target(struct control_request *r, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);
	struct control_target target;

	if (text == NULL)
		return error_set(err, 0, "wanted a string");
	if (control_parse_target(&target, text, err) == -1)
		return -1;
	text_copy(r->target, sizeof(r->target), text);
	return 0;
}

static int take_scale(
	struct control_request *r, const json_t *value, enum scale_kind kind, struct error *err)
{
	r->scale_kind = kind;
	return take_int(&r->count, value, kind == SCALE_TO ? 0 : -SCALE_MOST, SCALE_MOST, err);
}

static int take_signal(struct control_request *r, const json_t *value, struct error *err)
{
	const char *name = json_string_value(value);

	if (name == NULL)
		return error_set(err, 0, "wanted a string");
	r->signal = text_signal(name);
	if (r->signal == -1)
		return error_set(err, 0, "there is no signal '%.32s'", name);
	return 0;
}

static int take_seconds(nsec_t *to, const json_t *value, struct error *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0) || seconds > DAY)
		return error_set(err, 0, "wanted 0 to %d seconds", DAY);
	*to = (nsec_t)(seconds * 1000) * MSEC;
	return 0;
}

static int take_since(nsec_t *to, const json_t *value, struct error *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0) || seconds > SINCE_MOST)
		return error_set(err, 0, "wanted seconds since 1970");
	*to = (nsec_t)(seconds * 1000 + 0.5) * MSEC;
	return 0;
}

static int take_after(struct control_request *r, const json_t *value, struct error *err)
{
	if (!json_is_integer(value) || json_integer_value(value) < 0)
		return error_set(err, 0, "wanted a number that was given");
	r->after = (uint64_t)json_integer_value(value);
	return 0;
}

static int take_kinds(struct control_request *r, const json_t *value, struct error *err)
{
	size_t i;
	json_t *kind;

	if (json_array_size(value) == 0)
		return error_set(err, 0, "wanted an array of names");
	json_array_foreach(value, i, kind)
	{
		if (!json_is_string(kind))
			return error_set(err, 0, "wanted an array of names");
		if (eventkind_add(
			    r->kinds, json_string_value(kind), json_string_length(kind), err) == -1)
			return -1;
	}
	return 0;
}

/* Keep the message as text: its content is the worker's business alone. */
static int take_message(struct control_request *r, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);

	if (text == NULL)
		return error_set(err, 0, "wanted a string: the text of a value of JSON");
	if (strchr(text, '\n') != NULL || !jsonvalue_check(text, json_string_length(value)))
		return error_set(err, 0, "wanted one value of JSON on one line");
	r->message = strdup(text);
	return r->message != NULL ? 0 : error_set(err, ENOMEM, "message");
}

static int take_command(struct control_request *r, const json_t *value, struct error *err)
{
	size_t count = json_array_size(value);
	size_t i;
	json_t *word;

	r->command = count > 0 ? calloc(count + 1, sizeof(char *)) : NULL;
	if (count > 0 && r->command == NULL)
		return error_set(err, ENOMEM, "command");
	json_array_foreach(value, i, word)
	{
		if (r->command == NULL || !json_is_string(word))
			break;
		r->command[i] = strdup(json_string_value(word));
		if (r->command[i] == NULL)
			return error_set(err, ENOMEM, "command");
	}
	if (count > 0 && i == count && r->command[0][0] != '\0')
		return 0;
	return error_set(err, 0, "wanted an array of strings: a program and its arguments");
}

static int take_first(struct control_request *r, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);

	if (text == NULL || text[0] < 'A' || text[0] > 'Z' || text[1] != '\0')
		return error_set(err, 0, "wanted a capital letter");
	r->first = text[0];
	return 0;
}

/* Kinds and addresses, and nothing else, as they are shown to people. */
static int take_readiness(struct control_request *r, const json_t *value, struct error *err)
{
	const char *text = json_string_value(value);

	if (text == NULL ||
		text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.:, ")] != '\0' ||
		text_copy(r->readiness, sizeof(r->readiness), text) >= sizeof(r->readiness))
		return error_set(err, 0, "wanted kinds and addresses");
	return 0;
}

/* The fields that `params` may have. */
static const struct field_is {
	const char *name;
	enum field field;
	size_t flag; /* offset in a request, of a field that is yes or no */
} fields[] = {
	{"target", FIELD_TARGET, 0},
	{"no_wait", FIELD_NO_WAIT, offsetof(struct control_request, no_wait)},
	{"count", FIELD_COUNT, 0},
	{"by", FIELD_BY, 0},
	{"signal", FIELD_SIGNAL, 0},
	{"all", FIELD_ALL, offsetof(struct control_request, all)},
	{"now", FIELD_NOW, offsetof(struct control_request, now)},
	{"follow", FIELD_FOLLOW, offsetof(struct control_request, follow)},
	{"last", FIELD_LAST, 0},
	{"since", FIELD_SINCE, 0},
	{"kinds", FIELD_KINDS, 0},
	{"after", FIELD_AFTER, 0},
	{"canary", FIELD_CANARY, 0},
	{"bake", FIELD_BAKE, 0},
	{"drop_ports", FIELD_DROP_PORTS, offsetof(struct control_request, drop_ports)},
	{"message", FIELD_MESSAGE, 0},
	{"command", FIELD_COMMAND, 0},
	{"first", FIELD_FIRST, 0},
	{"readiness", FIELD_READINESS, 0},
	{"timeout", FIELD_TIMEOUT, 0},
	{"metrics", FIELD_METRICS, offsetof(struct control_request, metrics)},
};

static int take_field(struct control_request *r, const struct field_is *is, const json_t *value,
	struct error *err)
{
	switch (is->field) {
	case FIELD_TARGET:
		return take_target(r, value, err);
	case FIELD_COUNT:
		return take_scale(r, value, SCALE_TO, err);
	case FIELD_BY:
		return take_scale(r, value, SCALE_BY, err);
	case FIELD_SIGNAL:
		return take_signal(r, value, err);
	case FIELD_LAST:
		return take_int(&r->last, value, -1, LAST_MOST, err);
	case FIELD_SINCE:
		return take_since(&r->since, value, err);
	case FIELD_KINDS:
		return take_kinds(r, value, err);
	case FIELD_AFTER:
		return take_after(r, value, err);
	case FIELD_CANARY:
		r->has_canary = true;
		return take_int(&r->canary, value, 0, SCALE_MOST, err);
	case FIELD_BAKE:
		r->has_bake = true;
		return take_seconds(&r->bake, value, err);
	case FIELD_MESSAGE:
		return take_message(r, value, err);
	case FIELD_COMMAND:
		return take_command(r, value, err);
	case FIELD_FIRST:
		return take_first(r, value, err);
	case FIELD_READINESS:
		return take_readiness(r, value, err);
	case FIELD_TIMEOUT:
		r->has_timeout = true;
		return take_seconds(&r->timeout, value, err);
	default:
		return take_bool((bool *)((char *)r + is->flag), value, err);
	}
}

/* The field of that name, if the method has it; or NULL. */
static const struct field_is *find_field(enum control_method method, const char *name)
{
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		if ((methods[method].fields & fields[i].field) != 0 &&
			strcmp(fields[i].name, name) == 0)
			return &fields[i];
	return NULL;
}

static int take_params(struct control_request *r, json_t *params, struct error *err)
{
	const char *method = methods[r->method].name;
	unsigned seen = 0;
	const char *name;
	json_t *value;

	if (params != NULL && !json_is_object(params))
		return error_set(err, 0, "params: wanted an object");
	json_object_foreach(params, name, value)
	{
		const struct field_is *is = find_field(r->method, name);

		if (is == NULL)
			return error_set(err, 0, "'%s' takes no '%.32s'", method, name);
		if (take_field(r, is, value, err) == -1)
			return error_wrap(err, "%s", name);
		seen |= is->field;
	}
	if (r->method == METHOD_SCALE && ((seen & FIELD_COUNT) != 0) == ((seen & FIELD_BY) != 0))
		return error_set(err, 0, "'scale' wants either count or by");
	if (r->method == METHOD_SIGNAL && (seen & FIELD_SIGNAL) == 0)
		return error_set(err, 0, "'signal' wants a signal");
	if (r->method == METHOD_SEND && (seen & FIELD_MESSAGE) == 0)
		return error_set(err, 0, "'send' wants a message");
	return 0;
}

/* Keep the id as JSON text, to be repeated in each answer. */
static int take_id(struct control_request *r, const json_t *id, struct error *err)
{
	struct json_writer w;
	struct buffer text;
	const char *got;
	int result = -1;

	if (!json_is_integer(id) && !json_is_string(id))
		return error_set(err, 0, "id: wanted a string or a whole number");
	buffer_init(&text, sizeof(r->id) - 1);
	json_begin(&w, &text);
	if (json_is_integer(id))
		json_int(&w, json_integer_value(id));
	else
		json_text(&w, json_string_value(id));
	got = text.failed ? NULL : buffer_text(&text);
	if (got == NULL) {
		error_set(err, 0, "id: too long");
	} else {
		text_copy(r->id, sizeof(r->id), got);
		result = 0;
	}
	buffer_fini(&text);
	return result;
}

static int check_envelope(struct control_request *r, const json_t *root, struct error *err)
{
	const char *version;
	const char *name;
	json_t *value;

	if (!json_is_object(root))
		return error_set(err, 0, "batches are not supported");
	if (take_id(r, json_object_get(root, "id"), err) == -1)
		return -1;
	json_object_foreach((json_t *)root, name, value) if (strcmp(name, "jsonrpc") != 0 &&
		strcmp(name, "id") != 0 && strcmp(name, "method") != 0 &&
		strcmp(name, "params") != 0) return error_set(err, 0, "unknown field '%.32s'",
		name);
	version = json_string_value(json_object_get(root, "jsonrpc"));
	if (version == NULL || strcmp(version, "2.0") != 0)
		return error_set(err, 0, "jsonrpc: wanted \"2.0\"");
	if (!json_is_string(json_object_get(root, "method")))
		return error_set(err, 0, "method: wanted a string");
	return 0;
}

static int take_method(struct control_request *r, const char *name, struct error *err)
{
	const char *names[METHODS];
	const char *nearest;

	for (unsigned i = 0; i < METHODS; i++) {
		names[i] = methods[i].name;
		if (strcmp(name, names[i]) != 0)
			continue;
		r->method = (enum control_method)i;
		r->last = r->method == METHOD_EVENTS ? -1 : 0;
		r->first = r->method == METHOD_ASK ? 'G' : '\0';
		return 0;
	}
	error_set(err, 0, "unknown method '%.32s'", name);
	nearest = text_nearest(name, names, METHODS);
	if (nearest != NULL)
		error_hint(err, "did you mean '%s'?", nearest);
	return -1;
}

static int take_request(struct control_request *r, json_t *root, int *code, struct error *err)
{
	*code = CONTROL_INVALID;
	if (check_envelope(r, root, err) == -1)
		return -1;
	*code = CONTROL_NO_METHOD;
	if (take_method(r, json_string_value(json_object_get(root, "method")), err) == -1)
		return -1;
	*code = CONTROL_PARAMS;
	if (take_params(r, json_object_get(root, "params"), err) == -1)
		return -1;
	*code = 0;
	return 0;
}

int control_decode(
	struct control_request *r, const char *line, size_t len, int *code, struct error *err)
{
	json_error_t why;
	json_t *root;
	int result;

	*r = (struct control_request){.id = "null"};
	*code = CONTROL_INVALID;
	if (len >= CONTROL_LINE_MAX)
		return error_set(err, 0, "a request has at most %u bytes", CONTROL_LINE_MAX);
	if (jsonvalue_is_deep(line, len, CONTROL_DEPTH_MAX))
		return error_set(err, 0, "nested deeper than %d levels", CONTROL_DEPTH_MAX);
	*code = CONTROL_PARSE;
	root = json_loadb(line, len, JSON_REJECT_DUPLICATES, &why);
	if (root == NULL)
		return error_set(err, 0, "no JSON: %s", why.text);
	result = take_request(r, root, code, err);
	json_decref(root);
	if (result == -1)
		control_fini(r);
	return result;
}

void control_fini(struct control_request *r)
{
	for (char **word = r->command; word != NULL && *word != NULL; word++)
		free(*word);
	free(r->command);
	free(r->message);
	r->command = NULL;
	r->message = NULL;
}

/* End a line that began at `start`; after a failure the line is removed. */
static int end_line(struct buffer *out, size_t start)
{
	buffer_append(out, "\n", 1);
	if (!out->failed)
		return 0;
	out->len = start;
	return -1;
}

static void put_signal(struct json_writer *w, int signal)
{
	char name[16];

	text_signal_name(name, signal);
	if (text_signal(name) != signal) /* the signal has no name */
		snprintf(name, sizeof(name), "%d", signal);
	json_put_text(w, "signal", name);
}

static void put_kinds(struct json_writer *w, const char *kinds)
{
	json_key(w, "kinds");
	json_open_array(w);
	for (size_t len; *kinds != '\0'; kinds += len + (kinds[len] == ',')) {
		len = strcspn(kinds, ",");
		json_bytes(w, kinds, len);
	}
	json_close_array(w);
}

static void put_command(struct json_writer *w, char *const *words)
{
	json_key(w, "command");
	json_open_array(w);
	for (; *words != NULL; words++)
		json_text(w, *words);
	json_close_array(w);
}

static void put_params(struct json_writer *w, const struct control_request *r)
{
	unsigned has = methods[r->method].fields;

	json_open_object(w);
	if (r->target[0] != '\0')
		json_put_text(w, "target", r->target);
	for (size_t i = 0; i < COUNT_OF(fields); i++)
		if (fields[i].flag != 0 && (has & fields[i].field) != 0 &&
			*((const bool *)((const char *)r + fields[i].flag)))
			json_put_bool(w, fields[i].name, true);
	if ((has & FIELD_COUNT) != 0)
		json_put_int(w, r->scale_kind == SCALE_TO ? "count" : "by", r->count);
	if ((has & FIELD_SIGNAL) != 0)
		put_signal(w, r->signal);
	if (r->last != -1 && (has & FIELD_LAST) != 0)
		json_put_int(w, "last", r->last);
	if (r->after != 0 && (has & FIELD_AFTER) != 0)
		json_put_int(w, "after", (int64_t)r->after);
	if (r->since != 0 && (has & FIELD_SINCE) != 0)
		json_put_real(w, "since", nsec_seconds(r->since), 3);
	if (r->kinds[0] != '\0' && (has & FIELD_KINDS) != 0)
		put_kinds(w, r->kinds);
	if (r->has_canary && (has & FIELD_CANARY) != 0)
		json_put_int(w, "canary", r->canary);
	if (r->has_bake && (has & FIELD_BAKE) != 0)
		json_put_real(w, "bake", nsec_seconds(r->bake), 3);
	if (r->has_timeout && (has & FIELD_TIMEOUT) != 0)
		json_put_real(w, "timeout", nsec_seconds(r->timeout), 3);
	if (r->readiness[0] != '\0' && (has & FIELD_READINESS) != 0)
		json_put_text(w, "readiness", r->readiness);
	if (r->message != NULL && (has & FIELD_MESSAGE) != 0)
		json_put_text(w, "message", r->message);
	if (r->command != NULL && (has & FIELD_COMMAND) != 0)
		put_command(w, r->command);
	if (r->first != '\0' && (has & FIELD_FIRST) != 0) {
		json_key(w, "first");
		json_bytes(w, &r->first, 1);
	}
	json_close_object(w);
}

/* Begin a line; `id` NULL: without one. */
static void begin_line(struct json_writer *w, struct buffer *out, const char *id)
{
	json_begin(w, out);
	json_open_object(w);
	json_put_text(w, "jsonrpc", "2.0");
	if (id == NULL)
		return;
	json_key(w, "id");
	json_raw(w, id);
}

int control_encode(struct buffer *out, const struct control_request *r)
{
	size_t start = out->len;
	struct json_writer w;

	begin_line(&w, out, r->id);
	json_put_text(&w, "method", methods[r->method].name);
	json_key(&w, "params");
	put_params(&w, r);
	json_close_object(&w);
	return end_line(out, start);
}

int control_put_hello(struct buffer *out, const char *name, int pid, const char *version,
	const char *const *clusters, size_t count)
{
	size_t start = out->len;
	struct json_writer w;

	begin_line(&w, out, NULL);
	json_put_text(&w, "method", "hello");
	json_key(&w, "params");
	json_open_object(&w);
	json_put_text(&w, "name", name);
	json_put_int(&w, "pid", pid);
	json_put_text(&w, "version", version);
	json_put_int(&w, "protocol", CONTROL_VERSION);
	json_key(&w, "clusters");
	json_open_array(&w);
	for (size_t i = 0; i < count; i++)
		json_text(&w, clusters[i]);
	json_close_array(&w);
	json_close_object(&w);
	json_close_object(&w);
	return end_line(out, start);
}

int control_put_error(struct buffer *out, const char *id, int code, const char *message)
{
	size_t start = out->len;
	struct json_writer w;

	begin_line(&w, out, id);
	json_key(&w, "error");
	json_open_object(&w);
	json_put_int(&w, "code", code);
	json_put_text(&w, "message", message);
	json_close_object(&w);
	json_close_object(&w);
	return end_line(out, start);
}

int control_begin_result(struct buffer *out, const char *id)
{
	size_t start = out->len;
	struct json_writer w;

	begin_line(&w, out, id);
	json_key(&w, "result");
	if (!out->failed)
		return 0;
	out->len = start;
	return -1;
}

int control_end_result(struct buffer *out)
{
	return buffer_string(out, "}\n");
}

int control_put_event(struct buffer *out, const char *id, const char *params)
{
	size_t start = out->len;

	buffer_string(out, "{\"jsonrpc\":\"2.0\",\"method\":\"event\",\"params\":");
	if (id == NULL) {
		buffer_string(out, params);
	} else {
		buffer_string(out, "{\"request\":");
		buffer_string(out, id);
		if (params[1] != '}')
			buffer_append(out, ",", 1);
		buffer_string(out, params + 1);
	}
	buffer_append(out, "}", 1);
	return end_line(out, start);
}

/* The slot at the end of "web.2": its number, and the offset of its dot. */
static long parse_slot(const char *text, size_t *dot)
{
	const char *at = strrchr(text, '.');
	size_t digits = at != NULL ? strlen(at + 1) : 0;
	uint64_t slot;

	if (digits < 1 || digits > SLOT_DIGITS ||
		text_number(&slot, at + 1, digits, UINT32_MAX) != digits)
		return -1;
	if (at[1] == '0' && digits > 1)
		return -1; /* a slot has one spelling only */
	*dot = (size_t)(at - text);
	return (long)slot;
}

static int refuse_target(const char *text, struct error *err)
{
	return error_set(err, 0,
		"'%.96s' is no target; wanted a cluster or a slot, such as "
		"'web', 'web.2', 'shop/web'",
		text);
}

int control_parse_target(struct control_target *t, const char *text, struct error *err)
{
	const char *slash = strchr(text, '/');
	const char *whole = slash != NULL ? slash + 1 : text;
	size_t ahead = slash != NULL ? (size_t)(slash - text) : 0;
	size_t dot = strlen(whole);

	*t = (struct control_target){.slot = -1};
	if (ahead >= sizeof(t->instance) || dot >= sizeof(t->whole))
		return refuse_target(text, err);
	memcpy(t->instance, text, ahead);
	memcpy(t->whole, whole, dot);
	if (slash != NULL && !text_is_name(t->instance))
		return refuse_target(text, err);
	t->slot = parse_slot(whole, &dot);
	if (dot >= sizeof(t->cluster))
		return refuse_target(text, err);
	memcpy(t->cluster, whole, dot);
	if (text_is_name(t->cluster))
		return 0;
	return refuse_target(text, err);
}

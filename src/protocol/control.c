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

static const char *const methods[METHODS] = {
	[METHOD_STATUS] = "status",
	[METHOD_RESTART] = "restart",
	[METHOD_RELOAD] = "reload",
	[METHOD_SCALE] = "scale",
	[METHOD_STOP] = "stop",
	[METHOD_SIGNAL] = "signal",
	[METHOD_EVENTS] = "events",
	[METHOD_CONFIG] = "config",
	[METHOD_UPGRADE] = "upgrade",
	[METHOD_SEND] = "send",
	[METHOD_LOGS] = "logs",
	[METHOD_ASK] = "ask",
	[METHOD_DRAIN] = "drain",
	[METHOD_UNDRAIN] = "undrain",
	[METHOD_START] = "start",
};

#define ON(method) (1U << METHOD_##method)
enum {
	/* methods that may be waited for */
	CHANGES = ON(RESTART) | ON(RELOAD) | ON(SCALE) | ON(STOP) | ON(SIGNAL) | ON(UPGRADE) |
		ON(SEND) | ON(DRAIN) | ON(UNDRAIN) | ON(START),
};

bool control_method_writes(enum control_method method)
{
	return (CHANGES >> method & 1) != 0;
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

static int take_target(struct control_request *r, const char *text, struct error *err)
{
	struct control_target target;

	if (control_parse_target(&target, text, err) == -1)
		return -1;
	text_copy(r->target, sizeof(r->target), text);
	return 0;
}

static int take_signal(struct control_request *r, const char *name, struct error *err)
{
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

static int take_since(struct control_request *r, const json_t *value, struct error *err)
{
	double seconds = json_number_value(value);

	if (!json_is_number(value) || !(seconds >= 0) || seconds > SINCE_MOST)
		return error_set(err, 0, "wanted seconds since 1970");
	r->since = (nsec_t)(seconds * 1000 + 0.5) * MSEC;
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

/* Kinds and addresses, and nothing else, as they are shown to people. */
static int take_readiness(struct control_request *r, const char *text, struct error *err)
{
	if (text[strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.:, ")] != '\0' ||
		text_copy(r->readiness, sizeof(r->readiness), text) >= sizeof(r->readiness))
		return error_set(err, 0, "wanted kinds and addresses");
	return 0;
}

enum plain { OWN_WAY, TEXT, YES_OR_NO, NUMBER, SECONDS };
#define AT(member) offsetof(struct control_request, member)

/* The fields that `params` may have. */
static const struct field {
	const char *name;
	unsigned on; /* the methods that take it, 1 << enum control_method each */
	/* OWN_WAY */
	int (*take)(struct control_request *r, const json_t *value, struct error *err);
	/* TEXT */
	int (*take_text)(struct control_request *r, const char *text, struct error *err);
	/* others: offsets in a request, of the value and of a bool (or 0) that is set with it */
	enum plain kind;
	size_t at;
	size_t given;
	int least; /* of a NUMBER */
	int most;  /* of a NUMBER */
} fields[] = {
	{"target", ~0U, .kind = TEXT, .take_text = take_target},
	{"no_wait", CHANGES, .kind = YES_OR_NO, .at = AT(no_wait)},
	{"count", ON(SCALE), .kind = NUMBER, .at = AT(count), .most = SCALE_MOST},
	{"by", ON(SCALE), .kind = NUMBER, .at = AT(count), .least = -SCALE_MOST,
		.most = SCALE_MOST},
	{"signal", ON(SIGNAL), .kind = TEXT, .take_text = take_signal},
	{"all", ON(SIGNAL) | ON(SEND), .kind = YES_OR_NO, .at = AT(all)},
	{"now", ON(STOP), .kind = YES_OR_NO, .at = AT(now)},
	{"follow", ON(EVENTS) | ON(LOGS), .kind = YES_OR_NO, .at = AT(follow)},
	{"last", ON(EVENTS), .kind = NUMBER, .at = AT(last), .least = -1, .most = LAST_MOST},
	{"since", ON(EVENTS), .take = take_since},
	{"kinds", ON(EVENTS), .take = take_kinds},
	{"after", ON(LOGS), .take = take_after},
	{"canary", ON(RESTART), .kind = NUMBER, .at = AT(canary), .given = AT(has_canary),
		.most = SCALE_MOST},
	{"bake", ON(RESTART), .kind = SECONDS, .at = AT(bake), .given = AT(has_bake)},
	{"drop_ports", ON(RESTART) | ON(RELOAD), .kind = YES_OR_NO, .at = AT(drop_ports)},
	{"message", ON(SEND), .take = take_message},
	{"command", ON(RESTART), .take = take_command},
	{"readiness", ON(STATUS), .kind = TEXT, .take_text = take_readiness},
	{"timeout", ON(DRAIN) | ON(UNDRAIN), .kind = SECONDS, .at = AT(timeout),
		.given = AT(has_timeout)},
	{"metrics", ON(STATUS), .kind = YES_OR_NO, .at = AT(metrics)},
};

/* The field of that name, if the method has it; or NULL. */
static const struct field *find_field(enum control_method method, const char *name)
{
	return array_find(f, fields, COUNT_OF(fields),
		(f->on >> method & 1) != 0 && strcmp(f->name, name) == 0);
}

static int take_field(
	struct control_request *r, const struct field *f, const json_t *value, struct error *err)
{
	char *members = (char *)r;

	if (f->given != 0)
		*(bool *)(members + f->given) = true;
	switch (f->kind) {
	case OWN_WAY:
		break;
	case TEXT:
		if (!json_is_string(value))
			return error_set(err, 0, "wanted a string");
		return f->take_text(r, json_string_value(value), err);
	case YES_OR_NO:
		return take_bool((bool *)(members + f->at), value, err);
	case NUMBER:
		return take_int((int *)(members + f->at), value, f->least, f->most, err);
	case SECONDS:
		return take_seconds((nsec_t *)(members + f->at), value, err);
	}
	return f->take(r, value, err);
}

static int take_params(struct control_request *r, json_t *params, struct error *err)
{
	const char *name;
	json_t *value;

	if (params != NULL && !json_is_object(params))
		return error_set(err, 0, "params: wanted an object");
	json_object_foreach(params, name, value)
	{
		const struct field *f = find_field(r->method, name);

		if (f == NULL)
			return error_set(err, 0, "'%s' takes no '%.32s'", methods[r->method], name);
		if (take_field(r, f, value, err) == -1)
			return error_wrap(err, "%s", name);
	}
	r->scale_kind = json_object_get(params, "by") != NULL ? SCALE_BY : SCALE_TO;
	if (r->method == METHOD_SCALE &&
		(json_object_get(params, "count") != NULL) == (r->scale_kind == SCALE_BY))
		return error_set(err, 0, "'scale' wants either count or by");
	if (r->method == METHOD_SIGNAL && r->signal == 0)
		return error_set(err, 0, "'signal' wants a signal");
	if (r->method == METHOD_SEND && r->message == NULL)
		return error_set(err, 0, "'send' wants a message");
	return 0;
}

/* Keep the id as JSON text, to be repeated in each answer. */
static int take_id(struct control_request *r, const json_t *id, struct error *err)
{
	scoped_buffer text = {.limit = sizeof(r->id) - 1};
	struct json_writer w;

	if (!json_is_integer(id) && !json_is_string(id))
		return error_set(err, 0, "id: wanted a string or a whole number");
	json_begin(&w, &text);
	if (json_is_integer(id))
		json_int(&w, json_integer_value(id));
	else
		json_text(&w, json_string_value(id));
	if (text.failed || buffer_text(&text) == NULL)
		return error_set(err, 0, "id: too long");
	text_copy(r->id, sizeof(r->id), text.data);
	return 0;
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
	const char *nearest;

	for (unsigned i = 0; i < METHODS; i++) {
		if (strcmp(name, methods[i]) != 0)
			continue;
		if (i == METHOD_ASK)
			return error_set(
				err, 0, "'ask' is no more: give each worker a 'listen' of its own");
		r->method = (enum control_method)i;
		r->last = r->method == METHOD_EVENTS ? -1 : 0;
		return 0;
	}
	error_set(err, 0, "unknown method '%.32s'", name);
	nearest = text_nearest(name, methods, METHODS);
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
	json_open_list(w, "kinds");
	for (size_t len; *kinds != '\0'; kinds += len + (kinds[len] == ',')) {
		len = strcspn(kinds, ",");
		json_bytes(w, kinds, len);
	}
	json_close_array(w);
}

static void put_command(struct json_writer *w, char *const *words)
{
	json_open_list(w, "command");
	for (; *words != NULL; words++)
		json_text(w, *words);
	json_close_array(w);
}

/* A client need not know which fields a method has: the others are not sent. */
static bool sends(const struct control_request *r, const char *field, bool is_set)
{
	return is_set && find_field(r->method, field) != NULL;
}

static void put_params(struct json_writer *w, const struct control_request *r)
{
	json_open_object(w);
	if (r->target[0] != '\0')
		json_put_text(w, "target", r->target);
	for (const struct field *f = fields; f < fields + COUNT_OF(fields); f++)
		if (f->kind == YES_OR_NO &&
			sends(r, f->name, *(const bool *)((const char *)r + f->at)))
			json_put_bool(w, f->name, true);
	if (r->method == METHOD_SCALE)
		json_put_int(w, r->scale_kind == SCALE_TO ? "count" : "by", r->count);
	if (r->method == METHOD_SIGNAL)
		put_signal(w, r->signal);
	if (sends(r, "last", r->last != -1))
		json_put_int(w, "last", r->last);
	if (sends(r, "after", r->after != 0))
		json_put_int(w, "after", (int64_t)r->after);
	if (sends(r, "since", r->since != 0))
		json_put_real(w, "since", nsec_seconds(r->since), 3);
	if (sends(r, "kinds", r->kinds[0] != '\0'))
		put_kinds(w, r->kinds);
	if (sends(r, "canary", r->has_canary))
		json_put_int(w, "canary", r->canary);
	if (sends(r, "bake", r->has_bake))
		json_put_real(w, "bake", nsec_seconds(r->bake), 3);
	if (sends(r, "timeout", r->has_timeout))
		json_put_real(w, "timeout", nsec_seconds(r->timeout), 3);
	if (sends(r, "readiness", r->readiness[0] != '\0'))
		json_put_text(w, "readiness", r->readiness);
	if (sends(r, "message", r->message != NULL))
		json_put_text(w, "message", r->message);
	if (sends(r, "command", r->command != NULL))
		put_command(w, r->command);
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
	json_put_text(&w, "method", methods[r->method]);
	json_key(&w, "params");
	put_params(&w, r);
	json_close_object(&w);
	return end_line(out, start);
}

int control_put_error(struct buffer *out, const char *id, int code, const char *message)
{
	size_t start = out->len;
	struct json_writer w;

	begin_line(&w, out, id);
	json_open_member(&w, "error", true);
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

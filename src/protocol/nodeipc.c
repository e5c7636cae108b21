/* SPDX-License-Identifier: MIT */
#include "protocol/nodeipc.h"

#include "base/scope.h"
#include "base/text.h"
#include "protocol/json.h"

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <string.h>

#define BUN_OWN 0x02
#define OWN "{\"cmd\":\"NODE_"
#define CLUSTER OWN "CLUSTER\","
#define HANDLE OWN "HANDLE\","

/* What JavaScript can count to. */
#define COUNT_MAX ((INT64_C(1) << 53) - 1)

/* A stretch of the line. */
struct piece {
	const char *at;
	size_t len;
};

static bool has_prefix(struct piece p, const char *with)
{
	size_t len = strlen(with);

	return p.len >= len && memcmp(p.at, with, len) == 0;
}

static void skip_bytes(struct piece *p, size_t len)
{
	p->at += len;
	p->len -= len;
}

static bool skip_word(struct piece *p, const char *word)
{
	if (!has_prefix(*p, word))
		return false;
	skip_bytes(p, strlen(word));
	return true;
}

/* ---- a message with a handle ---- */

/* {"cmd":"NODE_HANDLE","type":"net.Socket","msg":BODY,"key":KEY} */
static void find_body(struct nodeipc_message *m, struct piece p)
{
	if (!skip_word(&p, HANDLE "\"type\":\""))
		return;
	while (p.len > 0 && *p.at != '"')
		skip_bytes(&p, 1);
	if (!skip_word(&p, "\",\"msg\":"))
		return;
	m->body = p.at;
	m->body_len = jsonvalue_length(p.at, p.len);
}

/* ---- with a parser ---- */

static int64_t number_of(
	const json_t *object, const char *key, int64_t least, int64_t most, int64_t otherwise)
{
	const json_t *value = json_object_get(object, key);

	if (!json_is_integer(value) || json_integer_value(value) < least ||
		json_integer_value(value) > most)
		return otherwise;
	return json_integer_value(value);
}

static void read_address(struct nodeipc_place *place, const json_t *object)
{
	const json_t *value = json_object_get(object, "address");
	size_t len;

	if (!json_is_string(value))
		return;
	place->has_address = true;
	place->address_len = len = json_string_length(value);
	if (len >= sizeof(place->address))
		len = sizeof(place->address) - 1;
	memcpy(place->address, json_string_value(value), len);
	place->address[len] = '\0';
	if (len > 0 && place->address[0] == '\0')
		place->address[0] = '@';
}

/* 4, 6, -1 (a path), "udp4" or "udp6"; of a server that wants a descriptor it may be anything. */
static int read_family(struct nodeipc_place *place, const json_t *object)
{
	const json_t *type = json_object_get(object, "addressType");
	const char *word = json_string_value(type);

	if (place->fd >= 0) {
		place->family = NODEIPC_FD;
		return 0;
	}
	if (word != NULL) {
		place->family = NODEIPC_UDP;
		place->v6 = strcmp(word, "udp6") == 0;
		return place->v6 || strcmp(word, "udp4") == 0 ? 0 : -1;
	}
	if (!json_is_integer(type))
		return -1;
	place->family = json_integer_value(type) == -1 ? NODEIPC_UNIX : NODEIPC_TCP;
	place->v6 = json_integer_value(type) == 6;
	if (place->family == NODEIPC_UNIX)
		return place->address_len > 0 ? 0 : -1;
	return place->v6 || json_integer_value(type) == 4 ? 0 : -1;
}

static int read_place(struct nodeipc_place *place, const json_t *object)
{
	int64_t port = number_of(object, "port", -1, UINT16_MAX, -1);

	place->fd = (int)number_of(object, "fd", 0, INT_MAX, -1);
	place->flags = (unsigned)number_of(object, "flags", 0, UINT_MAX, 0);
	place->backlog = (int)number_of(object, "backlog", 0, INT_MAX, 0);
	place->index = (uint32_t)number_of(object, "index", 0, UINT32_MAX, 0);
	place->readable_all = json_is_true(json_object_get(object, "readableAll"));
	place->writable_all = json_is_true(json_object_get(object, "writableAll"));
	place->port = port > 0 ? (uint16_t)port : 0;
	read_address(place, object);
	if (read_family(place, object) == -1)
		return -1;
	/* no port at all is not port 0 */
	return place->family == NODEIPC_UNIX || place->family == NODEIPC_FD || port >= 0 ? 0 : -1;
}

static void read_data(struct nodeipc_message *m, const json_t *object)
{
	json_t *data = json_object_get(object, "data");
	size_t len;

	if (data == NULL || json_is_null(data))
		return;
	len = json_dumpb(data, NULL, 0, JSON_COMPACT | JSON_ENCODE_ANY);
	if (len == 0 || len > NODEIPC_DATA_MAX)
		return;
	m->data = json_dumps(data, JSON_COMPACT | JSON_ENCODE_ANY);
}

static void read_key(struct nodeipc_message *m, const json_t *object)
{
	const json_t *key = json_object_get(object, "key");

	/* a key of ours is short; any other is unknown */
	if (json_is_string(key) && json_string_length(key) < sizeof(m->key) &&
		json_string_length(key) == strlen(json_string_value(key)))
		text_copy(m->key, sizeof(m->key), json_string_value(key));
}

static const struct {
	const char *act;
	enum nodeipc_kind kind;
} acts[] = {
	{"online", NODEIPC_ONLINE},
	{"queryServer", NODEIPC_QUERY},
	{"listening", NODEIPC_LISTENING},
	{"close", NODEIPC_CLOSE},
	{"exitedAfterDisconnect", NODEIPC_LEAVING},
};

static enum nodeipc_kind kind_of(const json_t *object)
{
	const char *act = json_string_value(json_object_get(object, "act"));

	if (act == NULL)
		return json_is_boolean(json_object_get(object, "accepted")) ? NODEIPC_TAKEN
									    : NODEIPC_UNKNOWN;
	for (size_t i = 0; i < COUNT_OF(acts); i++)
		if (strcmp(acts[i].act, act) == 0)
			return acts[i].kind;
	return NODEIPC_UNKNOWN;
}

static void read_object(struct nodeipc_message *m, const json_t *object)
{
	m->kind = kind_of(object);
	m->seq = number_of(object, "seq", 0, COUNT_MAX, -1);
	m->ack = number_of(object, "ack", 0, COUNT_MAX, -1);
	m->accepted = json_is_true(json_object_get(object, "accepted"));
	if (m->kind == NODEIPC_CLOSE)
		read_key(m, object);
	if (m->kind == NODEIPC_QUERY)
		read_data(m, object);
	if ((m->kind == NODEIPC_QUERY || m->kind == NODEIPC_LISTENING) &&
		read_place(&m->place, object) == -1)
		m->kind = NODEIPC_BROKEN;
}

void nodeipc_decode(struct nodeipc_message *m, const char *line, size_t len)
{
	struct piece p = {line, len};
	json_t *object = NULL;
	json_error_t why;

	memset(m, 0, sizeof(*m));
	m->seq = -1;
	m->ack = -1;
	m->place.fd = -1;
	if (p.len > 0 && *p.at == BUN_OWN) {
		m->bun = true;
		skip_bytes(&p, 1);
	}
	if (!has_prefix(p, OWN)) {
		m->kind = NODEIPC_USER;
		m->body = line;
		m->body_len = len;
		m->bun = false;
	} else if (has_prefix(p, OWN "HANDLE_ACK\"")) {
		m->kind = NODEIPC_HANDLE_ACK;
	} else if (has_prefix(p, OWN "HANDLE_NACK\"")) {
		m->kind = NODEIPC_HANDLE_NACK;
	} else if (has_prefix(p, HANDLE)) {
		m->kind = NODEIPC_HANDLE;
		find_body(m, p);
	} else if (!has_prefix(p, CLUSTER)) {
		m->kind = NODEIPC_UNKNOWN;
	} else {
		m->kind = NODEIPC_BROKEN;
		if (p.len <= NODEIPC_LINE_MAX)
			object = json_loadb(p.at, p.len, JSON_ALLOW_NUL, &why);
		if (json_is_object(object))
			read_object(m, object);
		json_decref(object);
	}
}

void nodeipc_forget(struct nodeipc_message *m)
{
	free(m->data);
	m->data = NULL;
}

bool nodeipc_is_ready(const struct nodeipc_message *m)
{
	static const char ready[] = "\"ready\"";

	return m->kind == NODEIPC_USER && m->body_len == sizeof(ready) - 1 &&
		memcmp(m->body, ready, sizeof(ready) - 1) == 0;
}

/* ---- writing ---- */

/* Keys are numbers, addresses are inet_ntop(3)'s, and data is JSON as it came: none
 * of these needs escapes. */
#define PUT(w, format, ...) \
	(buffer_printf((w)->out, "%s" format, (w)->bun ? "\x02" : "", __VA_ARGS__))

/* The last members of an answer, and their values. */
#define ANSWER "\"ack\":%" PRId64 ",\"data\":%s,\"seq\":%" PRId64
#define ANSWER_OF(a) (a)->ack, (a)->data != NULL ? (a)->data : "null", (a)->seq
#define SEQ "\"seq\":"
#define KEY "\"key\":\"%" PRIu64 "\","

void nodeipc_put_shared(const struct nodeipc_writer *w, const struct nodeipc_answer *a, bool udp)
{
	PUT(w, HANDLE "\"type\":\"%s\",\"msg\":" CLUSTER "\"errno\":0," KEY ANSWER "}}",
		udp ? "dgram.Native" : "net.Native", a->key, ANSWER_OF(a));
}

void nodeipc_put_faux(const struct nodeipc_writer *w, const struct nodeipc_answer *a,
	const char *address, bool v6, uint16_t port)
{
	if (address == NULL)
		PUT(w, CLUSTER "\"errno\":null," KEY ANSWER "}", a->key, ANSWER_OF(a));
	else
		PUT(w,
			CLUSTER "\"errno\":null,\"sockname\":{\"address\":"
				"\"%s\",\"family\":\"%s\",\"port\":%u}," KEY ANSWER "}",
			address, v6 ? "IPv6" : "IPv4", port, a->key, ANSWER_OF(a));
}

void nodeipc_put_error(const struct nodeipc_writer *w, const struct nodeipc_answer *a, int error)
{
	PUT(w, CLUSTER "\"errno\":%d,\"key\":\"\"," ANSWER "}", -error, ANSWER_OF(a));
}

void nodeipc_put_connection(const struct nodeipc_writer *w, uint64_t key, int64_t seq)
{
	PUT(w,
		HANDLE "\"type\":\"net.Native\",\"msg\":" CLUSTER "\"act\":\"newconn\"," KEY SEQ
		       "%" PRId64 "}}",
		key, seq);
}

void nodeipc_put_disconnect(const struct nodeipc_writer *w, int64_t seq)
{
	PUT(w, CLUSTER "\"act\":\"disconnect\"," SEQ "%" PRId64 "}", seq);
}

void nodeipc_put_ack(const struct nodeipc_writer *w, int64_t ack, int64_t seq)
{
	PUT(w, CLUSTER "\"ack\":%" PRId64 "," SEQ "%" PRId64 "}", ack, seq);
}

void nodeipc_put_handle_ack(const struct nodeipc_writer *w)
{
	PUT(w, "%s", OWN "HANDLE_ACK\"}");
}

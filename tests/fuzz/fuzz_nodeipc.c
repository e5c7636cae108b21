/* SPDX-License-Identifier: MIT */
/* One line from a worker of Node; what is answered must be whole lines. */
#include "fuzz.h"

#include "protocol/nodeipc.h"

#include <jansson.h>

static void is_sound(const struct nodeipc_message *m, const char *line, size_t len)
{
	const struct nodeipc_place *p = &m->place;

	require(m->seq >= -1 && m->ack >= -1);
	require(strnlen(m->key, sizeof(m->key)) < sizeof(m->key));
	require(p->fd >= -1 && p->backlog >= 0);
	require(p->address_len >= NODEIPC_ADDRESS_MAX || p->address[p->address_len] == '\0');
	require(p->address[NODEIPC_ADDRESS_MAX - 1] == '\0');
	require(m->data == NULL || strlen(m->data) <= NODEIPC_DATA_MAX);
	require(m->body == NULL || (m->body >= line && m->body + m->body_len <= line + len));
	if (m->kind == NODEIPC_USER)
		require(m->body == line && m->body_len == len);
}

/* A line that JSON.parse() would take, and nothing behind it. */
static void is_line(const struct buffer *b)
{
	size_t bun = b->len > 0 && *b->data == 2;
	json_error_t why;
	json_t *value;

	require(!b->failed && b->len > 1);
	require(memchr(b->data, '\n', b->len) == NULL);
	value = json_loadb(b->data + bun, b->len - bun, JSON_ALLOW_NUL, &why);
	require(json_is_object(value));
	json_decref(value);
}

static void answer(const struct nodeipc_message *m)
{
	struct buffer out = {0};
	struct nodeipc_writer w = {&out, m->bun};
	struct nodeipc_answer a = {m->place.index, m->seq, 1, m->data};

	nodeipc_put_shared(&w, &a, m->place.family == NODEIPC_UDP);
	is_line(&out);
	buffer_clear(&out);
	/* the address is what the kernel says of the socket */
	nodeipc_put_faux(&w, &a, m->place.v6 ? "::1" : NULL, m->place.v6, m->place.port);
	is_line(&out);
	buffer_clear(&out);
	nodeipc_put_error(&w, &a, m->place.fd);
	is_line(&out);
	buffer_clear(&out);
	nodeipc_put_connection(&w, m->place.index, m->ack);
	is_line(&out);
	buffer_fini(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct nodeipc_message m;

	nodeipc_decode(&m, (const char *)data, size);
	is_sound(&m, (const char *)data, size);
	answer(&m);
	nodeipc_forget(&m);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "protocol/nodeipc.h"

#include <stdio.h>

#define C "{'cmd':'NODE_CLUSTER',"

#define QUERY C "'act':'queryServer',"

static struct nodeipc_message decode(const char *text)
{
	const char *line = quoted(text);
	struct nodeipc_message m;

	nodeipc_decode(&m, line, strlen(line));
	return m;
}

TEST(a_message_of_the_user_is_not_parsed)
{
	static const char *const lines[] = {"\"ready\"", "{\"a\":\"\\ud800 \\u0000\"}",
		"{\"cmd\":\"nothing of node's\"}", "not json at all", "",
		"\x02 and then nothing of bun's"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct nodeipc_message m;

		nodeipc_decode(&m, lines[i], strlen(lines[i]));
		ck_assert_int_eq(m.kind, NODEIPC_USER);
		ck_assert_ptr_eq(m.body, lines[i]);
		ck_assert_uint_eq(m.body_len, strlen(lines[i]));
		ck_assert(nodeipc_is_ready(&m) == (i == 0));
	}
}

static const struct {
	const char *line;
	const char *means;
} lines[] = {
	{C "'act':'online','seq':0}", "online seq 0"},
	{"\x02" C "'act':'online','seq':0}", "bun online seq 0"},
	{C "'act':'exitedAfterDisconnect','seq':3}", "leaving seq 3"},
	{C "'act':'somethingNew','seq':3}", "unknown seq 3"},
	{"{'cmd':'NODE_HANDLE_ACK'}", "handle-ack"},
	{"{'cmd':'NODE_HANDLE_NACK'}", "handle-nack"},
	{"{'cmd':'NODE_SOCKET_GET_COUNT'}", "unknown"},
	{C "'act':'online'", "broken"},

	{QUERY "'index':0,'data':null,'address':null,'port':8123,"
	       "'addressType':4,'backlog':0,'seq':1}",
		"query seq 1 tcp4 all:8123 fd -1"},
	{QUERY "'index':2,'data':null,'address':'::1','port':0,"
	       "'addressType':6,'flags':1,'backlog':99,'seq':1}",
		"query seq 1 tcp6 ::1:0 fd -1 flags 1 backlog 99 index 2"},
	{QUERY "'index':0,'data':null,'address':'/run/x','port':-1,"
	       "'addressType':-1,'writableAll':true,'seq':1}",
		"query seq 1 unix /run/x fd -1 writable"},
	{QUERY "'index':0,'data':null,'address':'\\u0000name','port':-1,"
	       "'addressType':-1,'seq':1}",
		"query seq 1 unix @name fd -1"},
	{QUERY "'index':0,'data':null,'address':'127.0.0.1','port':53,"
	       "'addressType':'udp4','fd':-1,'flags':4,'seq':1}",
		"query seq 1 udp4 127.0.0.1:53 fd -1 flags 4"},
	{QUERY "'index':0,'data':null,'address':null,'port':null,"
	       "'addressType':null,'fd':3,'seq':1}",
		"query seq 1 fd 3"},
	{QUERY "'data':{'a':[1,2]},'port':1,'addressType':4,'seq':5}",
		"query seq 5 tcp4 all:1 fd -1 data {'a':[1,2]}"},
	/* what makes no sense may be answered */
	{QUERY "'port':1,'addressType':7,'seq':5}", "broken seq 5"},
	{QUERY "'address':'1.2.3.4','port':70000,'addressType':4,'seq':5}", "broken seq 5"},
	{QUERY "'address':'/\\ud800','port':-1,'addressType':-1,'seq':5}", "broken"},
	{QUERY "'address':null,'port':-1,'addressType':-1,'seq':5}", "broken seq 5"},

	{C "'ack':41,'accepted':true,'seq':10}", "taken seq 10 ack 41"},
	{C "'ack':42,'accepted':false,'seq':11}", "refused seq 11 ack 42"},
	/* in another order, as it would be parsed */
	{C "'accepted':true,'ack':43,'seq':11}", "taken seq 11 ack 43"},
	/* who answers with what nobody can count to has not answered */
	{C "'ack':99999999999999999999,'accepted':true,'seq':1}", "broken"},
	/* a key that is none of ours is no key */
	{C "'act':'close','key':'7','seq':9}", "close seq 9 key 7"},
	{C "'act':'close','key':'0123456789012345678901234567890','seq':9}", "close seq 9 key "},
};

static void describe_place(const struct nodeipc_place *p, FILE *out)
{
	const char *a = p->address;

	if (p->family == NODEIPC_UNIX)
		fprintf(out, " unix %s%.*s", *a == '\0' ? "@" : "", (int)p->address_len,
			*a == '\0' ? a + 1 : a);
	if (p->family == NODEIPC_TCP || p->family == NODEIPC_UDP)
		fprintf(out, " %s%d %s:%u", p->family == NODEIPC_TCP ? "tcp" : "udp", p->v6 ? 6 : 4,
			p->has_address ? a : "all", p->port);
	fprintf(out, " fd %d", p->fd);
	if (p->flags != 0)
		fprintf(out, " flags %u", p->flags);
	if (p->backlog != 0)
		fprintf(out, " backlog %d", p->backlog);
	if (p->index != 0)
		fprintf(out, " index %u", p->index);
	fprintf(out, "%s%s", p->readable_all ? " readable" : "",
		p->writable_all ? " writable" : "");
}

static void describe(const struct nodeipc_message *m, char *to, size_t size)
{
	static const char *const kinds[] = {
		[NODEIPC_ONLINE] = "online",
		[NODEIPC_LEAVING] = "leaving",
		[NODEIPC_QUERY] = "query",
		[NODEIPC_TAKEN] = "taken",
		[NODEIPC_CLOSE] = "close",
		[NODEIPC_HANDLE_ACK] = "handle-ack",
		[NODEIPC_HANDLE_NACK] = "handle-nack",
		[NODEIPC_UNKNOWN] = "unknown",
		[NODEIPC_BROKEN] = "broken",
	};
	FILE *out = fmemopen(to, size, "w");

	fprintf(out, "%s%s", m->bun ? "bun " : "",
		m->kind == NODEIPC_TAKEN && !m->accepted ? "refused" : kinds[m->kind]);
	if (m->seq != -1)
		fprintf(out, " seq %d", (int)m->seq);
	if (m->kind == NODEIPC_QUERY)
		describe_place(&m->place, out);
	if (m->kind == NODEIPC_TAKEN)
		fprintf(out, " ack %d", (int)m->ack);
	if (m->kind == NODEIPC_CLOSE)
		fprintf(out, " key %s", m->key);
	if (m->data != NULL)
		fprintf(out, " data %s", m->data);
	(void)fclose(out);
}

TEST_LOOP(what_a_worker_says_is_understood, 0, (int)COUNT_OF(lines))
{
	struct nodeipc_message m = decode(lines[_i].line);
	char means[200];

	describe(&m, means, sizeof(means));
	unquote(means);
	ck_assert_str_eq(means, lines[_i].means);
	nodeipc_forget(&m);
}

TEST(data_is_kept_within_a_bound)
{
	char line[NODEIPC_DATA_MAX + 200];
	struct nodeipc_message m;

	snprintf(line, sizeof(line), QUERY "'data':'%*s','port':1,'addressType':4,'seq':5}",
		NODEIPC_DATA_MAX, "x");
	m = decode(line);
	ck_assert_int_eq(m.kind, NODEIPC_QUERY);
	ck_assert_ptr_null(m.data);
}

TEST(a_long_address_says_how_long_it_was)
{
	char line[1024];
	struct nodeipc_message m;

	snprintf(line, sizeof(line),
		QUERY "'address':'/%0500d','port':-1,"
		      "'addressType':-1,'seq':5}",
		0);
	m = decode(line);
	ck_assert_int_eq(m.kind, NODEIPC_QUERY);
	ck_assert_uint_eq(m.place.address_len, 501);
	ck_assert_uint_eq(strlen(m.place.address), NODEIPC_ADDRESS_MAX - 1);
}

TEST(the_message_beside_a_handle_is_found)
{
	struct nodeipc_message m = decode("{'cmd':'NODE_HANDLE','type':'net.Socket','msg':{'a':["
					  "']\\'}']},'key':'x'}");

	ck_assert_int_eq(m.kind, NODEIPC_HANDLE);
	ck_assert_uint_eq(m.body_len, strlen("{'a':[']\\'}']}"));
	ck_assert_int_eq(memcmp(m.body, quoted("{'a':"), 5), 0);
	/* one that cannot be read is one still: it must be acknowledged */
	m = decode("{'cmd':'NODE_HANDLE','type':'x");
	ck_assert_int_eq(m.kind, NODEIPC_HANDLE);
	ck_assert_uint_eq(m.body_len, 0);
}

/* ---- writing ---- */

static void is_written(struct buffer *b, const char *line)
{
	ck_assert_str_eq(buffer_text(b), quoted(line));
	buffer_clear(b);
}

TEST(answers_are_as_node_writes_them)
{
	struct buffer b = {0};
	struct nodeipc_writer w = {&b, false};
	struct nodeipc_answer a = {7, 1, 12, NULL};

	nodeipc_put_shared(&w, &a, false);
	is_written(&b,
		"{'cmd':'NODE_HANDLE','type':'net.Native','msg':" C
		"'errno':0,'key':'7','ack':1,'data':null,'seq':12}}");
	a.data = quoted("{'ticketKeys':[1]}");
	nodeipc_put_faux(&w, &a, "::", true, 8123);
	is_written(&b,
		C "'errno':null,'sockname':{'address':'::','family':'IPv6',"
		  "'port':8123},'key':'7','ack':1,'data':{'ticketKeys':["
		  "1]},'seq':12}");
	a.data = NULL;
	nodeipc_put_error(&w, &a, 98);
	is_written(&b, C "'errno':-98,'key':'','ack':1,'data':null,'seq':12}");
	nodeipc_put_connection(&w, 7, 13);
	is_written(&b,
		"{'cmd':'NODE_HANDLE','type':'net.Native','msg':" C
		"'act':'newconn','key':'7','seq':13}}");
	buffer_fini(&b);
}

TEST(the_rest_is_as_node_writes_it_too)
{
	struct buffer b = {0};
	struct nodeipc_writer w = {&b, false};

	nodeipc_put_disconnect(&w, 14);
	is_written(&b, C "'act':'disconnect','seq':14}");
	nodeipc_put_ack(&w, 3, 15);
	is_written(&b, C "'ack':3,'seq':15}");
	nodeipc_put_handle_ack(&w);
	is_written(&b, "{'cmd':'NODE_HANDLE_ACK'}");
	w.bun = true;
	nodeipc_put_disconnect(&w, 16);
	is_written(&b, "\x02" C "'act':'disconnect','seq':16}");
	buffer_fini(&b);
}

/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "protocol/nodeipc.h"

#include "base/scope.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define C "{'cmd':'NODE_CLUSTER',"

#define QUERY C "'act':'queryServer',"

static struct nodeipc_message decode(const char *text)
{
	const char *line = quoted(text);
	struct nodeipc_message m;

	nodeipc_decode(&m, line, strlen(line));
	return m;
}

TEST(what_a_worker_says_is_known_by_its_act)
{
	static const struct {
		const char *line;
		enum nodeipc_kind kind;
	} said[] = {
		{C "'act':'online','seq':0}", NODEIPC_ONLINE},
		{C "'act':'exitedAfterDisconnect','seq':3}", NODEIPC_LEAVING},
		{C "'act':'somethingNew','seq':3}", NODEIPC_UNKNOWN},
		{"{'cmd':'NODE_HANDLE_ACK'}", NODEIPC_HANDLE_ACK},
		{"{'cmd':'NODE_HANDLE_NACK'}", NODEIPC_HANDLE_NACK},
		{"{'cmd':'NODE_SOCKET_GET_COUNT'}", NODEIPC_UNKNOWN},
		{C "'act':'online'", NODEIPC_BROKEN},
		{"\x02" C "'act':'online','seq':0}", NODEIPC_ONLINE},
	};

	for (size_t i = 0; i < COUNT_OF(said); i++) {
		struct nodeipc_message m = decode(said[i].line);

		ck_assert_int_eq(m.kind, said[i].kind);
		/* bun puts a byte in front */
		ck_assert_int_eq(m.bun, said[i].line[0] == '\x02');
		nodeipc_forget(&m);
	}
}

TEST(a_message_of_the_user_is_not_parsed)
{
	static const char *const lines[] = {"\"ready\"",
		"{\"a\":\"\\ud800 \\u0000\"}",
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
	const char *query;
	const char *place;
} queries[] = {
	{"'index':0,'data':null,'address':null,'port':8123,'addressType':4,"
	 "'backlog':0,'seq':1}",
		"tcp4 all:8123 fd -1"},
	{"'index':2,'data':null,'address':'::1','port':0,'addressType':6,"
	 "'flags':1,'backlog':99,'seq':1}",
		"tcp6 ::1:0 fd -1 flags 1 backlog 99 index 2"},
	{"'index':0,'data':null,'address':'/run/x','port':-1,"
	 "'addressType':-1,'writableAll':true,'seq':1}",
		"unix /run/x fd -1 writable"},
	{"'index':0,'data':null,'address':'\\u0000name','port':-1,"
	 "'addressType':-1,'seq':1}",
		"unix @name fd -1"},
	{"'index':0,'data':null,'address':'127.0.0.1','port':53,"
	 "'addressType':'udp4','fd':-1,'flags':4,'seq':1}",
		"udp4 127.0.0.1:53 fd -1 flags 4"},
	{"'index':0,'data':null,'address':null,'port':null,"
	 "'addressType':null,'fd':3,'seq':1}",
		"fd 3"},
};

static void describe(const struct nodeipc_place *p, char *to, size_t size)
{
	FILE *out = fmemopen(to, size, "w");
	const char *a = p->address;

	if (p->family == NODEIPC_UNIX)
		(void)fprintf(out, "unix %s%.*s ", *a == '\0' ? "@" : "",
			(int)p->address_len, *a == '\0' ? a + 1 : a);
	if (p->family == NODEIPC_TCP || p->family == NODEIPC_UDP)
		(void)fprintf(out, "%s%d %s:%u ",
			p->family == NODEIPC_TCP ? "tcp" : "udp", p->v6 ? 6 : 4,
			p->has_address ? a : "all", p->port);
	(void)fprintf(out, "fd %d", p->fd);
	if (p->flags != 0)
		(void)fprintf(out, " flags %u", p->flags);
	if (p->backlog != 0)
		(void)fprintf(out, " backlog %d", p->backlog);
	if (p->index != 0)
		(void)fprintf(out, " index %u", p->index);
	(void)fprintf(out, "%s%s", p->readable_all ? " readable" : "",
		p->writable_all ? " writable" : "");
	(void)fclose(out);
}

TEST_LOOP(a_query_names_a_place, 0, (int)COUNT_OF(queries))
{
	char line[300];
	char place[100];
	struct nodeipc_message m;

	(void)snprintf(line, sizeof(line), QUERY "%s", queries[_i].query);
	m = decode(line);
	ck_assert_int_eq(m.kind, NODEIPC_QUERY);
	ck_assert_int_eq(m.seq, 1);
	ck_assert_ptr_null(m.data);
	describe(&m.place, place, sizeof(place));
	ck_assert_str_eq(place, queries[_i].place);
}

TEST(what_makes_no_sense_is_broken_but_may_be_answered)
{
	static const char *const lines[] = {
		QUERY "'port':1,'addressType':7,'seq':5}",
		QUERY "'address':'1.2.3.4','port':70000,"
		      "'addressType':4,'seq':5}",
		QUERY "'address':'/\\ud800','port':-1,"
		      "'addressType':-1,'seq':5}",
		QUERY "'address':null,'port':-1,"
		      "'addressType':-1,'seq':5}",
	};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		struct nodeipc_message m = decode(lines[i]);

		ck_assert_int_eq(m.kind, NODEIPC_BROKEN);
		ck_assert_int_eq(m.seq, 5);
	}
}

TEST(data_is_kept_as_it_came_within_a_bound)
{
	char line[NODEIPC_DATA_MAX + 200];
	struct nodeipc_message m =
		decode(QUERY "'data':{'ticketKeys':[1,2]},"
			     "'port':1,'addressType':4,'seq':5}");

	ck_assert_str_eq(m.data, quoted("{'ticketKeys':[1,2]}"));
	nodeipc_forget(&m);
	(void)snprintf(line, sizeof(line),
		QUERY "'data':'%*s','port':1,"
		      "'addressType':4,'seq':5}",
		NODEIPC_DATA_MAX, "x");
	m = decode(line);
	ck_assert_int_eq(m.kind, NODEIPC_QUERY);
	ck_assert_ptr_null(m.data);
}

TEST(a_long_address_says_how_long_it_was)
{
	char line[1024];
	struct nodeipc_message m;

	(void)snprintf(line, sizeof(line),
		QUERY "'address':'/%0500d','port':-1,"
		      "'addressType':-1,'seq':5}",
		0);
	m = decode(line);
	ck_assert_int_eq(m.kind, NODEIPC_QUERY);
	ck_assert_uint_eq(m.place.address_len, 501);
	ck_assert_uint_eq(strlen(m.place.address), NODEIPC_ADDRESS_MAX - 1);
}

static const struct {
	const char *line;
	enum nodeipc_kind kind;
	bool accepted;
	int64_t ack;
} taken[] = {
	{C "'ack':41,'accepted':true,'seq':10}", NODEIPC_TAKEN, true, 41},
	{C "'ack':42,'accepted':false,'seq':11}", NODEIPC_TAKEN, false, 42},
	/* in another order, as it would be parsed */
	{C "'accepted':true,'ack':43,'seq':11}", NODEIPC_TAKEN, true, 43},
	/* who answers with what nobody can count to has not answered */
	{C "'ack':99999999999999999999,'accepted':true,'seq':1}",
		NODEIPC_BROKEN, false, 0},
};

TEST_LOOP(an_answer_to_a_connection, 0, (int)COUNT_OF(taken))
{
	struct nodeipc_message m = decode(taken[_i].line);

	ck_assert_int_eq(m.kind, taken[_i].kind);
	if (m.kind != NODEIPC_TAKEN)
		return;
	ck_assert_int_eq(m.accepted, taken[_i].accepted);
	ck_assert_int_eq(m.ack, taken[_i].ack);
}

TEST(a_key_that_is_none_of_ours_is_no_key)
{
	struct nodeipc_message m = decode(C "'act':'close','key':'7','seq':9}");

	ck_assert_int_eq(m.kind, NODEIPC_CLOSE);
	ck_assert_str_eq(m.key, "7");
	m = decode(C "'act':'close','key':'0123456789012345678901234567890',"
		     "'seq':9}");
	ck_assert_int_eq(m.kind, NODEIPC_CLOSE);
	ck_assert_str_eq(m.key, "");
}

TEST(the_message_beside_a_handle_is_found)
{
	struct nodeipc_message m =
		decode("{'cmd':'NODE_HANDLE','type':'net.Socket','msg':{'a':["
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

/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/client.h"
#include "os/clock.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define HELLO \
	"{'jsonrpc':'2.0','method':'hello','params':{'name':" \
	"'shop','pid':77,'version':'1.0.0','protocol':1," \
	"'clusters':['web','api']}}\n"

static int server; /* the other end */
static struct client client;
static struct answer answer;
static struct error err;
static int mine;

static void setup(void)
{
	int ends[2];

	ck_assert_int_eq(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
	server = ends[0];
	mine = ends[1];
	client_init(&client);
	strcpy(client.name, "shop");
	answer = (struct answer){0};
}

static void teardown(void)
{
	client_fini(&client);
	fd_close(&server);
}

/* All that the server will say; it fits into the socket. */
static void say(const char *json)
{
	const char *text = quoted(json);

	ck_assert_int_eq(send(server, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void hang_up(void)
{
	ck_assert_int_eq(shutdown(server, SHUT_WR), 0);
}

static int greet(void)
{
	return client_greet(&client, mine, nsec_add(clock_now(), 10 * SECOND), &err);
}

static int call(client_event *on_event, void *data)
{
	struct control_request request = {.method = METHOD_RESTART};

	return client_call(&client, &request, on_event, data, &answer, &err);
}

/* After the greeting it says this; what comes of the request. */
static int asked(const char *json, client_event *on_event, void *data)
{
	say(HELLO);
	say(json);
	ck_assert_int_eq(greet(), 0);
	return call(on_event, data);
}

#define RESULT(value) "{'jsonrpc':'2.0','id':1,'result':" value "}\n"
#define EVENT(text) \
	"{'jsonrpc':'2.0','method':'event','params':{'text':'" text "'," \
	"'request':1}}\n"

FIXTURE(setup, teardown)

TEST(the_greeting_tells_who_it_is)
{
	say(HELLO);
	ck_assert_int_eq(greet(), 0);
	ck_assert_str_eq(client.name, "shop");
	ck_assert_int_eq(client.pid, 77);
	ck_assert_uint_eq(client.cluster_count, 2);
	ck_assert_str_eq(client.clusters[1], "api");
}

static const struct {
	const char *line;
	int status;
	const char *text; /* NULL: any */
} refusals[] = {{"{'jsonrpc':'2.0','id':null,'error':{'code':-32001,"
		 "'message':'64 clients are here already'}}\n",
			75, "64 clients are here already"},
	{"{'jsonrpc':'2.0','method':'hello','params':{'name':'shop',"
	 "'protocol':2}}\n",
		69, "'shop' speaks control protocol 2, this nclust 1"},
	{"\n", 0, NULL}, {"{}\n", 0, NULL}, {"[]\n", 0, NULL}, {"SSH-2.0-x\n", 0, NULL},
	{"{'method':'event'}\n", 0, NULL}, {"{'method':'hello','params':7}\n", 0, NULL}};

TEST_LOOP(a_greeting_may_be_refused, 0, (int)COUNT_OF(refusals))
{
	say(refusals[_i].line);
	ck_assert_int_eq(greet(), -1);
	if (refusals[_i].text == NULL)
		return;
	ck_assert_int_eq(err.status, refusals[_i].status);
	ck_assert_str_eq(err.text, refusals[_i].text);
}

TEST(a_silent_server_is_given_up)
{
	nsec_t begun = clock_now();

	say("{'jsonrpc':'2.0',"); /* half a line is none */
	ck_assert_int_eq(client_greet(&client, mine, begun + 50 * MSEC, &err), -1);
	ck_assert_int_eq(err.status, 75);
	ck_assert_str_eq(err.text, "'shop' accepts connections but does not answer");
	ck_assert_int_ge(clock_now() - begun, 50 * MSEC);
}

TEST(a_closed_door_is_told)
{
	hang_up();
	ck_assert_int_eq(greet(), -1);
	ck_assert_int_eq(err.status, 75);
}

TEST(cancel_ends_the_wait)
{
	int pipes[2];

	ck_assert_int_eq(pipe(pipes), 0);
	ck_assert_int_eq(write(pipes[1], "x", 1), 1);
	client.cancel = pipes[0];
	ck_assert_int_eq(greet(), -1);
	ck_assert_int_eq(err.sys, ECANCELED);
	(void)close(pipes[0]);
	(void)close(pipes[1]);
}

TEST(a_request_is_one_line)
{
	struct control_request request = {
		.method = METHOD_SCALE, .target = "web", .scale_kind = SCALE_BY, .count = -1};
	char line[200];
	ssize_t n;

	say(HELLO RESULT("{}"));
	ck_assert_int_eq(greet(), 0);
	ck_assert_int_eq(client_call(&client, &request, NULL, NULL, &answer, &err), 0);
	n = recv(server, line, sizeof(line) - 1, 0);
	ck_assert_int_gt(n, 0);
	line[n] = '\0';
	ck_assert_str_eq(line,
		quoted("{'jsonrpc':'2.0','id':1,'method':'scale',"
		       "'params':{'target':'web','by':-1}}\n"));
}

static int note(json_t *params, void *data)
{
	const char *text = json_string_value(json_object_get(params, "text"));

	strcat(strcat(data, text), ";");
	return strcmp(text, "enough") == 0 ? -1 : 0;
}

static const struct {
	const char *json;
	const char *seen; /* of its progress */
	int code;
	const char *says; /* the result, or the message */
} answers[] = {
	{EVENT("one") EVENT("two") "{'jsonrpc':'2.0','method':'unheard-of'}"
				   "\n" RESULT("{'a':[1]}"),
		"one;two;", 0, "{'a':[1]}"},
	{"{'jsonrpc':'2.0','id':1,'error':{'code':-32005,"
	 "'message':'shop.ini:1: a\\nshop.ini:2: b'}}\n",
		"", CONTROL_BAD_CONFIG, "shop.ini:1: a\nshop.ini:2: b"},
	/* in another shape */
	{"{'id': 1, 'result': {'a' : 1}, 'jsonrpc': '2.0'}\n", "", 0, "{'a':1}"},
	/* others' are passed over */
	{"{'jsonrpc':'2.0','id':11,'result':'no'}\n"
	 "{'jsonrpc':'2.0','id':'1','result':'no'}\n" RESULT("'yes'"),
		"", 0, "'yes'"},
};

TEST_LOOP(the_answer_comes_after_its_progress, 0, (int)COUNT_OF(answers))
{
	scoped_str text = NULL;
	char seen[100] = "";

	ck_assert_int_eq(asked(answers[_i].json, note, seen), answers[_i].code != 0 ? -1 : 0);
	ck_assert_str_eq(seen, answers[_i].seen);
	ck_assert_int_eq(answer.code, answers[_i].code);
	if (answer.code != 0) {
		ck_assert_str_eq(answer.message, answers[_i].says);
		return;
	}
	text = json_dumps(answer.result, JSON_COMPACT | JSON_ENCODE_ANY);
	ck_assert_str_eq(text, quoted(answers[_i].says));
}

TEST(an_error_without_a_code_is_still_one)
{
	ck_assert_int_eq(asked("{'jsonrpc':'2.0','id':1,'error':{}}\n", NULL, NULL), -1);
	ck_assert_int_ne(answer.code, 0);
}

TEST(a_listener_may_have_enough)
{
	char seen[100] = "";

	ck_assert_int_eq(asked(EVENT("enough"), note, seen), -1);
	ck_assert_int_eq(err.sys, ECANCELED);
}

TEST(a_cut_connection_leaves_it_open)
{
	say(HELLO "{'jsonrpc':'2.0','id':1,'resu");
	hang_up();
	ck_assert_int_eq(greet(), 0);
	ck_assert_int_eq(call(NULL, NULL), -1);
	ck_assert_int_eq(err.status, 75);
	ck_assert_str_eq(err.text,
		"the connection to 'shop' (pid 77) ended before the outcome "
		"was known; see 'nclust status shop'");
	fd_close(&server); /* and writing to it is no signal */
	ck_assert_int_eq(call(NULL, NULL), -1);
}

TEST(the_end_is_waited_for)
{
	ck_assert_int_eq(asked(RESULT("{}") EVENT(""), NULL, NULL), 0);
	hang_up();
	ck_assert_int_eq(client_wait_end(&client, &err), 0);
}

/* A line of megabytes, in the pieces that a socket makes of it. */
TEST(a_large_result_comes_whole)
{
	static const char before[] = "{'jsonrpc':'2.0','id':1,'result':'";
	size_t size = 4U * 1024 * 1024;
	pid_t writer = fork();
	int status;

	ck_assert_int_ge(writer, 0);
	if (writer == 0) {
		char *much = malloc(size);

		if (much == NULL)
			_exit(2);
		memset(much, 'x', size);
		say(HELLO);
		say(before);
		if (send(server, much, size, MSG_NOSIGNAL) != (ssize_t)size)
			_exit(3);
		say("\"}\n");
		free(much);
		_exit(0);
	}
	ck_assert_int_eq(greet(), 0);
	ck_assert_int_eq(call(NULL, NULL), 0);
	ck_assert_uint_eq(json_string_length(answer.result), size);
	ck_assert_int_eq(waitpid(writer, &status, 0), writer);
	ck_assert_int_eq(status, 0);
}

TEST(error_codes_become_exit_statuses)
{
	ck_assert_int_eq(answer_exit_status(CONTROL_NOT_FOUND), 69);
	ck_assert_int_eq(answer_exit_status(CONTROL_BUSY), 75);
	ck_assert_int_eq(answer_exit_status(CONTROL_TIMED_OUT), 75);
	ck_assert_int_eq(answer_exit_status(CONTROL_NOT_PERMITTED), 77);
	ck_assert_int_eq(answer_exit_status(CONTROL_BAD_CONFIG), 78);
	ck_assert_int_eq(answer_exit_status(CONTROL_PARAMS), 64);
	ck_assert_int_eq(answer_exit_status(CONTROL_FAILED), 1);
	ck_assert_int_eq(answer_exit_status(7), 1);
}

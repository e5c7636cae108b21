/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "protocol/control.h"

#include "base/scope.h"

#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#define HEAD "{'jsonrpc':'2.0','id':1,'method':"

static struct control_request r;
static struct error err;
static int code;

static int decode(const char *text)
{
	const char *line = quoted(text);

	code = 12345;
	err = (struct error){0};
	return control_decode(&r, line, strlen(line), &code, &err);
}

/* --- What is read --- */

static void reads(const char *line)
{
	ck_assert_msg(decode(line) == 0, "%s: %s", line, err.text);
	ck_assert_int_eq(code, 0);
	ck_assert_str_eq(r.id, "1");
}

TEST(a_request_without_params_has_defaults)
{
	reads(HEAD "'status'}");
	ck_assert_int_eq(r.method, METHOD_STATUS);
	ck_assert_str_eq(r.target, "");
	ck_assert(!r.no_wait && !r.all && !r.now && !r.follow);
	reads(HEAD "'events','params':{}}");
	ck_assert_int_eq(r.last, -1);
}

TEST(each_method_reads_its_fields)
{
	reads(HEAD "'scale','params':{'by':-2,'target':'web','no_wait':true}}");
	ck_assert_int_eq(r.scale_kind, SCALE_BY);
	ck_assert_int_eq(r.count, -2);
	ck_assert_str_eq(r.target, "web");
	ck_assert(r.no_wait);
	reads(HEAD "'scale','params':{'count':0}}");
	ck_assert_int_eq(r.scale_kind, SCALE_TO);
	reads(HEAD "'signal','params':{'all':true,'signal':'usr1'}}");
	ck_assert_int_eq(r.signal, SIGUSR1);
	ck_assert(r.all);
	reads(HEAD "'stop','params':{'now':true}}");
	ck_assert(r.now);
	reads(HEAD "'events','params':{'follow':true,'last':0}}");
	ck_assert(r.follow);
	ck_assert_int_eq(r.last, 0);
	reads(HEAD "'events','params':{'since':1.5,'kinds':['exited','ready',"
		   "'exited']}}");
	ck_assert_int_eq(r.since, 1500 * MSEC);
	ck_assert_str_eq(r.kinds, "exited,ready");
}

static void expect_refused(const char *line, int why, const char *id)
{
	ck_assert_int_eq(decode(line), -1);
	ck_assert_msg(code == why, "%s: %d, %s", line, code, err.text);
	ck_assert_str_eq(r.id, id);
	ck_assert_str_ne(err.text, "");
}

#define DIGITS50 "01234567890123456789012345678901234567890123456789"

static const struct {
	const char *id;
	const char *kept; /* NULL: refused */
} ids[] = {{"7", "7"}, {"-9223372036854775808", "-9223372036854775808"},
	{"'abc'", "'abc'"}, {"'a\\'\\u001b'", "'a\\'\\u001b'"},
	{"'\\u00fc'", "'\xc3\xbc'"}, {"null", NULL}, {"1.5", NULL},
	{"true", NULL}, {"[]", NULL}, {"{}", NULL},
	{"'" DIGITS50 "01234567890123456789012345678'", NULL},
	{"'" DIGITS50 "012345678901234567890123456'",
		"'" DIGITS50 "012345678901234567890123456'"}};

TEST_LOOP(ids_are_kept_as_text_or_refused, 0, COUNT_OF(ids))
{
	char line[300];

	(void)snprintf(line, sizeof(line),
		"{'jsonrpc':'2.0','method':'status','id':%s}", ids[_i].id);
	if (ids[_i].kept == NULL) {
		expect_refused(line, CONTROL_INVALID, "null");
		return;
	}
	ck_assert_int_eq(decode(line), 0);
	ck_assert_str_eq(r.id, quoted(ids[_i].kept));
}

/* --- What is refused --- */

static const struct {
	int code;
	const char *id;
	const char *line;
} refused[] = {
	{CONTROL_PARSE, "null", ""},
	{CONTROL_PARSE, "null", "{"},
	{CONTROL_PARSE, "null", "42"},
	{CONTROL_PARSE, "null", "'['"},
	{CONTROL_PARSE, "null", HEAD "'status'} x"},
	{CONTROL_PARSE, "null", HEAD "'status'}{}"},
	{CONTROL_PARSE, "null", HEAD "'status','id':2}"},
	{CONTROL_PARSE, "null", HEAD "'sta\xfftus'}"},
	{CONTROL_PARSE, "null", HEAD "'stat\\u0000us'}"},
	{CONTROL_PARSE, "null", HEAD "'\\ud800'}"},
	{CONTROL_PARSE, "null",
		HEAD "'scale','params':{'count':99999999999999999999999}}"},
	{CONTROL_INVALID, "null", "[]"},
	{CONTROL_INVALID, "null", "[" HEAD "'status'}]"},
	{CONTROL_INVALID, "null", "{'jsonrpc':'2.0','method':'status'}"},
	{CONTROL_INVALID, "1", "{'id':1,'method':'status'}"},
	{CONTROL_INVALID, "1", "{'jsonrpc':'1.0','id':1,'method':'status'}"},
	{CONTROL_INVALID, "1", "{'jsonrpc':2.0,'id':1,'method':'status'}"},
	{CONTROL_INVALID, "1", "{'jsonrpc':'2.0','id':1}"},
	{CONTROL_INVALID, "1", HEAD "1}"},
	{CONTROL_INVALID, "1", HEAD "'status','extra':1}"},
	{CONTROL_NO_METHOD, "1", HEAD "'statsu'}"},
	{CONTROL_NO_METHOD, "1", HEAD "''}"},
	{CONTROL_NO_METHOD, "1", HEAD "'a.b.c'}"},
	{CONTROL_NO_METHOD, "1", HEAD "'STATUS'}"},
};

TEST_LOOP(wrong_requests_are_refused_with_a_reason, 0, COUNT_OF(refused))
{
	expect_refused(refused[_i].line, refused[_i].code, refused[_i].id);
}

static const struct {
	const char *method;
	const char *params;
} wrong_params[] = {{"restart", "{'bake':true}"},
	{"restart", "{'canary':1,'bake':-5}"}, {"status", "[]"},
	{"status", "null"}, {"status", "{'now':true}"}, {"status", "{'x':1}"},
	{"stop", "{'now':1}"}, {"stop", "{'target':7}"},
	{"stop", "{'target':''}"}, {"stop", "{'target':'../x'}"},
	{"scale", "{}"}, {"scale", "{'count':1,'by':1}"},
	{"scale", "{'count':-1}"}, {"scale", "{'count':10001}"},
	{"scale", "{'count':4294967297}"}, {"scale", "{'count':1.0}"},
	{"scale", "{'count':'1'}"}, {"scale", "{'by':-10001}"},
	{"signal", "{}"}, {"signal", "{'signal':10}"},
	{"signal", "{'signal':'NONE'}"}, {"events", "{'last':-2}"},
	{"events", "{'since':-1}"}, {"events", "{'since':1e10}"},
	{"events", "{'since':'10m'}"}, {"events", "{'kinds':[]}"},
	{"events", "{'kinds':'ready'}"}, {"events", "{'kinds':[7]}"},
	{"events", "{'kinds':['exit']}"}, {"status", "{'kinds':['ready']}"}};

TEST_LOOP(wrong_params_are_refused, 0, COUNT_OF(wrong_params))
{
	char line[200];

	(void)snprintf(line, sizeof(line), HEAD "'%s','params':%s}",
		wrong_params[_i].method, wrong_params[_i].params);
	expect_refused(line, CONTROL_PARAMS, "1");
}

TEST(a_mistyped_method_gets_a_hint)
{
	expect_refused(HEAD "'statsu'}", CONTROL_NO_METHOD, "1");
	ck_assert_ptr_nonnull(strstr(err.text, "did you mean 'status'"));
}

TEST(raw_nul_bytes_are_refused)
{
	static const char *const lines[] = {
		HEAD "'stop\xff'}", HEAD "'stop'}\xff{"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		scoped_str line = strdup(quoted(lines[i]));
		size_t len = strlen(line);

		*strchr(line, '\xff') = '\0';
		ck_assert_int_eq(
			control_decode(&r, line, len, &code, &err), -1);
		ck_assert_int_eq(code, CONTROL_PARSE);
	}
}

TEST(deep_nesting_is_refused_before_it_is_parsed)
{
	static char line[CONTROL_LINE_MAX];
	static const char *const fill[] = {"[", "{\"a\":", "[{\"a\":"};

	for (size_t f = 0; f < COUNT_OF(fill); f++) {
		size_t n = strlen(fill[f]);

		for (size_t i = 0; i < sizeof(line); i++)
			line[i] = fill[f][i % n];
		ck_assert_int_eq(
			control_decode(&r, line, sizeof(line) - 1, &code, &err),
			-1);
		ck_assert_int_eq(code, CONTROL_INVALID);
		ck_assert_ptr_nonnull(strstr(err.text, "deep"));
	}
}

TEST(depth_is_counted_outside_of_strings_only)
{
	expect_refused(HEAD "'stop','params':{'x\\'[[[[[[[[[[':"
			    "'{{{{{{{{{{{{'}}",
		CONTROL_PARAMS, "1");
	/* 2 and 14 levels: just allowed; the fields are not */
	expect_refused(HEAD
		"'stop','params':{'x':[[[[[[[[[[[[[[]]]]]]]]]]]]]]}}",
		CONTROL_PARAMS, "1");
	expect_refused(HEAD
		"'stop','params':{'x':[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}}",
		CONTROL_INVALID, "null");
}

TEST(a_line_over_the_limit_is_refused)
{
	static char line[CONTROL_LINE_MAX + 1];
	const char *request = quoted(HEAD "'status'}");

	(void)memset(line, ' ', sizeof(line));
	(void)memcpy(line, request, strlen(request));
	ck_assert_int_eq(
		control_decode(&r, line, CONTROL_LINE_MAX - 1, &code, &err), 0);
	ck_assert_int_eq(
		control_decode(&r, line, CONTROL_LINE_MAX, &code, &err), -1);
	ck_assert_int_eq(code, CONTROL_INVALID);
}

/* --- There and back --- */

static char send_it[] = "{\"a\":[1,\"\\ud800\\u0000\"]}";

/* Of request 1, where there is no `id`. */
static const struct control_request trips[] = {
	{.method = METHOD_STATUS},
	{.id = "\"a\xc3\xbc\"",
		.method = METHOD_STATUS,
		.target = "shop/web.2"},
	{.id = "-4",
		.method = METHOD_RESTART,
		.target = "web",
		.no_wait = true},
	{.method = METHOD_RESTART,
		.has_canary = true,
		.canary = 2,
		.has_bake = true,
		.bake = 1500 * MSEC},
	{.method = METHOD_RESTART, .has_canary = true},
	{.method = METHOD_RESTART, .has_bake = true},
	{.method = METHOD_RELOAD, .drop_ports = true},
	{.method = METHOD_RELOAD},
	{.method = METHOD_SCALE, .count = 10000},
	{.method = METHOD_SCALE,
		.scale_kind = SCALE_BY,
		.count = -3,
		.target = "web",
		.no_wait = true},
	{.method = METHOD_STOP, .now = true, .no_wait = true},
	{.method = METHOD_STOP},
	{.method = METHOD_SIGNAL, .signal = SIGHUP, .all = true},
	{.method = METHOD_SIGNAL, .signal = 32, .target = "web.0"},
	{.method = METHOD_SIGNAL, .signal = 50},
	{.method = METHOD_EVENTS, .last = -1, .follow = true},
	{.method = METHOD_EVENTS, .last = 20},
	{.method = METHOD_EVENTS,
		.last = -1,
		.since = 1795167360 * SECOND + 500 * MSEC,
		.kinds = "exited,ready,rollout-done"},
	{.method = METHOD_CONFIG, .target = "web"},
	{.method = METHOD_SEND, .target = "web.2", .message = send_it},
	{.method = METHOD_SEND, .message = send_it, .all = true},
	{.method = METHOD_ASK, .target = "web.2", .first = 'P'},
	{.method = METHOD_DRAIN, .no_wait = true},
	{.method = METHOD_UNDRAIN, .has_timeout = true, .timeout = 2500 * MSEC},
	{.method = METHOD_STATUS,
		.readiness = "agent 10.0.0.1,http 2001:db8::1"},
	{.method = METHOD_RESTART,
		.target = "web",
		.command = (char *[]){"./a b", "", "\"\\\n\xc3\xa4", NULL}},
};

TEST_LOOP(what_is_encoded_decodes_to_the_same, 0, COUNT_OF(trips))
{
	struct control_request trip = trips[_i];
	struct buffer line;

	buffer_init(&line, 0);
	if (*trip.id == '\0')
		(void)strcpy(trip.id, "1");
	ck_assert_int_eq(control_encode(&line, &trip), 0);
	ck_assert_uint_gt(line.len, 0);
	ck_assert_int_eq(line.data[line.len - 1], '\n');
	ck_assert_ptr_null(memchr(line.data, '\n', line.len - 1));
	ck_assert_int_eq(
		control_decode(&r, line.data, line.len - 1, &code, &err), 0);
	ck_assert_str_eq(r.id, trip.id);
	ck_assert_str_eq(r.target, trip.target);
	ck_assert_int_eq(r.method, trip.method);
	ck_assert_int_eq(r.no_wait, trip.no_wait);
	ck_assert_int_eq(r.scale_kind, trip.scale_kind);
	ck_assert_int_eq(r.count, trip.count);
	ck_assert_int_eq(r.signal, trip.signal);
	ck_assert_int_eq(r.all, trip.all);
	ck_assert_int_eq(r.since, trip.since);
	ck_assert_str_eq(r.kinds, trip.kinds);
	ck_assert_int_eq(r.now, trip.now);
	ck_assert_int_eq(r.follow, trip.follow);
	ck_assert_int_eq(r.last, trip.last);
	ck_assert_int_eq(r.has_canary, trip.has_canary);
	ck_assert_int_eq(r.canary, trip.canary);
	ck_assert_int_eq(r.has_bake, trip.has_bake);
	ck_assert_int_eq(r.drop_ports, trip.drop_ports);
	ck_assert_int_eq(r.bake, trip.bake);
	ck_assert_int_eq(r.first, trip.first);
	ck_assert_int_eq(r.has_timeout, trip.has_timeout);
	ck_assert_int_eq(r.timeout, trip.timeout);
	ck_assert_str_eq(r.readiness, trip.readiness);
	if (trip.message != NULL)
		ck_assert_str_eq(r.message, trip.message);
	else
		ck_assert_ptr_null(r.message);
	ck_assert_int_eq(r.command != NULL, trip.command != NULL);
	for (size_t i = 0; r.command != NULL && r.command[i] != NULL; i++) {
		ck_assert_str_eq(r.command[i], trip.command[i]);
		ck_assert_int_eq(
			r.command[i + 1] != NULL, trip.command[i + 1] != NULL);
	}
	control_fini(&r);
	buffer_fini(&line);
}

TEST(a_line_that_does_not_fit_leaves_nothing_behind)
{
	struct buffer line;

	buffer_init(&line, 40);
	ck_assert_int_eq(buffer_string(&line, "before"), 0);
	ck_assert_int_eq(control_encode(&line, &trips[0]), -1);
	ck_assert_uint_eq(line.len, 6);
	buffer_clear(&line);
	ck_assert_int_eq(control_put_error(&line, "1", 1, "sentence"), -1);
	ck_assert_uint_eq(line.len, 0);
	buffer_fini(&line);
}

TEST(the_lines_of_the_server_are_as_documented)
{
	static const char *const clusters[] = {"web", "thumbs"};
	struct buffer out;

	buffer_init(&out, 0);
	ck_assert_int_eq(
		control_put_hello(&out, "shop", 77, "1.0.0", clusters, 2), 0);
	ck_assert_int_eq(control_put_error(&out, quoted("'x'"), CONTROL_BUSY,
				 quoted("web: 'busy'\x1b")),
		0);
	ck_assert_int_eq(control_begin_result(&out, "4"), 0);
	ck_assert_int_eq(buffer_string(&out, "true"), 0);
	ck_assert_int_eq(control_end_result(&out), 0);
	ck_assert_int_eq(control_put_event(&out, NULL, quoted("{'a':1}")), 0);
	ck_assert_int_eq(control_put_event(&out, "4", quoted("{'a':1}")), 0);
	ck_assert_int_eq(control_put_event(&out, "4", "{}"), 0);
	ck_assert_str_eq(buffer_text(&out),
		quoted("{'jsonrpc':'2.0','method':'hello',"
		       "'params':{'name':'shop','pid':77,'version':'1.0.0',"
		       "'protocol':1,'clusters':['web','thumbs']}}\n"
		       "{'jsonrpc':'2.0','id':'x','error':{'code':-32001,"
		       "'message':'web: \\'busy\\'\\u001b'}}\n"
		       "{'jsonrpc':'2.0','id':4,'result':true}\n"
		       "{'jsonrpc':'2.0','method':'event','params':{'a':1}}\n"
		       "{'jsonrpc':'2.0','method':'event','params':{'request':"
		       "4,"
		       "'a':1}}\n"
		       "{'jsonrpc':'2.0','method':'event',"
		       "'params':{'request':4}}\n"));
	buffer_fini(&out);
}

TEST(error_codes_become_exit_statuses)
{
	ck_assert_int_eq(control_exit_status(CONTROL_NOT_FOUND), 69);
	ck_assert_int_eq(control_exit_status(CONTROL_BUSY), 75);
	ck_assert_int_eq(control_exit_status(CONTROL_TIMED_OUT), 75);
	ck_assert_int_eq(control_exit_status(CONTROL_NOT_PERMITTED), 77);
	ck_assert_int_eq(control_exit_status(CONTROL_BAD_CONFIG), 78);
	ck_assert_int_eq(control_exit_status(CONTROL_PARAMS), 64);
	ck_assert_int_eq(control_exit_status(CONTROL_FAILED), 1);
	ck_assert_int_eq(control_exit_status(7), 1);
}

TEST(what_changes_something_is_known)
{
	ck_assert(!control_method_writes(METHOD_STATUS));
	ck_assert(!control_method_writes(METHOD_EVENTS));
	ck_assert(!control_method_writes(METHOD_CONFIG));
	ck_assert(control_method_writes(METHOD_STOP));
	ck_assert(control_method_writes(METHOD_SIGNAL));
}

/* --- Targets --- */

#define NAME64 \
	"a123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	const char *instance, *whole, *cluster; /* NULL: no target */
	long slot;
} targets[] = {{"web", "", "web", "web", -1}, {"web.2", "", "web.2", "web", 2},
	{"web.0", "", "web.0", "web", 0},
	{"web.00", "", "web.00", "web.00", -1},
	{"web.007", "", "web.007", "web.007", -1},
	{"web.x", "", "web.x", "web.x", -1}, {"web.", "", "web.", "web.", -1},
	{"v1.2.3", "", "v1.2.3", "v1.2", 3},
	{"web.1234567", "", "web.1234567", "web.1234567", -1},
	{"shop/web", "shop", "web", "web", -1},
	{"shop/web.12", "shop", "web.12", "web", 12},
	{NAME64 "/" NAME64 ".9999", NAME64, NAME64 ".9999", NAME64, 9999},
	{"", NULL, NULL, NULL, 0}, {"/", NULL, NULL, NULL, 0},
	{"shop/", NULL, NULL, NULL, 0}, {"/web", NULL, NULL, NULL, 0},
	{"a/b/c", NULL, NULL, NULL, 0}, {".2", NULL, NULL, NULL, 0},
	{"-x", NULL, NULL, NULL, 0}, {"../x", NULL, NULL, NULL, 0},
	{"web 2", NULL, NULL, NULL, 0}, {"web\n", NULL, NULL, NULL, 0},
	{"w\xc3\xa9"
	 "b",
		NULL, NULL, NULL, 0},
	{NAME64 "b", NULL, NULL, NULL, 0},
	{NAME64 "b/web", NULL, NULL, NULL, 0},
	{NAME64 ".x", NULL, NULL, NULL, 0},
	{NAME64 NAME64, NULL, NULL, NULL, 0}};

TEST_LOOP(targets_are_split_or_refused, 0, COUNT_OF(targets))
{
	struct control_target t;
	int got = control_parse_target(&t, targets[_i].text, &err);

	ck_assert_msg(got == (targets[_i].whole != NULL ? 0 : -1), "'%s'",
		targets[_i].text);
	if (got == -1)
		return;
	ck_assert_str_eq(t.instance, targets[_i].instance);
	ck_assert_str_eq(t.whole, targets[_i].whole);
	ck_assert_str_eq(t.cluster, targets[_i].cluster);
	ck_assert_int_eq(t.slot, targets[_i].slot);
}

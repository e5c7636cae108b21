/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "protocol/control.h"

#include <signal.h>
#include <stdio.h>

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
	reads(HEAD "'scale','params':{'count':0}}");
	ck_assert_int_eq(r.scale_kind, SCALE_TO);
	reads(HEAD "'scale','params':{'by':-2}}");
	ck_assert_int_eq(r.scale_kind, SCALE_BY);
	ck_assert_int_eq(r.count, -2);
	reads(HEAD "'signal','params':{'signal':'usr1'}}");
	ck_assert_int_eq(r.signal, SIGUSR1);
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
} ids[] = {{"7", "7"}, {"-9223372036854775808", "-9223372036854775808"}, {"'abc'", "'abc'"},
	{"'a\\'\\u001b'", "'a\\'\\u001b'"}, {"'\\u00fc'", "'\xc3\xbc'"}, {"null", NULL},
	{"1.5", NULL}, {"true", NULL}, {"[]", NULL}, {"{}", NULL},
	{"'" DIGITS50 "01234567890123456789012345678'", NULL},
	{"'" DIGITS50 "012345678901234567890123456'", "'" DIGITS50 "012345678901234567890123456'"}};

TEST_LOOP(ids_are_kept_as_text_or_refused, 0, COUNT_OF(ids))
{
	char line[300];

	snprintf(line, sizeof(line), "{'jsonrpc':'2.0','method':'status','id':%s}", ids[_i].id);
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
	{CONTROL_PARSE, "null", HEAD "'scale','params':{'count':99999999999999999999999}}"},
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
} wrong_params[] = {{"restart", "{'bake':true}"}, {"restart", "{'canary':1,'bake':-5}"},
	{"status", "[]"}, {"status", "null"}, {"status", "{'now':true}"}, {"status", "{'x':1}"},
	{"stop", "{'now':1}"}, {"stop", "{'target':7}"}, {"stop", "{'target':''}"},
	{"stop", "{'target':'../x'}"}, {"scale", "{}"}, {"scale", "{'count':1,'by':1}"},
	{"scale", "{'count':-1}"}, {"scale", "{'count':10001}"}, {"scale", "{'count':4294967297}"},
	{"scale", "{'count':1.0}"}, {"scale", "{'count':'1'}"}, {"scale", "{'by':-10001}"},
	{"signal", "{}"}, {"signal", "{'signal':10}"}, {"signal", "{'signal':'NONE'}"},
	{"events", "{'last':-2}"}, {"events", "{'since':-1}"}, {"events", "{'since':1e10}"},
	{"events", "{'since':'10m'}"}, {"events", "{'kinds':[]}"}, {"events", "{'kinds':'ready'}"},
	{"events", "{'kinds':[7]}"}, {"events", "{'kinds':['exit']}"},
	{"status", "{'kinds':['ready']}"}};

TEST_LOOP(wrong_params_are_refused, 0, COUNT_OF(wrong_params))
{
	char line[200];

	snprintf(line, sizeof(line), HEAD "'%s','params':%s}", wrong_params[_i].method,
		wrong_params[_i].params);
	expect_refused(line, CONTROL_PARAMS, "1");
}

TEST(a_mistyped_method_gets_a_hint)
{
	expect_refused(HEAD "'statsu'}", CONTROL_NO_METHOD, "1");
	ck_assert_ptr_nonnull(strstr(err.text, "did you mean 'status'"));
}

TEST(raw_nul_bytes_are_refused)
{
	static const char *const lines[] = {HEAD "'stop\xff'}", HEAD "'stop'}\xff{"};

	for (size_t i = 0; i < COUNT_OF(lines); i++) {
		scoped_str line = strdup(quoted(lines[i]));
		size_t len = strlen(line);

		*strchr(line, '\xff') = '\0';
		ck_assert_int_eq(control_decode(&r, line, len, &code, &err), -1);
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
		ck_assert_int_eq(control_decode(&r, line, sizeof(line) - 1, &code, &err), -1);
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
	expect_refused(
		HEAD "'stop','params':{'x':[[[[[[[[[[[[[[]]]]]]]]]]]]]]}}", CONTROL_PARAMS, "1");
	expect_refused(HEAD "'stop','params':{'x':[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}}",
		CONTROL_INVALID, "null");
}

TEST(a_line_over_the_limit_is_refused)
{
	static char line[CONTROL_LINE_MAX + 1];
	const char *request = quoted(HEAD "'status'}");

	memset(line, ' ', sizeof(line));
	memcpy(line, request, strlen(request));
	ck_assert_int_eq(control_decode(&r, line, CONTROL_LINE_MAX - 1, &code, &err), 0);
	ck_assert_int_eq(control_decode(&r, line, CONTROL_LINE_MAX, &code, &err), -1);
	ck_assert_int_eq(code, CONTROL_INVALID);
}

/* --- There and back --- */

static const struct {
	const char *id;
	const char *method;
	const char *params;
} trips[] = {
	{"1", "status", "{}"},
	{"'a\xc3\xbc'", "status", "{'target':'shop/web.2'}"},
	{"-4", "restart", "{'target':'web','no_wait':true}"},
	{"1", "restart", "{'canary':2,'bake':1.500}"},
	{"1", "restart", "{'canary':0}"},
	{"1", "restart", "{'bake':0.000}"},
	{"1", "restart", "{'target':'web','command':['./a b','','\\'\\\\\\n\xc3\xa4']}"},
	{"1", "reload", "{'drop_ports':true}"},
	{"1", "reload", "{}"},
	{"1", "scale", "{'count':10000}"},
	{"1", "scale", "{'target':'web','no_wait':true,'by':-3}"},
	{"1", "stop", "{'no_wait':true,'now':true}"},
	{"1", "stop", "{}"},
	{"1", "signal", "{'all':true,'signal':'SIGHUP'}"},
	{"1", "signal", "{'target':'web.0','signal':'32'}"},
	{"1", "signal", "{'signal':'SIGRTMIN+16'}"},
	{"1", "events", "{'follow':true}"},
	{"1", "events", "{'last':20}"},
	{"1", "events", "{'since':1795167360.500,'kinds':['exited','ready']}"},
	{"1", "config", "{'target':'web'}"},
	{"1", "send", "{'target':'web.2','message':'{\\'a\\':[1,\\'\\\\ud800\\']}'}"},
	{"1", "send", "{'all':true,'message':'1'}"},
	{"1", "drain", "{'no_wait':true}"},
	{"1", "undrain", "{'timeout':2.500}"},
	{"1", "status", "{'readiness':'agent 10.0.0.1,http 2001:db8::1'}"},
};

TEST_LOOP(what_is_decoded_is_encoded_to_the_same, 0, COUNT_OF(trips))
{
	struct buffer out;
	char line[300];

	snprintf(line, sizeof(line), "{'jsonrpc':'2.0','id':%s,'method':'%s','params':%s}\n",
		trips[_i].id, trips[_i].method, trips[_i].params);
	ck_assert_msg(decode(line) == 0, "%s: %s", line, err.text);
	buffer_init(&out, 0);
	ck_assert_int_eq(control_encode(&out, &r), 0);
	ck_assert_str_eq(buffer_text(&out), quoted(line));
	control_fini(&r);
	buffer_fini(&out);
}

TEST(a_line_that_does_not_fit_leaves_nothing_behind)
{
	struct control_request request = {.id = "1", .method = METHOD_STATUS};
	struct buffer line;

	buffer_init(&line, 40);
	ck_assert_int_eq(buffer_string(&line, "before"), 0);
	ck_assert_int_eq(control_encode(&line, &request), -1);
	ck_assert_uint_eq(line.len, 6);
	buffer_clear(&line);
	ck_assert_int_eq(control_put_error(&line, "1", 1, "sentence"), -1);
	ck_assert_uint_eq(line.len, 0);
	buffer_fini(&line);
}

TEST(the_lines_of_the_server_are_as_documented)
{
	struct buffer out;

	buffer_init(&out, 0);
	ck_assert_int_eq(
		control_put_error(&out, quoted("'x'"), CONTROL_BUSY, quoted("web: 'busy'\x1b")), 0);
	ck_assert_int_eq(control_begin_result(&out, "4"), 0);
	ck_assert_int_eq(buffer_string(&out, "true"), 0);
	ck_assert_int_eq(control_end_result(&out), 0);
	ck_assert_int_eq(control_put_event(&out, NULL, quoted("{'a':1}")), 0);
	ck_assert_int_eq(control_put_event(&out, "4", quoted("{'a':1}")), 0);
	ck_assert_int_eq(control_put_event(&out, "4", "{}"), 0);
	ck_assert_str_eq(buffer_text(&out),
		quoted("{'jsonrpc':'2.0','id':'x','error':{'code':-32001,"
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

TEST(what_changes_something_is_known)
{
	ck_assert(!control_method_writes(METHOD_STATUS));
	ck_assert(!control_method_writes(METHOD_EVENTS));
	ck_assert(!control_method_writes(METHOD_CONFIG));
	ck_assert(control_method_writes(METHOD_STOP));
	ck_assert(control_method_writes(METHOD_SIGNAL));
}

/* --- Targets --- */

#define NAME64 "a123456789012345678901234567890123456789012345678901234567890123"

static const struct {
	const char *text;
	const char *instance, *whole, *cluster; /* NULL: no target */
	long slot;
} targets[] = {{"web", "", "web", "web", -1}, {"web.2", "", "web.2", "web", 2},
	{"web.0", "", "web.0", "web", 0}, {"web.00", "", "web.00", "web.00", -1},
	{"web.007", "", "web.007", "web.007", -1}, {"web.x", "", "web.x", "web.x", -1},
	{"web.", "", "web.", "web.", -1}, {"v1.2.3", "", "v1.2.3", "v1.2", 3},
	{"web.1234567", "", "web.1234567", "web.1234567", -1},
	{"shop/web", "shop", "web", "web", -1}, {"shop/web.12", "shop", "web.12", "web", 12},
	{NAME64 "/" NAME64 ".9999", NAME64, NAME64 ".9999", NAME64, 9999},
	{"", NULL, NULL, NULL, 0}, {"/", NULL, NULL, NULL, 0}, {"shop/", NULL, NULL, NULL, 0},
	{"/web", NULL, NULL, NULL, 0}, {"a/b/c", NULL, NULL, NULL, 0}, {".2", NULL, NULL, NULL, 0},
	{"-x", NULL, NULL, NULL, 0}, {"../x", NULL, NULL, NULL, 0}, {"web 2", NULL, NULL, NULL, 0},
	{"web\n", NULL, NULL, NULL, 0},
	{"w\xc3\xa9"
	 "b",
		NULL, NULL, NULL, 0},
	{NAME64 "b", NULL, NULL, NULL, 0}, {NAME64 "b/web", NULL, NULL, NULL, 0},
	{NAME64 ".x", NULL, NULL, NULL, 0}, {NAME64 NAME64, NULL, NULL, NULL, 0}};

TEST_LOOP(targets_are_split_or_refused, 0, COUNT_OF(targets))
{
	struct control_target t;
	int got = control_parse_target(&t, targets[_i].text, &err);

	ck_assert_msg(got == (targets[_i].whole != NULL ? 0 : -1), "'%s'", targets[_i].text);
	if (got == -1)
		return;
	ck_assert_str_eq(t.instance, targets[_i].instance);
	ck_assert_str_eq(t.whole, targets[_i].whole);
	ck_assert_str_eq(t.cluster, targets[_i].cluster);
	ck_assert_int_eq(t.slot, targets[_i].slot);
}

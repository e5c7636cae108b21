/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/advice.h"

static struct buffer out;
static struct wrap lines;
static struct advice advice;

static void setup(void)
{
	wrap_locale();
	buffer_init(&out, 0);
	wrap_init(&lines, &out, 0, false);
	advice = (struct advice){.runtime_directory = NULL};
}

static void teardown(void)
{
	wrap_fini(&lines);
	buffer_fini(&out);
}

static const char *shown(void)
{
	buffer_clear(&out);
	advice_put(&advice, &lines);
	return buffer_text(&out);
}

/* What is advised on a cluster `web` of `shop` that has these members. */
static const char *advise(const char *members)
{
	char json[2000];
	json_t *status;

	snprintf(json, sizeof(json), "{'name':'shop','clusters':[{'name':'web',%s}]}", members);
	status = json_of(json);
	advice = (struct advice){.runtime_directory = advice.runtime_directory};
	advice_on_status(&advice, status);
	json_decref(status);
	return shown();
}

FIXTURE(setup, teardown)

TEST(there_is_none_where_all_is_well)
{
	ck_assert_str_eq(advise("'state':'running','workers':[{'slot':0,'state':'ready',"
				"'restarts':9,'checks':{'ok':1000,'failed':1},"
				"'last_failure':{'text':'exit 1','after':9,'ago':100}},"
				"{'slot':1,'state':'starting'}],'listeners':["
				"{'address':'tcp:*:80','queue':3,'queue_limit':128,"
				"'dropped':0}],'failed_restart':null"),
		"");
}

#define NEXT "\nwhat to do next\n  "

static const struct {
	const char *members;
	const char *advice;
} advised[] = {
	{"'workers':[{'slot':0,'state':'ready'},{'slot':2,'state':'backoff',"
	 "'restarts':7,'next_try':25.2,'last_failure':{'text':'exit 1'}}]",
		NEXT "web.2 has failed 7 times; its exits: nclust events "
		     "shop/web.2\n"
		     "  web.2 is started again in 25 s; to try now: nclust "
		     "restart shop/web.2\n"},
	/* it is over before one has read this */
	{"'workers':[{'slot':2,'state':'backoff','restarts':7,'next_try':2,"
	 "'last_failure':{'text':'exit 1'}}]",
		NEXT "web.2 has failed 7 times; its exits: nclust events "
		     "shop/web.2\n"},
	/* it has said something */
	{"'workers':[{'slot':2,'state':'failed','last_failure':{'text':'exit "
	 "1','last_output':'x'}}]",
		NEXT "web.2 has failed; its output: nclust logs shop/web.2\n"
		     "  web.2 is not started again; once it can run, start it: "
		     "nclust restart shop/web.2\n"},
	/* it is ready, but has just failed again */
	{"'workers':[{'slot':2,'state':'ready','restarts':7,'last_failure':{"
	 "'text':'exit 1','after':200,'ago':100}}]",
		NEXT "web.2 has failed 7 times; its exits: nclust events "
		     "shop/web.2\n"},
	{"'workers':[{'slot':2,'state':'failed','restarts':0}]",
		NEXT "web.2 has failed; its exits: nclust events "
		     "shop/web.2\n"
		     "  web.2 is not started again; once it can run, start it: "
		     "nclust restart shop/web.2\n"},
	{"'failed_restart':{'text':'x'}",
		NEXT "the last restart of web failed; once the new workers can "
		     "run, try again: nclust restart shop/web\n"},
	{"'failed_restart':{'text':'x','reload':true}",
		NEXT "the last restart of web failed; once the new workers can "
		     "run, try again: nclust reload shop\n"},
	{"'state':'stopped','wanted':2",
		NEXT "web was stopped; to start it: nclust start shop/web\n"},
	{"'wanted':0,'scaled':true",
		NEXT "web was scaled to 0 workers; to start it: nclust start shop/web\n"},
	{"'listeners':[{'address':'udp:*:53','dropped':2}]",
		NEXT "udp:*:53 has dropped 2 datagrams because its buffer was "
		     "full; set a larger 'rcvbuf' in 'listen', or run more "
		     "workers: nclust scale shop/web +1\n"},
	{"'listeners':[{'address':'tcp:*:80','queue':110,'queue_limit':128}]",
		NEXT "tcp:*:80 has 110 connections in its queue, of 128 at "
		     "most; run more workers: nclust scale shop/web +1\n"},
};

TEST_LOOP(what_is_wrong_has_its_advice, 0, (int)COUNT_OF(advised))
{
	ck_assert_str_eq(advise(advised[_i].members), advised[_i].advice);
}

TEST(a_target_is_as_short_as_it_can_be)
{
	json_t *status = json_of("{'name':'web','clusters':[{'name':'web','workers':["
				 "{'slot':1,'state':'backoff','restarts':2,"
				 "'last_failure':{'text':'exit 1'}}]}]}");

	advice_on_status(&advice, status);
	json_decref(status);
	has(shown(), "nclust events web.1\n");
}

TEST(the_directory_that_was_given_is_part_of_the_command)
{
	advice.runtime_directory = "/tmp/it's mine";
	has(advise("'failed_restart':{}"),
		"nclust restart shop/web --runtime-directory '/tmp/it'\\''s "
		"mine'\n");
}

TEST(no_more_than_four)
{
	const char *all = "'state':'running','failed_restart':{},'listeners':["
			  "{'address':'a','dropped':1}],'workers':[{'slot':0,"
			  "'state':'backoff','restarts':5,'next_try':9},{'slot':1,"
			  "'state':'ready','stopped':true}]";
	const char *text = advise(all);
	size_t count = 0;

	for (const char *at = text; (at = strstr(at, ": nclust ")) != NULL; at++)
		count++;
	ck_assert_uint_eq(count, ADVICE_MOST);
}

/* No name from elsewhere becomes a word of a command. */
TEST(a_name_that_is_none_gets_no_command)
{
	json_t *status = json_of("{'name':'$(x)','clusters':[{'name':'web',"
				 "'failed_restart':{}}]}");
	json_t *other = json_of("{'name':'shop','clusters':[{'name':'a;b',"
				"'failed_restart':{}}]}");

	advice_on_status(&advice, status);
	advice_on_status(&advice, other);
	ck_assert_str_eq(shown(), "");
	json_decref(status);
	json_decref(other);
}

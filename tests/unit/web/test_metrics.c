/* SPDX-License-Identifier: MIT */
#include "../quoted.h"

#include "web/internal.h"

/* Two workers in slot 0, and names that must be escaped. */
#define STATUS \
	"{'uptime':1.5,'upgrades':2,'clusters':[{'name':'a\\'b\\\\c'," \
	"'wanted':1,'ready':1,'counters':{'exits':{'signal':3}," \
	"'ready_seconds':0.25,'ready':4}," \
	"'autoscale':{'min':0,'max':8,'steps':{'up':3,'down':2}}," \
	"'listeners':[{'name':'n','address':'unix:/x\\ny','queue':7," \
	"'queue_limit':null}]," \
	"'workers':[{'slot':0,'state':'ready','restarts':1," \
	"'cpu_seconds':1e3,'cgroup':{'oom_kills':2,'processes':null," \
	"'pressure':{'cpu':0,'memory':23.5}}}," \
	"{'slot':0,'state':'starting','restarts':1}," \
	"{'slot':1,'state':'backoff','restarts':9}]}]}"
#define CLUSTER "cluster='a\\'b\\\\c'"

static struct buffer out;
static const char *text;

static void render(const char *json, bool openmetrics)
{
	json_t *tree = json_loads(quoted(json), 0, NULL);

	ck_assert_ptr_nonnull(tree);
	buffer_fini(&out);
	buffer_init(&out, 0);
	metrics_write(&out, tree, openmetrics);
	json_decref(tree);
	text = buffer_text(&out);
	ck_assert_ptr_nonnull(text);
}

/* That line stands there once. */
static void ck_assert_line(const char *line)
{
	char whole[200];
	const char *at;

	snprintf(whole, sizeof(whole), "\n%s\n", quoted(line));
	at = strstr(text, whole);
	ck_assert_msg(at != NULL && strstr(at + 1, whole) == NULL, "%s", line);
}

static void begin(void)
{
	buffer_init(&out, 0);
	render(STATUS, false);
}

static void end(void)
{
	buffer_fini(&out);
}

FIXTURE(begin, end)

static const char *const samples[] = {
	"nclust_uptime_seconds 1.5",
	"nclust_upgrades_total 2",
	"# TYPE nclust_upgrades_total counter",
	"nclust_workers_wanted{" CLUSTER "} 1",
	"nclust_workers_min{" CLUSTER "} 0",
	"nclust_workers_max{" CLUSTER "} 8",
	"nclust_scale_steps_total{" CLUSTER ",direction='up'} 3",
	"nclust_ready_seconds_sum{" CLUSTER "} 0.25",
	"nclust_ready_seconds_count{" CLUSTER "} 4",
	"nclust_listener_queue{" CLUSTER ",listener='n',address='unix:/x\\ny'} 7",
	"nclust_exits_total{" CLUSTER ",reason='signal'} 3",
	"nclust_worker_oom_kills_total{" CLUSTER ",slot='0'} 2",
	"nclust_worker_memory_pressure_percent{" CLUSTER ",slot='0'} 23.5",
	/* a slot has one sample, and states count all */
	"nclust_worker_restarts_total{" CLUSTER ",slot='0'} 1",
	"nclust_worker_restarts_total{" CLUSTER ",slot='1'} 9",
	"nclust_worker_cpu_seconds_total{" CLUSTER ",slot='0'} 1000",
	"nclust_workers{" CLUSTER ",state='starting'} 1",
	"nclust_workers{" CLUSTER ",state='draining'} 0",
};

TEST_LOOP(numbers_are_samples_with_labels, 0, (int)COUNT_OF(samples))
{
	ck_assert_line(samples[_i]);
}

TEST(what_is_null_is_left_out_with_its_head)
{
	ck_assert_ptr_null(strstr(text, "nclust_listener_queue_limit"));
	ck_assert_ptr_null(strstr(text, "nclust_hangs"));
	ck_assert_ptr_null(strstr(text, "nclust_worker_forks_refused"));
	render("{}", false);
	ck_assert_str_eq(text, "");
}

TEST(openmetrics_differs_where_it_must)
{
	render(STATUS, true);
	ck_assert_line("# TYPE nclust_upgrades counter");
	ck_assert_line("nclust_upgrades_total 2");
	ck_assert_line("# EOF");
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
	render("{}", true);
	ck_assert_str_eq(text, "# EOF\n");
}

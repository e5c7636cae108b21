/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "web/metrics.h"

#include <string.h>

/* Two workers in slot 0, and names that must be escaped. */
static const char status[] =
	"{\"uptime\":1.5,\"upgrades\":2,\"clusters\":[{\"name\":"
	"\"a\\\"b\\\\c\","
	"\"wanted\":1,\"ready\":1,\"counters\":{\"exits\":{\"signal\":3},"
	"\"ready_seconds\":0.25,\"ready\":4},"
	"\"autoscale\":{\"min\":0,\"max\":8,\"steps\":{\"up\":3,\"down\":2}},"
	"\"listeners\":[{\"name\":\"n\",\"address\":\"unix:/"
	"x\\ny\",\"queue\":7,"
	"\"queue_limit\":null}],"
	"\"workers\":[{\"slot\":0,\"state\":\"ready\",\"restarts\":1,"
	"\"cpu_seconds\":1e3,\"cgroup\":{\"oom_kills\":2,\"processes\":null,"
	"\"pressure\":{\"cpu\":0,\"memory\":23.5}}},"
	"{\"slot\":0,\"state\":\"starting\",\"restarts\":1},"
	"{\"slot\":1,\"state\":\"backoff\",\"restarts\":9}]}]}";

static struct buffer out;
static const char *text;

static void render(const char *json, bool openmetrics)
{
	json_t *tree = json_loads(json, 0, NULL);

	ck_assert_ptr_nonnull(tree);
	buffer_fini(&out);
	buffer_init(&out, 0);
	metrics_write(&out, tree, openmetrics);
	json_decref(tree);
	text = buffer_text(&out);
	ck_assert_ptr_nonnull(text);
}

/* How often the line stands there. */
static unsigned lines(const char *line)
{
	size_t len = strlen(line);
	unsigned count = 0;

	for (const char *at = text; at != NULL && *at != '\0';) {
		const char *end = strchr(at, '\n');

		ck_assert_ptr_nonnull(end);
		count +=
			(size_t)(end - at) == len && memcmp(at, line, len) == 0;
		at = end + 1;
	}
	return count;
}

static void begin(void)
{
	buffer_init(&out, 0);
	render(status, false);
}

static void end(void)
{
	buffer_fini(&out);
}

FIXTURE(begin, end)

TEST(numbers_are_samples)
{
	ck_assert_uint_eq(lines("nclust_uptime_seconds 1.5"), 1);
	ck_assert_uint_eq(lines("nclust_upgrades_total 2"), 1);
	ck_assert_uint_eq(lines("# TYPE nclust_upgrades_total counter"), 1);
	ck_assert_uint_eq(
		lines("nclust_workers_wanted{cluster=\"a\\\"b\\\\c\"} 1"), 1);
	ck_assert_uint_eq(
		lines("nclust_workers_min{cluster=\"a\\\"b\\\\c\"} 0"), 1);
	ck_assert_uint_eq(
		lines("nclust_workers_max{cluster=\"a\\\"b\\\\c\"} 8"), 1);
	ck_assert_uint_eq(
		lines("nclust_scale_steps_total{cluster=\"a\\\"b\\\\c\","
		      "direction=\"up\"} 3"),
		1);
	ck_assert_uint_eq(
		lines("nclust_ready_seconds_sum{cluster=\"a\\\"b\\\\c\"} 0.25"),
		1);
	ck_assert_uint_eq(
		lines("nclust_ready_seconds_count{cluster=\"a\\\"b\\\\c\"} 4"),
		1);
}

TEST(labels_are_escaped)
{
	ck_assert_uint_eq(lines("nclust_listener_queue{cluster=\"a\\\"b\\\\c\","
				"listener=\"n\",address=\"unix:/x\\ny\"} 7"),
		1);
	ck_assert_uint_eq(lines("nclust_exits_total{cluster=\"a\\\"b\\\\c\","
				"reason=\"signal\"} 3"),
		1);
}

TEST(a_group_of_a_worker_has_its_kills_and_pressure)
{
	ck_assert_uint_eq(
		lines("nclust_worker_oom_kills_total{cluster=\"a\\\"b\\\\c\","
		      "slot=\"0\"} 2"),
		1);
	ck_assert_uint_eq(lines("nclust_worker_memory_pressure_percent{cluster="
				"\"a\\\"b\\\\c\","
				"slot=\"0\"} 23.5"),
		1);
	ck_assert_ptr_null(strstr(text, "nclust_worker_forks_refused"));
}

TEST(what_is_null_is_left_out_with_its_head)
{
	ck_assert_ptr_null(strstr(text, "nclust_listener_queue_limit"));
	ck_assert_ptr_null(strstr(text, "nclust_hangs"));
	render("{}", false);
	ck_assert_str_eq(text, "");
}

TEST(a_slot_has_one_sample_and_states_count_all)
{
	ck_assert_uint_eq(
		lines("nclust_worker_restarts_total{cluster=\"a\\\"b\\\\c\","
		      "slot=\"0\"} 1"),
		1);
	ck_assert_uint_eq(
		lines("nclust_worker_restarts_total{cluster=\"a\\\"b\\\\c\","
		      "slot=\"1\"} 9"),
		1);
	ck_assert_uint_eq(
		lines("nclust_worker_cpu_seconds_total{cluster=\"a\\\"b\\\\c\","
		      "slot=\"0\"} 1000"),
		1);
	ck_assert_uint_eq(lines("nclust_workers{cluster=\"a\\\"b\\\\c\","
				"state=\"starting\"} 1"),
		1);
	ck_assert_uint_eq(lines("nclust_workers{cluster=\"a\\\"b\\\\c\","
				"state=\"draining\"} 0"),
		1);
}

TEST(openmetrics_differs_where_it_must)
{
	render(status, true);
	ck_assert_uint_eq(lines("# TYPE nclust_upgrades counter"), 1);
	ck_assert_uint_eq(lines("nclust_upgrades_total 2"), 1);
	ck_assert_uint_eq(lines("# EOF"), 1);
	ck_assert_str_eq(text + strlen(text) - 6, "# EOF\n");
	render("{}", true);
	ck_assert_str_eq(text, "# EOF\n");
}

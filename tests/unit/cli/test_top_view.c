/* SPDX-License-Identifier: MIT */
#include "cli_lib.h"

#include "cli/top.h"

#include <stdio.h>

static struct top_view view;
static struct buffer json;

static void setup(void)
{
	(void)setenv("LC_ALL", "C.UTF-8", 1);
	wrap_locale();
	top_view_init(&view);
	buffer_init(&json, 0);
}

static void teardown(void)
{
	top_view_fini(&view);
	buffer_fini(&json);
}

static void begin(double uptime)
{
	buffer_clear(&json);
	buffer_printf(&json, "{'name':'shop','pid':7,'uptime':%.1f,'clusters':[", uptime);
}

static void cluster(const char *name)
{
	bool first = json.data[json.len - 1] == '[';

	buffer_printf(&json,
		"%s{'name':'%s','state':'running','generation':1,"
		"'listeners':[{'address':'tcp:*:80','name':'x','queue':3,"
		"'queue_limit':4,'dropped':0}],'workers':[",
		first ? "" : "]},", name);
}

static void worker(unsigned slot, unsigned id, const char *state, double cpu, double memory)
{
	bool first = json.data[json.len - 1] == '[';

	buffer_printf(&json,
		"%s{'slot':%u,'id':%u,'pid':1,'state':'%s',"
		"'generation':1,'uptime':10,'restarts':0,"
		"'cpu_percent':%.3f,'memory_bytes':%.0f}",
		first ? "" : ",", slot, id, state, cpu, memory);
}

static void end(void)
{
	json_t *status;

	buffer_string(&json, "]}]}");
	status = json_of(buffer_text(&json));
	ck_assert_int_eq(top_view_look(&view, status), 0);
}

/* "0 1 4-9": the slots that have rows, from the top; "*" is the selected one. */
static const char *slots(void)
{
	static struct buffer text;

	buffer_clear(&text);
	for (size_t i = 0; i < view.count; i++) {
		const struct top_row *r = &view.rows[i];
		struct row cells;

		if (r->kind != TOP_WORKERS)
			continue;
		row_format(&cells, &r->group, false);
		buffer_printf(&text, "%s%s%s", text.len > 0 ? " " : "",
			i == view.selected ? "*" : "", cells.cell[COLUMN_SLOT]);
	}
	return buffer_text(&text);
}

static const char *target(enum control_method method)
{
	static char text[TOP_TARGET];

	return top_view_target(&view, method, text);
}

static void three(double uptime)
{
	begin(uptime);
	cluster("web");
	worker(0, 10, "ready", uptime * .5, 2e6);
	worker(1, 11, "ready", uptime * .9, 1e6);
	worker(2, 12, "starting", uptime * .1, 3e6);
	end();
}

static void many(unsigned lost)
{
	begin(100);
	cluster("web");
	for (unsigned i = 0; i < 40; i++)
		worker(i, 100 + i, i == lost ? "backoff" : "ready", 0, 1e6);
	end();
}

FIXTURE(setup, teardown)

TEST(a_cluster_has_its_lines_and_a_row_for_each_worker)
{
	three(100);
	ck_assert_uint_eq(view.count, 6);
	ck_assert_int_eq(view.rows[0].kind, TOP_INSTANCE);
	ck_assert_int_eq(view.rows[1].kind, TOP_CLUSTER);
	ck_assert_int_eq(view.rows[2].kind, TOP_TEXT);
	ck_assert_int_eq(strncmp(view.text.data + view.rows[2].text, "  tcp:*:80", 10), 0);
	ck_assert_str_eq(slots(), "0 1 2");
}

TEST(many_that_are_alike_are_grouped_until_the_group_is_opened)
{
	many(7);
	ck_assert_str_eq(slots(), "0-6 7 8-39");
	top_view_move(&view, 1000);
	ck_assert_str_eq(slots(), "0-6 7 *8-39");
	/* nothing can be asked of a part of a cluster */
	ck_assert_str_eq(target(METHOD_RESTART), "web");
	top_view_turn(&view);
	ck_assert_int_eq(top_view_make(&view), 0);
	ck_assert_uint_eq(view.count, 43);
	ck_assert_str_eq(target(METHOD_RESTART), "web.8");
	top_view_turn(&view);
	ck_assert_int_eq(top_view_make(&view), 0);
	ck_assert_str_eq(slots(), "0-6 7 *8-39");
	/* the group that has it, however they are divided */
	many(9);
	ck_assert_str_eq(slots(), "*0-8 9 10-39");
	many(7);
	ck_assert_str_eq(slots(), "0-6 7 *8-39");
}

TEST(what_is_selected_is_on_the_screen)
{
	view.height = 10;
	many(7);
	top_view_move(&view, 3);
	top_view_turn(&view);
	ck_assert_int_eq(top_view_make(&view), 0);
	ck_assert_uint_eq(view.first, 0);
	top_view_move(&view, 20);
	ck_assert_uint_eq(view.selected, 23);
	ck_assert_uint_eq(view.first, 14);
	top_view_move(&view, -15);
	ck_assert_uint_eq(view.first, 8);
	view.height = 4; /* made smaller */
	top_view_move(&view, 1000);
	ck_assert_uint_eq(view.first, 43 - 4);
	view.height = 100;
	ck_assert_int_eq(top_view_make(&view), 0);
	ck_assert_uint_eq(view.first, 0);
}

TEST(a_slot_can_be_restarted_but_only_a_cluster_scaled_or_stopped)
{
	three(100);
	ck_assert_str_eq(target(METHOD_STOP), "");
	top_view_move(&view, 1);
	ck_assert_str_eq(target(METHOD_STOP), "web");
	top_view_move(&view, 1);
	ck_assert_str_eq(target(METHOD_STOP), "web");
	ck_assert_str_eq(target(METHOD_SCALE), "web");
	ck_assert_str_eq(target(METHOD_RESTART), "web.0");
	ck_assert_str_eq(target(METHOD_EVENTS), "web.0");
}

/* Whatever is at the other end of the socket. */
TEST(a_status_of_anything_is_shown_somehow)
{
	static const char *const all[] = {"{}", "{'clusters':7}", "{'clusters':[7,null,{}]}",
		"{'clusters':[{'name':7,'workers':{'a':1}}]}",
		"{'name':'a\\u001b[2J\\n','clusters':["
		"{'name':'\\u001b]0;x','workers':[7,[],{},{'slot':'x',"
		"'id':-1e300,'state':'\\u001b[31m','cpu_percent':'x'}]}]}"};

	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		json_t *status = json_of(all[i]);

		ck_assert_int_eq(top_view_look(&view, status), 0);
		top_view_turn(&view);
		top_view_move(&view, 100);
		(void)target(METHOD_RESTART);
		ck_assert_ptr_null(memchr(view.text.data, '\033', view.text.len));
	}
	ck_assert_uint_ne(view.count, 0);
}

/* SPDX-License-Identifier: MIT */
#include "lanes_lib.h"

#include "os/process.h"
#include "protocol/json.h"
#include "supervisor/drain/imbalance.h"
#include "supervisor/sockets/group.h"

/*
 * `balance = auto`: workers share a socket, and a status says so if one of them has used most of
 * the CPU time.
 */
#define WEB(workers, more) \
	"[cluster:web]\ncommand = /bin/web\nready = notify\nlisten = " \
	"127.0.0.1:0\ndrain = signal\nworkers = " workers "\n" more

static nsec_t ran[8]; /* by slot */

REPLACED(nsec_t, process_ran)(pid_t pid)
{
	for (uint32_t slot = 0; slot < web->child_slots; slot++)
		for (int k = 0; k < 2; k++)
			if (web->children[slot][k] != NULL && web->children[slot][k]->pid == pid)
				return ran[slot];
	return 0;
}

/* Each has used that much before it was ready. */
static void begin(const char *ini, unsigned workers, nsec_t before)
{
	for (uint32_t slot = 0; slot < 8; slot++)
		ran[slot] = before;
	begin_lanes(ini, workers);
}

static bool status_says(const char *text)
{
	scoped_buffer out = {.limit = 4096};
	struct json_writer w;

	json_begin(&w, &out);
	json_open_object(&w);
	imbalance_on_status(&w, web);
	json_close_object(&w);
	return strstr(buffer_text(&out), text) != NULL;
}

TEST_LOOP(one_that_has_most_of_it_is_a_reason_to_set_rr, 0, 6)
{
	static const struct {
		unsigned workers;
		nsec_t before, used[3], later;
		bool says;
	} rows[] = {
		{3, SECOND, {0, 3 * SECOND, SECOND}, 5 * SECOND, true},
		{3, SECOND, {0, 3 * SECOND, SECOND}, 4 * SECOND, false},
		{3, 0, {3 * SECOND, 2 * SECOND, SECOND}, 5 * SECOND, false},
		{3, 9 * SECOND, {0, 150 * MSEC}, 5 * SECOND, false},
		{3, 0, {0, 2 * SECOND}, 9 * SECOND, false}, /* within that */
		{2, 0, {7 * SECOND, 3 * SECOND}, 5 * SECOND, false},
	};

	begin(rows[_i].workers == 2 ? WEB("2", "") : WEB("3", ""), rows[_i].workers,
		rows[_i].before);
	for (uint32_t slot = 0; slot < 3; slot++)
		ran[slot] += rows[_i].used[slot];
	room_pass(rows[_i].later);
	ck_assert_int_eq(status_says("web.1 has 75 % of the CPU time of 3 workers; 'balance = rr'"),
		rows[_i].says);
	restart();
	ck_assert_uint_eq(group_size(l), 1);
}

TEST(who_says_how_is_not_advised)
{
	begin(WEB("3", "balance = share\n"), 3, 0);
	ran[0] = 2 * SECOND;
	room_pass(5 * SECOND);
	ck_assert(!status_says("balance_why"));
	ck_assert(status_says("\"balance\":\"share\""));
}

/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"
#include "supervisor/common/news.h"

#include "core/image.h"

/* How events that wait to be told go through an upgrade, and the history. */

static const struct plain_row news_rows[] = {
	PLAIN(1, news, cluster, TEXT),
	PLAIN_IN(2, news, report, &image_report_table),
	PLAIN(3, news, serial, UNSIGNED),
	PLAIN(4, news, patience, SIGNED),
	PLAIN(5, news, last, TEXT),
	PLAIN(6, news, explain, TEXT),
	PLAIN(7, news, bind_hint, BOOL),
};

const struct carried carried_event = {
	.tag = CARRY_NEWS,
	.called = "an event",
	CARRIED_ROWS(news_rows, news),
};

static void put_news(struct carry_writer *c, const void *of)
{
	const struct supervisor *sup = of;

	carry_put_one(c, &carried_history, sup);
	for (const struct news *n = sup->news_head; n != NULL; n = n->next)
		carry_put_one(c, &carried_event, n);
}

static int get_event(struct carry_reader *r, struct supervisor *sup,
	const struct handover_field *f)
{
	struct news n = {0};

	if (carry_get_one(r, &carried_event, &n, f) == -1)
		return -1;
	return news_carried(sup, &n) == 0 ? 1 : carry_no_memory(r, "an event");
}

static int take_news(
	struct carry_reader *r, void *to, const struct handover_field *f)
{
	if (f->tag == CARRY_HISTORY)
		return carry_get_one(r, &carried_history, to, f);
	return f->tag == CARRY_NEWS ? get_event(r, to, f) : 0;
}

const struct carried carried_news = {
	.put = put_news,
	.take = take_news,
};

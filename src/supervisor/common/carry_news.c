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

static void *make(struct carry_reader *r, void *owner)
{
	const struct news none = {0};

	(void)r;
	return news_carried(owner, &none) == 0
		? ((struct supervisor *)owner)->news.tail
		: NULL;
}

const struct carried carried_event = {
	.tag = CARRY_NEWS,
	.called = "an event",
	CARRIED_ROWS(news_rows, news),
	.make = make,
};

static const struct plain_row told_rows[] = {
	CARRY_LIST(
		CARRY_NEWS, supervisor, news.head, &carried_event, news, next),
};

const struct carried carried_news = {
	CARRIED_ROWS(told_rows, supervisor),
};

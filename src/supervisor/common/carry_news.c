/* SPDX-License-Identifier: MIT */
#include "supervisor/common/carried.h"
#include "supervisor/common/news.h"

#include "core/cluster.h"

/* How events that wait to be published go through an upgrade. */

static const struct plain_row news_rows[] = {
	PLAIN(1, news, cluster, TEXT),
	PLAIN_IN(2, news, report, &image_report_table),
	PLAIN(3, news, serial, UNSIGNED),
	PLAIN(4, news, patience, SIGNED),
	PLAIN(5, news, last, TEXT),
	PLAIN(6, news, explain, TEXT),
	PLAIN(7, news, bind_hint, BOOL),
	PLAIN(8, news, asked_again, UNSIGNED),
};

const struct carried carried_event = {
	.called = "an event",
	CARRIED_ROWS(news_rows, news),
};

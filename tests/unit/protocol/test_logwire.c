/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "protocol/logwire.h"

static struct logwire_packet packet(uint32_t kind)
{
	struct logwire_packet p = {
		.kind = kind, .worker = 7, .stream = 1, .cluster = "web", .which = LOGWIRE_SOCKET};

	return p;
}

TEST(whole_packets_of_every_kind_pass)
{
	for (uint32_t kind = LOGWIRE_ADD; kind <= LOGWIRE_GIVEN; kind++) {
		struct logwire_packet p = packet(kind);

		ck_assert(logwire_check(&p, sizeof(p)));
	}
}

TEST(cut_and_padded_packets_are_refused)
{
	struct logwire_packet p[2] = {packet(LOGWIRE_ADD)};

	ck_assert(!logwire_check(p, 0));
	ck_assert(!logwire_check(p, sizeof(p[0]) - 1));
	ck_assert(!logwire_check(p, sizeof(p[0]) + 1));
}

TEST(what_is_held_is_known_by_its_descriptors)
{
	struct logwire_packet p = packet(LOGWIRE_HOLD);

	p.what = LOGWIRE_A_WORKER;
	ck_assert(!logwire_check(&p, sizeof(p))); /* a listener's */
	p.which = LOGWIRE_PIDFD | LOGWIRE_TRAP | LOGWIRE_STDERR;
	ck_assert(logwire_check(&p, sizeof(p)));
	ck_assert_uint_eq(logwire_count(p.which), 3);
	p.which = LOGWIRE_NOTIFY; /* of nobody */
	ck_assert(!logwire_check(&p, sizeof(p)));
	p.which = LOGWIRE_PIDFD | 128;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p.which = LOGWIRE_PIDFD;
	p.cluster[0] = '/';
	ck_assert(!logwire_check(&p, sizeof(p)));
	p.what = LOGWIRE_A_SEGMENT;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p.which = LOGWIRE_MEMORY;
	ck_assert(logwire_check(&p, sizeof(p)));
	p.what = LOGWIRE_A_SEGMENT + 1;
	ck_assert(!logwire_check(&p, sizeof(p)));
}

TEST(unknown_kinds_are_refused)
{
	struct logwire_packet p = packet(0);

	ck_assert(!logwire_check(&p, sizeof(p)));
	p.kind = LOGWIRE_LINES + 1;
	ck_assert(!logwire_check(&p, sizeof(p)));
}

TEST(texts_without_an_end_are_refused)
{
	struct logwire_packet p = packet(LOGWIRE_LAST);

	memset(p.text, 'x', sizeof(p.text));
	ck_assert(!logwire_check(&p, sizeof(p)));
	p = packet(LOGWIRE_ADD);
	memset(p.cluster, 'x', sizeof(p.cluster));
	ck_assert(!logwire_check(&p, sizeof(p)));
}

TEST(fields_out_of_range_are_refused)
{
	struct logwire_packet p = packet(LOGWIRE_ADD);

	p.stream = 0;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p.stream = 4;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p = packet(LOGWIRE_ADD);
	p.cluster[0] = '\x1b';
	ck_assert(!logwire_check(&p, sizeof(p)));
	p = packet(LOGWIRE_ADD);
	p.sink = LOGWIRE_COPY;
	ck_assert(logwire_check(&p, sizeof(p)));
	p.sink = LOGWIRE_PREFIX;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p = packet(LOGWIRE_SINK);
	p.sink = LOGWIRE_PREFIX + 1;
	ck_assert(!logwire_check(&p, sizeof(p)));
	p = packet(LOGWIRE_SINK);
	p.flag = 2;
	ck_assert(!logwire_check(&p, sizeof(p)));
}

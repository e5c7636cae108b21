/* SPDX-License-Identifier: MIT */
#ifndef PROTOCOL_LOGWIRE_H
#define PROTOCOL_LOGWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * Between supervisor and logger: packets on a SOCK_SEQPACKET pair, native
 * byte order (both ends are the same binary).  Every packet is one of these
 * structs, whole; anything else is refused.
 */
enum logwire_kind {
	/* supervisor -> logger */
	LOGWIRE_ADD = 1, /* a worker's output; the read end comes along */
	LOGWIRE_ENDED,   /* this worker is dead: read what is there, answer
			    with LOGWIRE_LAST, go on until EOF (bounded) */
	LOGWIRE_SINK,    /* what to do with lines from now on */
	/* logger -> supervisor */
	LOGWIRE_LAST,  /* the last output of a dead worker */
	LOGWIRE_HELLO, /* it runs */
};

enum logwire_sink {
	LOGWIRE_DISCARD, /* keep only the last lines */
	LOGWIRE_PREFIX,  /* "web.2 | line" to stdout and stderr */
};

struct logwire_packet {
	uint32_t kind;
	uint32_t slot;
	uint64_t worker;
	uint32_t stream; /* 1: stdout, 2: stderr */
	uint32_t sink;
	uint32_t colour;         /* LOGWIRE_SINK: the sink is a terminal */
	uint32_t quiet;          /* LOGWIRE_ADD: keep only its last lines */
	uint32_t address_in_use; /* LOGWIRE_LAST: it complained of that */
	char cluster[65];        /* NUL-terminated */
	char text[512]; /* LOGWIRE_LAST: last lines, cut, joined by " / ",
				NUL-terminated; "" if there was nothing */
};

/* Check one that came over the wire (length, kind, NULs).  false: refuse. */
bool logwire_check(const struct logwire_packet *p, size_t len);

#endif

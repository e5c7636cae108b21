/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * The logger: a process of its own that reads the workers' pipes and writes the sinks.
 * The supervisor starts it from the same binary, with the channel (SOCK_SEQPACKET,
 * protocol/logwire.h) on descriptor 3, stdout and stderr the supervisor's.  The logger
 * owns nothing that matters: the supervisor keeps the pipes' read ends too, and starts
 * another logger when this one dies.  The logger ends when the channel is closed and
 * every pipe is at its end (bounded: 2 s).  Started as root it becomes `user`, which
 * no worker has.  Returns the exit status.
 *
 * A line is "web.2 | line"; bytes of a line beyond 8 KiB follow as "web.2 + rest".
 * The output of a worker that is added with LOGWIRE_COPY is copied byte for byte, and
 * the worker waits when the reader of the sink does: while it lives no more is taken out
 * of its pipe than the sink takes at once, so that a logger that is killed meanwhile loses
 * nothing.
 * The pipes become non-blocking for all processes that hold their read ends, the
 * supervisor too.  LOGWIRE_ENDED is answered once, also for a worker that never was
 * added.
 */
int logger_main(int channel, uid_t user);

/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_LOGGER_H
#define LOGGER_LOGGER_H

#include <sys/types.h>

/*
 * The logger: a process of its own that reads the workers' pipes and writes
 * the sinks.  Started by the supervisor from the same binary, with the channel
 * (SOCK_SEQPACKET, protocol/logwire.h) on descriptor 3, stdout and stderr the
 * supervisor's.  It owns nothing that matters: the supervisor keeps the pipes'
 * read ends too, and starts another one when it dies.  It ends when the
 * channel is closed and every pipe is at its end (bounded: 2 s).
 * Started as root it becomes `user`, who is no worker's.
 * Returns the exit status.
 *
 * A line is "web.2 | line"; what is over 8 KiB of it follows as "web.2 + rest".
 * A worker that is added with LOGWIRE_COPY is copied byte for byte, and waits
 * when the reader of the sink does: no more is taken out of its pipe than the
 * sink takes at once, so that a logger that is killed meanwhile loses nothing.
 * Until LOGWIRE_SINK says otherwise, lines are only kept for LOGWIRE_LAST.  The
 * pipes become non-blocking for all who hold their read ends, the supervisor
 * too.  A worker is known by its id alone, as its cluster may have got another
 * name.  LOGWIRE_ENDED is answered once, also for one that never was added.
 */
int logger_main(int channel, uid_t user);

#endif

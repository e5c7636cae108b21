/* SPDX-License-Identifier: MIT */
#ifndef LOGGER_LOGGER_H
#define LOGGER_LOGGER_H

/*
 * The logger: a process of its own that reads the workers' pipes and writes
 * the sinks.  Started by the supervisor from the same binary, with the channel
 * (SOCK_SEQPACKET, protocol/logwire.h) on descriptor 3, stdout and stderr the
 * supervisor's.  It owns nothing that matters: the supervisor keeps the pipes'
 * read ends too, and starts another one when it dies.  It ends when the
 * channel is closed and every pipe is at its end (bounded: 2 s).
 * Returns the exit status.
 */
int logger_main(int channel);

#endif

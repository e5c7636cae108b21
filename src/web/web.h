/* SPDX-License-Identifier: MIT */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <sys/types.h>

/*
 * The web process: answers by HTTP what nclust tells it, and can do nothing
 * else.  Started by the supervisor from the same binary, with three connections to
 * the control socket's server, where it may only look (one for status, one for
 * events) and ask for connections to workers (`workers`, for those of clusters with
 * `metrics`), and with the listening sockets of HTTP, one or (`also`) two, and of
 * HAProxy's agent-check; in the place of one that is not set is another descriptor.  By
 * `channel` comes one line before all else: the bearer token, or nothing where none is
 * asked for; "open " stands before it if any host may be asked for (guests.h).
 *
 * It loads libmicrohttpd for HTTP, gives up all rights (privilege_shed()), lets itself be
 * bound to what it has (os/sandbox.h), and then sends an empty line, which tells
 * that it can answer.  It owns nothing that matters: killed, another one takes its
 * place.  It ends when nclust has closed a connection.  Returns the exit status:
 * EX_CONFIG if the library cannot be loaded, EX_NOPERM if the rights stay.  It
 * writes nothing.
 */
int web_main(int channel, int also, int listener, int events, int workers, int agent, uid_t user);

#endif

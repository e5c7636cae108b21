/* SPDX-License-Identifier: MIT */
#pragma once

#include <sys/types.h>

/*
 * The web process: answers by HTTP what nclust tells it, and can do nothing else.  The supervisor
 * starts it from the same binary, with two connections to the control socket's server, where it
 * may only look (`channel` for a status, `events`); and with the listening sockets of HTTP
 * (`listener`, and perhaps `also`) and of HAProxy's agent-check (`agent`).  In place of a missing
 * socket it gets another descriptor.  One line comes by `channel` before all else: the bearer token, or nothing if none is
 * required; "open " stands before it if the Host of a request does not matter (requests.c).
 *
 * It loads libmicrohttpd for HTTP, gives up all rights (privilege_shed()), lets itself be
 * bound to what it has (os/privilege.h), and then sends an empty line, which says
 * that it can answer.  It owns nothing that matters: when it is killed, another one
 * takes its place.  It ends when nclust has closed a connection.  Returns the exit status:
 * EX_CONFIG if the library cannot be loaded, EX_NOPERM if the rights stay.  It
 * writes nothing.
 */
int web_main(int channel, int also, int listener, int events, int agent, uid_t user);

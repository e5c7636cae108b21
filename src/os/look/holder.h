/* SPDX-License-Identifier: MIT */
#ifndef OS_HOLDER_H
#define OS_HOLDER_H

#include <stddef.h>
#include <stdint.h>

#define HOLDER_TEXT 64

/*
 * Which process of our network namespace has the port: "nginx (pid 77)" where
 * its descriptors may be looked at, else "a process of uid 33"; "" where nobody
 * has it or the kernel does not tell.  `type` is SOCK_STREAM or SOCK_DGRAM.
 * The search through /proc ends after 50 ms of CPU time or 200 ms, whatever it has found.  Returned.
 */
const char *holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port);

#endif

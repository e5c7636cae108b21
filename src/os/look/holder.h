/* SPDX-License-Identifier: MIT */
#ifndef OS_HOLDER_H
#define OS_HOLDER_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define HOLDER_TEXT 64

/*
 * The process of our network namespace that has the port: "nginx (pid 77)" if
 * nclust may look at its descriptors, else "a process of uid 33"; "" if no
 * process has the port or the kernel does not tell.  `type` is SOCK_STREAM or
 * SOCK_DGRAM.  The search through /proc ends after 50 ms of CPU time or 200 ms in
 * any case.  Returns the pid; 0: unknown.
 */
pid_t holder_of_port(char to[HOLDER_TEXT], int type, uint16_t port);

#endif

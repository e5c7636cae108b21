/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_READINESS_H
#define SUPERVISOR_READINESS_H

#include "supervisor/common/state.h"

/* A private NOTIFY_SOCKET per worker.  A message counts if its sender, by
 * SCM_CREDENTIALS, is the worker or belongs to the worker's session; all
 * others are refused, which is reported once. */
int readiness_open(struct child *child, const struct cluster_settings *settings, struct error *err);
/* Bind it anew if its file was removed. */
void readiness_renew(struct child *child);
/* Its socket can be read. */
void readiness_hear(struct child *child);
/* After an upgrade: watch its socket again. */
void readiness_resume(struct child *child);
/* Receive all queued messages; called also before the worker is reaped. */
void readiness_drain(struct child *child);
/* Take over the socket that an earlier nclust had for the worker; -1: make a
 * new one in its place. */
void readiness_adopt(struct child *child, int fd);
void readiness_close(struct child *child);

#endif

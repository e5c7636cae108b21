/* SPDX-License-Identifier: MIT */
#pragma once

#include "supervisor/common/carried.h"

/* Each worker has a NOTIFY_SOCKET of its own.  A message counts if its sender, by SCM_CREDENTIALS,
 * is the worker or belongs to the worker's session; other messages are refused, which is logged
 * once. */
int readiness_open(struct child *child, const struct cluster_settings *settings, struct error *err);
/* Bind the socket anew if its file was removed. */
void readiness_renew(struct child *child);
/* The worker's socket is readable. */
void readiness_hear(struct child *child);
/* After an upgrade: watch the worker's socket again. */
void readiness_resume(struct child *child);
/* Receive all queued messages; called also before the worker is reaped. */
void readiness_drain(struct child *child);
/* Use `fd`, the socket that an earlier nclust had for the worker; -1: bind a new one. */
void readiness_adopt(struct child *child, int fd);
void readiness_close(struct child *child);
/* The worker was not ready in time: with `ready = auto` nclust expects of it what others have done,
 * with `ready = notify` a message. */
void readiness_explain_timeout(struct service *service, const struct report *r);
/* Why a worker that fails a rollout was not ready in time. */
void readiness_explain_late(const struct service *service, const struct report *r);

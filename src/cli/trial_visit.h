/* SPDX-License-Identifier: MIT */
#ifndef CLI_TRIAL_VISIT_H
#define CLI_TRIAL_VISIT_H

#include "cli/trial.h"

/* A client of the command on trial, and what it was answered. */
struct visitor {
	int fd; /* -1: there is none */
	bool got;
	bool closed;
	char answer[2048]; /* the beginning */
	size_t len;
};

void visitor_say(struct visitor *v, const char *text);
/* Take what is there. */
void visitor_read(struct visitor *v);
/* Until something comes, or nothing does although the worker does not work. */
void visitor_await(struct visitor *v, const struct trial_life *life);
/* By HTTP? */
bool visitor_is_answered(const struct visitor *v);

#endif

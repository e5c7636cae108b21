/* SPDX-License-Identifier: MIT */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "base/buffer.h"
#include "cli/facts.h"
#include "cli/trial_exam.h"

/*
 * `nclust doctor -- COMMAND`: what an examination (trial_exam.h) has found, as
 * facts for people, as JSON, and as the command line to use.
 */

/* Of each step, once it is done. */
void doctor_tell_start(const struct exam *e, struct facts *f);
void doctor_tell_copy(const struct exam *e, struct facts *f);
void doctor_tell_stop(const struct exam *e, struct facts *f);
void doctor_tell_untold(const struct exam *e, struct facts *f);

/* The words to run it with: so many copies as work, and what it takes.  False:
 * there is no way to run it. */
bool doctor_command_line(const struct exam *e, struct buffer *out);
/* All of it in one object. */
void doctor_encode(const struct exam *e, const struct facts *f, struct buffer *out);

#endif

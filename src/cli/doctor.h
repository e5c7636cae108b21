/* SPDX-License-Identifier: MIT */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/exam.h"
#include "cli/facts.h"

/*
 * `nclust doctor -- COMMAND`: what an examination (exam.h) has found, as facts for people,
 * as JSON, and as the command line to use.
 */

/* Of each step, once it is done. */
void doctor_tell_start(const struct exam *e, json_t *facts);
void doctor_tell_copy(const struct exam *e, json_t *facts);
void doctor_tell_stop(const struct exam *e, json_t *facts);

/* The words to run it with: so many copies as work, and what it takes.  null: there is no
 * way to run it.  The caller frees it. */
json_t *doctor_command_line(const struct exam *e);
/* All of it in one object, which the caller frees. */
json_t *doctor_pack(const struct exam *e, json_t *facts);

#endif

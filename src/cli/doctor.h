/* SPDX-License-Identifier: MIT */
#ifndef CLI_DOCTOR_H
#define CLI_DOCTOR_H

#include "cli/exam.h"
#include "cli/facts.h"

/*
 * `nclust doctor -- COMMAND`: what an examination (exam.h) has found, as facts for people,
 * as JSON, and as the command line to use.
 */

/* Add the facts of one step, once it is done. */
void doctor_tell_start(const struct exam *e, json_t *facts);
void doctor_tell_copy(const struct exam *e, json_t *facts);
void doctor_tell_stop(const struct exam *e, json_t *facts);

/* The command line to run the command with: as many copies as work, and the options
 * that it needs. null: no command line works.  The caller frees it. */
json_t *doctor_command_line(const struct exam *e);
/* All findings in one object, which the caller frees. */
json_t *doctor_pack(const struct exam *e, json_t *facts);

#endif

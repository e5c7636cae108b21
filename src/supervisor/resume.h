/* SPDX-License-Identifier: MIT */
#ifndef SUPERVISOR_RESUME_H
#define SUPERVISOR_RESUME_H

#include <stdbool.h>

/*
 * Going on in the place of another nclust, which has just executed us
 * (reexec.h): its state is put together, looked at, and only then anything is
 * touched.  If it cannot be, the other one is executed again.
 */

/* Were we executed so?  Then nothing else may be done before. */
bool supervisor_is_resumed(void);
int supervisor_resume(int argc, char **argv); /* the exit status */

/* --check-state N: could we take over what is in this descriptor of our
 * parent's?  0 and a line, or a sentence why not. */
int supervisor_check(const char *descriptor);

#endif

/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * The content of a file that will be given to user `uid` (-1: to ourselves), with a
 * NUL after it; the caller's.  NULL and errno: EFBIG: no regular file, or more than
 * `most` bytes; ETIMEDOUT: the file's server does not answer within vfork_patience().
 * A `patient` caller waits without a limit.
 *
 * If we are root and the user is not, a link in a directory of the user could
 * lead to a file that only root can read.  So then the path must not contain
 * symbolic links (else ELOOP), or only those that root trusts (base/trusted.h), or the file must
 * be the user's own.
 */
char *read_for(long uid, const char *path, size_t most, bool patient);

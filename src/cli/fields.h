/* SPDX-License-Identifier: MIT */
#ifndef CLI_FIELDS_H
#define CLI_FIELDS_H

#include "base/nsec.h"
#include "cli/wrap.h"

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

/*
 * Members of the objects that a status is made of.  The object may be NULL, and
 * the member of another type, or missing.
 */

/* The member's text, escaped; `fallback` if it is no text.  Returns `to`. */
const char *field_text(
	const json_t *object, const char *key, char *to, size_t size, const char *fallback);
/* The member's text unescaped; "" if it is no text. */
const char *field_raw(const json_t *object, const char *key);
/* Add the member's whole text to a line. */
void field_put(struct wrap *w, enum colour colour, const json_t *object, const char *key);
/* The member's number; 0 if it is none, or cannot be shown. */
long long field_number(const json_t *object, const char *key);
nsec_t field_seconds(const json_t *object, const char *key);
bool field_is_number(const json_t *object, const char *key);
bool field_is_true(const json_t *object, const char *key);

/* Is this the worker's state? */
bool worker_is(const json_t *worker, const char *state);
/* Is this the worker of the slot at the end of `target`? */
bool worker_is_target(const json_t *worker, const char *target);
/* The worker's last end that was not asked for; NULL: none. */
const json_t *worker_failure(const json_t *worker);
/* Did the worker's slot fail a short time ago, and might do so again? */
#define FIELDS_LATELY (10 * MINUTE)
bool worker_failed_lately(const json_t *worker);
/* Did more than one in a hundred of the worker's checks fail? */
bool worker_is_unhealthy(const json_t *worker);
/* Add how the worker failed last, and when the next is tried; or which client it
 * serves, and its own status text.  `any`: there is text before. */
void worker_put_failure(struct wrap *w, const json_t *worker, bool *any);
void worker_put_sayings(struct wrap *w, const json_t *worker, bool *any);

#endif

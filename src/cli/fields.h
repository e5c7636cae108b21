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

/* Its text, escaped; `fallback` where it is none.  Returned. */
const char *field_text(
	const json_t *object, const char *key, char *to, size_t size, const char *fallback);
/* Its text as it came; "" where it is none. */
const char *field_raw(const json_t *object, const char *key);
/* Add all of its text to a line. */
void field_put(struct wrap *w, enum colour colour, const json_t *object, const char *key);
/* 0 where it is no number, or none that can be shown. */
long long field_number(const json_t *object, const char *key);
nsec_t field_seconds(const json_t *object, const char *key);
bool field_is_number(const json_t *object, const char *key);
bool field_is_true(const json_t *object, const char *key);

/* Of a worker: its state; is it that one? */
bool worker_is(const json_t *worker, const char *state);
/* Is this the worker of the slot that `target` ends in? */
bool worker_is_target(const json_t *worker, const char *target);
/* The last end that nobody asked for; NULL: there was none. */
const json_t *worker_failure(const json_t *worker);
/* Did its slot fail a short time ago, and might do so again? */
#define FIELDS_LATELY (10 * MINUTE)
bool worker_failed_lately(const json_t *worker);
/* Did more than one in a hundred of its checks fail? */
bool worker_is_unhealthy(const json_t *worker);
/* Add how the last one failed, and when the next is tried; or whom this one
 * serves, and what it says itself.  `any`: something stands before it. */
void worker_put_failure(struct wrap *w, const json_t *worker, bool *any);
void worker_put_sayings(struct wrap *w, const json_t *worker, bool *any);

#endif

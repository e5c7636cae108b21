/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdlib.h>
#include <unistd.h>

/* A descriptor or heap block that is closed or freed at the end of its scope. */
#define scoped_fd __attribute__((cleanup(scope_close_fd))) int
#define scoped_str __attribute__((cleanup(scope_free_str))) char *

static inline void scope_close_fd(const int *fd)
{
	if (*fd >= 0)
		(void)close(*fd); /* read-only or already failed: the error says nothing new */
}

static inline void scope_free_str(char **s)
{
	free(*s);
}

/* Hand a scoped descriptor on: the scope no longer closes it. */
static inline int fd_release(int *fd)
{
	int given = *fd;

	*fd = -1;
	return given;
}

/* Close the descriptor if it is open, and set it to -1. */
static inline void fd_close(int *fd)
{
	scope_close_fd(fd);
	*fd = -1;
}

static inline char *str_release(char **s)
{
	char *given = *s;

	*s = NULL;
	return given;
}

/* A large array that is filled only as far as it is used: do not let the
 * compiler clear, and so touch, all of it (-ftrivial-auto-var-init). */
#define uninitialized __attribute__((uninitialized))

/* A parameter that a callback has because others of its type need it. */
#define UNUSED __attribute__((unused))

#define COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

/* Make room for one more in a heap array of `count`.  False: no memory, and it stays as it is. */
#define array_grow(array, count) \
	__extension__({ \
		void *more_ = reallocarray((array), (size_t)(count) + 1, sizeof(*(array))); \
\
		if (more_ != NULL) \
			(array) = more_; \
		more_ != NULL; \
	})

/* Is the value in an array of `count`? */
#define array_has(array, count, value) \
	__extension__({ \
		size_t left_ = (count); \
\
		while (left_ > 0 && (array)[left_ - 1] != (value)) \
			left_--; \
		left_ > 0; \
	})

/* The first item of an array of `count`, as the pointer `it`, that the condition is true of; or
 * NULL. */
#define array_find(it, array, count, condition) \
	__extension__({ \
		__typeof__(*(array)) *it = NULL; \
\
		for (size_t at_ = 0; it == NULL && at_ < (count); at_++) { \
			it = &(array)[at_]; \
			if (!(condition)) \
				it = NULL; \
		} \
		it; \
	})

/* The same of a list, of which each item points to its `next`. */
#define list_find(it, list, condition) \
	__extension__({ \
		__typeof__(*(list)) *it = (list); \
\
		while (it != NULL && !(condition)) \
			it = it->next; \
		it; \
	})

/* Where a list, of which each item points to its `next`, points to that item (NULL: its end). */
#define list_at(list, item) \
	__extension__({ \
		__typeof__(list) *at_ = &(list); \
\
		while (*at_ != (item) && *at_ != NULL) \
			at_ = &(*at_)->next; \
		at_; \
	})
/* Take an item out, if it is in the list. */
#define list_remove(list, item) \
	do { \
		__typeof__(list) *place_ = list_at(list, item); \
\
		if (*place_ != NULL) \
			*place_ = (item)->next; \
	} while (0)
#define list_append(list, item) (*list_at(list, NULL) = (item))

/* SPDX-License-Identifier: MIT */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

/*
 * Why something failed, as one sentence for a person.  It lives on the
 * caller's stack and is written only on failure.  Who does not return it,
 * logs it: one failure is told once.
 */
struct error {
	int status; /* exit status that fits (sysexits.h); 0: none was said */
	int sys;    /* errno of the cause, or 0 */
	char text[480];
};

/* Write the sentence; with an errno, ": strerror" follows.  Returns -1. */
int error_set(struct error *err, int sys, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* The same without an errno, and with the exit status that fits.  Returns -1. */
int error_fail(struct error *err, int status, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put "context: " before what is there.  Returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Put a hint behind it: "; hint".  Returns -1. */
int error_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Say with which status a program that ends of it should end.  Returns -1. */
int error_status(struct error *err, int status);

/* The status, EX_SOFTWARE's stand-in 1 where none was said. */
int error_exit_status(const struct error *err);

#endif

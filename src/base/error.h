/* SPDX-License-Identifier: MIT */
#pragma once

#include <stdbool.h>

/*
 * Why something failed, as one sentence for a person.  It lives on the caller's
 * stack and is written only on failure.  A function that does not return the
 * error logs it: each failure is reported once.
 */
struct error {
	int status; /* exit status that fits (sysexits.h); 0: none was set */
	int sys;    /* errno of the cause, or 0 */
	char text[480];
};

/* Write the sentence; with an errno, ": strerror" follows.  Returns -1. */
int error_set(struct error *err, int sys, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Write the sentence without an errno, and with the exit status that fits.  Returns -1. */
#define error_fail(err, status, ...) (error_set(err, 0, __VA_ARGS__), error_status(err, status))

/* Put "context: " before the sentence.  Returns -1. */
int error_wrap(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Append a hint: "; hint".  Returns -1. */
int error_hint(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* After a fork(2) that failed: append what EAGAIN means there.  Returns -1. */
int error_hint_processes(struct error *err);

/* Set the exit status of a program that ends because of this error.  Returns -1. */
int error_status(struct error *err, int status);

/* The status; where none was set 1, in place of EX_SOFTWARE. */
int error_exit_status(const struct error *err);

/* Is this errno a lack of descriptors or memory, which may pass?  (Not EAGAIN, which is one of
 * processes for clone(2) alone.) */
bool error_is_shortage(int sys);
/* Could the same succeed at another time?  It took too long, or something was lacking. */
bool error_is_transient(int sys);

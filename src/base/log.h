/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * nclust's own messages: one event, one line, one sentence with the noun first,
 * to one descriptor.  Level and descriptor belong to the process, and not to a
 * struct: any function may log.  A line that cannot be written at once is
 * dropped; logging never blocks and never fails.  Control bytes are escaped.
 */
enum log_level { LOG_ERROR, LOG_WARN, LOG_NOTE, LOG_INFO, LOG_DEBUG };

/* Set where lines go (the descriptor stays the caller's; only with O_NONBLOCK
 * writing never blocks), what stands before each line ("nclust: "; constant
 * storage), and the least important level shown. */
void log_to(int fd, const char *prefix, enum log_level level);
void log_set_level(enum log_level level);
enum log_level log_level(void);

void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_note(...) log_line(LOG_NOTE, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

/* An error line that ends in ": strerror(errno)". */
void log_syserr(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* SPDX-License-Identifier: MIT */
#ifndef CLI_FACTS_H
#define CLI_FACTS_H

#include "base/buffer.h"
#include "protocol/json.h"

#include <stdbool.h>
#include <stddef.h>

/*
 * What `nclust doctor` finds: facts about this machine, each with what nclust
 * does about it.  Found by trying, where that is possible without a trace.
 */
enum fact_mark {
	FACT_OK,
	FACT_NOTE, /* good to know */
	FACT_WARN, /* something will be missing, or slower, or cut */
	FACT_BAD,  /* nclust cannot run here */
};

struct fact {
	const char *name; /* constant storage */
	enum fact_mark mark;
	char found[480];
	const char *does; /* constant storage; "": nothing need be done */
};

#define FACTS_MAX 96
struct facts {
	struct fact list[FACTS_MAX];
	size_t count;
};

void facts_add(struct facts *f, enum fact_mark mark, const char *name, const char *does,
	const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Is the capability (CAP_...) held?  `mark` is that of one that is not. */
void facts_held(struct facts *f, enum fact_mark mark, int capability, const char *name,
	const char *with, const char *without);

/* What `workers = auto` gives, by affinity and quota. */
unsigned facts_cpus(void);

/* Each looks at one side of the machine. */
void facts_kernel(struct facts *f);     /* what system calls can do */
void facts_resources(struct facts *f);  /* CPUs, memory, limits */
void facts_privileges(struct facts *f); /* uid, capabilities, confinement */
void facts_intercept(struct facts *f);  /* ports of servers that bind */
void facts_place(struct facts *f, const char *runtime_directory);

bool facts_bad(const struct facts *f); /* does one prevent running? */
/* Those from the n-th on as aligned lines, broken at `width` (0: never); all as
 * one JSON object, and as the list in another one. */
void facts_format(const struct facts *f, size_t n, struct buffer *out, size_t width, bool colour);
void facts_encode(const struct facts *f, struct buffer *out);
void facts_put(const struct facts *f, struct json_writer *w);

/* A small file's first line, without its newline; "" where there is none. */
const char *facts_read(const char *path, char *to, size_t size);
/* The number there; `missing` where there is no such file. */
long facts_number(const char *path, long missing);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef CLI_FACTS_H
#define CLI_FACTS_H

#include "base/buffer.h"

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
	char found[200];
	const char *does; /* constant storage; "": nothing need be done */
};

#define FACTS_MAX 40
struct facts {
	struct fact list[FACTS_MAX];
	size_t count;
};

void facts_add(struct facts *f, enum fact_mark mark, const char *name,
	const char *does, const char *format, ...)
	__attribute__((format(printf, 5, 6)));

/* Each looks at one side of the machine. */
void facts_kernel(struct facts *f);     /* what system calls can do */
void facts_resources(struct facts *f);  /* CPUs, memory, limits */
void facts_privileges(struct facts *f); /* uid, capabilities, confinement */
void facts_place(struct facts *f, const char *runtime_directory);

bool facts_bad(const struct facts *f); /* does one prevent running? */
/* As aligned lines, broken at `width` (0: never); as one JSON object. */
int facts_format(
	const struct facts *f, struct buffer *out, size_t width, bool colour);
int facts_encode(const struct facts *f, struct buffer *out);

/* A small file's first line, without its newline; "" where there is none. */
const char *facts_read(const char *path, char *to, size_t size);

#endif

/* SPDX-License-Identifier: MIT */
#ifndef OS_BTF_H
#define OS_BTF_H

#include <stddef.h>
#include <stdint.h>

/*
 * Where the running kernel has the members of its structs: from its own
 * description, /sys/kernel/btf/vmlinux (Documentation/bpf/btf.rst).
 */
struct btf_place {
	const char *type; /* struct … */
	const char *name; /* may be in an anonymous struct or union of it */
	int32_t offset;   /* in bytes; the answer */
};

/* Find them all.  -1 and errno: ENOENT if the kernel tells nothing, or has no such
 * member. */
int btf_find(struct btf_place *list, size_t count);

#endif

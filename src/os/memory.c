/* SPDX-License-Identifier: MIT */
#include "os/process.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_DEPTH (256UL * 1024)
#define SEGMENTS 8

struct found {
	uintptr_t from[SEGMENTS], to[SEGMENTS];
	size_t count;
};

/* Give back whole pages that nothing has been written to, or whose content nobody
 * will read.  Ranges that are not mapped do no harm. */
static void drop_pages(uintptr_t from, uintptr_t to)
{
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/* The program's code and constants, to which nobody writes but a debugger: breakpoints set so
 * far are lost.  All ranges are found before any is dropped: the search itself touches pages. */
static int find_constants(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct found *found = data;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum && found->count < SEGMENTS; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0)
			continue;
		found->from[found->count] = at & ~(page - 1);
		found->to[found->count++] = (at + p->p_memsz + page - 1) & ~(page - 1);
	}
	return 1; /* the first one is the program */
}

void memory_settle(void)
{
	struct found found = {.count = 0};
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t top = (uintptr_t)&found & ~(page - 1);

	(void)malloc_trim(0);
	/* below our frame nothing is alive; our own frame and those of called functions stay */
	drop_pages(top - STACK_DEPTH, (top - 16UL * 1024) & ~(page - 1));
	(void)dl_iterate_phdr(find_constants, &found);
	for (size_t i = 0; i < found.count; i++)
		drop_pages(found.from[i], found.to[i]);
}

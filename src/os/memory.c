/* SPDX-License-Identifier: MIT */
#include "os/memory.h"

#include <link.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_DEPTH (256UL * 1024)

/* Whole pages of a range that nothing has been written to, or will be read from.
 * What is not mapped there is no matter. */
static void drop(uintptr_t from, uintptr_t to)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);

	from = (from + page - 1) & ~(page - 1);
	to &= ~(page - 1);
	if (from < to)
		(void)madvise((void *)from, to - from, MADV_DONTNEED);
}

/* The program itself comes first.  Nobody writes to code but a debugger, whose
 * breakpoints so far are lost. */
static int drop_code(struct dl_phdr_info *info, size_t size, void *data)
{
	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;

		if (p->p_type == PT_LOAD && (p->p_flags & PF_X) != 0 &&
			(p->p_flags & PF_W) == 0)
			drop(at, at + p->p_memsz);
	}
	return 1;
}

void memory_settle(void)
{
	char here;
	uintptr_t top = (uintptr_t)&here;

	(void)malloc_trim(0);
	/* below us nothing is alive; our own frame and what we call stay */
	drop(top - STACK_DEPTH, top - 16UL * 1024);
	(void)dl_iterate_phdr(drop_code, NULL);
}

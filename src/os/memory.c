/* SPDX-License-Identifier: MIT */
#include "os/memory.h"

#include "base/scope.h"

#include <link.h>
#include <malloc.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

#define STACK_DEPTH (256UL * 1024)
#define SEGMENTS 24

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

/* Has the linker written to read-only pages (code that is not position-independent)? */
static bool is_altered(uintptr_t dynamic)
{
	const ElfW(Dyn) *d = (const void *)dynamic;

	for (; d->d_tag != DT_NULL; d++)
		if (d->d_tag == DT_TEXTREL ||
			(d->d_tag == DT_FLAGS && (d->d_un.d_val & DF_TEXTREL) != 0))
			return true;
	return false;
}

/* All processes share the pages of the C library: nothing is gained there, and preloaded
 * libraries may have put hooks into it.  In a static program it is a part of the program. */
static bool is_dropped(const struct dl_phdr_info *info, bool is_program)
{
	uintptr_t libc = (uintptr_t)&madvise;

	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];

		if (p->p_type == PT_DYNAMIC && is_altered(info->dlpi_addr + p->p_vaddr))
			return false;
		if (p->p_type == PT_LOAD && !is_program &&
			libc - info->dlpi_addr - p->p_vaddr < p->p_memsz)
			return false;
	}
	return true;
}

/* Nobody but a debugger writes to code and constants; breakpoints set so far are lost.
 * All ranges are found before any is dropped: the search itself touches pages. */
static int find_constants(struct dl_phdr_info *info, size_t size UNUSED, void *data)
{
	uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
	struct found *found = data;

	if (!is_dropped(info, found->count == 0))
		return 0;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *p = &info->dlpi_phdr[i];
		uintptr_t at = info->dlpi_addr + p->p_vaddr;

		if (p->p_type != PT_LOAD || (p->p_flags & PF_W) != 0)
			continue;
		if (found->count == SEGMENTS)
			return 1;
		found->from[found->count] = at & ~(page - 1);
		found->to[found->count++] = (at + p->p_memsz + page - 1) & ~(page - 1);
	}
	return 0;
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

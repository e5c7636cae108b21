/* SPDX-License-Identifier: MIT */
#include "web/internal.h"

/* From the Makefile: the compressed page, and hashes of its script and style. */
#ifndef PAGE
#define PAGE "/dev/null"
#define PAGE_SCRIPT "none"
#define PAGE_STYLE "none"
#endif

/* The page connects to this server alone, loads nothing else, and is in no frame.  The only
 * picture is the icon in the tab, which the page makes itself. */
static const char policy[] =
	"default-src 'none'; connect-src 'self'; script-src '" PAGE_SCRIPT "'; "
	"style-src '" PAGE_STYLE "'; img-src data:; base-uri 'none'; "
	"form-action 'none'; frame-ancestors 'none'";

__asm__(".section .rodata\n"
	"page_start:\n"
	".incbin \"" PAGE "\"\n"
	"page_end:\n"
	".previous\n");
extern const char page_start[] __attribute__((visibility("hidden")));
extern const char page_end[] __attribute__((visibility("hidden")));

struct answer *page_answer(const struct web *web, const char *encodings)
{
	struct MHD_Response *response;
	struct answer *a;

	if (encodings == NULL || strcasestr(encodings, "gzip") == NULL)
		return answer_text(web, MHD_HTTP_NOT_ACCEPTABLE,
			"this page is for browsers, and is sent compressed (gzip); programs ask "
			"for /status or /metrics\n",
			NULL, NULL);
	/* it is only read, whatever the library's type says */
	response = web->mhd.create_response_from_buffer(
		(size_t)(page_end - page_start), (char *)page_start, MHD_RESPMEM_PERSISTENT);
	a = answer_of(web, MHD_HTTP_OK, "text/html; charset=utf-8", response);
	if (a == NULL)
		return NULL;
	(void)web->mhd.add_response_header(response, "Content-Encoding", "gzip");
	(void)web->mhd.add_response_header(response, "Content-Security-Policy", policy);
	(void)web->mhd.add_response_header(response, "Referrer-Policy", "no-referrer");
	return a;
}

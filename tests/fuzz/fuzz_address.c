/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "base/scope.h"
#include "config/address.h"

/* What parses must format, and parse again to the same. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	scoped_str text = strndup((const char *)data, size);
	scoped_str again = NULL;
	struct address a;
	struct address b;
	struct error err;

	if (text == NULL || address_parse(&a, text, &err) == -1)
		return 0;
	again = address_format(&a);
	if (again == NULL || address_parse(&b, again, &err) == -1)
		abort();
	if (!address_equal(&a, &b))
		abort();
	address_fini(&a);
	if (address_copy(&a, &b) == -1 || !address_equal(&a, &b))
		abort();
	address_fini(&a);
	address_fini(&b);
	return 0;
}

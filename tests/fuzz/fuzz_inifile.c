/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "config/check.h"
#include "config/describe.h"
#include "config/inifile.h"
#include "config/origin.h"

#include <stdio.h>

/* What is shown is read as the same: quotes and variables above all. */
static void read_again(const struct settings *s)
{
	struct settings *again = settings_new();
	struct faults faults = {0};
	struct buffer out;
	struct diff diff;

	buffer_init(&out, 0);
	if (again == NULL || describe_settings(&out, s, false, true) == -1 ||
		buffer_text(&out) == NULL)
		abort();
	again->origins->file = strdup("shop.ini");
	again->config_file = strdup("/etc/shop.ini");
	inifile_parse(again, "shop.ini", out.data, out.len, &faults);
	settings_check(again, &faults);
	if (faults.count != 0) {
		fprintf(stderr, "%s", buffer_text(&faults.text));
		abort();
	}
	if (diff_settings(&diff, s, again) == -1)
		abort();
	for (size_t i = 0; i < diff.count; i++)
		if (diff.clusters[i].change != CHANGE_NONE) {
			fprintf(stderr, "differs: %s\n", diff.clusters[i].keys);
			abort();
		}
	diff_fini(&diff);
	buffer_fini(&out);
	faults_fini(&faults);
	settings_free(again);
}

/* A file is read whole, or every mistake is counted; what was read can be
 * described, and does not differ from itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings *s = settings_new();
	char *copy = malloc(size + 1);
	struct faults faults = {0};
	struct buffer out;
	struct diff diff;

	buffer_init(&out, 0);
	if (s == NULL || copy == NULL)
		abort();
	memcpy(copy, data, size);
	s->origins->file = strdup("shop.ini");
	s->config_file = strdup("/etc/shop.ini");
	inifile_parse(s, "shop.ini", copy, size, &faults);
	settings_check(s, &faults);
	if (faults.count == 0) {
		if (describe_settings(&out, s, true, true) == -1 ||
			describe_settings(&out, s, false, true) == -1 ||
			diff_settings(&diff, s, s) == -1)
			abort();
		for (size_t i = 0; i < diff.count; i++)
			if (diff.clusters[i].change != CHANGE_NONE)
				abort();
		diff_fini(&diff);
		read_again(s);
	} else if (faults.status == 0 || faults.text.len == 0) {
		abort();
	}
	free(copy);
	buffer_fini(&out);
	faults_fini(&faults);
	settings_free(s);
	return 0;
}

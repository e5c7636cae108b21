/* SPDX-License-Identifier: MIT */
#include "fuzz.h"

#include "config/check.h"
#include "config/describe.h"
#include "config/origin.h"
#include "config/procfile.h"

/* A Procfile is read whole, or every mistake is counted; what was read can be
 * described, and does not differ from itself. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct settings *s = settings_new();
	char *copy = malloc(size + 1);
	struct faults faults = {0};
	struct buffer out;
	struct diff diff;
	struct error err;

	buffer_init(&out, 0);
	if (s == NULL || copy == NULL)
		abort();
	memcpy(copy, data, size);
	s->origins->file = strdup("Procfile");
	s->config_file = strdup("/nowhere/Procfile");
	procfile_parse(s, "Procfile", copy, size, &faults);
	if (faults.count == 0 && procfile_form(s, "all=2", false, &err) == -1)
		abort();
	if (faults.count == 0 && procfile_finish(s) == -1)
		abort();
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
	} else if (faults.status == 0 || faults.text.len == 0) {
		abort();
	}
	free(copy);
	buffer_fini(&out);
	faults_fini(&faults);
	settings_free(s);
	return 0;
}

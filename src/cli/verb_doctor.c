/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "cli/doctor.h"
#include "cli/facts.h"
#include "cli/output.h"

#include <sys/ioctl.h>
#include <sysexits.h>

size_t doctor_width(void)
{
	struct winsize size = {.ws_col = 0};

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == -1)
		return 0;
	return size.ws_col >= 40 ? size.ws_col : 0;
}

int verb_doctor(const struct arguments *a)
{
	struct facts facts = {.count = 0};
	struct buffer out;
	int got;

	if (a->command != NULL)
		return doctor_try(a);
	if (a->listen_count > 0) {
		log_error("doctor: --listen is for a command to be tried: "
			  "'nclust doctor -l ADDRESS -- COMMAND'");
		return EX_USAGE;
	}
	facts_kernel(&facts);
	facts_resources(&facts);
	facts_privileges(&facts);
	facts_intercept(&facts);
	facts_place(&facts, a->runtime_directory);
	buffer_init(&out, 0);
	if (arguments_has(a, OPTION_JSON))
		got = facts_encode(&facts, &out);
	else
		got = facts_format(&facts, 0, &out, doctor_width(),
			output_wants_colour(STDOUT_FILENO));
	if (got == 0 && arguments_has(a, OPTION_JSON))
		got = output_json(STDOUT_FILENO, out.data, out.len);
	else if (got == 0)
		got = output_write(STDOUT_FILENO, out.data, out.len);
	buffer_fini(&out);
	return got == 0 && !facts_bad(&facts) ? 0 : 1;
}

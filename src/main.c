/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "cli/cli.h"
#include "config/config.h"
#include "logger/logger.h"
#include "supervisor/resume.h"
#include "supervisor/supervisor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef NCLUST_VERSION
#define NCLUST_VERSION "unknown"
#endif

#define LOGGER_CHANNEL 3

/* Print what `make` of it says; an unwritable stdout is a failure. */
static int print(struct buffer *text)
{
	int status = 0;

	if (text->failed)
		status = EX_OSERR;
	else if (fwrite(text->data, 1, text->len, stdout) != text->len ||
		fflush(stdout) != 0)
		status = EX_IOERR;
	buffer_fini(text);
	return status;
}

static int print_help(void)
{
	struct buffer text;

	buffer_init(&text, 0);
	(void)describe_help(&text);
	return print(&text);
}

/* The generated pieces of the manual, for the Makefile. */
static int describe(const char *word)
{
	static const struct {
		const char *word;
		int (*make)(struct buffer *out);
	} pieces[] = {
		{"help", describe_help},
		{"mdoc-options", describe_mdoc_options},
		{"mdoc-keys", describe_mdoc_keys},
		{"mdoc-verbs", cli_describe_mdoc},
		{"verbs", cli_describe_help},
		{"sample-ini", describe_sample_ini},
		{"bash", cli_completion_bash},
		{"zsh", cli_completion_zsh},
	};
	struct buffer text;

	buffer_init(&text, 0);
	for (size_t i = 0; i < COUNT_OF(pieces); i++) {
		if (strcmp(word, pieces[i].word) != 0)
			continue;
		(void)pieces[i].make(&text);
		return print(&text);
	}
	log_error("'%s' cannot be described", word);
	return EX_USAGE;
}

static int run(const struct invocation *what, int argc, char **argv)
{
	switch (what->kind) {
	case INVOKE_RUN:
		return supervisor_main(what->settings, argc, argv);
	case INVOKE_VERB:
		return cli_main(what->verb_argc, what->verb_argv);
	case INVOKE_HELP:
		return print_help();
	case INVOKE_VERSION:
		return printf("nclust %s\n", NCLUST_VERSION) < 0 ? EX_IOERR : 0;
	case INVOKE_DESCRIBE:
		return describe(what->describe);
	}
	return EX_SOFTWARE;
}

int main(int argc, char **argv)
{
	struct invocation what;
	struct faults faults;
	int status;

	if (supervisor_is_resumed())
		return supervisor_resume(argc, argv);
	if (geteuid() != getuid() || getegid() != getgid()) {
		log_error("must not be installed setuid or setgid");
		return EX_NOPERM;
	}
	if (argc == 3 && strcmp(argv[1], "--role") == 0 &&
		strcmp(argv[2], "logger") == 0)
		return logger_main(LOGGER_CHANNEL);
	/* what it has made of the state is the kernel's to clean up */
	if (argc == 3 && strcmp(argv[1], "--check-state") == 0)
		quick_exit(supervisor_check(argv[2]));
	faults_init(&faults);
	if (config_read(&what, argc, argv, cli_verbs(), &faults) == -1) {
		(void)fwrite(faults.text.data, 1, faults.text.len, stderr);
		status = faults.status;
	} else {
		status = run(&what, argc, argv);
	}
	faults_fini(&faults);
	return status;
}

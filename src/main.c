/* SPDX-License-Identifier: MIT */
#include "base/log.h"
#include "base/scope.h"
#include "cli/commands.h"
#include "cli/verb_help.h"
#include "config/argv.h"
#include "config/config.h"
#include "courier/courier.h"
#include "logger/logger.h"
#include "nats/natsrole.h"
#include "supervisor/resume.h"
#include "supervisor/supervisor.h"
#include "web/web.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#ifndef NCLUST_VERSION
#define NCLUST_VERSION "unknown"
#endif

/* The descriptors that nclust's own roles are started with. */
#define ROLE_CHANNEL 3
#define ROLE_ALSO 4
#define ROLE_LISTENER 5
#define ROLE_EVENTS 6
#define ROLE_AGENT 7

/* Returns the exit status: a text that cannot be written is a failure. */
static int end_print(FILE *out)
{
	if (fflush(out) == 0 && !ferror(out))
		return 0;
	log_syserr("cannot write to standard output");
	return 1;
}

static int print_help(FILE *out)
{
	scoped_buffer text = {0};

	if (cli_describe_help(&text) == -1)
		return EX_OSERR;
	(void)fwrite(text.data, 1, text.len, out);
	return end_print(out);
}

/* A mistake in a file begins with the file's name, as a compiler's message does. */
static void print_faults(struct faults *faults)
{
	scoped_str text = buffer_take(&faults->text);
	char *rest = text;

	for (char *line; (line = strsep(&rest, "\n")) != NULL && *line != '\0';)
		if (faults->status == EX_USAGE)
			log_error("%s", line);
		else
			fprintf(stderr, "%s\n", line);
}

static bool is_role(int argc, char **argv, const char *role)
{
	return argc == 4 && strcmp(argv[1], "--role") == 0 && strcmp(argv[2], role) == 0;
}

static int run_invocation(const struct invocation *what, int argc, char **argv)
{
	switch (what->kind) {
	case INVOKE_RUN:
		return supervisor_main(what->settings, argc, argv);
	case INVOKE_VERB:
		return cli_main(what->verb_argc, what->verb_argv);
	case INVOKE_HELP:
		return print_help(stdout);
	case INVOKE_VERSION:
		printf("nclust %s\n", NCLUST_VERSION);
		return end_print(stdout);
	}
	return EX_SOFTWARE;
}

int main(int argc, char **argv)
{
	struct invocation what;
	struct faults faults = {0};
	int status;

	if (supervisor_is_resumed())
		return supervisor_resume(argc, argv);
	if (geteuid() != getuid() || getegid() != getgid()) {
		log_error("must not be installed setuid or setgid");
		return EX_NOPERM;
	}
	if (is_role(argc, argv, "logger"))
		return logger_main(ROLE_CHANNEL, (uid_t)strtoul(argv[3], NULL, 10));
	if (is_role(argc, argv, "web"))
		return web_main(ROLE_CHANNEL, ROLE_ALSO, ROLE_LISTENER, ROLE_EVENTS, ROLE_AGENT,
			(uid_t)strtoul(argv[3], NULL, 10));
	if (is_role(argc, argv, "nats"))
		return natsrole_main(ROLE_CHANNEL, (uid_t)strtoul(argv[3], NULL, 10));
	if (is_role(argc, argv, "courier"))
		return courier_main(ROLE_CHANNEL, (uid_t)strtoul(argv[3], NULL, 10));
	/* what it has made of the state is the kernel's to clean up */
	if (argc == 3 && strcmp(argv[1], "--check-state") == 0)
		quick_exit(supervisor_check(argv[2]));
	if (argc == 1)
		return print_help(stderr) == 0 ? EX_USAGE : 1;
	if (config_read(&what, argc, argv, cli_verbs(), &faults) == -1) {
		print_faults(&faults);
		status = faults.status;
	} else {
		status = run_invocation(&what, argc, argv);
	}
	faults_fini(&faults);
	return status;
}

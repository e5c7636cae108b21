/* SPDX-License-Identifier: MIT */
#include "supervisor/resume.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/memory.h"
#include "os/trycall.h"
#include "supervisor/common/moment.h"
#include "supervisor/drain/steer.h"
#include "supervisor/instance/manager.h"
#include "supervisor/intercept/intercept.h"
#include "supervisor/signals.h"
#include "supervisor/sockets/heal.h"
#include "supervisor/supervisor.h"
#include "supervisor/upgrade/carry.h"
#include "supervisor/upgrade/reexec.h"
#include "supervisor/workers/child.h"
#include "supervisor/workers/paths.h"
#include "supervisor/workers/service.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

/* ---- the variable of the old nclust ---- */

struct inheritance {
	int state;
	int image;     /* the old binary; -1: the new binary has come back to this one */
	char why[600]; /* why it has come back */
	const void *data;
	size_t len;
	struct carry_reader reader;
};

/* Parse "STATE:IMAGE:WHY". */
static int parse_variable(struct inheritance *in, const char *text)
{
	char *end;
	long state = strtol(text, &end, 10);
	long image;

	if (end == text || *end != ':' || state < 3 || state > INT32_MAX)
		return -1;
	text = end + 1;
	image = strtol(text, &end, 10);
	if (end == text || *end != ':' || image < -1 || image > INT32_MAX)
		return -1;
	in->state = (int)state;
	in->image = (int)image;
	text_escape(in->why, sizeof(in->why), end + 1, strlen(end + 1));
	return 0;
}

bool supervisor_is_resumed(void)
{
	/* secure_getenv(), because a binary with more rights than its caller must not believe the
	 * variable; supervisor_check() refuses such a binary before an upgrade */
	return secure_getenv(REEXEC_VARIABLE) != NULL;
}

/* ---- going on with the state ---- */

static int open_ourselves(struct supervisor *sup, struct error *err)
{
	struct rlimit limit;

	sup->launch.self_exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (sup->launch.self_exe == -1)
		return error_set(err, errno, "cannot open /proc/self/exe");
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1)
		limit = sup->births.nofile;
	sup->launch.descriptors = limit.rlim_cur;
	return 0;
}

/* Do all that can fail, while the way back to the old binary is open. */
static int load_state(struct supervisor *sup, struct inheritance *in, struct error *err)
{
	if (sealed_map(in->state, &in->data, &in->len, err) == -1 ||
		carry_load(&in->reader, sup, in->data, in->len, err) == -1)
		return -1;
	if (in->reader.binary.pid != getpid())
		return error_set(err, 0, "the state is another process's");
	if (carry_verify(sup, err) == -1)
		return -1;
	if (carry_variant.fault == FAULT_RESTORE_FAILS)
		return error_set(err, 0, "this one is built to fail");
	sup->upgrade.exe_path = strdup(in->reader.binary.path);
	if (sup->upgrade.exe_path == NULL)
		return error_set(err, ENOMEM, "upgrade");
	if (open_ourselves(sup, err) == -1 || supervisor_loop_init(sup, err) == -1 ||
		signals_init(sup, err) == -1)
		return -1;
	heal_init(sup);
	renew_init(sup, child_on_renewed);
	paths_init(sup, paths_on_changed);
	intercept_init(sup);
	return 0;
}

/* From here on there is no way back, and no need for one. */
static void take_over(struct supervisor *sup, struct inheritance *in)
{
	struct carry_reader *r = &in->reader;
	const struct carry_list *listeners = &r->lists[CARRY_OF_LISTENERS];
	struct child *child;

	if (descriptors_cloexec(STDERR_FILENO + 1, ~0U) == -1)
		log_syserr("cannot mark the descriptors close-on-exec");
	if (carry_variant.fault == FAULT_TAKEOVER_CRASHES)
		(void)raise(SIGABRT);
	for (size_t i = 0; i < listeners->count; i++)
		heal_watch(listeners->list[i]);
	carry_release(r);
	for (size_t i = 0; i < sup->service_count; i++)
		steer_on_adopted(sup->services[i]);
	for_each_child (child, children_of_all(sup))
		child_resume(child);
	moment_go_on(sup);
	fd_close(&r->binary.image);
	(void)munmap((void *)(uintptr_t)in->data, in->len);
	fd_close(&in->state);
}

static void report_success(struct supervisor *sup, const struct carry_reader *r)
{
	char text[300];
	char took[24];
	unsigned workers = 0;

	for (size_t i = 0; i < sup->service_count; i++)
		workers += service_counts(sup->services[i]).alive;
	if (r->skipped > 0)
		log_warn("%u setting%s of the old nclust, such as '%s', %s not "
			 "known to this one",
			r->skipped, r->skipped == 1 ? "" : "s", r->skipped_key,
			r->skipped == 1 ? "is" : "are");
	snprintf(text, sizeof(text), "%s: upgraded from %s to %s in %s, with %u worker%s",
		sup->settings->name, r->binary.version, carry_variant.program,
		text_duration(took, (clock_now() - r->binary.asked) / MSEC * MSEC), workers,
		workers == 1 ? "" : "s");
	reexec_tell(sup, text, false);
}

static int continue_with(struct supervisor *sup, struct inheritance *in)
{
	struct carry_reader *r = &in->reader;
	const char *slash = strrchr(sup->upgrade.exe_path, '/');
	char text[700];

	log_to(sup->daemon.log_fd != -1 ? sup->daemon.log_fd : STDERR_FILENO,
		"nclust: ", (enum log_level)sup->settings->log_level);
	/* else `ps` would show the number of the descriptor that was executed */
	(void)prctl(PR_SET_NAME, slash != NULL ? slash + 1 : sup->upgrade.exe_path);
	if (in->image != -1)
		sup->upgrade.count++;
	take_over(sup, in);
	if (in->image != -1) {
		report_success(sup, r);
	} else {
		snprintf(text, sizeof(text), "%s: upgrade failed, the old nclust continues: %s",
			sup->settings->name, in->why);
		reexec_tell(sup, text, true);
	}
	if (sup->instance.ready_once)
		manager_ready(sup);
	memory_settle();
	return supervisor_run(sup);
}

/* ---- going back ---- */

static int go_back(const struct inheritance *in, char **argv, const char *why)
{
	char text[560];

	if (in->image == -1) {
		log_error("cannot continue after a failed upgrade: %s", why);
		return EX_SOFTWARE;
	}
	text_copy(text, sizeof(text), why);
	reexec_into(in->image, in->state, NULL, argv, -1, text);
	log_syserr("%s; and the old nclust cannot be executed", why);
	return EX_SOFTWARE;
}

int supervisor_resume(int argc, char **argv)
{
	const char *text = secure_getenv(REEXEC_VARIABLE);
	struct inheritance in = {.state = -1, .image = -1};
	struct supervisor sup;
	struct error err;

	trycall_probe();
	if (text == NULL || parse_variable(&in, text) == -1) {
		log_error("%s is not to be set", REEXEC_VARIABLE);
		return EX_USAGE;
	}
	(void)unsetenv(REEXEC_VARIABLE);
	supervisor_blank(&sup, argc, argv);
	if (load_state(&sup, &in, &err) == -1)
		return go_back(&in, argv, err.text);
	return continue_with(&sup, &in);
}

/* ---- the check ---- */

/* A binary with more rights than its caller must not read the caller's state. */
static int check_caller(struct error *err)
{
	if (getauxval(AT_SECURE) == 0)
		return 0;
	return error_set(err, 0,
		"a binary with file capabilities cannot take over: "
		"stop and start it");
}

static int check_rights(const struct carry_binary *binary, struct error *err)
{
	uint64_t ours = reexec_capabilities();

	if ((binary->capabilities & ~ours) != 0)
		return error_set(err, 0,
			"it would lack capabilities that the running one has "
			"(%016" PRIx64 ")",
			binary->capabilities & ~ours);
	return 0;
}

int supervisor_check(const char *descriptor)
{
	struct inheritance in = {.state = (int)strtol(descriptor, NULL, 10)};
	struct supervisor sup;
	struct error err;

	if (carry_variant.fault == FAULT_CHECK_CRASHES)
		(void)raise(SIGABRT);
	while (carry_variant.fault == FAULT_CHECK_HANGS)
		(void)pause();
	supervisor_blank(&sup, 0, NULL);
	if (check_caller(&err) == -1 || sealed_map(in.state, &in.data, &in.len, &err) == -1 ||
		carry_load(&in.reader, &sup, in.data, in.len, &err) == -1 ||
		check_rights(&in.reader.binary, &err) == -1) {
		/* the descriptors are not checked, because this process does not have them */
		fprintf(stderr, "%s\n", err.text);
		return EX_DATAERR;
	}
	if (printf(REEXEC_CHECKED "%u.%u %s\n", carry_variant.version.major,
		    carry_variant.version.minor, carry_variant.program) < 0 ||
		fflush(stdout) != 0)
		return EX_IOERR;
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "supervisor/upgrade/reexec.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "os/clock.h"
#include "os/descriptors.h"
#include "os/process.h"
#include "os/spawn/spawn.h"
#include "supervisor/common/async_close.h"
#include "supervisor/common/news.h"
#include "supervisor/drain/drain.h"
#include "supervisor/drain/steer.h"
#include "supervisor/instance/manager.h"
#include "supervisor/upgrade/carry.h"
#include "supervisor/watch/watch.h"
#include "supervisor/workers/strays.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* How long the check may take until execve(2), for which the loop waits, and until its answer. */
#define EXEC_PATIENCE (5 * SECOND)
#define CHECK_PATIENCE (30 * SECOND)
/* How long an upgrade waits for changes, and for what they leave to be steered: the state carries
 * sockets and workers that are drained, but no rollout. */
#define CHANGE_PATIENCE (5 * MINUTE)
#define STEER_PATIENCE (30 * SECOND)
#define SAID_MAX 4096

extern char **environ;

enum reexec_step {
	REEXEC_WAITS,  /* until no rollout is under way */
	REEXEC_CHECKS, /* the new binary runs beside nclust */
	REEXEC_GOES,   /* execute it in this turn, unless another rollout has begun */
};

struct reexec {
	struct supervisor *sup;
	enum reexec_step step;
	nsec_t asked;
	bool told;  /* what it waits for */
	int binary; /* O_PATH of the new binary */
	struct job check;
	int said; /* memfd: what the check prints, SAID_MAX bytes at most; or -1 */
};

/* ---- which binary ---- */

static bool is_same_file(const char *path, const struct stat *st)
{
	struct stat found;

	return stat(path, &found) == 0 && found.st_dev == st->st_dev && found.st_ino == st->st_ino;
}

/* Links in the path are kept, so that each upgrade follows them anew. */
void reexec_find_path(struct supervisor *sup)
{
	const char *called = (const char *)(uintptr_t)getauxval(AT_EXECFN); /* NOLINT */
	scoped_str whole = called != NULL ? cwd_whole(called) : NULL;
	char path[PATH_MAX];
	struct stat st;
	ssize_t len;

	if (fstat(sup->launch.self_exe, &st) == -1)
		return;
	if (whole != NULL && is_same_file(whole, &st)) {
		sup->upgrade.exe_path = whole;
		whole = NULL;
		return;
	}
	len = readlink("/proc/self/exe", path, sizeof(path) - 1);
	if (len <= 0)
		return;
	path[len] = '\0';
	if (is_same_file(path, &st))
		sup->upgrade.exe_path = strdup(path);
}

/* A user who can write to the binary gets nclust's rights: allow nclust's own user, root, and the
 * owner of the running binary alone. */
static int check_owner(const struct supervisor *sup, const struct stat *st, struct error *err)
{
	mode_t others = geteuid() == 0 ? S_IWGRP | S_IWOTH : S_IWOTH;
	struct stat ours;

	if ((st->st_mode & others) != 0)
		return error_set(err, 0, "'%s' can be written to by others (mode %03o)",
			sup->upgrade.exe_path, (unsigned)st->st_mode & 0777);
	if (st->st_uid == 0 || st->st_uid == geteuid() ||
		(fstat(sup->launch.self_exe, &ours) == 0 && ours.st_uid == st->st_uid))
		return 0;
	return error_set(err, 0, "'%s' belongs to another user (uid %u)", sup->upgrade.exe_path,
		(unsigned)st->st_uid);
}

static int open_binary(const struct supervisor *sup, struct error *err)
{
	scoped_fd fd = open(sup->upgrade.exe_path, O_PATH | O_CLOEXEC);
	struct stat st;

	if (fd == -1 || fstat(fd, &st) == -1)
		return error_set(err, errno, "cannot open '%s'", sup->upgrade.exe_path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, 0, "'%s' is not a plain file", sup->upgrade.exe_path);
	if (check_owner(sup, &st, err) == -1)
		return -1;
	return fd_release(&fd);
}

/* ---- the end ---- */

static void stop_check(struct reexec *u)
{
	fd_close(&u->said);
	job_end(&u->check);
}

void reexec_fini(struct supervisor *sup)
{
	struct reexec *u = sup->upgrade.reexec;

	if (u == NULL)
		return;
	stop_check(u);
	fd_close(&u->binary);
	free(u);
	sup->upgrade.reexec = NULL;
}

void reexec_tell(struct supervisor *sup, const char *text, bool failed)
{
	news_say(sup, failed ? LOG_ERROR : LOG_NOTE, failed ? "upgrade-failed" : "upgraded", "%s",
		text);
	moment_verb(sup,
		&(struct verb_step){
			METHOD_UPGRADE, .code = failed ? CONTROL_FAILED : 0, .text = text});
}

static void fail_upgrade(struct supervisor *sup, const char *why)
{
	char text[600];

	reexec_fini(sup);
	snprintf(text, sizeof(text), "%s: upgrade failed, nothing was changed: %s",
		sup->settings->name, why);
	reexec_tell(sup, text, true);
}

/* ---- the check ---- */

uint64_t reexec_capabilities(void)
{
	uint64_t set = 0;

	(void)process_status(getpid(), "CapEff:", 16, &set);
	return set;
}

/* Write the state to a new descriptor; the caller frees *c in either case. */
static int write_state(struct supervisor *sup, struct carry_writer *c, struct error *err)
{
	struct carry_binary binary = {
		.image = sup->launch.self_exe,
		.pid = getpid(),
		.written = clock_now(),
		.asked = sup->upgrade.reexec->asked,
		.capabilities = reexec_capabilities(),
	};

	strays_end_workers(sup);
	news_stop_waiting(sup);
	text_copy(binary.version, sizeof(binary.version), carry_variant.program);
	text_copy(binary.path, sizeof(binary.path), sup->upgrade.exe_path);
	if (carry_save(c, sup, &binary, err) == -1)
		return -1;
	return sealed_make("nclust-state", c->out.data, c->out.len, err);
}

/* A file for what the check prints: it cannot grow, whatever the binary is.  -1 and errno. */
static int make_output(void)
{
	scoped_fd fd = memfd_make("nclust-check");

	if (fd == -1 || ftruncate(fd, SAID_MAX) == -1 ||
		fcntl(fd, F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) == -1)
		return -1;
	return fd_release(&fd);
}

static void check_ended(void *owner, const struct pidfd_end *end)
{
	struct reexec *u = owner;
	struct supervisor *sup = u->sup;
	scoped_str output = NULL;
	char said[360];
	char why[500];
	char name[16];
	size_t len;

	if (end == NULL)
		return; /* the check was late and is killed: this function is called again when it
			   ends */
	output = read_whole(u->said, SAID_MAX, &len);
	if (output == NULL) {
		fail_upgrade(sup, "out of memory");
		return;
	}
	if (!end->signalled && end->code == 0 && strstr(output, REEXEC_CHECKED) != NULL) {
		stop_check(u);
		u->step = REEXEC_GOES;
		return;
	}
	text_escape(said, sizeof(said), output, strcspn(output, "\n"));
	if (u->check.late)
		snprintf(why, sizeof(why), "the new nclust did not answer within 30 s");
	else if (end->signalled)
		snprintf(why, sizeof(why),
			"the new nclust was killed by %s while it looked at "
			"our state",
			text_signal_name(name, end->code));
	else if (*said != '\0' && end->code != 0)
		snprintf(why, sizeof(why), "the new nclust says: %s", said);
	else
		snprintf(why, sizeof(why), "'%s' is not an nclust that can take over (exit %d)",
			sup->upgrade.exe_path, end->code);
	fail_upgrade(sup, why);
}

static int run_check(struct reexec *u, int state, struct spawn_failure *failure)
{
	static char *const argv[] = {"nclust", "--check-state", "3", NULL};
	struct spawn_plan plan = {
		.exec_fd = u->binary,
		.argv = argv,
		.envp = environ,
		.fds = {{u->said, 1}, {u->said, 2}, {state, 3}},
		.fd_count = 3,
		.null_fd = u->sup->null_fd,
		.new_session = true,
		SPAWN_INHERITS,
		.death_signal = SIGKILL,
		.patience = EXEC_PATIENCE,
	};

	return spawn(&plan, &u->check.pid, &u->check.pidfd, failure);
}

static int start_check(struct reexec *u, struct error *err)
{
	struct carry_writer c;
	struct spawn_failure failure;

	u->binary = open_binary(u->sup, err);
	if (u->binary == -1)
		return -1;
	scoped_fd state = write_state(u->sup, &c, err);
	carry_fini(&c);
	if (state == -1)
		return -1;
	u->said = make_output();
	if (u->said == -1)
		return error_set(err, errno, "cannot check the new nclust");
	if (run_check(u, state, &failure) == -1) {
		spawn_explain(&failure, u->sup->upgrade.exe_path, err);
		return -1;
	}
	u->step = REEXEC_CHECKS;
	u->check.leads = true;
	job_init(&u->check, u->sup, check_ended, u);
	job_begin(&u->check, CHECK_PATIENCE);
	return 0;
}

/* ---- the change ---- */

/* execve(2) closes all descriptors but these. */
static int keep_descriptors(const struct buffer *descriptors)
{
	if (descriptors_cloexec(STDERR_FILENO + 1, ~0U) == -1)
		return -1;
	for (size_t at = 0; at < descriptors->len; at += sizeof(int)) {
		int fd;

		memcpy(&fd, descriptors->data + at, sizeof(fd));
		if (fd > STDERR_FILENO && fcntl(fd, F_SETFD, 0) == -1)
			return -1;
	}
	return 0;
}

void reexec_into(int image, int state, const struct buffer *descriptors, char **argv,
	int image_back, const char *why)
{
	char value[680];
	int error;

	snprintf(value, sizeof(value), "%d:%d:%s", state, image_back, why);
	if (setenv(REEXEC_VARIABLE, value, 1) == -1)
		return;
	if ((descriptors == NULL || keep_descriptors(descriptors) == 0) &&
		fcntl(state, F_SETFD, 0) == 0)
		(void)execveat(image, "", argv, environ, AT_EMPTY_PATH);
	error = errno;
	(void)descriptors_cloexec(STDERR_FILENO + 1, ~0U);
	(void)unsetenv(REEXEC_VARIABLE);
	errno = error;
}

static void execute_binary(struct supervisor *sup)
{
	struct reexec *u = sup->upgrade.reexec;
	struct carry_writer c;
	struct error err;

	manager_reloading(sup);
	async_close_settle(sup);
	drain_settle(sup);
	moment_verb(sup, &(struct verb_step){.method = METHOD_UPGRADE, .begins = true});
	scoped_fd state = write_state(sup, &c, &err);
	if (state != -1 && !async_close_is_settled(sup)) {
		error_set(&err, 0,
			"a worker has passed descriptors that cannot be "
			"closed (a file server that does not answer?)");
	} else if (state != -1) {
		reexec_into(u->binary, state, &c.descriptors, sup->launch.argv,
			sup->launch.self_exe, "");
		error_set(&err, errno, "cannot execute '%s'", sup->upgrade.exe_path);
	}
	carry_fini(&c);
	fail_upgrade(sup, err.text);
	if (sup->instance.ready_once)
		manager_ready(sup);
}

/* Are workers of the cluster replaced, or are they about to be? */
static bool is_changing(const struct service *service)
{
	return cluster_view_rollout(service->core).under_way || watch_is_due(service) ||
		service->sup->instance.reread != NULL || service->order.before != NULL ||
		service->stage.stop_waits;
}

static const struct service *find_rolling(const struct supervisor *sup, bool steered)
{
	for (size_t i = 0; i < sup->service_count; i++)
		if (is_changing(sup->services[i]) ||
			(steered && steer_is_rolling(sup->services[i])))
			return sup->services[i];
	return NULL;
}

/* Find a worker for whose leftovers the upgrade must wait: the state does not carry leftovers, so
 * the new binary would kill them.  Leftovers of workers that died by themselves after `asked` do not
 * count, or a crash loop might put the upgrade off for ever. */
static const struct child *find_leaving(const struct supervisor *sup, nsec_t asked)
{
	const struct child *c = sup->reaper.left;

	while (c != NULL &&
		((c->left->since > asked && c->life.stopped_by == 0) || c->left->signal == SIGKILL))
		c = c->left->next;
	return c;
}

/* True: the upgrade waits, or has waited for too long and has failed. */
static bool is_put_off(struct supervisor *sup, struct reexec *u, nsec_t waited)
{
	const struct service *rolls = find_rolling(sup, waited < STEER_PATIENCE);
	const struct child *leaves = find_leaving(sup, u->asked);
	char what[160];

	if (rolls != NULL)
		snprintf(what, sizeof(what), "until %s of '%s' is over",
			is_changing(rolls) ? "a change" : "the drain of old workers and sockets",
			rolls->name);
	else if (leaves != NULL)
		snprintf(what, sizeof(what), "for what worker %d of '%s' has left",
			(int)leaves->pid, leaves->service->name);
	else /* in a crash loop there are always news that wait */
		return news_pending(sup) && waited < NEWS_PATIENCE;
	if (!u->told)
		news_say(sup, LOG_NOTE, "upgrade-waits", "%s: the upgrade waits %s",
			sup->settings->name, what);
	u->told = true;
	if (rolls == NULL || waited < CHANGE_PATIENCE)
		return true;
	snprintf(what, sizeof(what),
		"a change of '%s' is not over after 5 minutes: see 'nclust status', and try again",
		rolls->name);
	fail_upgrade(sup, what);
	return true;
}

void reexec_look(struct supervisor *sup)
{
	struct reexec *u = sup->upgrade.reexec;
	struct error err;

	if (sup->instance.stopping) {
		fail_upgrade(sup, "nclust is stopping");
		return;
	}
	if (is_put_off(sup, u, clock_now() - u->asked))
		return;
	if (u->step == REEXEC_WAITS && start_check(u, &err) == -1)
		fail_upgrade(sup, err.text);
	else if (u->step == REEXEC_GOES)
		execute_binary(sup);
}

int reexec_begin(struct supervisor *sup, struct error *err)
{
	struct reexec *u;

	if (sup->upgrade.reexec != NULL)
		return error_fail(err, EX_TEMPFAIL, "an upgrade is under way");
	if (sup->instance.stopping)
		return error_fail(err, EX_TEMPFAIL, "nclust is stopping");
	if (sup->upgrade.exe_path == NULL)
		return error_set(err, 0, "the file that nclust was started from is not known");
	u = calloc(1, sizeof(*u));
	if (u == NULL)
		return error_set(err, ENOMEM, "upgrade");
	u->sup = sup;
	u->asked = clock_now();
	u->binary = u->said = -1;
	sup->upgrade.reexec = u;
	return 0;
}

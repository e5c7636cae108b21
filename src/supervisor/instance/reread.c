/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/reread.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/config.h"
#include "os/pidfd.h"
#include "supervisor/common/carry_settings.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/budget.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sysexits.h>
#include <unistd.h>

#define PATIENCE (5 * SECOND)
/* The descriptor of the answer in the process that reads. */
#define ANSWER 3

/* Its exit status. */
enum { READ_SETTINGS, READ_MISTAKES, READ_FAILED };

struct reread {
	struct supervisor *sup;
	reread_done *done;
	pid_t pid;
	int pidfd;
	int answer; /* memfd: settings, or lines */
	ev_io exit;
	ev_timer patience;
};

/* ---- in the process of its own ---- */

static bool put(const char *data, size_t len)
{
	while (len > 0) {
		ssize_t got = write(ANSWER, data, len);

		if (got <= 0)
			return false;
		data += got;
		len -= (size_t)got;
	}
	return true;
}

static int answer(const struct supervisor *sup)
{
	struct settings *settings;
	struct faults faults;
	struct carry_writer c;
	struct error err;

	faults_init(&faults);
	if (config_reread(&settings, sup->launch.argc, sup->launch.argv,
		    &faults) == 0 &&
		config_read_token(settings, &err) == -1)
		faults_add(&faults, EX_CONFIG, "%s", err.text);
	if (faults.count == 0)
		config_check_logs(settings, budget_usable(), &faults);
	if (faults.count > 0)
		return put(faults.text.data, faults.text.len - 1)
			? READ_MISTAKES
			: READ_FAILED;
	/* a file server that is slow has answered then; nclust itself, which checks
	 * them again, would not wait for it */
	for (size_t i = 0; i < settings->cluster_count; i++)
		(void)recipe_check(sup, settings->clusters[i], true, &err);
	return settings_write(&c, settings) == 0 && put(c.out.data, c.out.len)
		? READ_SETTINGS
		: READ_FAILED;
}

/* Can all that `log` names be opened?  The mistakes, and the status that fits. */
static int answer_logs(const struct supervisor *sup)
{
	struct faults faults;

	faults_init(&faults);
	config_check_logs(sup->settings, sup->launch.cpus, &faults);
	return put(faults.text.data, faults.text.len) ? faults.status
						      : EX_OSERR;
}

/* It keeps none of our sockets, because it may hang in a call that not even
 * SIGKILL ends, and live longer than we do. */
static _Noreturn void read_beside(const struct supervisor *sup, int to,
	int (*what)(const struct supervisor *sup))
{
	struct sigaction by_default = {.sa_handler = SIG_DFL};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGPIPE, &by_default, NULL);
	if (dup2(to, ANSWER) == -1)
		_exit(READ_FAILED);
	(void)syscall(SYS_close_range, ANSWER + 1, ~0U, 0);
	_exit(what(sup));
}

/* ---- in nclust ---- */

void reread_fini(struct supervisor *sup)
{
	struct reread *r = sup->instance.reread;
	struct pidfd_end end;

	if (r == NULL)
		return;
	ev_io_stop(sup->loop, &r->exit);
	ev_timer_stop(sup->loop, &r->patience);
	(void)pidfd_signal(r->pidfd, SIGKILL);
	/* if it is not dead yet, it is reaped later as a stray */
	(void)pidfd_reap(r->pidfd, &end);
	fd_close(&r->pidfd);
	fd_close(&r->answer);
	free(r);
	sup->instance.reread = NULL;
}

/* All that was answered, with a NUL; NULL: errno. */
static char *text_of(int answer, size_t *len)
{
	struct stat st;
	char *text = fstat(answer, &st) == 0 ? calloc(1, (size_t)st.st_size + 1)
					     : NULL;

	*len = text != NULL ? (size_t)st.st_size : 0;
	if (text == NULL || pread(answer, text, *len, 0) == (ssize_t)*len)
		return text;
	free(text);
	return NULL;
}

/* Tell the outcome.  *r is gone then. */
static void finish(struct reread *r, int how)
{
	struct supervisor *sup = r->sup;
	reread_done *done = r->done;
	struct settings *settings = NULL;
	struct error err = {.text = "the configuration cannot be read"};
	size_t len;
	char *text = how != READ_FAILED ? text_of(r->answer, &len) : NULL;

	if (text == NULL)
		how = READ_FAILED;
	if (how == READ_SETTINGS)
		settings = settings_read(text, len, &err);
	reread_fini(sup);
	done(sup, settings, how == READ_MISTAKES ? text : err.text,
		how == READ_MISTAKES);
	free(text);
}

void reread_ended(struct supervisor *sup)
{
	struct reread *r = sup->instance.reread;
	struct pidfd_end end;

	if (pidfd_peek(r->pidfd, &end) == 1)
		finish(r, end.signalled ? READ_FAILED : end.code);
}

static void on_exit_of(struct ev_loop *loop, ev_io *watcher, int revents)
{
	struct reread *r = watcher->data;

	(void)loop;
	(void)revents;
	reread_ended(r->sup);
}

static void on_patience_over(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct reread *r = timer->data;
	struct supervisor *sup = r->sup;
	reread_done *done = r->done;

	(void)loop;
	(void)revents;
	reread_fini(sup);
	done(sup, NULL,
		"the configuration was not read within 5 s: its file, an "
		"env-file, or the name service that knows its users and "
		"groups, does not answer",
		false);
}

int reread_begin(struct supervisor *sup, reread_done *done, struct error *err)
{
	struct reread *r;

	reread_fini(sup);
	r = calloc(1, sizeof(*r));
	if (r == NULL)
		return error_set(err, ENOMEM, "cannot read the configuration");
	*r = (struct reread){.sup = sup, .done = done, .pid = -1, .pidfd = -1};
	r->answer = memfd_create("nclust-settings", MFD_CLOEXEC);
	if (r->answer != -1)
		r->pid = fork();
	if (r->pid == 0)
		read_beside(sup, r->answer, answer);
	if (r->pid > 0)
		r->pidfd = pidfd_of(r->pid);
	io_init(&r->exit, on_exit_of, r->pidfd, r);
	timer_init(&r->patience, on_patience_over, r);
	sup->instance.reread = r;
	if (r->pidfd == -1) {
		(void)error_set(err, errno,
			"cannot start the process that reads the "
			"configuration");
		if (r->pid > 0)
			(void)kill(r->pid, SIGKILL);
		reread_fini(sup);
		return -1;
	}
	ev_io_start(sup->loop, &r->exit);
	timer_arm(sup->loop, &r->patience, PATIENCE);
	return 0;
}

bool reread_is(const struct supervisor *sup, pid_t pid)
{
	return sup->instance.reread != NULL && sup->instance.reread->pid == pid;
}

/* ---- at the start ---- */

/* The last line is the error. */
static int tell_mistakes(char *text, int status, struct error *err)
{
	char *end;

	for (char *line = text; (end = strchr(line, '\n')) != NULL;
		line = end + 1) {
		*end = '\0';
		if (end[1] != '\0')
			log_error("%s", line);
		else
			(void)error_fail(err, status, "%s", line);
	}
	return -1;
}

/* Wait until it has looked. */
static int await_logs(int pidfd, int answer, struct error *err)
{
	struct pollfd wait = {.fd = pidfd, .events = POLLIN};
	struct pidfd_end end = {.code = EX_OSERR};
	scoped_str text = NULL;
	size_t len;

	(void)error_fail(err, EX_OSERR, "cannot try the places of 'log'");
	if (poll(&wait, 1, (int)(PATIENCE / MSEC)) == 0) {
		(void)pidfd_signal(pidfd, SIGKILL);
		return error_fail(err, EX_UNAVAILABLE,
			"the places of 'log' could not be opened within 5 s: a "
			"disk or a file server does not answer");
	}
	if (pidfd_reap(pidfd, &end) != 1 || end.signalled)
		return -1;
	if (end.code == 0)
		return 0;
	text = text_of(answer, &len);
	return text != NULL ? tell_mistakes(text, end.code, err) : -1;
}

static int try_beside(const struct supervisor *sup, struct error *err)
{
	scoped_fd answer = memfd_create("nclust-log", MFD_CLOEXEC);
	scoped_fd pidfd = -1;
	pid_t pid = answer != -1 ? fork() : -1;

	/* if it hangs, so would those who read our output */
	for (int i = 0; pid == 0 && i <= STDERR_FILENO; i++)
		(void)dup2(sup->null_fd, i);
	if (pid == 0)
		read_beside(sup, answer, answer_logs);
	if (pid > 0)
		pidfd = pidfd_of(pid);
	if (pidfd != -1)
		return await_logs(pidfd, answer, err);
	if (pid > 0)
		(void)kill(pid, SIGKILL);
	return error_set(err, errno, "cannot try the places of 'log'");
}

int reread_try_logs(const struct supervisor *sup, struct error *err)
{
	const struct settings *s = sup->settings;

	for (size_t i = 0; i < s->cluster_count; i++)
		if (s->clusters[i]->log_sink_count > 0)
			return try_beside(sup, err);
	return 0;
}

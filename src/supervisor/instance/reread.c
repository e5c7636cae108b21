/* SPDX-License-Identifier: MIT */
#include "supervisor/instance/reread.h"

#include "base/scope.h"
#include "config/config.h"
#include "os/pidfd.h"
#include "supervisor/common/carry_settings.h"
#include "supervisor/common/timer.h"
#include "supervisor/workers/recipe.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdlib.h>
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

/* It keeps none of our sockets, because it may hang in a call that not even
 * SIGKILL ends, and live longer than we do. */
static _Noreturn void read_beside(const struct supervisor *sup, int to)
{
	struct sigaction by_default = {.sa_handler = SIG_DFL};

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)sigaction(SIGPIPE, &by_default, NULL);
	if (dup2(to, ANSWER) == -1)
		_exit(READ_FAILED);
	(void)syscall(SYS_close_range, ANSWER + 1, ~0U, 0);
	_exit(answer(sup));
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

/* Tell the outcome.  *r is gone then. */
static void finish(struct reread *r, int how)
{
	struct supervisor *sup = r->sup;
	reread_done *done = r->done;
	struct settings *settings = NULL;
	struct error err = {.text = "the configuration cannot be read"};
	struct stat st;
	char *text = NULL;

	if (how != READ_FAILED && fstat(r->answer, &st) == 0)
		text = calloc(1, (size_t)st.st_size + 1);
	if (text != NULL &&
		pread(r->answer, text, (size_t)st.st_size, 0) != st.st_size)
		how = READ_FAILED;
	if (text != NULL && how == READ_SETTINGS)
		settings = settings_read(text, (size_t)st.st_size, &err);
	reread_fini(sup);
	done(sup, settings,
		text != NULL && how == READ_MISTAKES ? text : err.text,
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
		read_beside(sup, r->answer);
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

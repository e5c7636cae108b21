/* SPDX-License-Identifier: MIT */
#include "cli/trial.h"

#include "base/scope.h"
#include "base/trusted.h"
#include "os/clock.h"
#include "os/process.h"
#include "os/place/rundir.h"
#include "os/place/rundir_place.h"
#include "os/spawn/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME "doctor"
#define PAUSE_MS 20
/* From SIGTERM to SIGQUIT, and from there to SIGKILL. */
#define STOP_PATIENCE_MS 1000
/* One round takes less; of what is more, or is spent in waiting for a CPU, so much
 * counts all the same: there has to be an end. */
#define ROUND_MOST (100 * MSEC)
#define LAG_SHARE 10
#define PROCESSES_MAX 256

/* ---- the directory ---- */

static int make_directory(struct trial *t, const char *base, const char *name)
{
	struct error err;
	scoped_fd fd = trusted_directory(base, 0, &err);
	int n = snprintf(t->directory, sizeof(t->directory), "%s/%s", base, name);

	if (fd != -1 && n > 0 && (size_t)n < sizeof(t->directory) && mkdtemp(t->directory) != NULL)
		return 0;
	t->directory[0] = '\0';
	return -1;
}

/* Beside the instances, under a name that lists of them leave out; or else in
 * /tmp, which is safe because mkdtemp(3) makes it 0700 under a new name. */
static int open_directory(struct trial *t, const char *wanted, struct error *err)
{
	char base[PATH_MAX];

	if (rundir_place(wanted, false, 0, base, sizeof(base), err) == 1 &&
		make_directory(t, base, ".doctor-XXXXXX") == 0)
		return 0;
	/* the nclust will look at what is above it */
	(void)snprintf(t->directory, sizeof(t->directory), "/tmp/nclust-doctor-XXXXXX");
	if (mkdtemp(t->directory) != NULL)
		return 0;
	t->directory[0] = '\0';
	return error_set(err, errno, "cannot make a directory for the trial");
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *place)
{
	(void)st;
	(void)kind;
	(void)place;
	(void)remove(path);
	return 0;
}

/* With what an nclust that was killed has left in it. */
static void remove_directory(struct trial *t)
{
	if (t->directory[0] != '\0')
		(void)nftw(t->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	t->directory[0] = '\0';
}

/* ---- start ---- */

/* Variables that are meant for us, and not for the nclust that we start. */
static void clean_environment(void)
{
	static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"};

	for (size_t i = 0; i < COUNT_OF(names); i++)
		(void)unsetenv(names[i]);
}

static size_t count_words(const char *const *words)
{
	size_t count = 0;

	while (words[count] != NULL)
		count++;
	return count;
}

/* What all trials have in common, the options of this one, and the command.
 * Heap; the words are not. */
static const char **command_line(
	const struct trial *t, const char *const *options, const char *const *command)
{
	const char *const common[] = {"nclust", "--name", NAME, "--runtime-directory", t->directory,
		"--log", "prefix", "--stop-timeout", TRIAL_STOP_TIMEOUT,
		/* what it does on its stop signal is to be seen */
		"--drain", "off",
		/* one failed start is enough */
		"--backoff-min", "1m", "--backoff-max", "1m"};
	size_t option_count = count_words(options);
	size_t command_count = count_words(command);
	const char **words =
		calloc(COUNT_OF(common) + option_count + 1 + command_count + 1, sizeof(*words));
	const char **to = words;

	if (words == NULL)
		return NULL;
	to = mempcpy(to, common, sizeof(common));
	to = mempcpy(to, options, option_count * sizeof(*to));
	*to++ = "--";
	(void)memcpy(to, command, command_count * sizeof(*to));
	return words;
}

static int run(struct trial *t, const char **words, struct error *err)
{
	struct spawn_failure failure;
	scoped_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	scoped_fd self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	scoped_fd output = trial_output_open(&t->output);
	struct spawn_plan plan = {
		.argv = (char *const *)(uintptr_t)words, /* only read */
		.envp = environ,
		.exec_fd = self,
		.null_fd = null,
		.fds = {{output, STDOUT_FILENO}, {output, STDERR_FILENO}},
		.fd_count = 2,
		.new_session = true,
		.nice = INT_MIN,
		.umask = -1,
		.uid = -1,
		.gid = -1,
		.death_signal = SIGTERM,
	};

	if (words == NULL || null == -1 || self == -1 || output == -1)
		return error_set(err, errno, "cannot start an nclust");
	if (spawn(&plan, &t->pid, &t->pidfd, &failure) == 0)
		return 0;
	t->pidfd = -1;
	spawn_explain(&failure, "nclust", err);
	return -1;
}

/* It has ended: say so, in its own words. */
static int tell_ended(struct trial *t, struct error *err)
{
	char text[400];
	int status = t->ended.signalled ? 128 + t->ended.code : t->ended.code;

	if (trial_logged(t, "cannot ", text, sizeof(text)) ||
		trial_logged(t, "", text, sizeof(text)))
		(void)error_set(err, 0, "%s", text);
	else
		(void)error_set(err, 0, "the nclust on trial has ended");
	return error_status(err, status != 0 ? status : 1);
}

static bool has_ended(struct trial *t)
{
	if (t->pidfd == -1)
		return true;
	if (pidfd_reap(t->pidfd, &t->ended) != 1)
		return false;
	fd_close(&t->pidfd);
	trial_output_drain(&t->output);
	return true;
}

/* Of all that the instance runs: what they have used, and does one want more? */
static bool wants_cpu(const struct trial *t, nsec_t *cpu)
{
	pid_t tree[PROCESSES_MAX];
	size_t count = process_tree(t->pid, tree, COUNT_OF(tree));
	bool wants = false;

	*cpu = 0;
	for (size_t i = 0; i < count; i++) {
		struct process_facts facts;

		if (process_look(tree[i], &facts) == -1)
			continue;
		*cpu += facts.cpu;
		wants |= facts.state == 'R';
	}
	return wants;
}

nsec_t trial_lag(nsec_t passed, bool wants, nsec_t used)
{
	nsec_t counts = passed < ROUND_MOST ? passed : ROUND_MOST;

	/* if all of it was used, nothing has waited */
	if (wants && used < counts)
		counts = used;
	if (counts < passed / LAG_SHARE)
		counts = passed / LAG_SHARE;
	return passed - counts;
}

static void pass_time(struct trial *t)
{
	nsec_t now = clock_now();
	nsec_t cpu;
	bool wants = wants_cpu(t, &cpu);
	nsec_t lag = trial_lag(now - t->paused, wants, cpu - t->cpu);

	t->paused = now;
	t->cpu = cpu;
	t->lag += lag;
	t->client.end += lag;
}

nsec_t trial_clock(const struct trial *t)
{
	return clock_now() - t->lag;
}

/* 0: something has come, or the time is over; -1 and `err`. */
static int pause_for(struct trial *t, int ms, struct error *err)
{
	struct pollfd fds[] = {
		{.fd = t->stop, .events = POLLIN}, {.fd = t->pidfd, .events = POLLIN}};

	(void)poll(fds, COUNT_OF(fds), ms);
	trial_output_drain(&t->output);
	pass_time(t);
	if (fds[0].revents != 0 || clock_now() >= t->client.end)
		return error_set(err, ECANCELED, "ended");
	return has_ended(t) ? tell_ended(t, err) : 0;
}

static int join(struct trial *t, struct error *err)
{
	for (;;) {
		scoped_fd dir = rundir_find(t->directory, NAME, err);

		client_fini(&t->client);
		client_init(&t->client);
		t->client.cancel = t->stop;
		t->client.end = nsec_add(t->end, t->lag);
		if (dir != -1 && client_open(&t->client, dir, NAME, err) == 0)
			return 0;
		if (err->sys == ECANCELED || pause_for(t, PAUSE_MS, err) == -1)
			return -1;
	}
}

int trial_start(
	struct trial *t, const char *const *options, const char *const *command, struct error *err)
{
	const char **words = command_line(t, options, command);
	int got;

	(void)memset(t->lives, 0, sizeof(t->lives));
	t->listener_count = 0;
	t->says_ready = t->listens = false;
	got = run(t, words, err);
	free(words);
	return got == -1 ? -1 : join(t, err);
}

/* ---- asking ---- */

static int on_event(json_t *params, void *data)
{
	trial_take_event(data, params);
	return 0;
}

static int call(
	struct trial *t, struct control_request *request, struct answer *answer, struct error *err)
{
	if (client_call(&t->client, request, on_event, t, answer, err) == -1) {
		/* the connection goes first, the process follows */
		if (err->sys != ECANCELED)
			(void)pause_for(t, STOP_PATIENCE_MS, err);
		return -1;
	}
	return answer->code != 0 ? error_set(err, 0, "%s", answer->message) : 0;
}

int trial_scale(struct trial *t, int count, struct error *err)
{
	struct control_request request = {
		.method = METHOD_SCALE, .scale_kind = SCALE_TO, .count = count, .no_wait = true};
	struct answer answer;

	return call(t, &request, &answer, err);
}

int trial_signal(struct trial *t, int slot, int signal, struct error *err)
{
	struct control_request request = {.method = METHOD_SIGNAL, .signal = signal};
	struct answer answer;

	(void)snprintf(request.target, sizeof(request.target), NAME ".%d", slot);
	return call(t, &request, &answer, err);
}

int trial_look(struct trial *t, struct error *err)
{
	struct control_request events = {.method = METHOD_EVENTS, .last = -1};
	struct control_request status = {.method = METHOD_STATUS};
	struct answer answer;
	json_t *object;

	trial_output_drain(&t->output);
	if (call(t, &events, &answer, err) == -1 || call(t, &status, &answer, err) == -1)
		return -1;
	object = json_loadb(answer.result, answer.len, 0, NULL);
	trial_take_status(t, object);
	json_decref(object);
	return 0;
}

int trial_wait(struct trial *t, struct error *err)
{
	if (pause_for(t, PAUSE_MS, err) == -1)
		return -1;
	return trial_look(t, err);
}

/* ---- end ---- */

/* Gracefully, then at once, then by force; the kernel ends the workers with
 * it. */
void trial_stop(struct trial *t)
{
	static const int signals[] = {SIGTERM, SIGQUIT, SIGKILL};
	struct pollfd ended = {.events = POLLIN};

	for (size_t i = 0; t->pidfd != -1 && i < COUNT_OF(signals); i++) {
		nsec_t until = nsec_add(clock_now(), STOP_PATIENCE_MS * MSEC);

		ended.fd = t->pidfd;
		(void)pidfd_signal(t->pidfd, signals[i]);
		/* nclust does not end while its pipe is full */
		while (!has_ended(t) && (signals[i] == SIGKILL || clock_now() < until)) {
			(void)poll(&ended, 1, PAUSE_MS);
			trial_output_drain(&t->output);
		}
	}
	client_fini(&t->client);
	fd_close(&t->output.fd);
}

int trial_begin(struct trial *t, const char *runtime_directory, struct error *err)
{
	*t = (struct trial){.pidfd = -1, .paused = clock_now(), .output.fd = -1};
	t->end = nsec_add(t->paused, TRIAL_TIME);
	client_init(&t->client);
	buffer_init(&t->output.own, 0);
	buffer_init(&t->output.workers, 0);
	/* our reader may go: we still have to clean up */
	(void)signal(SIGPIPE, SIG_IGN);
	clean_environment();
	t->stop = client_cancel_open(err);
	if (t->stop == -1)
		return -1;
	return open_directory(t, runtime_directory, err);
}

void trial_end(struct trial *t)
{
	trial_stop(t);
	remove_directory(t);
	fd_close(&t->stop);
	lineup_fini(&t->output.lines);
	buffer_fini(&t->output.own);
	buffer_fini(&t->output.workers);
}

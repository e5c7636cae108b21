/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "base/text.h"
#include "base/trusted.h"
#include "cli/render.h"
#include "os/clock.h"
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
#include <sys/mman.h>

#define NAME "doctor"
#define MOMENT_MS 20
#define MOMENT_MOST (100 * MSEC)
/* The longest time of a trial by the clock, even if this machine lets us wait for a CPU. */
#define TRIAL_MOST (10 * TRIAL_TIME)
/* From SIGTERM to SIGQUIT, and from there to SIGKILL, which lets other processes of the trial live:
 * 1 s, and longer where the CPU is late. */
#define STOP_MOMENTS 50
#define FOLLOWS_MS 1000
#define LOG_MOST ((size_t)16 << 20)

/* ---- the directory ---- */

/* Make a directory beside the instances', under a name that lists of instances leave out;
 * or else in /tmp, which is safe because mkdtemp(3) makes it 0700 under a new name. */
static void make_directory(struct trial *t, const char *wanted)
{
	char base[PATH_MAX];

	if (rundir_place(wanted, false, 0, base, sizeof(base), &t->err) == 1) {
		scoped_fd fd = trusted_directory(base, 0, &t->err);
		int n = snprintf(t->directory, sizeof(t->directory), "%s/.doctor-XXXXXX", base);

		if (fd != -1 && n < (int)sizeof(t->directory) && mkdtemp(t->directory) != NULL)
			return;
	}
	text_copy(t->directory, sizeof(t->directory), "/tmp/nclust-doctor-XXXXXX");
	if (mkdtemp(t->directory) != NULL)
		return;
	t->directory[0] = '\0';
	error_set(&t->err, errno, "cannot make a directory for the trial");
	t->over = true;
}

static int remove_one(
	const char *path, const struct stat *st UNUSED, int kind UNUSED, struct FTW *place UNUSED)
{
	(void)remove(path);
	return 0;
}

/* ---- start ---- */

bool trial_has_option(const char *const *options, const char *name)
{
	size_t len = strlen(name);

	for (; *options != NULL; options++)
		if (strncmp(*options, name, len) == 0 &&
			(name[1] != '-' || strchr("=", (*options)[len]) != NULL))
			return true;
	return false;
}

bool trial_has_probe(const char *const *options)
{
	for (; *options != NULL; options++) {
		const char *value = strncmp(*options, "--ready=", 8) == 0 ? *options + 8
			: strcmp(*options, "--ready") == 0                ? options[1]
									  : NULL;

		if (value != NULL &&
			(strcmp(value, "tcp") == 0 || strncmp(value, "http:", 5) == 0 ||
				strncmp(value, "exec:", 5) == 0))
			return true;
	}
	return false;
}

/* The later of two options counts; of `log` only one is allowed.  Heap, or NULL; the
 * words are borrowed. */
static const char **make_command_line(const struct trial *t, const char *const *options,
	const char *const *own, const char *const *command)
{
	const char *const common[] = {"--name", NAME, "--runtime-directory", t->directory,
		/* the effect of the stop signal is to be seen */
		"--drain", "signal", "--drain-timeout", TRIAL_STOP_TIMEOUT, "--stop-timeout",
		TRIAL_STOP_TIMEOUT,
		/* one failed start is enough */
		"--backoff-min", "1m", "--backoff-max", "1m", "-n", "1",
		trial_has_option(options, "--log") ? NULL : "--log=off", NULL};
	const char *const first[] = {"nclust", NULL};
	const char *const last[] = {"--", NULL};
	/* a probe asks at the first listener, which the program may not use */
	const char *const ready[] = {trial_has_probe(options) ? "--ready=auto" : NULL, NULL};
	const char *const *const parts[] = {first, options, common, ready, own, last, command};
	const char *const end = NULL;
	scoped_buffer words = {0};

	for (size_t i = 0; i < COUNT_OF(parts); i++)
		for (const char *const *word = parts[i]; *word != NULL; word++)
			buffer_append(&words, word, sizeof(*word));
	buffer_append(&words, &end, sizeof(end));
	return (const char **)(void *)buffer_take(&words);
}

static bool start_instance(struct trial *t, const char *const *words)
{
	struct spawn_failure failure;
	scoped_fd null = open("/dev/null", O_RDWR | O_CLOEXEC);
	scoped_fd self = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	struct spawn_plan plan = {
		.argv = (char *const *)(uintptr_t)words, /* posix_spawn(3) only reads them */
		.envp = environ,
		.exec_fd = self,
		.null_fd = null,
		.fds = {{t->log, STDERR_FILENO}},
		.fd_count = 1,
		.new_session = true,
		SPAWN_INHERITS,
		.death_signal = SIGTERM,
	};
	pid_t pid;

	if (words == NULL || null == -1 || self == -1 || t->log == -1) {
		error_set(&t->err, errno, "cannot start an nclust");
	} else if (spawn(&plan, &pid, &t->pidfd, &failure) == -1) {
		t->pidfd = -1;
		spawn_explain(&failure, "nclust", &t->err);
	}
	t->over = t->pidfd == -1;
	return !t->over;
}

static bool has_ended(struct trial *t)
{
	if (t->pidfd != -1 && pidfd_reap(t->pidfd, &t->ended) == 1)
		fd_close(&t->pidfd);
	return t->pidfd == -1;
}

const char *trial_words(const char *sentence)
{
	size_t name = strncmp(sentence, NAME, strlen(NAME)) == 0 ? strcspn(sentence, " ") : 0;

	return name > 0 && sentence[name - 1] == ':' ? sentence + name + 1 : sentence;
}

/* If the instance has ended, the trial is over, because of the last line of its log. */
static void look_for_end(struct trial *t)
{
	static const char own[] = "nclust: ";
	scoped_str log = NULL;
	const char *line = "the nclust on trial has ended";
	size_t len;
	int status;

	if (!has_ended(t))
		return;
	log = read_whole(t->log, LOG_MOST, &len);
	status = t->ended.signalled ? 128 + t->ended.code : t->ended.code;
	if (log != NULL && *log != '\0') {
		log[strlen(log) - 1] = '\0'; /* without its newline */
		line = strrchr(log, '\n');
		line = line != NULL ? line + 1 : log;
	}
	if (strncmp(line, own, strlen(own)) == 0)
		line += strlen(own);
	error_set(&t->err, 0, "%s", trial_words(line));
	error_status(&t->err, status != 0 ? status : 1);
	t->over = true;
}

/* ---- asking ---- */

static int take_event(json_t *params, void *data)
{
	const struct trial *t = data;

	return json_array_append(t->events, params);
}

/* Leaves the result as JSON, which the caller frees, in *result, unless that is NULL. */
static bool call_instance(struct trial *t, struct control_request *request, json_t **result)
{
	struct answer answer;
	struct pollfd ended = {.fd = t->pidfd, .events = POLLIN};

	if (t->over)
		return false;
	t->over = client_call(&t->client, request, take_event, t, &answer, &t->err) == -1;
	if (t->over && answer.code == 0 && t->err.sys != ECANCELED) {
		/* the connection is closed before the process has ended */
		(void)poll(&ended, 1, FOLLOWS_MS);
		look_for_end(t);
	}
	if (!t->over && result != NULL)
		*result = json_incref(answer.result);
	return !t->over;
}

void trial_scale(struct trial *t, int count)
{
	struct control_request request = {
		.method = METHOD_SCALE, .scale_kind = SCALE_TO, .count = count, .no_wait = true};

	(void)call_instance(t, &request, NULL);
}

static bool read_news(struct trial *t)
{
	struct control_request events = {.method = METHOD_EVENTS, .last = -1};
	struct control_request status = {.method = METHOD_STATUS};
	json_t *result = NULL;

	(void)json_array_clear(t->events);
	if (!call_instance(t, &events, NULL) || !call_instance(t, &status, &result))
		return false;
	json_decref(t->status);
	t->status = result;
	return true;
}

static bool pass_moment(struct trial *t)
{
	struct pollfd fds[] = {
		{.fd = t->stop, .events = POLLIN}, {.fd = t->pidfd, .events = POLLIN}};
	nsec_t now;

	(void)poll(fds, COUNT_OF(fds), MOMENT_MS);
	now = clock_now();
	t->now += nsec_min(now - t->looked, MOMENT_MOST);
	t->looked = now;
	t->over = fds[0].revents != 0 || t->now >= TRIAL_TIME || now >= t->end;
	if (t->over)
		error_set(&t->err, ECANCELED, "ended");
	else
		look_for_end(t);
	return !t->over;
}

bool trial_wait(struct trial *t)
{
	return !t->over && pass_moment(t) && read_news(t);
}

static bool connect_instance(struct trial *t)
{
	for (;;) {
		client_fini(&t->client);
		client_init(&t->client);
		t->client.cancel = t->stop;
		t->client.end = t->end;
		if (client_open(&t->client, t->directory, NAME, &t->err) == 0)
			return read_news(t);
		t->over = t->err.sys == ECANCELED;
		if (t->over || !pass_moment(t))
			return false;
	}
}

bool trial_start(struct trial *t, const char *const *options, const char *const *own,
	const char *const *command)
{
	const char **words = make_command_line(t, options, own, command);
	bool started;

	t->log = memfd_create("doctor", MFD_CLOEXEC);
	started = !t->over && start_instance(t, words);
	free(words);
	return started && connect_instance(t);
}

/* ---- what is known ---- */

json_t *trial_event(const struct trial *t, uint64_t worker, const char *name)
{
	for (size_t i = 0; i < json_array_size(t->events); i++) {
		json_t *event = json_array_get(t->events, i);

		if ((uint64_t)field_number(event, "worker") == worker &&
			strcmp(field_raw(event, "event"), name) == 0)
			return event;
	}
	return NULL;
}

double trial_time(const struct trial *t, uint64_t worker, const char *name)
{
	return json_number_value(json_object_get(trial_event(t, worker, name), "time"));
}

uint64_t trial_worker(const struct trial *t, int slot)
{
	uint64_t last = 0;

	for (size_t i = 0; i < json_array_size(t->events); i++) {
		json_t *event = json_array_get(t->events, i);

		if (strcmp(field_raw(event, "event"), "started") == 0 &&
			field_number(event, "slot") == slot)
			last = (uint64_t)field_number(event, "worker");
	}
	return last;
}

pid_t trial_pid(const struct trial *t, uint64_t worker)
{
	return (pid_t)field_number(trial_event(t, worker, "started"), "pid");
}

json_t *trial_cluster(const struct trial *t)
{
	return json_array_get(json_object_get(t->status, "clusters"), 0);
}

json_t *trial_listeners(const struct trial *t)
{
	return json_object_get(trial_cluster(t), "listeners");
}

json_t *trial_listener(const struct trial *t, uint64_t inode)
{
	json_t *all = trial_listeners(t);

	for (size_t i = 0; i < json_array_size(all); i++)
		if ((uint64_t)field_number(json_array_get(all, i), "inode") == inode)
			return json_array_get(all, i);
	return NULL;
}

/* Stop gracefully, then at once, then by force; the kernel ends the workers with
 * their nclust. */
static void stop_instance(struct trial *t)
{
	static const int signals[] = {SIGTERM, SIGQUIT, SIGKILL};
	struct pollfd ended = {.events = POLLIN};

	for (size_t i = 0; t->pidfd != -1 && i < COUNT_OF(signals); i++) {
		ended.fd = t->pidfd;
		(void)pidfd_signal(t->pidfd, signals[i]);
		for (int n = 0; !has_ended(t) && (signals[i] == SIGKILL || n < STOP_MOMENTS); n++)
			(void)poll(&ended, 1, MOMENT_MS);
	}
	client_fini(&t->client);
	fd_close(&t->log);
}

void trial_begin(struct trial *t, const char *runtime_directory)
{
	static const char *const names[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES",
		"LISTEN_PIDFDID", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC"};

	*t = (struct trial){.pidfd = -1, .log = -1, .looked = clock_now(), .events = json_array()};
	client_init(&t->client);
	t->end = nsec_add(t->looked, TRIAL_MOST);
	/* the reader of our output may go: the trial still has to be cleaned up */
	(void)signal(SIGPIPE, SIG_IGN);
	/* what is meant for this process, and not for the nclust that it starts */
	for (size_t i = 0; i < COUNT_OF(names); i++)
		(void)unsetenv(names[i]);
	t->stop = client_cancel_open(&t->err);
	t->over = t->stop == -1;
	if (!t->over)
		make_directory(t, runtime_directory);
}

void trial_end(struct trial *t)
{
	stop_instance(t);
	if (t->directory[0] != '\0')
		(void)nftw(t->directory, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
	fd_close(&t->stop);
	json_decref(t->events);
	json_decref(t->status);
}

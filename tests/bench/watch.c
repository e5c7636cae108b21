/* SPDX-License-Identifier: MIT */
/*
 * The observer: starts a supervisor, and measures from outside what it does.
 *
 *   watch [-n WORKERS] [-p PORT] [-r] [-q] [-k] COMMAND [ARG]...
 *
 * Workers (beat.c) tell the observer their pid when they are ready, whoever
 * their supervisor is; -r waits for the supervisor's own READY=1 besides.  With
 * -p it has a listening socket on descriptor 3, and LISTEN_FDS=1.  With -q the
 * workers tell nothing; -k ends the supervisor by SIGKILL.
 *
 * Prints "PID MICROSECONDS", the supervisor and the time from its start to all
 * workers ready.  Then it obeys the lines of its standard input, one line of
 * answer for each:
 *
 *   respawn ROUNDS   kill a worker, wait for its successor; the next one.
 *                    Median and 90th percentile, in microseconds
 *   massacre         kill all at once, until all are replaced: microseconds
 *   first PORT       (with -n, no beats:) until N workers have answered HTTP,
 *                    counted from the start of the supervisor: microseconds
 *
 * and at the end of the input stops the supervisor with SIGTERM.
 */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "bench.h"

enum { PATIENCE = 60 }; /* seconds for anything */

struct watch {
	int beats;    /* datagrams of workers */
	int notify;   /* of the supervisor; -1 when not asked for */
	bool ready;   /* it has said so */
	bool hard;    /* no SIGTERM for it */
	int listener; /* to hand on, or -1 */
	pid_t supervisor;
	int64_t start;
	pid_t *workers;
	long count;
	long turn; /* whose worker is killed next */
};

static __attribute__((noreturn)) void give_up(const struct watch *w, const char *what)
{
	long i;

	fprintf(stderr, "watch: %s\n", what);
	(void)kill(w->supervisor, SIGKILL);
	for (i = 0; i < w->count; i++) {
		if (w->workers[i] > 0)
			(void)kill(w->workers[i], SIGKILL);
	}
	_exit(1);
}

/* Hear what the supervisor says, now: its queue must not fill meanwhile. */
static void hear_supervisor(struct watch *w)
{
	char text[512];
	ssize_t n;

	while (w->notify != -1 && (n = recv(w->notify, text, sizeof(text) - 1, 0)) > 0) {
		text[n] = '\0';
		if (strstr(text, "READY=1"))
			w->ready = true;
	}
}

static void wait_readable(struct watch *w, int64_t until)
{
	struct pollfd from[] = {
		{.fd = w->beats, .events = POLLIN}, {.fd = w->notify, .events = POLLIN}};
	int64_t left = until - bench_now();

	if (left <= 0 || poll(from, 2, (int)(left / 1000000) + 1) == 0)
		give_up(w, "waited in vain");
	hear_supervisor(w);
}

/* The pid of the next worker that is ready. */
static pid_t next_beat(struct watch *w)
{
	int64_t until = bench_now() + PATIENCE * INT64_C(1000000000);
	char text[32];
	ssize_t n;

	for (;;) {
		n = recv(w->beats, text, sizeof(text) - 1, 0);
		if (n > 0) {
			text[n] = '\0';
			return atoi(text);
		}
		wait_readable(w, until);
	}
}

static void wait_for_ready(struct watch *w)
{
	int64_t until = bench_now() + PATIENCE * INT64_C(1000000000);

	while (!w->ready)
		wait_readable(w, until);
}

static void start(struct watch *w, char **command)
{
	w->start = bench_now();
	w->supervisor = vfork();
	if (w->supervisor == -1)
		bench_die("vfork");
	if (w->supervisor == 0) {
		if (w->listener != -1)
			(void)dup2(w->listener, 3);
		(void)prctl(PR_SET_PDEATHSIG, SIGKILL); /* not without us */
		(void)dup2(2, 1);                       /* ours is for answers */
		(void)execvp(command[0], command);
		_exit(127);
	}
}

static void meet_all(struct watch *w)
{
	long i;

	for (i = 0; i < w->count; i++)
		w->workers[i] = next_beat(w);
	if (w->notify != -1)
		wait_for_ready(w);
	printf("%d %lld\n", (int)w->supervisor, (long long)((bench_now() - w->start) / 1000));
	(void)fflush(stdout);
}

static int by_size(const void *a, const void *b)
{
	const int64_t *x = a;
	const int64_t *y = b;

	return (*x > *y) - (*x < *y);
}

static void respawn(struct watch *w, long rounds)
{
	int64_t *took = calloc((size_t)rounds, sizeof(*took));
	int64_t began;
	long at;
	long i;

	if (!took)
		bench_die("calloc");
	for (i = 0; i < rounds; i++) {
		began = bench_now();
		at = w->turn++ % w->count;
		if (kill(w->workers[at], SIGKILL) == -1)
			give_up(w, "a worker has gone by itself");
		w->workers[at] = next_beat(w);
		took[i] = bench_now() - began;
	}
	qsort(took, (size_t)rounds, sizeof(*took), by_size);
	printf("%lld %lld\n", (long long)(took[rounds / 2] / 1000),
		(long long)(took[rounds * 9 / 10] / 1000));
	free(took);
}

static void massacre(struct watch *w)
{
	int64_t began = bench_now();
	long i;

	for (i = 0; i < w->count; i++)
		(void)kill(w->workers[i], SIGKILL);
	for (i = 0; i < w->count; i++)
		w->workers[i] = next_beat(w);
	printf("%lld\n", (long long)((bench_now() - began) / 1000));
}

/* Ask once; the pid that answered, 0 when nobody did. */
static pid_t ask(int port)
{
	const struct sockaddr_in at = bench_local(port);
	const char request[] = "GET / HTTP/1.0\r\n\r\n";
	char reply[1024] = "";
	size_t used = 0;
	const char *pid;
	ssize_t n;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd == -1)
		bench_die("socket");
	if (connect(fd, (const struct sockaddr *)&at, sizeof(at)) == -1 ||
		send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) == -1) {
		(void)close(fd);
		return 0;
	}
	while ((n = recv(fd, reply + used, sizeof(reply) - 1 - used, 0)) > 0)
		used += (size_t)n;
	(void)close(fd);
	reply[used] = '\0';
	pid = strstr(reply, "pid=");
	return pid ? atoi(pid + 4) : 0;
}

/* To a hundredth of the time: who asks all the time takes a CPU from those who
 * are to answer. */
static void wait_a_little(const struct watch *w)
{
	int64_t nap = (bench_now() - w->start) / 100;
	const struct timespec time = {.tv_nsec = nap < 20000 ? 20000
			: nap > 10000000                     ? 10000000
							     : nap};

	(void)nanosleep(&time, NULL);
}

static void first(struct watch *w, int port)
{
	int64_t until = w->start + PATIENCE * INT64_C(1000000000);
	long met = 0;
	long i;

	while (met < w->count) {
		pid_t pid = ask(port);

		if (bench_now() > until)
			give_up(w, "not all have answered");
		if (pid == 0) {
			wait_a_little(w);
			continue;
		}
		for (i = 0; i < met && w->workers[i] != pid; i++)
			;
		if (i == met)
			w->workers[met++] = pid;
	}
	printf("%lld\n", (long long)((bench_now() - w->start) / 1000));
}

static void obey(struct watch *w)
{
	char line[128];

	while (fgets(line, sizeof(line), stdin)) {
		if (!strncmp(line, "respawn ", 8))
			respawn(w, atol(line + 8));
		else if (!strncmp(line, "massacre", 8))
			massacre(w);
		else if (!strncmp(line, "first ", 6))
			first(w, atoi(line + 6));
		else
			puts("?");
		(void)fflush(stdout);
	}
}

static void stop(const struct watch *w)
{
	int64_t until = bench_now() + 20 * INT64_C(1000000000);
	const struct timespec nap = {.tv_nsec = 5000000};
	long i;

	(void)kill(w->supervisor, w->hard ? SIGKILL : SIGTERM);
	while (waitpid(w->supervisor, NULL, WNOHANG) == 0) {
		if (bench_now() > until)
			(void)kill(w->supervisor, SIGKILL);
		(void)nanosleep(&nap, NULL);
	}
	/* A neighbour that leaves its workers behind shall not leave ours. */
	for (i = 0; i < w->count; i++) {
		if (w->workers[i] > 0)
			(void)kill(w->workers[i], SIGKILL);
	}
}

int main(int argc, char **argv)
{
	const char *directory = getenv("BENCH_DIR");
	struct watch w = {.notify = -1, .listener = -1};
	struct rlimit files;
	bool beats = true;
	char path[100];
	int option;

	if (!directory)
		bench_die("BENCH_DIR");
	(void)alarm(600);
	snprintf(path, sizeof(path), "%s/beats.%d", directory, (int)getpid());
	(void)setenv("BENCH_SOCKET", path, 1);
	(void)unsetenv("NOTIFY_SOCKET");
	w.beats = bench_receiver(path);
	while ((option = getopt(argc, argv, "+n:p:rqk")) != -1) {
		switch (option) {
		case 'n':
			w.count = atol(optarg);
			break;
		case 'p':
			w.listener = bench_listen(atoi(optarg), false);
			(void)setenv("LISTEN_FDS", "1", 1);
			break;
		case 'r':
			snprintf(path, sizeof(path), "%s/ready.%d", directory, (int)getpid());
			w.notify = bench_receiver(path);
			(void)setenv("NOTIFY_SOCKET", path, 1);
			break;
		case 'k': /* it does not end of SIGTERM */
			w.hard = true;
			break;
		case 'q': /* the workers send no beats */
			beats = false;
			break;
		default:
			return 64;
		}
	}
	w.workers = calloc((size_t)w.count + 1, sizeof(*w.workers));
	if (!w.workers || optind == argc)
		return 64;
	if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
		files.rlim_cur = files.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &files);
	}
	start(&w, argv + optind);
	if (beats)
		meet_all(&w);
	obey(&w);
	stop(&w);
	return 0;
}

/* SPDX-License-Identifier: MIT */
#include "cli/doctor.h"

#include "base/scope.h"
#include "cli/render.h"
#include "config/value.h"
#include "os/privilege.h"
#include "os/process.h"

#include <errno.h>
#include <glob.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* A program may open more sockets after its first: it is watched for so long after
 * each; a program that sent READY=1 has opened all. */
#define LOOK_ON (2 * SECOND)
#define SETTLED (300 * MSEC)
/* A program that has used no CPU for so long waits for something that the trial
 * cannot give; a busy program is given up on later. */
#define IDLE (2 * SECOND)
#define BUSY_MOST (10 * SECOND)
/* Between two requests to a worker that answers 503. */
#define ASK_AGAIN (200 * MSEC)
#define COOKIE_LOOKS 40 /* two for each answer */
#define END_TEXT 700

/* What is said behind an address. */
static const struct finding shares[] = {
	[SHARE_UNKNOWN] = {NULL, FACT_OK, NULL, NULL, NULL},
	[SHARE_SAME] = {"same", FACT_OK, "shared", ", one socket", ""},
	[SHARE_SPREAD] = {"one each", FACT_OK, "shared", ", a socket each",
		"clients that wait for a copy when it ends are lost; with -l ADDRESS all copies "
		"share one socket"},
	[SHARE_STOLEN] = {"stolen", FACT_BAD, "not shared",
		", which each copy takes away from the one before it", ""},
	[SHARE_OTHER] = {"none", FACT_BAD, "not shared", ": each copy listens on another port",
		"give it a fixed port, unless each copy is to have its own; a program that takes "
		"another port if its own is in use can only run as one copy"},
	[SHARE_PRIVATE] = {"private", FACT_OK, "private", "",
		"each copy has one of its own, which is as it should be"},
};

/* "ends with exit 1 after 20 ms; last output: ...", from nclust's report of the end. */
static const char *end_text(char to[END_TEXT], const json_t *exited)
{
	const char *cause = field_raw(exited, "cause");
	const char *output = field_raw(exited, "last_output");
	char after[24];

	snprintf(to, END_TEXT, "ends with %s after %s%s%.256s%s%.256s", field_raw(exited, "exit"),
		facts_seconds(after, json_number_value(json_object_get(exited, "after"))),
		*cause != '\0' ? "; " : "", cause, *output != '\0' ? "; last output: " : "",
		output);
	return to;
}

json_t *exam_end_of(const struct exam *e, uint64_t worker)
{
	return trial_event(e->trial, worker, "exited");
}

/* What the status says of the worker in that slot. */
static json_t *status_of(const struct exam *e, size_t slot)
{
	return json_array_get(json_object_get(trial_cluster(e->trial), "workers"), slot);
}

/* ---- the instance ---- */

/* Has nclust said the same before? */
static bool is_told(const struct exam *e, const char *text)
{
	for (size_t i = 0; i < e->shown; i++)
		if (strcmp(field_raw(json_array_get(e->trial->events, i), "text"), text) == 0)
			return true;
	return false;
}

void exam_tell_news(struct exam *e)
{
	static const char *const levels[] = {
		[FACT_OK] = "", [FACT_NOTE] = "note", [FACT_WARN] = "warn", [FACT_BAD] = "error"};
	static const char *const left_out[] = {
		"all-ready", "scaled", "stopping", "stop-timeout", "exited", "closed"};

	for (; e->shown < json_array_size(e->trial->events); e->shown++) {
		const json_t *event = json_array_get(e->trial->events, e->shown);
		const char *kind = field_raw(event, "event");
		const char *text = field_raw(event, "text");
		int mark = value_index(field_raw(event, "level"), levels, COUNT_OF(levels));

		if (mark > FACT_OK && value_index(kind, left_out, COUNT_OF(left_out)) == -1 &&
			!is_told(e, text))
			facts_add(
				e->facts, (enum fact_mark)mark, kind, "", "%s", trial_words(text));
	}
}

bool exam_begin(const struct exam *e, bool apart)
{
	/* PORT would name a port that nobody has asked for */
	static const char *const any[] = {
		"-l", "127.0.0.1:0", "--pass", "systemd server-starter einhorn", NULL};
	static const char *const nothing[] = {"--intercept", "off", "--ipc", "off", NULL};
	const struct arguments *a = e->arguments;
	const char *own[COUNT_OF(any) + 2] = {NULL};
	const size_t first = e->primary ? 2 : 0;

	memcpy(own, nothing + 2, first * sizeof(*own)); /* no channel */
	if (!e->named)
		memcpy(own + first, any, sizeof(any));
	if (trial_has_option(a->given, "--pass"))
		own[first + 2] = NULL;
	return trial_start(e->trial, a->given, apart ? nothing : own,
		(const char *const *)(uintptr_t)a->command);
}

/* ---- sockets of ours ---- */

/* Connections in the queues of the listeners: a worker that uses the sockets of
 * nclust accepts them. */
#define VISITS_MAX 16
struct visits {
	int fds[VISITS_MAX];
	uint64_t inodes[VISITS_MAX];
	bool taken[VISITS_MAX];
	size_t count;
};

static void send_visitors(const struct exam *e, struct visits *v)
{
	size_t i;
	json_t *listener;

	json_array_foreach(trial_listeners(e->trial), i, listener)
	{
		if (v->count == VISITS_MAX || field_is_true(listener, "learned"))
			continue;
		v->fds[v->count] = held_visit(field_raw(listener, "address"));
		v->inodes[v->count] = (uint64_t)field_number(listener, "inode");
		v->count += v->fds[v->count] != -1;
	}
}

/* Was a connection taken out of the listener's queue?  It leaves, for who serves one at a time. */
static bool is_taken(struct visits *v, const json_t *listener)
{
	for (size_t i = 0; i < v->count; i++) {
		if (v->inodes[i] != (uint64_t)field_number(listener, "inode"))
			continue;
		v->taken[i] |=
			field_is_number(listener, "queue") && field_number(listener, "queue") == 0;
		if (v->taken[i])
			fd_close(&v->fds[i]);
		return v->taken[i];
	}
	return false;
}

/* ---- what it has opened ---- */

/* The sockets at which clients can reach the worker, without sockets of nclust that it does not
 * use. */
static void find_places(struct exam *e, struct visits *v)
{
	e->place_count = 0;
	e->takes_passed = false;
	for (size_t i = 0; i < e->held.count; i++) {
		const struct held_socket *s = &e->held.list[i];
		json_t *l = trial_listener(e->trial, s->inode);
		bool bound = field_is_true(l, "learned") || field_is_true(l, "bound");

		if (l != NULL && !bound && !is_taken(v, l))
			continue;
		e->takes_passed |= l != NULL && !bound;
		e->places[e->place_count++] = (struct exam_place){
			.socket = *s,
			.how = l == NULL ? HOW_OWN
				: bound  ? HOW_BOUND
					 : HOW_PASSED,
		};
	}
}

/* Times of the trial. */
struct watch {
	struct visits visits;
	nsec_t began;
	nsec_t changed; /* when the worker opened something new */
	nsec_t worked;  /* when the worker last did something */
	int asked;      /* a request that is not answered yet; or -1 */
	nsec_t ask_at;  /* when to send the next one; or NSEC_NEVER */
	bool loads;     /* the last answer was 503 */
	bool sets;      /* and it set a cookie */
};

static bool is_settled(const struct exam *e, const struct watch *w)
{
	nsec_t now = e->trial->now;

	if (!e->held.lives) /* nclust is about to say how it has ended */
		return false;
	if (w->loads)
		return now - w->began >= BUSY_MOST;
	/* a unix socket alone may be for the program's own use */
	if (array_find(p, e->places, e->place_count, strncmp(p->socket.text, "unix:", 5) != 0) !=
		NULL)
		return now - w->changed >= (e->notifies ? SETTLED : LOOK_ON);
	return now - w->worked >= IDLE || now - w->began >= BUSY_MOST;
}

static int ask(const struct exam *e, const char *path)
{
	char request[sizeof(e->cookie) + 256];
	int len = snprintf(request, sizeof(request), "GET %s HTTP/1.0\r\nHost: localhost\r\n%s\r\n",
		path, e->cookie);

	for (size_t i = 0; i < e->place_count; i++) {
		int fd = e->places[i].socket.port != 0 ? held_visit(e->places[i].socket.text) : -1;

		if (fd != -1) {
			(void)send(fd, request, (size_t)len, MSG_NOSIGNAL | MSG_DONTWAIT);
			return fd;
		}
	}
	return -1;
}

/* Some open their port first, and answer 503 while they load. */
static void look_at_answer(struct exam *e, struct watch *w)
{
	static const char sets[] = "\nSet-Cookie:";
	char answer[4096] = "";
	const char *cookie;
	ssize_t n;

	if (w->asked == -1 && e->trial->now >= w->ask_at)
		w->asked = ask(e, "/");
	if (w->asked == -1)
		return;
	n = recv(w->asked, answer, sizeof(answer) - 1, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	w->loads =
		n > 12 && memcmp(answer, "HTTP/1.", 7) == 0 && memcmp(answer + 8, " 503", 4) == 0;
	e->loads |= w->loads;
	cookie = strcasestr(answer, sets);
	w->sets = cookie != NULL;
	if (w->sets && *e->cookie == '\0')
		snprintf(e->cookie, sizeof(e->cookie), "Cookie:%.*s\r\n",
			(int)strcspn(cookie + strlen(sets), ";\r\n"), cookie + strlen(sets));
	w->ask_at = w->loads ? e->trial->now + ASK_AGAIN : NSEC_NEVER;
	fd_close(&w->asked);
}

static void look_at_worker(struct exam *e, struct watch *w)
{
	nsec_t cpu = e->held.cpu;
	size_t places = e->place_count;
	bool notified = e->notifies;
	nsec_t now = e->trial->now;

	held_look(&e->held, e->trial, trial_pid(e->trial, e->first));
	if (e->held.cpu != cpu || e->held.busy) /* busy: it may wait for the disk */
		w->worked = now;
	find_places(e, &w->visits);
	e->notifies = field_is_true(trial_cluster(e->trial), "notify_seen");
	e->node |= json_is_object(json_object_get(status_of(e, 0), "node"));
	if (e->notifies != notified || e->place_count != places)
		w->changed = now;
	look_at_answer(e, w);
}

static void watch_worker(struct exam *e, struct watch *w)
{
	while ((e->first = trial_worker(e->trial, 0)) == 0)
		if (!trial_wait(e->trial))
			return;
	w->began = w->worked = e->trial->now;
	while (exam_end_of(e, e->first) == NULL) {
		look_at_worker(e, w);
		if (is_settled(e, w) || !trial_wait(e->trial))
			return;
	}
}

/* ---- facts about the first copy ---- */

static void tell_end(const json_t *exited, json_t *facts)
{
	char text[END_TEXT];

	facts_add(facts, FACT_BAD, "start",
		strcmp(field_raw(exited, "exit"), "exit 0") != 0
			? "a server should keep running"
			: "a server should keep running: turn a daemon mode off; one that takes "
			  "its socket on standard input needs --pass stdin, in a wrapper that "
			  "forks --listen-pid=no",
		"it %s", end_text(text, exited));
}

/* With a probe as `ready`: which clients does nclust not keep away from a worker before that? */
static void tell_unproven(const struct exam *e)
{
	const char *const *given = e->arguments->given;

	if (!trial_has_probe(given) || trial_has_option(given, "--balance"))
		return;
	if (!privilege_has(CAP_BPF) && !privilege_has(CAP_SYS_ADMIN))
		facts_add(e->facts, FACT_WARN, "new workers", "--balance rr keeps them away",
			"get clients before they have passed 'ready': CAP_BPF is missing");
	for (size_t i = 0; i < e->place_count; i++)
		if (e->places[i].socket.port == 0 && !e->places[i].socket.datagrams)
			facts_add(e->facts, FACT_NOTE, "new workers", "all share it",
				"get clients of %s before they have passed 'ready'",
				e->places[i].socket.text);
}

/* A program that keeps its data in itself: its copies do not know of each other's. */
static void tell_store(struct exam *e)
{
	char what[STORE_TEXT];

	e->store = store_look(trial_pid(e->trial, e->first), false, what);
	if (e->store != STORE_NONE)
		facts_add(e->facts, FACT_WARN, "state",
			e->store == STORE_ITSELF
				? "copies are separate stores: run one worker, or more as "
				  "replicas that the program itself knows of"
				: "each copy does so by itself: they are separate stores, unless "
				  "the program is made to share it",
			"%s", what);
}

static void report_sockets(const struct exam *e)
{
	static const char *const hows[] = {
		[HOW_PASSED] = "passed", [HOW_BOUND] = "taken over", [HOW_OWN] = "own"};
	json_t *list = json_array();

	for (size_t i = 0; i < e->place_count; i++) {
		const struct exam_place *p = &e->places[i];

		(void)json_array_append_new(list,
			json_pack("{s:s, s:s, s:s?}", "address", p->socket.text, "how",
				hows[p->how], "shared", shares[p->share].json));
	}
	(void)json_object_set_new(e->report, "sockets", list);
}

static void tell_start(struct exam *e)
{
	if (e->ended) {
		tell_end(exam_end_of(e, e->first), e->facts);
		return;
	}
	if (e->loads && !trial_has_option(e->arguments->given, "--ready"))
		facts_add(e->facts, FACT_WARN, "first answers",
			"--ready http:/ keeps clients away until it has loaded; name a path that "
			"answers 200 only then",
			"503: it opens its port before it can serve");
	if (e->primary)
		facts_add(e->facts, FACT_WARN, "primary",
			"--ipc off lets it be; run one copy, which has workers of its own",
			"opens its port only where it is the primary of Node's cluster itself");
	tell_unproven(e);
	tell_store(e);
	report_sockets(e);
}

static void run_first(struct exam *e)
{
	struct watch w = {.asked = -1};

	if (!exam_begin(e, false))
		return;
	send_visitors(e, &w.visits);
	if (trial_wait(e->trial)) /* the connections are in the queue now */
		watch_worker(e, &w);
	for (size_t i = 0; i < w.visits.count; i++)
		fd_close(&w.visits.fds[i]);
	fd_close(&w.asked);
	e->ended = exam_end_of(e, e->first) != NULL;
}

void exam_start(struct exam *e)
{
	const struct arguments *a = e->arguments;

	e->named = trial_has_option(a->given, "-l") || trial_has_option(a->given, "--listen");
	run_first(e);
	/* A worker of Node's cluster that opens no port: does the program as its own primary?  If not,
	 * the first way is right. */
	for (unsigned i = 0; i < 2 && e->node && e->place_count == 0 && !e->trial->over &&
		!trial_has_option(a->given, "--ipc");
		i++) {
		e->primary = i == 0;
		trial_end(e->trial);
		trial_begin(e->trial, a->runtime_directory);
		run_first(e);
	}
	if (!e->trial->over)
		tell_start(e);
}

/* ---- a second copy ---- */

/* A second copy beside the first: is it ready, and at the same sockets? */

#define LIVES (5 * SECOND)        /* one that shows nothing runs, and does not wait for a lock */
#define REMOVE_MS 3000            /* from SIGTERM until the copy has ended */
#define SOCKETS_MOST (3 * SECOND) /* from there until it has all sockets that the first has */

static enum exam_share find_share(const struct held_socket *s, const struct held *second)
{
	const struct held_socket *of = held_find(second, s->inode, s->text);
	bool path = strncmp(s->text, "unix:", 5) == 0;

	if (of != NULL && of->inode == s->inode)
		return SHARE_SAME;
	if (of != NULL)
		return path ? SHARE_STOLEN : SHARE_SPREAD;
	return path ? SHARE_PRIVATE : SHARE_OTHER;
}

/* True when the second copy has a socket at each place of the first, or as many others. */
static bool compare_copies(struct exam *e, uint64_t worker)
{
	struct held second uninitialized;
	bool all = true;

	held_look(&second, e->trial, trial_pid(e->trial, worker));
	e->moves = false;
	for (size_t i = 0; i < e->place_count; i++) {
		e->places[i].share = find_share(&e->places[i].socket, &second);
		all &= e->places[i].share != SHARE_OTHER;
		e->moves |= e->places[i].share == SHARE_OTHER && e->places[i].how == HOW_BOUND;
	}
	e->moves &= second.count >= e->held.count;
	return all || second.count >= e->held.count;
}

/* What nclust has seen the second copy wait for, "the lock of ..."; "": nothing. */
static const char *second_waits_for(const struct exam *e)
{
	return field_raw(status_of(e, 1), "waits_for");
}

uint64_t exam_await(const struct exam *e, int slot, uint64_t before)
{
	bool shows = e->place_count > 0 || e->notifies ||
		trial_has_option(e->arguments->given, "--ready");
	nsec_t since = e->trial->now;
	nsec_t until = since + UP_MOST * SECOND;
	uint64_t worker;

	do {
		worker = trial_worker(e->trial, slot);
		if (worker == before)
			since = e->trial->now;
		else if (exam_end_of(e, worker) != NULL ||
			trial_event(e->trial, worker, "waits") != NULL)
			return 0;
		else if (trial_event(e->trial, worker, "ready") != NULL ||
			(!shows && e->trial->now - since >= LIVES))
			return worker;
	} while (e->trial->now < until && trial_wait(e->trial));
	return 0;
}

/* Why does the second copy not run beside the first? */
static void tell_failure(const struct exam *e, uint64_t second)
{
	static const char name[] = "second copy";
	const json_t *exited = exam_end_of(e, second);
	char text[END_TEXT];

	if (exited != NULL)
		facts_add(e->facts, FACT_BAD, name, "", "%s", end_text(text, exited));
	else if (*second_waits_for(e) != '\0')
		facts_add(e->facts, FACT_BAD, name, "", "waits for %s", second_waits_for(e));
	else
		facts_add(e->facts, FACT_BAD, name, "", "is not ready within %d s", UP_MOST);
}

/* Is it a file that contains nothing but the id of that process? */
static bool is_pidfile(const char *path, pid_t pid)
{
	struct stat st;
	char text[24];
	char *end;

	/* to open what is none may have an effect, or wait */
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) &&
		process_read_path(path, text, sizeof(text)) > 0 &&
		strtol(text, &end, 10) == (long)pid && end[strspn(end, " \n")] == '\0';
}

/* Ends the first copy: does it remove the file, in which the second has its id? */
static bool is_removed_by_first(const struct exam *e, const char *path)
{
	scoped_fd first = pidfd_to_watch(trial_pid(e->trial, e->first));
	scoped_fd fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	struct pollfd ended = {.fd = first, .events = POLLIN};
	struct inotify_event removed;

	/* the process was the copy if that has not ended since */
	return first != -1 && trial_wait(e->trial) && exam_end_of(e, e->first) == NULL &&
		inotify_add_watch(fd, path, IN_DELETE_SELF) != -1 &&
		pidfd_signal(first, SIGTERM) != -1 && poll(&ended, 1, REMOVE_MS) == 1 &&
		read(fd, &removed, sizeof(removed)) == sizeof(removed);
}

static void tell_pidfile(const struct exam *e, const char *path, pid_t second)
{
	bool removes;

	if (!is_pidfile(path, second))
		return;
	removes = is_removed_by_first(e, path);
	facts_add(e->facts, removes ? FACT_WARN : FACT_NOTE, "pid file",
		"{slot} in its name, or nclust's --pidfile", "%s is %s", path,
		removes ? "removed by a copy that stops, although another one has written it"
			: "written by each copy");
	/* one that was not ready is not followed so soon */
	if (trial_event(e->trial, e->first, "ready") != NULL)
		(void)exam_await(e, 0, e->first);
}

/* Files that both copies write, each in the place of the other: where pid files are looked for, and
 * what the command names, be it in a word. */
static void tell_files(const struct exam *e, pid_t first, pid_t second)
{
	static const char *const places[] = {
		"*.pid", "tmp/*.pid", "tmp/pids/*.pid", "/run/*.pid", "/run/*/*.pid"};
	static const char ends[] = " \t\n=:;,'\"";
	char path[STORE_TEXT];
	glob_t found = {.gl_pathc = 0};

	if (store_same_log(first, second, path))
		facts_add(e->facts, FACT_NOTE, "log",
			"if the program rotates it, each does so: {slot} in its name, or let "
			"logrotate do it",
			"both copies append to %s", path);
	for (size_t i = 0; i < COUNT_OF(places); i++)
		(void)glob(places[i], i > 0 ? GLOB_APPEND : 0, NULL, &found);
	for (size_t i = 0; i < found.gl_pathc; i++)
		tell_pidfile(e, found.gl_pathv[i], second);
	for (char *const *word = e->arguments->command; *word != NULL; word++)
		for (const char *at = *word; *(at += strspn(at, ends)) != '\0';
			at += strcspn(at, ends)) {
			snprintf(path, sizeof(path), "%.*s", (int)strcspn(at, ends), at);
			if (value_index(path, (const char *const *)found.gl_pathv,
				    found.gl_pathc) == -1)
				tell_pidfile(e, path, second);
		}
	globfree(&found);
}

/* Shows the cookie of the first copy to both, again and again: a copy that sets another one does not
 * know it, unless each answer sets one. */
static void tell_cookie(struct exam *e)
{
	struct watch w = {.asked = -1};
	unsigned asked = 0;
	unsigned anew = 0;

	for (unsigned looks = 0; *e->cookie != '\0' && looks < COOKIE_LOOKS; looks++) {
		if (!trial_wait(e->trial))
			break;
		look_at_answer(e, &w);
		asked += w.ask_at == NSEC_NEVER;
		anew += w.ask_at == NSEC_NEVER && w.sets;
		w.ask_at = 0;
	}
	fd_close(&w.asked);
	if (anew > 0 && anew < asked)
		facts_add(e->facts, FACT_WARN, "cookie",
			"give all copies one secret, or keep sessions where all find them",
			"one copy does not know what another has set: a secret made at its start, "
			"or sessions in its memory");
}

/* The same for sessions of socket.io by polling, if that is there: a copy answers 400 if another one has
 * begun the session, and lets who asks wait if it has itself. */
static void tell_polling(struct exam *e)
{
	static const char poll[] = "/socket.io/?EIO=4&transport=polling";
	static const char key[] = "\"sid\":\"";
	char path[128];
	char answer[1024] = "";
	const char *sid = NULL;
	int fd = ask(e, poll);

	for (unsigned i = 0; fd != -1 && i < COOKIE_LOOKS && trial_wait(e->trial); i++) {
		ssize_t n = recv(fd, answer, sizeof(answer) - 1, MSG_DONTWAIT);

		answer[n > 0 ? n : 0] = '\0';
		if (sid == NULL && n >= 0 && (sid = strstr(answer, key)) != NULL)
			snprintf(path, sizeof(path), "%s&sid=%.*s", poll,
				(int)strcspn(sid + strlen(key), "\""), sid + strlen(key));
		if ((sid == NULL && n >= 0) || strstr(answer, " 400 ") != NULL)
			break;
		if (sid != NULL) {
			fd_close(&fd);
			fd = ask(e, path);
		}
	}
	fd_close(&fd);
	if (sid != NULL && strstr(answer, " 400 ") != NULL)
		facts_add(e->facts, FACT_WARN, "socket.io",
			"set 'sticky', or have clients use WebSockets alone (transports: "
			"['websocket'])",
			"one copy does not know a session that another has begun by polling");
}

static void tell_copies(const struct exam *e)
{
	static const char name[] = "copies";

	if (exam_copies_work(e) && e->place_count > 0)
		facts_add(e->facts, FACT_OK, name, "",
			"will work; what one keeps in its memory (sessions, chat rooms), the "
			"others do not have");
	else if (exam_copies_work(e))
		facts_add(e->facts, FACT_NOTE, name, "",
			"run beside each other, and share nothing: without -n one runs");
	else
		facts_add(e->facts, FACT_BAD, name,
			e->beside ? "nclust can still keep one running"
				  : "nclust can keep one running, with surge = 0, "
				    "max-unavailable = 1",
			"will not work");
}

/* A finding that is bad by itself is but a warning where copies work. */
static void tell_shares(const struct exam *e)
{
	for (size_t i = 0; e->beside && i < e->place_count; i++) {
		struct finding share = shares[e->places[i].share];

		if (share.mark == FACT_BAD && exam_copies_work(e))
			share.mark = FACT_WARN;
		facts_add_finding(e->facts, &share, e->places[i].socket.text);
	}
}

void exam_copy(struct exam *e)
{
	uint64_t second;
	char after[24];
	nsec_t until;

	trial_scale(e->trial, 2);
	second = exam_await(e, 1, 0);
	e->beside = second != 0;
	until = e->trial->now + SOCKETS_MOST;
	while (e->beside && !compare_copies(e, second) && e->trial->now < until &&
		trial_wait(e->trial))
		e->beside = exam_end_of(e, second) == NULL;
	if (e->trial->over || exam_never_ready(e, trial_worker(e->trial, 1)))
		return;
	if (!e->beside)
		tell_failure(e, trial_worker(e->trial, 1));
	else if (trial_event(e->trial, second, "ready") == NULL)
		facts_add(e->facts, FACT_OK, "second copy", "", "runs");
	else
		facts_add(e->facts, FACT_OK, "second copy", "", "ready after %s",
			facts_seconds(after,
				trial_time(e->trial, second, "ready") -
					trial_time(e->trial, second, "started")));
	tell_shares(e);
	if (e->beside) {
		tell_cookie(e);
		tell_polling(e);
	}
	if (exam_end_of(e, e->first) != NULL) {
		facts_add(e->facts, FACT_BAD, "first copy", "", "ended when the second one came");
		e->beside = false;
	}
	if (e->beside)
		tell_files(e, trial_pid(e->trial, e->first), trial_pid(e->trial, second));
	e->beside &= e->store != STORE_ITSELF;
	e->moves &= !exam_copies_work(e);
	e->beside &= !e->moves;
	report_sockets(e);
	tell_copies(e);
	(void)json_object_set_new(e->report, "ok", json_boolean(exam_copies_work(e)));
}

bool exam_copies_work(const struct exam *e)
{
	size_t own = 0;

	if (!e->beside)
		return false;
	for (size_t i = 0; i < e->place_count; i++) {
		if (e->places[i].share == SHARE_SAME || e->places[i].share == SHARE_SPREAD)
			return true;
		own += e->places[i].share == SHARE_PRIVATE;
	}
	return e->place_count == own; /* all places are the copy's own: it need not share any */
}

bool exam_needs_address(const struct exam *e)
{
	return e->takes_passed && !e->named &&
		array_find(p, e->places, e->place_count, p->how == HOW_BOUND) == NULL;
}

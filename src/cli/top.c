/* SPDX-License-Identifier: MIT */
#include "cli/top.h"

#include "base/scope.h"
#include "base/text.h"
#include "cli/output.h"
#include "cli/render.h"
#include "cli/session.h"
#include "os/clock.h"

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define PERIOD SECOND
/* The longest wait for nclust's greeting; ^C ends it. */
#define GREETING SECOND
#define EVENTS_KEPT 500

#define KEY_CONTROL_L ('L' & 0x1f)
#define KEY_ESCAPE 0x1b
#define KEY_DELETE 0x7f

/* What the loop waits for. */
enum {
	WAIT_KEYS,
	WAIT_SIGNALS,
	WAIT_STATUS,
	WAIT_EVENTS,
	WAIT_CHANGE,
	WAITS,
};

static void show_message(struct top *t, enum colour tone, const char *text)
{
	text_copy(t->message, sizeof(t->message), text);
	t->tone = tone;
}

/* ---- connections ---- */

static int reach_instance(struct top *t, struct client *c, struct error *err)
{
	int got;

	client_init(c);
	c->cancel = t->signals;
	c->end = nsec_add(clock_now(), GREETING);
	got = client_open(c, t->runtime_directory, t->instance, err);
	c->cancel = -1;
	c->end = NSEC_NEVER;
	if (got == -1 && err->sys == ECANCELED)
		error_set(err, 0, "'%s' does not answer", t->instance);
	return got;
}

static void drop_connection(struct top *t, const struct error *why)
{
	client_fini(&t->status);
	client_fini(&t->events);
	t->connected = false;
	t->asked = false;
	t->lost = *why;
	(void)top_view_look(&t->view, NULL);
}

/* Ask for events, but not for those that are known already. */
static int follow_events(struct top *t, struct error *err)
{
	struct control_request request = {.method = METHOD_EVENTS,
		.follow = true,
		.last = EVENTS_KEPT,
		.since = (nsec_t)(t->latest * (double)SECOND)};

	if (request.since > 0)
		request.since += MSEC;
	text_copy(request.target, sizeof(request.target), t->target);
	return client_ask(&t->events, &request, err);
}

static void connect_again(struct top *t)
{
	struct error err;

	if (reach_instance(t, &t->status, &err) == -1 ||
		reach_instance(t, &t->events, &err) == -1 || follow_events(t, &err) == -1) {
		drop_connection(t, &err);
		return;
	}
	t->connected = true;
	t->answered = clock_now();
}

/* ---- what nclust says ---- */

static int take_event(json_t *params, void *data)
{
	double at = json_number_value(json_object_get(params, "time"));
	struct top *t = data;

	if (strcmp(field_raw(params, "level"), "debug") == 0)
		return 0;
	if (at > t->latest)
		t->latest = at;
	(void)json_array_append(t->happened, params);
	if (json_array_size(t->happened) > EVENTS_KEPT)
		(void)json_array_remove(t->happened, 0);
	return 0;
}

static void look_at_events(struct top *t)
{
	struct answer answer;
	struct error err;

	if (client_look(&t->events, take_event, t, &answer, &err) == -1)
		drop_connection(t, &err);
}

static void ask_status(struct top *t)
{
	struct control_request request = {.method = METHOD_STATUS};
	struct error err;

	text_copy(request.target, sizeof(request.target), t->target);
	if (client_ask(&t->status, &request, &err) == -1)
		drop_connection(t, &err);
	else
		t->asked = true;
}

static void look_at_status(struct top *t)
{
	struct answer answer;
	struct error err;
	int got = client_look(&t->status, NULL, NULL, &answer, &err);

	if (got == -1)
		drop_connection(t, &err);
	if (got != 1)
		return;
	t->asked = false;
	t->answered = clock_now();
	/* do_due() reports a failure */
	(void)top_view_look(&t->view, json_incref(answer.result));
}

/* ---- changes ---- */

static int take_progress(json_t *params, void *data)
{
	if (strcmp(field_raw(params, "level"), "debug") != 0)
		show_message(data, YELLOW, field_raw(params, "text"));
	return 0;
}

static void look_at_change(struct top *t)
{
	struct answer answer;
	struct error err;
	int got = client_look(&t->change, take_progress, t, &answer, &err);

	if (got == 0)
		return;
	if (got == 1) {
		show_message(t, GREEN, field_raw(answer.result, "text"));
		if (*t->message == '\0')
			show_message(t, GREEN, "done");
	} else {
		show_message(t, RED, err.text);
	}
	client_fini(&t->change);
	t->next = 0;
}

/* Send the change.  It goes on without its client; its outcome is an event. */
static void begin_change(struct top *t)
{
	struct error err;

	client_fini(&t->change);
	show_message(t, YELLOW, "...");
	if (reach_instance(t, &t->change, &err) == 0 &&
		client_ask(&t->change, &t->request, &err) == 0)
		return;
	show_message(t, RED, err.text);
	client_fini(&t->change);
}

static void ask_question(struct top *t, enum control_method method, int count)
{
	struct control_request *r = &t->request;

	*r = (struct control_request){.method = method, .scale_kind = SCALE_BY, .count = count};
	if (top_view_row(&t->view) == NULL)
		return;
	(void)top_view_target(&t->view, method, r->target);
	if (method == METHOD_SCALE && *r->target == '\0')
		show_message(t, YELLOW, "select the cluster that is to be scaled");
	else
		t->mode = TOP_QUESTION;
}

/* ---- keys ---- */

/* Wait until the process that writes to the terminal has ended, which any key ends; 0: until a key. */
static void await(struct top *t, pid_t pid)
{
	struct pollfd fds[] = {
		{.fd = t->signals, .events = POLLIN}, {.fd = STDIN_FILENO, .events = POLLIN}};
	struct signalfd_siginfo info;
	bool ended = false;
	bool key = t->over;
	char keys[64];

	while (pid > 0 ? !ended : !key) {
		if (key)
			(void)kill(pid, SIGTERM);
		if (poll(fds, COUNT_OF(fds), -1) > 0 && fds[1].revents != 0) {
			key = true;
			t->over |= read(STDIN_FILENO, keys, sizeof(keys)) <= 0;
		}
		while (read(t->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
			ended |= info.ssi_signo == SIGCHLD;
			t->over |= info.ssi_signo == SIGTERM || info.ssi_signo == SIGHUP;
			key |= info.ssi_signo == SIGINT || t->over;
		}
	}
}

/* Let `nclust VERB -f` write to the terminal, for what is selected. */
static void show_by_verb(struct top *t, const char *verb)
{
	char of[TOP_TARGET];
	bool whole = *top_view_target(&t->view, METHOD_EVENTS, of) == '\0';
	scoped_buffer target = {0};
	const char *words[] = {"nclust", verb, "-f", NULL,
		t->runtime_directory != NULL ? "--runtime-directory" : NULL, t->runtime_directory,
		NULL};
	struct termios mode;
	posix_spawnattr_t how;
	sigset_t set;
	int status = 0;
	pid_t pid;

	buffer_printf(&target, "%s%s%s", t->instance, whole ? "" : "/", of);
	words[3] = buffer_text(&target);
	if (words[3] == NULL || top_view_row(&t->view) == NULL)
		return;
	screen_close(&t->screen);
	if (tcgetattr(STDIN_FILENO, &mode) == 0) { /* until screen_again() */
		mode.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
		(void)tcsetattr(STDIN_FILENO, TCSANOW, &mode);
	}
	(void)dprintf(STDOUT_FILENO, "\nnclust %s -f %s: any key goes back\n", verb, words[3]);
	(void)posix_spawnattr_init(&how);
	sigemptyset(&set);
	sigaddset(&set, SIGINT); /* whoever started us may have ignored it */
	(void)posix_spawnattr_setsigdefault(&how, &set);
	sigemptyset(&set);
	sigaddset(&set, SIGTSTP); /* we do not stop either, so no shell would get the terminal */
	(void)posix_spawnattr_setsigmask(&how, &set);
	(void)posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
	if (posix_spawn(&pid, "/proc/self/exe", NULL, &how, (char *const *)(uintptr_t)words,
		    environ) == 0) {
		await(t, pid);
		(void)waitpid(pid, &status, 0);
	}
	(void)posix_spawnattr_destroy(&how);
	if (!WIFSIGNALED(status)) { /* it has ended by itself, and says why */
		(void)dprintf(STDOUT_FILENO, "any key goes back ");
		await(t, 0);
	}
	(void)tcflush(STDIN_FILENO, TCIFLUSH);
	screen_again(&t->screen);
}

static void open_selected(struct top *t)
{
	const struct top_row *row = top_view_row(&t->view);

	if (row == NULL || row->kind == TOP_INSTANCE)
		return;
	if (row->kind == TOP_WORKERS && row->group.count == 1)
		show_by_verb(t, "logs");
	else
		top_view_turn(&t->view);
}

/* By how many rows a key moves; 0: the key does not move. */
static long rows_of_key(int key, long page)
{
	const struct {
		int key;
		long rows;
	} keys[] = {{KEY_UP, -1}, {'k', -1}, {KEY_DOWN, 1}, {'j', 1}, {KEY_PPAGE, -page},
		{KEY_NPAGE, page}, {KEY_HOME, -1000000}, {KEY_END, 1000000}};

	for (size_t i = 0; i < COUNT_OF(keys); i++)
		if (keys[i].key == key)
			return keys[i].rows;
	return 0;
}

static bool sort_key(struct top *t, int key)
{
	static const enum column columns[] = {
		COLUMN_SLOT, COLUMN_UP, COLUMN_RESTARTS, COLUMN_CPU, COLUMN_MEMORY};

	for (size_t i = 0; i < COUNT_OF(columns); i++) {
		if (key != column_heads[columns[i]].title[0])
			continue;
		top_view_sort(&t->view, columns[i]);
		return true;
	}
	return false;
}

static void list_key(struct top *t, int key)
{
	long rows = rows_of_key(key, (long)t->view.height);

	*t->message = '\0';
	if (rows != 0)
		top_view_move(&t->view, rows);
	else if (sort_key(t, key))
		return;
	else if (key == '\r' || key == '\n' || key == KEY_ENTER)
		open_selected(t);
	else if (key == 'l' || key == 'e')
		show_by_verb(t, key == 'l' ? "logs" : "events");
	else if (key == '/')
		t->mode = TOP_FILTER;
	else if (key == 'r')
		ask_question(t, METHOD_RESTART, 0);
	else if (key == 's')
		ask_question(t, METHOD_STOP, 0);
	else if (key == '+' || key == '-')
		ask_question(t, METHOD_SCALE, key == '+' ? 1 : -1);
	else if (key == '?' || key == 'h')
		t->mode = TOP_HELP;
	else if (key == KEY_ESCAPE)
		t->view.filter[0] = '\0';
	else if (key == 'q')
		t->over = true;
}

static void filter_key(struct top *t, int key)
{
	size_t len = strlen(t->view.filter);

	if (key == KEY_ESCAPE)
		t->view.filter[0] = '\0';
	if (key == KEY_ESCAPE || key == '\r' || key == '\n' || key == KEY_ENTER)
		t->mode = TOP_LIST;
	else if ((key == KEY_BACKSPACE || key == KEY_DELETE || key == '\b') && len > 0)
		t->view.filter[len - 1] = '\0';
	else if (key < KEY_DELETE && isprint(key) && len + 1 < sizeof(t->view.filter))
		t->view.filter[len] = (char)key;
}

static void question_key(struct top *t, int key)
{
	bool scales = t->request.method == METHOD_SCALE;
	int count = t->request.count + (key == '+') - (key == '-');

	if (scales && (key == '+' || key == '-')) {
		t->request.count = count != 0 ? count : t->request.count;
		return;
	}
	t->mode = TOP_LIST;
	if (key == 'y' || key == 'Y')
		begin_change(t);
	else
		show_message(t, PLAIN, "nothing was done");
}

static void take_key(struct top *t, int key)
{
	if (key == KEY_CONTROL_L)
		screen_again(&t->screen);
	else if (t->mode == TOP_FILTER)
		filter_key(t, key);
	else if (t->mode == TOP_QUESTION)
		question_key(t, key);
	else if (t->mode == TOP_HELP)
		t->mode = TOP_LIST;
	else
		list_key(t, key);
}

/* ---- the loop ---- */

static void take_signals(struct top *t)
{
	struct signalfd_siginfo info;

	while (read(t->signals, &info, sizeof(info)) == (ssize_t)sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGWINCH:
			t->table = (struct table){.bar = 0};
			screen_measure(&t->screen);
			break;
		case SIGCONT:
			screen_again(&t->screen);
			break;
		case SIGTSTP:
			screen_suspend(&t->screen);
			break;
		case SIGCHLD:
			break;
		default:
			t->over = true;
		}
	}
}

static bool is_ready(int fd, short events)
{
	struct pollfd look = {.fd = fd, .events = events};

	return poll(&look, 1, 0) > 0 && (look.revents & events) != 0;
}

static void take_keys(struct top *t)
{
	int key;

	while (!t->over && (key = t->screen.wgetch(*t->screen.stdscr)) != ERR)
		if (key != KEY_RESIZE)
			take_key(t, key);
	if (is_ready(STDIN_FILENO, POLLHUP))
		t->over = true; /* the terminal is gone, and SIGHUP ignored */
}

/* Do all that is due; returns the ms until more is. */
static int do_due(struct top *t)
{
	nsec_t now = clock_now();

	if (now >= t->next) {
		t->next = now + PERIOD;
		if (!t->connected)
			connect_again(t);
		if (t->connected && !t->asked)
			ask_status(t);
	}
	t->view.height = top_list_rows(t);
	if (top_view_make(&t->view) == -1)
		show_message(t, RED, "out of memory: some rows are missing");
	if (is_ready(STDOUT_FILENO, POLLOUT))
		top_draw(t);
	return (int)((t->next - now) / MSEC) + 1;
}

static void run_loop(struct top *t)
{
	while (!t->over) {
		int wait = do_due(t);
		struct pollfd fds[WAITS] = {[WAIT_KEYS] = {.fd = STDIN_FILENO, .events = POLLIN},
			[WAIT_SIGNALS] = {.fd = t->signals, .events = POLLIN},
			[WAIT_STATUS] = {.fd = t->status.fd, .events = POLLIN},
			[WAIT_EVENTS] = {.fd = t->events.fd, .events = POLLIN},
			[WAIT_CHANGE] = {.fd = t->change.fd, .events = POLLIN}};

		if (poll(fds, WAITS, wait) <= 0)
			continue;
		if (fds[WAIT_CHANGE].revents != 0)
			look_at_change(t);
		if (fds[WAIT_EVENTS].revents != 0)
			look_at_events(t);
		if (fds[WAIT_STATUS].revents != 0 && t->connected)
			look_at_status(t);
		if (fds[WAIT_SIGNALS].revents != 0)
			take_signals(t);
		if (fds[WAIT_KEYS].revents != 0)
			take_keys(t);
	}
}

/* Find the instance that is meant, before the terminal is changed. */
static int find_instance(struct top *t, const struct arguments *a, struct error *err)
{
	struct session s;

	if (session_open(&s, a, false, -1, err) == -1)
		return -1;
	text_copy(t->instance, sizeof(t->instance), s.client->name);
	text_copy(t->target, sizeof(t->target), s.meant.target);
	session_close(&s);
	return 0;
}

static int run_top(struct top *t, const struct arguments *a, struct error *err)
{
	/* blocked: the terminal is given back before they end this process */
	static const int all[] = {
		SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT, SIGCHLD};

	if (screen_load(&t->screen, err) == -1 || find_instance(t, a, err) == -1)
		return -1;
	(void)signal(SIGCHLD, SIG_DFL); /* whoever started us may have ignored it */
	t->signals = client_signals_open(all, COUNT_OF(all), err);
	if (t->signals == -1 || screen_open(&t->screen, err) == -1)
		return -1;
	run_loop(t);
	screen_close(&t->screen);
	return 0;
}

int verb_top(struct arguments *a)
{
	static struct top t; /* too large for a stack */
	struct error err;
	int got;

	wrap_locale();
	t.signals = -1;
	t.runtime_directory = a->runtime_directory;
	t.happened = json_array();
	client_init(&t.status);
	client_init(&t.events);
	client_init(&t.change);
	top_view_init(&t.view);
	wrap_init(&t.lines, &t.drawn, 0, true);
	t.lines.marks = true;
	got = run_top(&t, a, &err);
	client_fini(&t.status);
	client_fini(&t.events);
	client_fini(&t.change);
	top_view_fini(&t.view);
	wrap_fini(&t.lines);
	buffer_fini(&t.drawn);
	json_decref(t.happened);
	fd_close(&t.signals);
	return got == -1 ? output_error(&err) : 0;
}

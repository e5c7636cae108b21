/* SPDX-License-Identifier: MIT */
#include "supervisor/web/webrole.h"

#include "base/log.h"
#include "base/scope.h"
#include "config/config.h"
#include "os/fdpass.h"
#include "os/socket/socket_as.h"
#include "supervisor/common/job.h"
#include "supervisor/control/admit.h"
#include "supervisor/control/clients.h"
#include "supervisor/sockets/listener.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sysexits.h>

/* The longest start of the web process, while nclust starts. */
#define GREETING_MS 10000
/* The web process ends by itself when nclust does. */
#define ENDING_MS 500
/* An earlier nclust's web process ends as soon as its channel is closed. */
#define ALONE_MS 2000
#define ALONE_LOOK_MS 20

/* One for status, one for events. */
#define CHANNELS 2

/* ---- the socket ---- */

static const struct web_socket no_socket = {.fd = -1, .also = -1};

static void socket_drop(struct web_socket *s)
{
	if (s->fd != -1 && s->path != NULL)
		socket_unlink(s->path, &s->file);
	fd_close(&s->fd);
	fd_close(&s->also);
	free(s->path);
	*s = no_socket;
}

/* The address of the page is one to click on, or to copy. */
static void say_open(const char *key, const char *text)
{
	bool page = strcmp(key, "http") == 0 && strncmp(text, "tcp:", 4) == 0;

	log_note("%s: listening on %s%s%s", key, page ? "http://" : "", page ? text + 4 : text,
		page ? "/" : "");
}

/* A port alone means ::1, too, which some clients ask alone; one socket is enough. */
static void open_also(struct web_socket *s, const struct address *at, const char *key)
{
	struct address v6 = *at;
	struct socket_facts facts;
	struct socket_file none;
	struct error err;
	char text[32];

	if (at->each == NULL || s->also != -1 || socket_look(s->fd, &facts, &err) == -1)
		return;
	v6.family = AF_INET6;
	memset(v6.ip, 0, sizeof(v6.ip));
	v6.ip[15] = 1;
	v6.port = facts.port;
	v6.nonblock = true;
	snprintf(text, sizeof(text), "tcp:[::1]:%u", v6.port);
	v6.text = text;
	s->also = listener_bind(&v6, &none, &err);
	if (s->also != -1)
		say_open(key, text);
	else if (err.sys != EAFNOSUPPORT && err.sys != EADDRNOTAVAIL)
		log_warn("%s: not at ::1: %s", key, err.text);
}

static int open_at(
	struct web_socket *s, const struct address *at, const char *key, struct error *err)
{
	struct socket_facts facts;

	*s = no_socket;
	if (at->kind == ADDRESS_UNIX && (s->path = strdup(at->path)) == NULL)
		return error_set(err, ENOMEM, "%s", key);
	s->fd = listener_bind(at, &s->file, err);
	/* connections inherit the option */
	if (s->fd != -1 && at->kind == ADDRESS_UNIX)
		fdpass_refuse(s->fd);
	if (s->fd != -1 && socket_look(s->fd, &facts, err) == 0 &&
		socket_set_nonblock(s->fd, true) == 0) {
		say_open(key, at->kind == ADDRESS_UNIX ? at->text : facts.text);
		open_also(s, at, key);
		return 0;
	}
	socket_drop(s);
	return error_wrap(err, "%s", key);
}

/* ---- the process ---- */

/* The token goes first over the channel, as a line: so it is on no command line and
 * in no environment. */
static int tell_token(const struct supervisor *sup, int channel)
{
	const char *secret = sup->settings->http_secret;
	char line[512];
	int len = snprintf(line, sizeof(line), "%s%s\n", sup->settings->http_open ? "open " : "",
		secret != NULL ? secret : "");

	return send(channel, line, (size_t)len, MSG_NOSIGNAL) == len ? 0 : -1;
}

/* The descriptor, or /dev/null in place of a missing socket. */
static int fd_or(const struct supervisor *sup, int fd)
{
	return fd != -1 ? fd : sup->null_fd;
}

/* Start the web process; our end of the channel is a client.  -1: logged. */
static int start_process(struct supervisor *sup, int *channel)
{
	struct web *web = &sup->web;
	int kind = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
	int pairs[CHANNELS][2] = {{-1, -1}, {-1, -1}};
	bool well = true;
	int got = -1;

	for (unsigned i = 0; i < CHANNELS; i++)
		well = well && socketpair(AF_UNIX, kind, 0, pairs[i]) == 0;
	if (!well || tell_token(sup, pairs[0][0]) == -1)
		log_syserr("cannot start the web server");
	else
		got = role_start(ROLE_WEB, &web->life,
			(int[]){pairs[0][1], fd_or(sup, web->socket.also),
				fd_or(sup, web->socket.fd), pairs[1][1], fd_or(sup, web->agent.fd)},
			CHANNELS + 3);
	for (unsigned i = 0; i < CHANNELS; i++)
		fd_close(&pairs[i][1]);
	if (got == -1) {
		for (unsigned i = 0; i < CHANNELS; i++)
			fd_close(&pairs[i][0]);
		return -1;
	}
	*channel = pairs[0][0];
	for (unsigned i = 0; i < CHANNELS; i++)
		if (clients_add_own(sup, pairs[i][0]) == -1)
			job_kill(&web->life.job);
	return 0;
}

/* Has the process shut the socket down for good?  It can, if strangers have taken it over. */
static bool is_shut_down(const struct web_socket *s)
{
	struct pollfd look[] = {
		{.fd = s->fd, .events = POLLRDHUP}, {.fd = s->also, .events = POLLRDHUP}};

	return poll(look, COUNT_OF(look), 0) > 0;
}

static int open_anew(
	struct web_socket *s, const struct address *at, const char *key, struct error *err)
{
	if (is_shut_down(s))
		socket_drop(s);
	if (s->fd == -1)
		return at->text == NULL ? 0 : open_at(s, at, key, err);
	open_also(s, at, key); /* no upgrade carries this socket */
	return 0;
}

/* Open what is to be open and is not. */
static int open_all(struct supervisor *sup, struct error *err)
{
	const struct settings *s = sup->settings;

	if ((sup->web.socket.fd == -1 && config_read_token(sup->settings, err) == -1) ||
		open_anew(&sup->web.socket, &s->http, "http", err) == -1)
		return -1;
	return open_anew(&sup->web.agent, &s->agent, "agent", err);
}

/* Is an address set? */
static bool is_wanted(const struct supervisor *sup)
{
	return sup->settings->http.text != NULL || sup->settings->agent.text != NULL;
}

/* The web process's name for messages. */
static const char *name_of(const struct supervisor *sup)
{
	return sup->settings->http.text != NULL ? "http" : "agent";
}

static void start_again(void *owner)
{
	struct supervisor *sup = owner;
	struct error err;
	int channel;

	if (sup->web.life.job.pid != 0 || sup->instance.over || !is_wanted(sup))
		return;
	if (open_all(sup, &err) == -1) {
		log_error("%s; trying again in a minute", err.text);
		role_start_later(&sup->web.life, ROLE_TRY_AGAIN);
	} else if (start_process(sup, &channel) == -1) {
		role_start_later(&sup->web.life, ROLE_RESTART);
	}
}

static void on_ended(void *owner, const struct pidfd_end *end)
{
	struct supervisor *sup = owner;

	clients_drop_own(sup); /* else the end of these clients would end the next process */
	if (is_wanted(sup) && !sup->instance.over)
		role_again(ROLE_WEB, &sup->web.life, end, name_of(sup));
}

/* ---- the start ---- */

/* Wait for the first byte of the process, which says that it can answer. */
static int await_ready(struct supervisor *sup, int channel, struct error *err)
{
	struct pollfd wait[] = {{.fd = channel, .events = POLLIN},
		{.fd = sup->web.life.job.pidfd, .events = POLLIN}};
	struct pidfd_end end = {0};
	const char *lacks;
	char byte;

	if (poll(wait, COUNT_OF(wait), GREETING_MS) > 0 &&
		recv(channel, &byte, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		return 0;
	job_kill(&sup->web.life.job);
	(void)poll(&wait[1], 1, GREETING_MS);
	(void)job_reap(&sup->web.life.job, &end);
	lacks = role_lacks(ROLE_WEB, &end);
	return error_fail(err, lacks != NULL ? EX_CONFIG : EX_OSERR, "%s: the web server %s",
		name_of(sup),
		lacks != NULL
			? lacks
			: "could not start; a limit of memory, processes or files may be reached");
}

static int begin_web(struct supervisor *sup, struct error *err)
{
	int left = sup->orphans.has_past ? ALONE_MS / ALONE_LOOK_MS : 0;
	struct stat st;
	int channel;

	while (open_all(sup, err) == -1) {
		/* after a crash of nclust its web process may still have the address */
		if (err->sys != EADDRINUSE || left-- == 0)
			return -1;
		(void)poll(NULL, 0, ALONE_LOOK_MS);
	}
	if (sup->settings->http_secret != NULL && stat(sup->settings->http_token, &st) == 0 &&
		(st.st_mode & S_IROTH) != 0)
		log_warn("http-token '%s': every user can read it; try chmod o-r",
			sup->settings->http_token);
	if (start_process(sup, &channel) == -1)
		return error_fail(
			err, EX_OSERR, "%s: the web server could not start", name_of(sup));
	return await_ready(sup, channel, err);
}

int web_begin(struct supervisor *sup, struct error *err)
{
	role_init(&sup->web.life, sup, on_ended, start_again, sup);
	if (!is_wanted(sup))
		return 0;
#ifdef NCLUST_STATIC
	if (sup->settings->http.text != NULL)
		return error_fail(err, EX_CONFIG,
			"http: this nclust is linked statically, and cannot "
			"load the library that it needs for HTTP");
#endif
	if (begin_web(sup, err) == 0)
		return 0;
	if (!sup->orphans.has_past)
		return -1;
	/* workers of an earlier nclust live, and must not be left without an nclust */
	log_error("%s; trying again in a minute", err->text);
	role_start_later(&sup->web.life, ROLE_TRY_AGAIN);
	return 0;
}

/* ---- hooks ---- */

void web_on_go_on(struct supervisor *sup)
{
	role_init(&sup->web.life, sup, on_ended, start_again, sup);
	if (sup->web.life.job.pid != 0)
		job_begin(&sup->web.life.job, NSEC_NEVER);
	else
		start_again(sup);
}

void web_on_shutdown(struct supervisor *sup)
{
	struct web *web = &sup->web;

	if (web->life.job.pid != 0)
		/* the process tells clients that follow the events how all ended */
		clients_drop_own(sup);
	role_end(&web->life, ENDING_MS);
	socket_drop(&web->socket);
	socket_drop(&web->agent);
}

/* ---- a reload ---- */

static bool is_same_text(const char *a, const char *b)
{
	return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static int prepare_move(const struct address *old, const struct address *new, const char *key,
	struct web_move *move, struct error *err)
{
	*move = (struct web_move){no_socket, !is_same_text(old->text, new->text)};
	if (new->text == NULL)
		return 0;
	if (move->moves)
		return open_at(&move->socket, new, key, err);
	if (address_equal(old, new))
		return 0;
	return error_set(err, 0,
		"%s: the options of a socket in use cannot change; stop and "
		"start nclust",
		key);
}

int web_on_reload(struct supervisor *sup, const struct settings *settings, struct error *err)
{
	const struct settings *old = sup->settings;
	struct web_change *change = &sup->web.change;

#ifdef NCLUST_STATIC
	if (settings->http.text != NULL)
		return error_set(err, 0, "http: this nclust has none");
#endif
	change->begun = true;
	change->agent.socket = no_socket;
	change->renewed = old->http_open != settings->http_open ||
		!is_same_text(old->http_secret, settings->http_secret);
	if (prepare_move(&old->http, &settings->http, "http", &change->http, err) == -1)
		return -1;
	return prepare_move(&old->agent, &settings->agent, "agent", &change->agent, err);
}

static void move_to(struct web_socket *s, struct web_move *move)
{
	if (!move->moves)
		return;
	socket_drop(s);
	*s = move->socket;
	move->socket = no_socket;
}

void web_on_verb(struct supervisor *sup, const struct verb_step *verb)
{
	struct web_change *change = &sup->web.change;

	if (verb->method != METHOD_RELOAD || !change->begun)
		return;
	change->begun = false;
	if (verb->code == 0) {
		move_to(&sup->web.socket, &change->http);
		move_to(&sup->web.agent, &change->agent);
		if (change->http.moves || change->agent.moves || change->renewed) {
			clients_drop_own(sup);
			job_end(&sup->web.life.job); /* start_again() starts the next one */
		}
		start_again(sup);
	}
	socket_drop(&change->http.socket);
	socket_drop(&change->agent.socket);
}

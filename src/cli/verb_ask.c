/* SPDX-License-Identifier: MIT */
#include "cli/verb.h"

#include "base/log.h"
#include "base/scope.h"
#include "base/text.h"
#include "cli/client.h"
#include "cli/render.h"
#include "protocol/http.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

/* nclust passes a connection that the worker has accepted; requests and answers go
 * between the worker and this process. */
#define DATA_MAX (32U * 1024)
#define SILENCE_MAX_MS 60000

struct asking {
	struct arguments *arguments;
	struct buffer request;
	struct buffer head;
	struct client *client;
	bool terminal;
	int fd; /* the connection; -1: not passed yet */
};

/* ---- the request ---- */

static bool has_field(const struct arguments *a, const char *name)
{
	for (size_t i = 0; i < a->header_count; i++)
		if (strncasecmp(a->headers[i], name, strlen(name)) == 0 &&
			a->headers[i][strlen(name)] == ':')
			return true;
	return false;
}

static void put_field(struct asking *k, const char *name, const char *value)
{
	if (!has_field(k->arguments, name))
		buffer_printf(&k->request, "%s: %s\r\n", name, value);
}

static void make_request(struct asking *k, const char *host)
{
	const struct arguments *a = k->arguments;
	struct buffer *to = &k->request;

	buffer_printf(to, "%s %s HTTP/1.1\r\n", a->http_method, a->path);
	put_field(k, "Host", host);
	put_field(k, "User-Agent", "nclust");
	put_field(k, "Accept", "*/*");
	for (size_t i = 0; i < a->header_count; i++)
		buffer_printf(to, "%s\r\n", a->headers[i]);
	if (a->data != NULL) {
		put_field(k, "Content-Type", "application/x-www-form-urlencoded");
		buffer_printf(to, "Content-Length: %zu\r\n", strlen(a->data));
	}
	buffer_printf(to, "Connection: close\r\n\r\n%s", a->data != NULL ? a->data : "");
}

/* An event says that the worker has accepted our connection. */
static int on_worker(json_t *params, void *data)
{
	struct asking *k = data;
	const char *host = field_raw(params, "host");
	long long sent = field_number(params, "sent");

	for (size_t i = 0; i < k->client->passed_count; i++) {
		fd_close(&k->fd);
		k->fd = fd_release(&k->client->passed[i]);
	}
	k->client->passed_count = 0;
	buffer_clear(&k->request);
	make_request(k, *host != '\0' ? host : "localhost");
	if (sent > 0 && (size_t)sent < k->request.len)
		buffer_consume(&k->request, (size_t)sent);
	return 0;
}

/* ---- the answer ---- */

static void put_head(struct buffer *to, const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] != '\r')
			buffer_append(to, &text[i], 1);
}

/* The worker's text is for the reader, and not for the terminal to obey. */
static int put_body(struct asking *k, const char *data, size_t len)
{
	scoped_buffer out = {0};

	if (!k->terminal)
		return output_write(STDOUT_FILENO, data, len);
	while (len > 0) {
		const char *end = memchr(data, '\n', len);
		size_t n = end != NULL ? (size_t)(end - data) : len;

		(void)terminal_put(&out, data, n > 0 && end != NULL && end[-1] == '\r' ? n - 1 : n);
		if (end != NULL)
			buffer_string(&out, "\n");
		n += end != NULL;
		data += n;
		len -= n;
	}
	return output_buffer(STDOUT_FILENO, &out, output_write);
}

static int show_answer(struct asking *k, struct httpanswer *h, const char *data, size_t len)
{
	bool head = arguments_has(k->arguments, OPTION_HEAD);
	enum httpanswer_piece kind;
	const char *piece;
	size_t n;

	while ((kind = httpanswer_next(h, &data, &len, &piece, &n)) != PIECE_NONE) {
		bool begun = h->state > HTTPANSWER_FIELDS;

		if (kind == PIECE_BODY && put_body(k, piece, n) == -1)
			return -1;
		if (kind == PIECE_HEAD && head)
			put_head(&k->head, piece, n);
		else if (kind == PIECE_HEAD && begun)
			buffer_string(&k->head, h->first);
		if (kind == PIECE_HEAD && begun) {
			(void)output_buffer(STDERR_FILENO, &k->head, output_lines);
			buffer_clear(&k->head);
		}
	}
	return 0;
}

static void send_some(struct asking *k)
{
	ssize_t n = send(k->fd, k->request.data, k->request.len, MSG_NOSIGNAL | MSG_DONTWAIT);

	if (n > 0)
		buffer_consume(&k->request, (size_t)n);
	/* bytes that the worker has sent before it closed can still be read */
	else if (n == -1 && errno != EAGAIN && errno != EINTR)
		buffer_clear(&k->request);
}

static int exchange_request(struct asking *k, struct httpanswer *h, struct error *err)
{
	char data[16 * 1024];
	ssize_t n = 1;

	while (n != 0 && h->state < HTTPANSWER_WHOLE) {
		struct pollfd wait = {.fd = k->fd, .events = POLLIN};

		if (k->request.len > 0)
			wait.events |= POLLOUT;
		if (poll(&wait, 1, SILENCE_MAX_MS) == 0)
			return error_fail(err, EX_TEMPFAIL, "it sent nothing for 60 s");
		if ((wait.revents & POLLOUT) != 0)
			send_some(k);
		n = recv(k->fd, data, sizeof(data), MSG_DONTWAIT);
		if (n > 0 && show_answer(k, h, data, (size_t)n) == -1)
			return error_set(err, errno, "cannot write");
		if (n == -1 && errno == ECONNRESET)
			break;
	}
	if (h->state == HTTPANSWER_BAD)
		return error_set(err, 0, "its answer is not HTTP/1");
	if (!httpanswer_ended(h))
		return error_set(err, 0, "it closed the connection in its answer");
	return 0;
}

static int ask_worker(struct asking *k, struct session *s, struct error *err)
{
	struct control_request *request = &k->arguments->request;
	struct httpanswer http;
	struct answer answer;
	int tries = 3;
	int got;

	text_copy(request->target, sizeof(request->target), s->meant.target);
	k->client = s->client;
	/* nclust may be upgraded meanwhile, on the same connection */
	do
		got = client_call(s->client, request, on_worker, k, &answer, err);
	while (answer.code == CONTROL_BUSY && tries-- > 0);
	if (got == -1)
		return -1;
	if (k->fd == -1 || k->request.failed)
		return error_fail(
			err, EX_TEMPFAIL, "%s: the connection to it was lost", s->meant.target);
	httpanswer_init(&http, strcmp(k->arguments->http_method, "HEAD") == 0);
	got = exchange_request(k, &http, err);
	if (got == -1)
		return error_wrap(err, "%s", s->meant.target);
	return http.status >= 400 ? 1 : 0;
}

int verb_ask(struct arguments *a)
{
	struct asking k = {.arguments = a, .terminal = isatty(STDOUT_FILENO) == 1, .fd = -1};
	struct session s;
	struct error err;
	int got;

	if (a->data != NULL && strlen(a->data) > DATA_MAX) {
		log_error("ask: --data has at most 32 KiB");
		return EX_USAGE;
	}
	if (session_open(&s, a, false, -1, &err) == -1)
		return output_error(&err);
	got = ask_worker(&k, &s, &err);
	if (got == -1)
		got = output_error(&err);
	fd_close(&k.fd);
	buffer_fini(&k.request);
	buffer_fini(&k.head);
	session_close(&s);
	return got;
}

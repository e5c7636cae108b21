/* SPDX-License-Identifier: MIT */
#include "config/config.h"

#include "base/scope.h"
#include "config/rootsown.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

/* Shorter ones can be guessed; longer ones are no token but some other file. */
#define TOKEN_LEAST 16
#define TOKEN_MOST 256

/* What RFC 6750 lets a token consist of, with all that is in printable ASCII. */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return false;
	return len >= TOKEN_LEAST && len <= TOKEN_MOST;
}

static int read_it(struct settings *s, int fd, struct error *err)
{
	char text[TOKEN_MOST + 2] = "";
	struct stat st;
	ssize_t len;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return error_set(err, 0, "is not a regular file");
	if (rootsown_is_shared(fd, &st))
		return error_set(err, 0, "it is writable by others than its owner");
	len = read(fd, text, sizeof(text));
	if (len == -1)
		return error_set(err, errno, "cannot be read");
	while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
		len--;
	if (!is_token(text, (size_t)len))
		return error_set(err, 0,
			"wanted one line of %d to %d printable characters "
			"without spaces, such as 'openssl rand -hex 32' makes",
			TOKEN_LEAST, TOKEN_MOST);
	free(s->http_secret);
	s->http_secret = strndup(text, (size_t)len);
	explicit_bzero(text, sizeof(text));
	return s->http_secret != NULL ? 0 : error_set(err, ENOMEM, "token");
}

int config_read_token(struct settings *s, struct error *err)
{
	scoped_fd fd = -1;

	if (s->http.text == NULL || s->http_token == NULL)
		return 0;
	fd = rootsown_open(s->http_token, err);
	if (fd != -1 && read_it(s, fd, err) == 0)
		return 0;
	(void)error_wrap(err, "http-token '%s'", s->http_token);
	return error_status(err, EX_CONFIG);
}

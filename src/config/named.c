/* SPDX-License-Identifier: MIT */
#include "config/origin.h"

#include "base/scope.h"
#include "base/trusted.h"

#include <string.h>
#include <sysexits.h>

/* The small files that settings name. */

/* Shorter ones can be guessed; longer ones are no token but some other file. */
#define TOKEN_LEAST 16
#define TOKEN_MOST 256
#define FILE_MOST ((size_t)64 * 1024)

/* Printable ASCII, of which RFC 6750 allows a part, and of the right length? */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (text[i] <= ' ' || text[i] >= 0x7f)
			return false;
	return len >= TOKEN_LEAST && len <= TOKEN_MOST;
}

int config_read_token(struct settings *s, struct error *err)
{
	scoped_str text = NULL;
	size_t len;

	if (s->http.text == NULL || s->http_token == NULL)
		return 0;
	text = trusted_read(s->http_token, FILE_MOST, &len, NULL, err);
	while (text != NULL && len > 0 && strchr("\r\n", text[len - 1]) != NULL)
		text[--len] = '\0';
	if (text != NULL && is_token(text, len)) {
		free(s->http_secret);
		s->http_secret = str_release(&text);
		return 0;
	}
	if (text != NULL)
		error_set(err, 0,
			"wanted one line of %d to %d printable characters without spaces, such as "
			"'openssl rand -hex 32' makes",
			TOKEN_LEAST, TOKEN_MOST);
	error_wrap(err, "http-token '%s'", s->http_token);
	return error_status(err, EX_CONFIG);
}

int page_read(struct cluster_settings *c, struct error *err)
{
	size_t len;
	scoped_str text = trusted_read(c->fallback, FILE_MOST, &len, NULL, err);

	if (text != NULL && len > 0 && memchr(text, '\0', len) == NULL) {
		free(c->fallback_page);
		c->fallback_page = str_release(&text);
		return 0;
	}
	if (text != NULL)
		error_set(err, 0, "wanted %s",
			len > 0 ? "text, found a NUL byte"
				: "a file of 1 byte to 64k, found an empty one");
	return error_wrap(err, "'%s'", c->fallback);
}

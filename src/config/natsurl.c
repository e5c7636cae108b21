/* SPDX-License-Identifier: MIT */
#include "config/natsurl.h"

#include <stdlib.h>
#include <string.h>

#define SCHEME "nats://"
#define LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
#define USER_MAX 512U
#define HOSTS_MAX 1024U
#define PREFIX_MAX 100U

bool natsurl_is(const char *text)
{
	return text != NULL && strncmp(text, SCHEME, strlen(SCHEME)) == 0;
}

bool natsurl_is_subject(const char *text)
{
	for (;;) {
		size_t len = strspn(text, LETTERS "_-");

		if (len == 0 || (text[len] != '\0' && text[len] != '.'))
			return false;
		if (text[len] == '\0')
			return true;
		text += len + 1;
	}
}

static bool is_port(const char *text, size_t len)
{
	return len > 0 && len <= 5 && strspn(text, "0123456789") >= len &&
		strtoul(text, NULL, 10) - 1 < 65535;
}

/* "broker", "10.0.0.1:4222", "[::1]:4222" */
static bool is_host(const char *text, size_t len)
{
	size_t n = strspn(text, LETTERS "._-");

	if (*text == '[') {
		n = strspn(text + 1, "0123456789abcdefABCDEF:.") + 1;
		if (n < 3 || text[n] != ']')
			return false;
		n++;
	}
	if (n == 0 || n > len)
		return false;
	return n == len || (text[n] == ':' && is_port(text + n + 1, len - n - 1));
}

static bool are_hosts(const char *text, size_t len)
{
	const char *end = text + len;

	for (;;) {
		size_t n = strcspn(text, ",/");

		if (!is_host(text, n))
			return false;
		text += n + 1;
		if (text > end)
			return len <= HOSTS_MAX;
	}
}

static bool is_user(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	return len > 0 && len <= USER_MAX && *text != ':';
}

int natsurl_parse(struct natsurl *url, const char *text, struct error *err)
{
	const char *at = text + (natsurl_is(text) ? strlen(SCHEME) : 0);
	const char *end = strrchr(at, '@');
	const char *wrong = NULL;

	*url = (struct natsurl){.user = at, .hosts = at, .prefix = "nclust"};
	if (end != NULL) {
		url->user_len = (size_t)(end - at);
		url->hosts = end + 1;
	}
	url->hosts_len = strcspn(url->hosts, "/");
	if (url->hosts[url->hosts_len] == '/')
		url->prefix = url->hosts + url->hosts_len + 1;
	if (!natsurl_is(text))
		wrong = "it begins in another way";
	else if (end != NULL && !is_user(at, url->user_len))
		wrong = "no user or token stands before the '@'";
	else if (!are_hosts(url->hosts, url->hosts_len))
		wrong = url->hosts_len == 0 ? "it has no host" : "a host or port is not valid";
	else if (!natsurl_is_subject(url->prefix) || strlen(url->prefix) > PREFIX_MAX)
		wrong = "its prefix may have words of 'A-Z a-z 0-9 _ -', with dots between them";
	if (wrong == NULL)
		return 0;
	return error_set(err, 0,
		"wanted '" SCHEME "[USER:PASSWORD@]HOST[:PORT],...[/PREFIX]', but %s", wrong);
}

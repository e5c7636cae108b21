/* SPDX-License-Identifier: MIT */
#include "config/networks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct network {
	uint8_t ip[16];
	size_t len; /* 4, 16 */
	unsigned bits;
};

/* Reads the next word of *text, which moves behind it.  1: a network; 0: none is left; -1: the word is
 * none. */
static int network_next(const char **text, struct network *to)
{
	char word[INET6_ADDRSTRLEN + 5];
	const char *at = *text + strspn(*text, " \t");
	size_t len = strcspn(at, " \t");
	char *bits;
	char *end;
	unsigned long n;

	*text = at + len;
	if (len == 0)
		return 0;
	if (len >= sizeof(word))
		return -1;
	memcpy(word, at, len);
	word[len] = '\0';
	bits = strchr(word, '/');
	if (bits != NULL)
		*bits++ = '\0';
	to->len = strchr(word, ':') != NULL ? 16 : 4;
	if (inet_pton(to->len == 16 ? AF_INET6 : AF_INET, word, to->ip) != 1)
		return -1;
	to->bits = (unsigned)to->len * 8;
	if (bits == NULL)
		return 1;
	n = strtoul(bits, &end, 10);
	if (*bits < '0' || *bits > '9' || *end != '\0' || n > to->bits)
		return -1;
	to->bits = (unsigned)n;
	return 1;
}

bool networks_are(const char *text)
{
	struct network n;
	int got = network_next(&text, &n);
	bool any = got == 1;

	while (got == 1)
		got = network_next(&text, &n);
	return any && got == 0;
}

static bool is_within(const struct network *n, const uint8_t *ip, size_t len)
{
	const unsigned whole = n->bits / 8;
	const unsigned rest = n->bits % 8;

	return n->len == len && memcmp(n->ip, ip, whole) == 0 &&
		(rest == 0 || (n->ip[whole] ^ ip[whole]) >> (8 - rest) == 0);
}

bool networks_have(const char *text, const void *ip, size_t len)
{
	const uint8_t *at = ip;
	struct network n;

	if (strcmp(text, "all") == 0)
		return true;
	if (len == 16 && IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)ip)) {
		at += 12;
		len = 4;
	}
	while (network_next(&text, &n) == 1)
		if (is_within(&n, at, len))
			return true;
	return false;
}

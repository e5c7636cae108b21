/* SPDX-License-Identifier: MIT */
#include "protocol/natswire.h"

#include "protocol/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT "{\"nclust\":"
#define ID ",\"id\":\""
#define DIGITS "0123456789"
#define NAMED "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz" DIGITS "._-"

void natswire_head(struct buffer *to, const char *id)
{
	buffer_string(to, FORMAT);
	buffer_number(to, NATSWIRE_FORMAT, 10);
	buffer_string(to, ID);
	buffer_string(to, id);
	buffer_string(to, "\",");
}

void natswire_host(char host[NATSWIRE_HOST])
{
	for (char *at = host + strspn(host, NAMED); *at != '\0'; at += strspn(at, NAMED))
		*at = '-';
}

enum natswire_kind natswire_read(const char *line, size_t len, const char *cluster, const char *id,
	const char **from, unsigned *format)
{
	char head[NATSWIRE_MORE] = ""; /* all that stands before VALUE */
	char number[8];                /* one digit more than it may have */
	char sender[17];
	char name[65];
	char slot[10];
	char host[65];
	int ahead = 0;
	int value = 0;
	int got;

	memcpy(head, line, len < sizeof(head) ? len : sizeof(head) - 1);
	got = sscanf(head,
		FORMAT "%7[" DIGITS "]" ID "%16[" NAMED "]\",%n\"from\":{\"cluster\":\"%64[" NAMED
		       "]\",\"slot\":%9[" DIGITS "],\"host\":\"%64[" NAMED "]\"},\"message\":%n",
		number, sender, &ahead, name, slot, host, &value);
	if (got < 1 || strlen(number) == sizeof(number) - 1)
		return NATSWIRE_NONSENSE;
	*format = (unsigned)strtoul(number, NULL, 10);
	if (*format != NATSWIRE_FORMAT)
		return NATSWIRE_OTHER;
	if (got > 1 && strcmp(sender, id) == 0)
		return NATSWIRE_OWN;
	if (value == 0 || strcmp(name, cluster) != 0 || (*slot == '0' && slot[1] != '\0') ||
		line[len - 1] != '}' || !jsonvalue_check(line + value, len - (size_t)value - 1))
		return NATSWIRE_NONSENSE;
	*from = line + ahead;
	return NATSWIRE_MESSAGE;
}

/* SPDX-License-Identifier: MIT */
#include "config/envfile.h"

#include <string.h>

#define BLANK " \t\r"

int envfile_line(char *line, char **entry)
{
	char *value;
	size_t len;

	line += strspn(line, BLANK);
	len = strlen(line);
	while (len > 0 && strchr(BLANK, line[len - 1]) != NULL)
		line[--len] = '\0';
	if (*line == '\0' || *line == '#' || *line == ';')
		return 0;
	if (strncmp(line, "export", 6) == 0 && strspn(line + 6, " \t") > 0)
		line += 6 + strspn(line + 6, " \t");
	value = line + strcspn(line, "= \t");
	if (value == line || *value != '=')
		return -1;
	value++;
	len = strlen(value);
	if (len >= 2 && (*value == '"' || *value == '\'') &&
		value[len - 1] == *value) {
		value[len - 1] = '\0';
		(void)memmove(value, value + 1, len - 1);
	}
	*entry = line;
	return 1;
}

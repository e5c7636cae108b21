/* SPDX-License-Identifier: MIT */
#include "base/text.h"

#include <string.h>

/* `value`: the text behind the name in the same word, or NULL. */
static enum cmdline_part take_value(struct cmdline *c, const char *value, enum cmdline_takes takes)
{
	c->value = value;
	if (takes == TAKES_NOTHING)
		return value != NULL ? CMDLINE_VALUE : CMDLINE_OPTION;
	if (value == NULL && takes == TAKES_YES)
		c->value = "yes";
	else if (value == NULL && c->next < c->argc)
		c->value = c->argv[c->next++];
	return c->value != NULL ? CMDLINE_OPTION : CMDLINE_NO_VALUE;
}

static enum cmdline_part take_long(struct cmdline *c, const char *name)
{
	enum cmdline_takes takes = TAKES_NOTHING;

	c->name = name;
	c->len = strcspn(name, "=");
	c->value = name[c->len] == '=' ? name + c->len + 1 : NULL;
	c->row = c->find(c->table, name, c->len, &takes);
	return c->row != NULL ? take_value(c, c->value, takes) : CMDLINE_UNKNOWN;
}

static enum cmdline_part take_letter(struct cmdline *c)
{
	enum cmdline_takes takes = TAKES_NOTHING;
	const char *rest = c->letters + 1;

	c->name = c->letters;
	c->len = 0;
	c->value = NULL;
	c->letters = NULL;
	c->row = c->find(c->table, c->name, 0, &takes);
	if (c->row == NULL)
		return CMDLINE_UNKNOWN;
	if (takes != TAKES_NOTHING)
		return take_value(c, *rest != '\0' ? rest + (*rest == '=') : NULL, takes);
	if (*rest != '\0')
		c->letters = rest;
	return CMDLINE_OPTION;
}

enum cmdline_part cmdline_next(struct cmdline *c)
{
	const char *word;

	if (c->letters != NULL)
		return take_letter(c);
	if (c->next >= c->argc)
		return CMDLINE_END;
	word = c->argv[c->next++];
	if (word[0] != '-' || word[1] == '\0')
		return CMDLINE_WORD;
	if (strcmp(word, "--") == 0)
		return CMDLINE_SEPARATOR;
	if (word[1] == '-')
		return take_long(c, word + 2);
	c->letters = word + 1;
	return take_letter(c);
}

/* SPDX-License-Identifier: MIT */
#include "../unit.h"
#include "config/procfile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* "K=V|K=V", or "line: why". */
static void read_all(const char *text, char *to, size_t size)
{
	char *copy = strdup(text);
	struct envfile f = {.rest = copy};
	struct error err = {0};
	char *entry;
	int got;

	ck_assert_ptr_nonnull(copy);
	*to = '\0';
	while ((got = envfile_next(&f, &entry, &err)) == 1)
		snprintf(to + strlen(to), size - strlen(to), "%s%s", *to != '\0' ? "|" : "", entry);
	if (got == -1)
		snprintf(to, size, "%u: %s", f.line, err.text);
	free(copy);
}

/* What systemd, compose and dotenv agree on; and what a PEM needs. */
static const struct {
	const char *text;
	const char *want;
} same[] = {
	{"A=b\nC=d", "A=b|C=d"},
	{"", ""},
	{"\n # x\n\t; y\r\n\r\nA=b", "A=b"},
	{"A=\nB=\"\"\nC=''", "A=|B=|C="},
	{"A = b \t\r\nB= \"c\" \r\n", "A=b|B=c"},
	{"export A=b\n export\tB='c'", "A=b|B=c"},
	{"A=b c=d", "A=b c=d"},
	{"A=\"b c\" # d\nB='e'\t# f", "A=b c|B=e"},
	{"A=\" b \"\nB=' # c '", "A= b |B= # c "},
	{"A=\"b\n c\n\nd\"\nE='f\ng'\nH=i", "A=b\n c\n\nd|E=f\ng|H=i"},
	{"A=it's\nB=a\"b\"", "A=it's|B=a\"b\""},
	{"A='\\n $B \"'", "A=\\n $B \""},
	{"A=#b\nC=d#e\nF=$G", "A=#b|C=d#e|F=$G"},
	/* systemd's meaning */
	{"A=\"\\\"b\\\" \\\\ \\$c \\`\"", "A=\"b\" \\ $c `"},
};

TEST_LOOP(values_are_what_others_make_of_them, 0, COUNT_OF(same))
{
	char got[600];

	read_all(same[_i].text, got, sizeof(got));
	ck_assert_str_eq(got, same[_i].want);
}

/* Each of them would read something else, or nothing. */
static const struct {
	const char *text;
	const char *why;
} different[] = {
	{"A=b\n\nnonsense", "3: wanted KEY=VALUE"},
	{"=b", "1: wanted KEY=VALUE"},
	{"A B=c", "1: wanted KEY=VALUE"},
	{"export A", "1: wanted KEY=VALUE"},
	{"A='b\nc'\nD=e f # g", "3: systemd and others differ"},
	{"A= # b", "1: systemd and others differ in what ' #'"},
	{"A=b\\\nc", "1: systemd and others differ in what '\\'"},
	{"A=\"b\nc\"\nD=\"e\\nf\"", "3: between double quotes"},
	{"A=\"b\\", "1: between double quotes"},
	{"A='b\nC=d", "1: the quote is not closed"},
	{"A=\"b\"c", "1: wanted a line's end"},
	{"A=\"b\"#c", "1: wanted a line's end"},
	{"A='it\\'s'", "1: wanted a line's end"},
};

static const struct {
	const char *line;
	bool warns;
} dollars[] = {{"A=$HOME/x", true}, {"A=\"${B}\"", true}, {"A=$(date)", true}, {"A='$HOME'", false},
	{"A=pa$word$1 $", false}, {"A=~/x", false}};

TEST_LOOP(what_a_shell_would_replace_is_warned_of, 0, COUNT_OF(dollars))
{
	scoped_str text = strdup(dollars[_i].line);
	struct envfile f = {.rest = text};
	struct error err;
	char *entry;

	ck_assert_int_eq(envfile_next(&f, &entry, &err), 1);
	ck_assert_int_eq(f.warns, dollars[_i].warns);
}

TEST_LOOP(what_they_disagree_on_is_a_mistake_with_its_line, 0, COUNT_OF(different))
{
	char got[600];

	read_all(different[_i].text, got, sizeof(got));
	got[strlen(different[_i].why)] = '\0';
	ck_assert_str_eq(got, different[_i].why);
}

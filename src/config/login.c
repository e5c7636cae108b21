/* SPDX-License-Identifier: MIT */
#include "config/login.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>

static int keep_names(struct cluster_settings *c, const struct passwd *entry)
{
	c->login = strdup(entry->pw_name);
	c->home = strdup(entry->pw_dir);
	return c->login != NULL && c->home != NULL ? 0 : -1;
}

void login_clear(struct cluster_settings *c)
{
	free(c->login);
	free(c->home);
	free(c->groups);
	c->login = c->home = NULL;
	c->groups = NULL;
	c->group_count = 0;
}

int login_find(struct cluster_settings *c)
{
	const struct passwd *entry;
	gid_t primary = LOGIN_NOBODY; /* of a uid without a name or a group */
	int room = 32;
	int n = 1;
	int got;

	login_clear(c);
	errno = 0;
	entry = getpwuid((uid_t)c->uid);
	if (entry == NULL ? errno == ENOMEM : keep_names(c, entry) == -1)
		return -1;
	if (c->gid >= 0)
		primary = (gid_t)c->gid;
	else if (entry != NULL)
		primary = entry->pw_gid;
	do {
		gid_t *more = reallocarray(c->groups, (size_t)room, sizeof(*more));

		if (more == NULL)
			return -1;
		c->groups = more;
		*more = primary;
		n = c->login != NULL ? room : 1;
		got = c->login != NULL ? getgrouplist(c->login, primary, more, &n) : 1;
		if (got == -1)
			n = room; /* so many are there, at least */
		room *= 2;
	} while (got == -1 && room <= 1 << 18);
	c->group_count = (size_t)n;
	return 0;
}

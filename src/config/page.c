/* SPDX-License-Identifier: MIT */
#include "config/page.h"

#include "base/scope.h"
#include "config/rootsown.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How much it is; or -1 and `err`. */
static ssize_t read_it(int fd, char *to, struct error *err)
{
	struct stat st;
	size_t len = 0;
	ssize_t got = 1;

	if (fstat(fd, &st) == -1 || !S_ISREG(st.st_mode))
		return error_set(err, 0, "is not a regular file");
	if (geteuid() == 0 && rootsown_is_shared(fd, &st))
		return error_set(err, 0, "it is writable by others than its owner");
	while (got > 0 && len <= PAGE_MOST) {
		got = read(fd, to + len, PAGE_MOST + 1 - len);
		len += got > 0 ? (size_t)got : 0;
	}
	if (got == -1)
		return error_set(err, errno, "cannot be read");
	if (len == 0 || len > PAGE_MOST)
		return error_set(err, 0, "wanted a file of 1 byte to 64k, found %s",
			len == 0 ? "an empty one" : "more");
	if (memchr(to, '\0', len) != NULL)
		return error_set(err, 0, "wanted text, found a NUL byte");
	return (ssize_t)len;
}

int page_read(struct cluster_settings *c, struct error *err)
{
	scoped_fd fd = rootsown_open(c->fallback, err);
	scoped_str text = malloc(PAGE_MOST + 1);
	ssize_t len;

	if (fd == -1)
		return error_wrap(err, "'%s'", c->fallback);
	if (text == NULL)
		return error_set(err, ENOMEM, "cannot keep a page");
	len = read_it(fd, text, err);
	if (len == -1)
		return error_wrap(err, "'%s'", c->fallback);
	free(c->fallback_page);
	c->fallback_page = strndup(text, (size_t)len);
	return c->fallback_page != NULL ? 0 : error_set(err, ENOMEM, "cannot keep a page");
}

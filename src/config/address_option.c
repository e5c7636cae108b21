/* SPDX-License-Identifier: MIT */
#include "config/address_option.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/value.h"

#include <errno.h>
#include <net/if.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG_MAX 1048576
#define DEFER_MAX (HOUR)
#define BUFFER_MAX (UINT64_C(1) << 30)

enum kind_set {
	ON_TCP = 1 << ADDRESS_TCP,
	ON_UDP = 1 << ADDRESS_UDP,
	ON_UNIX = 1 << ADDRESS_UNIX,
	ON_FD = 1 << ADDRESS_FD,
	ON_INHERIT = 1 << ADDRESS_INHERIT,
	ON_INET = ON_TCP | ON_UDP,
	ON_GIVEN = ON_FD | ON_INHERIT,
	ON_OPEN = ON_INET | ON_UNIX,
	ON_ALL = ON_OPEN | ON_GIVEN,
};

enum option_kind {
	KIND_NAME,
	KIND_BACKLOG,
	KIND_MODE,
	KIND_OWNER,
	KIND_GROUP,
	KIND_TRISTATE,
	KIND_INTERFACE,
	KIND_FLAG,
	KIND_SECONDS,
	KIND_SIZE,
};

static const struct place_option {
	const char *name;
	enum option_kind kind;
	unsigned on;
	size_t offset;
} place_options[] = {
	{"name", KIND_NAME, ON_ALL, offsetof(struct address, name)},
	{"backlog", KIND_BACKLOG, ON_TCP | ON_UNIX | ON_GIVEN,
		offsetof(struct address, backlog)},
	{"mode", KIND_MODE, ON_UNIX, offsetof(struct address, mode)},
	{"owner", KIND_OWNER, ON_UNIX, offsetof(struct address, owner)},
	{"group", KIND_GROUP, ON_UNIX, offsetof(struct address, group)},
	{"v6only", KIND_TRISTATE, ON_INET, offsetof(struct address, v6only)},
	{"interface", KIND_INTERFACE, ON_INET,
		offsetof(struct address, interface)},
	{"freebind", KIND_FLAG, ON_INET, offsetof(struct address, freebind)},
	{"defer-accept", KIND_SECONDS, ON_TCP,
		offsetof(struct address, defer_accept)},
	{"nonblock", KIND_FLAG, ON_ALL, offsetof(struct address, nonblock)},
	{"rcvbuf", KIND_SIZE, ON_OPEN, offsetof(struct address, rcvbuf)},
	{"sndbuf", KIND_SIZE, ON_OPEN, offsetof(struct address, sndbuf)},
};

bool address_is_name_byte(char c)
{
	return c > ' ' && c < 0x7f && c != ':' && c != ',';
}

bool address_is_name(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > ADDRESS_NAME_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!address_is_name_byte(name[i]))
			return false;
	return true;
}

static int set_text(char **to, const char *value, struct error *err)
{
	*to = strdup(value);
	return *to == NULL ? error_set(err, ENOMEM, "cannot keep an address")
			   : 0;
}

static bool is_interface(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len < IF_NAMESIZE && strpbrk(s, " \t/:") == NULL;
}

static int parse_seconds(int *to, const char *value, struct error *err)
{
	nsec_t t;

	if (value_duration(&t, value, SECOND, DEFER_MAX, err) == -1)
		return -1;
	if (t % SECOND != 0)
		return value_wanted(err, value, "whole seconds");
	*to = (int)(t / SECOND);
	return 0;
}

static int parse_value(const struct place_option *o, void *field,
	const char *value, struct error *err)
{
	unsigned n = 0;
	uint64_t size = 0;
	bool on = true;
	long ignored;

	switch (o->kind) {
	case KIND_NAME:
		if (!address_is_name(value))
			return value_wanted(err, value,
				"a name of 1 to %d printable characters "
				"without ':', ',' and blanks",
				ADDRESS_NAME_MAX);
		return set_text(field, value, err);
	case KIND_BACKLOG:
		if (value_count(&n, value, 1, BACKLOG_MAX, err) == -1)
			return -1;
		*(int *)field = (int)n;
		return 0;
	case KIND_MODE:
		return value_octal(field, value, err);
	case KIND_OWNER:
		return value_user(field, &ignored, value, err);
	case KIND_GROUP:
		return value_group(field, value, err);
	case KIND_TRISTATE:
		if (value_bool(&on, value, err) == -1)
			return -1;
		*(int *)field = on;
		return 0;
	case KIND_INTERFACE:
		if (!is_interface(value))
			return value_wanted(err, value, "an interface's name");
		return set_text(field, value, err);
	case KIND_FLAG:
		return value_bool(field, value, err);
	case KIND_SECONDS:
		return parse_seconds(field, value, err);
	case KIND_SIZE:
		if (value_size(&size, value, BUFFER_MAX, err) == -1)
			return -1;
		*(int *)field = (int)size;
		return 0;
	}
	return -1;
}

static const struct place_option *find(const char *name)
{
	for (size_t i = 0; i < COUNT_OF(place_options); i++)
		if (strcmp(place_options[i].name, name) == 0)
			return &place_options[i];
	return NULL;
}

static int unknown(const char *name, struct error *err)
{
	const char *names[COUNT_OF(place_options)];
	const char *near;
	char shown[80];

	for (size_t i = 0; i < COUNT_OF(place_options); i++)
		names[i] = place_options[i].name;
	near = text_nearest(name, names, COUNT_OF(names));
	(void)text_escape(shown, sizeof(shown), name, strlen(name));
	(void)error_set(err, 0, "unknown option '%s'", shown);
	if (near != NULL)
		(void)error_hint(err, "did you mean '%s'?", near);
	return -1;
}

static bool fits(const struct address *a, const struct place_option *o)
{
	if ((o->on & 1U << a->kind) == 0)
		return false;
	if (o->kind == KIND_TRISTATE)
		return a->family == AF_INET6;
	if (o->on == ON_UNIX)
		return a->path[0] != '@'; /* there is no file */
	return true;
}

int address_option_parse(
	struct address *a, const char *text, unsigned *seen, struct error *err)
{
	const char *equals = strchr(text, '=');
	scoped_str name = NULL;
	const struct place_option *o;
	const char *value = equals != NULL ? equals + 1 : "yes";

	name = strndup(
		text, equals != NULL ? (size_t)(equals - text) : strlen(text));
	if (name == NULL)
		return error_set(err, ENOMEM, "cannot keep an address");
	o = find(name);
	if (o == NULL)
		return unknown(name, err);
	if (equals == NULL && o->kind != KIND_FLAG && o->kind != KIND_TRISTATE)
		return error_set(err, 0, "option '%s' needs '=value'", name);
	if (!fits(a, o))
		return error_set(err, 0,
			"option '%s' does not fit this kind of address", name);
	if ((*seen & 1U << (o - place_options)) != 0)
		return error_set(err, 0, "option '%s' is given twice", name);
	*seen |= 1U << (o - place_options);
	if (parse_value(o, (char *)a + o->offset, value, err) == -1)
		return error_wrap(err, "%s", name);
	return 0;
}

static int format_value(
	const struct place_option *o, const void *field, struct buffer *out)
{
	const char *text;
	int n;

	switch (o->kind) {
	case KIND_NAME:
		return 0;
	case KIND_OWNER:
	case KIND_GROUP:
		if (*(const long *)field == -1)
			return 0;
		return buffer_printf(
			out, ", %s=#%ld", o->name, *(const long *)field);
	case KIND_INTERFACE:
		text = *(char *const *)field;
		return text == NULL
			? 0
			: buffer_printf(out, ", %s=%s", o->name, text);
	case KIND_FLAG:
		return *(const bool *)field
			? buffer_printf(out, ", %s", o->name)
			: 0;
	case KIND_BACKLOG:
	case KIND_MODE:
	case KIND_TRISTATE:
	case KIND_SECONDS:
	case KIND_SIZE:
		break;
	}
	n = *(const int *)field;
	if (n == -1)
		return 0;
	if (o->kind == KIND_MODE)
		return buffer_printf(out, ", %s=0%03o", o->name, (unsigned)n);
	if (o->kind == KIND_TRISTATE)
		return buffer_printf(
			out, ", %s=%s", o->name, n != 0 ? "yes" : "no");
	return buffer_printf(out, ", %s=%d%s", o->name, n,
		o->kind == KIND_SECONDS ? "s" : "");
}

int address_option_format(const struct address *a, struct buffer *out)
{
	for (size_t i = 0; i < COUNT_OF(place_options); i++)
		(void)format_value(&place_options[i],
			(const char *)a + place_options[i].offset, out);
	return out->failed ? -1 : 0;
}

bool address_same_options(const struct address *a, const struct address *b)
{
	bool interface = (a->interface == NULL) == (b->interface == NULL) &&
		(a->interface == NULL ||
			strcmp(a->interface, b->interface) == 0);

	return interface && a->backlog == b->backlog && a->mode == b->mode &&
		a->owner == b->owner && a->group == b->group &&
		a->v6only == b->v6only && a->freebind == b->freebind &&
		a->defer_accept == b->defer_accept &&
		a->nonblock == b->nonblock && a->rcvbuf == b->rcvbuf &&
		a->sndbuf == b->sndbuf;
}

/* SPDX-License-Identifier: MIT */
#include "config/address.h"

#include "base/scope.h"
#include "base/text.h"
#include "config/expand.h"
#include "config/value.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* The bytes that fit into sun_path behind the NUL of an abstract name. */
#define ABSTRACT_MAX 107
#define PATH_LENGTH_MAX 4095
#define FD_MAX 1048575
#define NAME_MAX_LENGTH 255 /* of an fd's name: sd_listen_fds(3) */
#define COUNT_MAX 1048576
#define DEFER_MAX (HOUR)
#define KEEPALIVE_MAX (32767 * SECOND) /* tcp(7) */
#define BUFFER_MAX (UINT64_C(1) << 30)

static const char forms[] = "an address such as '8000', '127.0.0.1:8000', '[::1]:8000', 'udp:53', "
			    "'unix:/run/x.sock', 'unix:@name', 'fd:3' or 'inherit:http'";

static const char hint_v6[] = "write an IPv6 address in [ and ]: '[::1]:8000'";

static int wanted_address(struct error *err, const char *found)
{
	return value_wanted(err, found, "%s", forms);
}

/* May the character stand in LISTEN_FDNAMES, and between our own commas? */
static bool is_name_byte(char c)
{
	return c > ' ' && c < 0x7f && c != ':' && c != ',';
}

static bool is_name(const char *name)
{
	size_t len = strlen(name);

	if (len < 1 || len > NAME_MAX_LENGTH)
		return false;
	for (size_t i = 0; i < len; i++)
		if (!is_name_byte(name[i]))
			return false;
	return true;
}

static int set_text(char **to, const char *value, struct error *err)
{
	*to = strdup(value);
	return *to == NULL ? value_no_memory(err) : 0;
}

/* "::1", "fe80::1%eth0", "fe80::1%2" */
static int parse_v6(struct address *a, const char *host, struct error *err)
{
	char ip[INET6_ADDRSTRLEN];
	const char *scope = strchr(host, '%');
	size_t len = scope != NULL ? (size_t)(scope - host) : strlen(host);
	uint64_t n;

	if (len >= sizeof(ip))
		return wanted_address(err, host);
	text_copy(ip, len + 1, host);
	if (inet_pton(AF_INET6, ip, a->ip) != 1)
		return wanted_address(err, host);
	a->family = AF_INET6;
	if (scope == NULL)
		return 0;
	scope++;
	if (value_digits(&n, scope, 1, UINT32_MAX))
		a->scope_id = (uint32_t)n;
	else
		a->scope_id = if_nametoindex(scope);
	if (a->scope_id == 0)
		return value_wanted(err, scope, "an interface that exists after '%%'");
	return 0;
}

static int parse_host(struct address *a, const char *host, struct error *err)
{
	size_t len = strlen(host);

	if (len == 0 || strcmp(host, "*") == 0) {
		a->family = AF_UNSPEC;
		return 0;
	}
	if (host[0] == '[' && host[len - 1] == ']') {
		char inner[96];

		if (len - 2 >= sizeof(inner))
			return wanted_address(err, host);
		text_copy(inner, len - 1, host + 1);
		return parse_v6(a, inner, err);
	}
	if (inet_pton(AF_INET, host, a->ip) == 1) {
		a->family = AF_INET;
		return 0;
	}
	(void)wanted_address(err, host);
	if (strchr(host, ':') != NULL)
		return error_hint(err, "%s", hint_v6);
	if (strcmp(host, "localhost") == 0)
		return error_hint(err, "names are not resolved: write 127.0.0.1");
	return error_hint(err, "names are not resolved");
}

/* "8000", ":8000", "*:8000", "HOST:8000" */
static int parse_inet(struct address *a, const char *text, struct error *err)
{
	const char *colon = strrchr(text, ':');
	const char *port = colon != NULL ? colon + 1 : text;
	scoped_str host = NULL;
	uint64_t n;

	if (text[0] == '[' && strchr(text, ']') == NULL) {
		(void)wanted_address(err, text);
		return error_hint(err, "%s", hint_v6);
	}
	host = strndup(text, colon != NULL ? (size_t)(colon - text) : 0);
	if (host == NULL)
		return value_no_memory(err);
	if (port[0] == '\0' || port[strspn(port, "0123456789")] != '\0')
		return wanted_address(err, text);
	if (!value_digits(&n, port, 0, UINT16_MAX))
		return value_wanted(err, port, "a port from 0 to 65535");
	a->port = (uint16_t)n;
	return parse_host(a, host, err);
}

static int parse_unix(struct address *a, const char *path, struct error *err)
{
	size_t len = strlen(path);

	a->family = AF_UNIX;
	if (path[0] == '@') {
		if (len < 2 || len > ABSTRACT_MAX + 1)
			return value_wanted(err, path,
				"an abstract name of 1 to %d bytes after 'unix:@'", ABSTRACT_MAX);
	} else if (path[0] != '/' || path[len - 1] == '/') {
		return value_wanted(err, path, "an absolute path or '@name' after 'unix:'");
	} else if (len > PATH_LENGTH_MAX) {
		return value_wanted(err, path, "a path of at most %d bytes", PATH_LENGTH_MAX);
	}
	return set_text(&a->path, path, err);
}

static int parse_fd(struct address *a, const char *text, struct error *err)
{
	uint64_t n;

	if (!value_digits(&n, text, 0, FD_MAX) || n == 1 || n == 2)
		return value_wanted(
			err, text, "a descriptor's number, 0 or from 3 to %d, after 'fd:'", FD_MAX);
	a->fd = (int)n;
	return 0;
}

static int parse_inherit(struct address *a, const char *text, struct error *err)
{
	if (!is_name(text))
		return value_wanted(err, text, "a descriptor's name after 'inherit:'");
	return set_text(&a->path, text, err);
}

static const struct scheme {
	const char *prefix;
	enum address_kind kind;
	int type;
	int (*parse)(struct address *, const char *, struct error *);
} schemes[] = {
	{"tcp:", ADDRESS_TCP, SOCK_STREAM, parse_inet},
	{"udp:", ADDRESS_UDP, SOCK_DGRAM, parse_inet},
	{"unix:", ADDRESS_UNIX, SOCK_STREAM, parse_unix},
	{"unix-dgram:", ADDRESS_UNIX, SOCK_DGRAM, parse_unix},
	{"unix-seqpacket:", ADDRESS_UNIX, SOCK_SEQPACKET, parse_unix},
	{"fd:", ADDRESS_FD, 0, parse_fd},
	{"inherit:", ADDRESS_INHERIT, 0, parse_inherit},
};

static int parse_place(struct address *a, const char *text, struct error *err)
{
	for (size_t i = 0; i < COUNT_OF(schemes); i++) {
		size_t len = strlen(schemes[i].prefix);

		if (strncmp(text, schemes[i].prefix, len) != 0)
			continue;
		a->kind = schemes[i].kind;
		a->type = schemes[i].type;
		return schemes[i].parse(a, text + len, err);
	}
	a->kind = ADDRESS_TCP;
	a->type = SOCK_STREAM;
	if (text[0] != '/' && text[0] != '@' && strstr(text, "://") == NULL)
		return parse_inet(a, text, err);
	(void)wanted_address(err, text);
	return error_hint(err,
		text[0] == '/' || text[0] == '@' ? "write a path after 'unix:'"
						 : "write no scheme such as 'http://'");
}

static int format_place(const struct address *a, struct buffer *out)
{
	const struct scheme *s = schemes;
	char ip[INET6_ADDRSTRLEN];

	while (s->kind != a->kind || s->type != a->type)
		s++;
	buffer_string(out, s->prefix);
	if (a->kind == ADDRESS_FD)
		return buffer_printf(out, "%d", a->fd);
	if (a->kind == ADDRESS_UNIX || a->kind == ADDRESS_INHERIT)
		return buffer_string(out, a->path);
	if (a->family == AF_UNSPEC)
		return buffer_printf(out, "*:%u", a->port);
	inet_ntop(a->family, a->ip, ip, sizeof(ip)); /* it was parsed */
	if (a->family == AF_INET)
		return buffer_printf(out, "%s:%u", ip, a->port);
	if (a->scope_id != 0)
		return buffer_printf(out, "[%s%%%u]:%u", ip, a->scope_id, a->port);
	return buffer_printf(out, "[%s]:%u", ip, a->port);
}

/* ---- options behind a comma ---- */

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
	KIND_COUNT,
	KIND_MODE,
	KIND_OWNER,
	KIND_GROUP,
	KIND_TRISTATE,
	KIND_INTERFACE,
	KIND_FLAG,
	KIND_SECONDS,
	KIND_KEEPALIVE,
	KIND_MARK,
	KIND_SIZE,
};

/* The first two options are not part of a->options. */
enum { OPTION_NAME, OPTION_BACKLOG };
static const struct place_option {
	const char *name;
	enum option_kind kind;
	unsigned on;
	size_t offset;
} place_options[] = {
	{"name", KIND_NAME, ON_ALL, offsetof(struct address, name)},
	{"backlog", KIND_COUNT, ON_TCP | ON_UNIX | ON_GIVEN, offsetof(struct address, backlog)},
	{"mode", KIND_MODE, ON_UNIX, offsetof(struct address, mode)},
	{"owner", KIND_OWNER, ON_UNIX, offsetof(struct address, owner)},
	{"group", KIND_GROUP, ON_UNIX, offsetof(struct address, group)},
	{"v6only", KIND_TRISTATE, ON_INET, offsetof(struct address, v6only)},
	{"interface", KIND_INTERFACE, ON_INET, offsetof(struct address, interface)},
	{"freebind", KIND_FLAG, ON_INET, offsetof(struct address, freebind)},
	{"defer-accept", KIND_SECONDS, ON_TCP, offsetof(struct address, defer_accept)},
	{"nonblock", KIND_FLAG, ON_ALL, offsetof(struct address, nonblock)},
	{"nodelay", KIND_FLAG, ON_TCP, offsetof(struct address, nodelay)},
	{"keepalive", KIND_KEEPALIVE, ON_TCP, offsetof(struct address, keepalive)},
	{"fastopen", KIND_COUNT, ON_TCP, offsetof(struct address, fastopen)},
	{"mark", KIND_MARK, ON_INET, offsetof(struct address, mark)},
	{"rcvbuf", KIND_SIZE, ON_OPEN, offsetof(struct address, rcvbuf)},
	{"sndbuf", KIND_SIZE, ON_OPEN, offsetof(struct address, sndbuf)},
};

static bool is_interface(const char *s)
{
	size_t len = strlen(s);

	return len > 0 && len < IF_NAMESIZE && strpbrk(s, " \t/:") == NULL;
}

static int parse_seconds(
	int *to, const char *text, nsec_t most, struct buffer *out, struct error *err)
{
	nsec_t t;

	if (value_duration(&t, text, SECOND, most, err) == -1)
		return -1;
	if (t % SECOND != 0)
		return value_wanted(err, text, "whole seconds");
	*to = (int)(t / SECOND);
	return buffer_printf(out, "%ds", *to);
}

/* "66", "0x42" */
static int parse_mark(long long *to, const char *value, struct error *err)
{
	bool hex = strncmp(value, "0x", 2) == 0;
	const char *digits = value + (hex ? 2 : 0);
	size_t len = strlen(digits);

	if (len == 0 || len > (hex ? 8U : 10U) ||
		strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789") < len ||
		(*to = strtoll(digits, NULL, hex ? 16 : 10)) > UINT32_MAX)
		return value_wanted(err, value, "a mark of 32 bits, such as 66 or 0x42");
	return 0;
}

/* `out` gets the one way to write the value; nothing: the option's name says all. */
static int parse_value(const struct place_option *o, void *field, const char *text,
	struct buffer *out, struct error *err)
{
	unsigned n = 0;
	uint64_t size = 0;
	bool on = true;

	switch (o->kind) {
	case KIND_NAME:
		if (!is_name(text))
			return value_wanted(err, text,
				"a name of 1 to %d printable characters without ':', ',' and "
				"blanks",
				NAME_MAX_LENGTH);
		return set_text(field, text, err);
	case KIND_COUNT:
		if (value_count(&n, text, 1, COUNT_MAX, err) == -1)
			return -1;
		*(int *)field = (int)n;
		return buffer_printf(out, "%u", n);
	case KIND_MODE:
		if (value_octal(field, text, err) == -1)
			return -1;
		return buffer_printf(out, "0%03o", *(unsigned *)field);
	case KIND_OWNER:
	case KIND_GROUP:
		if ((o->kind == KIND_OWNER ? value_user(field, NULL, text, err)
					   : value_group(field, text, err)) == -1)
			return -1;
		return buffer_printf(out, "#%ld", *(long *)field);
	case KIND_TRISTATE:
		if (value_bool(&on, text, err) == -1)
			return -1;
		*(int *)field = on;
		return buffer_string(out, on ? "yes" : "no");
	case KIND_INTERFACE:
		if (!is_interface(text))
			return value_wanted(err, text, "an interface's name");
		buffer_string(out, text);
		return set_text(field, text, err);
	case KIND_FLAG:
		return value_bool(field, text, err);
	case KIND_SECONDS:
		return parse_seconds(field, text, DEFER_MAX, out, err);
	case KIND_KEEPALIVE:
		if (strcmp(text, "yes") != 0)
			return parse_seconds(field, text, KEEPALIVE_MAX, out, err);
		*(int *)field = 0; /* the system's default */
		return 0;
	case KIND_MARK:
		if (parse_mark(field, text, err) == -1)
			return -1;
		return buffer_printf(out, "0x%llx", *(long long *)field);
	case KIND_SIZE:
		if (value_size(&size, text, BUFFER_MAX, err) == -1)
			return -1;
		*(int *)field = (int)size;
		return buffer_printf(out, "%d", (int)size);
	}
	return -1;
}

/* The option's index; -1 and `err`. */
static int find_option(const char *name, struct error *err)
{
	const char *names[COUNT_OF(place_options)];
	const char *near;
	char shown[80];
	int at;

	for (size_t i = 0; i < COUNT_OF(place_options); i++)
		names[i] = place_options[i].name;
	at = value_index(name, names, COUNT_OF(names));
	if (at != -1)
		return at;
	near = text_nearest(name, names, COUNT_OF(names));
	text_escape(shown, sizeof(shown), name, strlen(name));
	error_set(err, 0, "unknown option '%s'", shown);
	if (name[0] >= '0' && name[0] <= '9')
		return error_hint(err, "give each address by itself");
	return near != NULL ? error_hint(err, "did you mean '%s'?", near) : -1;
}

static bool fits_address(const struct address *a, const struct place_option *o)
{
	if ((o->on & 1U << a->kind) == 0)
		return false;
	if (o->kind == KIND_TRISTATE)
		return a->family == AF_INET6;
	if (o == &place_options[OPTION_BACKLOG] && a->type == SOCK_DGRAM)
		return false; /* datagram sockets have no backlog */
	if (o->on == ON_UNIX)
		return a->path[0] != '@'; /* an abstract name has no file */
	return true;
}

/* The values that are given, in the order of place_options. */
typedef char *option_texts[COUNT_OF(place_options)];

static int parse_option(struct address *a, const char *text, option_texts texts, struct error *err)
{
	const char *equals = strchr(text, '=');
	const char *value = equals != NULL ? equals + 1 : "yes";
	scoped_str name = strndup(text, strcspn(text, "="));
	scoped_buffer out = {0};
	const struct place_option *o;
	int at;

	if (name == NULL)
		return value_no_memory(err);
	at = find_option(name, err);
	if (at == -1)
		return -1;
	o = &place_options[at];
	if (equals == NULL && o->kind != KIND_FLAG && o->kind != KIND_TRISTATE &&
		o->kind != KIND_KEEPALIVE)
		return error_set(err, 0, "option '%s' needs '=value'", name);
	if (!fits_address(a, o))
		return error_set(err, 0, "option '%s' does not fit this kind of address", name);
	if (texts[at] != NULL)
		return error_set(err, 0, "option '%s' is given twice", name);
	if (parse_value(o, (char *)a + o->offset, value, &out, err) == -1 && !out.failed)
		return error_wrap(err, "%s", name);
	texts[at] = buffer_take(&out);
	return texts[at] != NULL ? 0 : value_no_memory(err);
}

/* In the order of the table, so that equal options are written alike. */
static char *join_options(const struct address *a, const option_texts texts)
{
	scoped_buffer out = {0};

	for (size_t i = OPTION_BACKLOG + 1; i < COUNT_OF(place_options); i++) {
		const struct place_option *o = &place_options[i];

		if (texts[i] == NULL ||
			(o->kind == KIND_FLAG && !*((const bool *)((const char *)a + o->offset))))
			continue;
		buffer_printf(&out, ", %s%s%s", o->name, *texts[i] != '\0' ? "=" : "", texts[i]);
	}
	return buffer_take(&out);
}

/* ---- whole addresses ---- */

/* The default name, of an address with its text; heap. */
static char *default_name(const struct address *a)
{
	const char *whole = a->path != NULL ? a->path : strrchr(a->text, ':') + 1;
	const char *last = strrchr(whole, '/');
	char name[NAME_MAX_LENGTH + 1];

	last = last != NULL && last[1] != '\0' ? last + 1 : whole;
	if (a->kind == ADDRESS_FD)
		snprintf(name, sizeof(name), "fd%d", a->fd);
	else
		text_copy(name, sizeof(name), *last == '@' ? last + 1 : last);
	for (char *c = name; *c != '\0'; c++)
		if (!is_name_byte(*c))
			*c = '_';
	return strdup(name);
}

static int parse_parts(struct address *a, const char *text, option_texts texts, struct error *err)
{
	bool first = true;
	const char *from;
	size_t len;

	while ((from = value_next_part(&text, &len)) != NULL) {
		scoped_str part = strndup(from, len);

		if (part == NULL)
			return value_no_memory(err);
		if ((first ? parse_place(a, part, err) : parse_option(a, part, texts, err)) == -1)
			return -1;
		first = false;
	}
	return 0;
}

int address_parse(struct address *to, const char *text, struct error *err)
{
	struct address a = {
		.fd = -1,
		.backlog = -1,
		.mode = -1,
		.owner = -1,
		.group = -1,
		.v6only = -1,
		.defer_accept = -1,
		.keepalive = -1,
		.fastopen = -1,
		.mark = -1,
		.rcvbuf = -1,
		.sndbuf = -1,
	};

	option_texts texts = {NULL};
	int got = parse_parts(&a, text, texts, err);

	if (got == 0) {
		scoped_buffer out = {0};

		(void)format_place(&a, &out);
		a.text = buffer_take(&out);
		a.options = join_options(&a, texts);
		if (a.name == NULL && a.text != NULL)
			a.name = default_name(&a);
		if (a.text == NULL || a.name == NULL || a.options == NULL)
			got = value_no_memory(err);
	}
	for (size_t i = 0; i < COUNT_OF(texts); i++)
		free(texts[i]);
	if (got == 0)
		*to = a;
	else
		address_fini(&a);
	return got;
}

int address_parse_slot(struct address *to, const char *text, unsigned slot, struct error *err)
{
	scoped_str own = expand_names(text, NULL, slot, err);
	struct address a;

	if (own == NULL || address_parse(&a, own, err) == -1)
		return -1;
	if (strcmp(own, text) != 0 && (a.each = strdup(text)) == NULL) {
		address_fini(&a);
		return value_no_memory(err);
	}
	if (a.each != NULL && (a.kind == ADDRESS_FD || address_takes_any_port(&a))) {
		address_fini(&a);
		return value_wanted(err, own, "a port from 1 to 65535, or a name after 'inherit:'");
	}
	*to = a;
	return 0;
}

int address_of_slot(struct address *to, const struct address *a, unsigned slot, struct error *err)
{
	if (a->each == NULL)
		return address_copy(to, a) == 0 ? 0 : value_no_memory(err);
	if (address_parse_slot(to, a->each, slot, err) == -1)
		return error_wrap(err, "slot %u", slot);
	return 0;
}

void address_fini(struct address *a)
{
	free(a->path);
	free(a->name);
	free(a->interface);
	free(a->text);
	free(a->options);
	free(a->each);
	*a = (struct address){0};
}

int address_copy(struct address *to, const struct address *from)
{
	scoped_str whole = address_format(from);
	scoped_str each = from->each != NULL ? strdup(from->each) : NULL;

	if (whole == NULL || (each == NULL && from->each != NULL) ||
		address_parse(to, whole, &(struct error){0}) == -1)
		return -1;
	to->each = str_release(&each);
	return 0;
}

bool address_takes_any_port(const struct address *a)
{
	return a->kind <= ADDRESS_UDP && a->port == 0;
}

bool address_same_place(const struct address *a, const struct address *b)
{
	return strcmp(a->text, b->text) == 0 &&
		(!address_takes_any_port(a) || strcmp(a->name, b->name) == 0);
}

bool address_equal(const struct address *a, const struct address *b)
{
	return address_same_place(a, b) && strcmp(a->name, b->name) == 0 &&
		a->backlog == b->backlog && strcmp(a->options, b->options) == 0 &&
		(a->each == NULL || b->each == NULL ? a->each == b->each
						    : strcmp(a->each, b->each) == 0);
}

char *address_format(const struct address *a)
{
	scoped_str usual = default_name(a);
	scoped_buffer out = {0};

	if (usual == NULL)
		return NULL;
	buffer_string(&out, a->text);
	if (strcmp(usual, a->name) != 0)
		buffer_printf(&out, ", name=%s", a->name);
	if (a->backlog != -1)
		buffer_printf(&out, ", backlog=%d", a->backlog);
	buffer_string(&out, a->options);
	return buffer_take(&out);
}

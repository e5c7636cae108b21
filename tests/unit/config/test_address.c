/* SPDX-License-Identifier: MIT */
#include "../unit.h"

#include "config/address.h"

#include <sys/socket.h>

static const struct {
	const char *text;
	enum address_kind kind;
	int family;
	unsigned port;
	const char *name;
	const char *canonical;
} places[] = {
	{"8000", ADDRESS_TCP, AF_UNSPEC, 8000, "8000", "tcp:*:8000"},
	{":8000", ADDRESS_TCP, AF_UNSPEC, 8000, "8000", "tcp:*:8000"},
	{"tcp:*:8000", ADDRESS_TCP, AF_UNSPEC, 8000, "8000", "tcp:*:8000"},
	{"0", ADDRESS_TCP, AF_UNSPEC, 0, "0", "tcp:*:0"},
	{"65535", ADDRESS_TCP, AF_UNSPEC, 65535, "65535", "tcp:*:65535"},
	{"127.0.0.1:80", ADDRESS_TCP, AF_INET, 80, "80", "tcp:127.0.0.1:80"},
	{"0.0.0.0:80", ADDRESS_TCP, AF_INET, 80, "80", "tcp:0.0.0.0:80"},
	{"[::1]:80", ADDRESS_TCP, AF_INET6, 80, "80", "tcp:[::1]:80"},
	{"[0:0:0:0:0:0:0:1]:80", ADDRESS_TCP, AF_INET6, 80, "80", "tcp:[::1]:80"},
	{"[fe80::1%1]:80", ADDRESS_TCP, AF_INET6, 80, "80", "tcp:[fe80::1%1]:80"},
	{"[fe80::1%lo]:80", ADDRESS_TCP, AF_INET6, 80, "80", "tcp:[fe80::1%1]:80"},
	{"udp:53", ADDRESS_UDP, AF_UNSPEC, 53, "53", "udp:*:53"},
	{"udp:[::]:53", ADDRESS_UDP, AF_INET6, 53, "53", "udp:[::]:53"},
	{"unix:/run/shop/web.sock", ADDRESS_UNIX, AF_UNIX, 0, "web.sock",
		"unix:/run/shop/web.sock"},
	{"unix:/run/a:b c", ADDRESS_UNIX, AF_UNIX, 0, "a_b_c", "unix:/run/a:b c"},
	{"unix:@shop", ADDRESS_UNIX, AF_UNIX, 0, "shop", "unix:@shop"},
	{"unix-dgram:/run/log", ADDRESS_UNIX, AF_UNIX, 0, "log", "unix-dgram:/run/log"},
	{"unix-seqpacket:@x", ADDRESS_UNIX, AF_UNIX, 0, "x", "unix-seqpacket:@x"},
	{"fd:3", ADDRESS_FD, AF_UNSPEC, 0, "fd3", "fd:3"},
	{"fd:0", ADDRESS_FD, AF_UNSPEC, 0, "fd0", "fd:0"},
	{"inherit:http", ADDRESS_INHERIT, AF_UNSPEC, 0, "http", "inherit:http"},
};

static struct address parsed(const char *text)
{
	struct address a;
	struct error err;

	ck_assert_msg(address_parse(&a, text, &err) == 0, "%s: %s", text, err.text);
	return a;
}

TEST_LOOP(every_form_of_a_place_is_understood, 0, (int)COUNT_OF(places))
{
	struct address a = parsed(places[_i].text);

	ck_assert_int_eq(a.kind, places[_i].kind);
	ck_assert_int_eq(a.family, places[_i].family);
	ck_assert_uint_eq(a.port, places[_i].port);
	ck_assert_str_eq(a.name, places[_i].name);
	ck_assert_str_eq(a.text, places[_i].canonical);
	ck_assert_int_eq(a.backlog, -1);
	ck_assert_int_eq(a.mode, -1);
	address_fini(&a);
}

TEST(the_bytes_of_an_address_are_in_network_order)
{
	struct address a = parsed("1.2.3.4:80");
	struct address b = parsed("[102::4]:80");

	ck_assert_mem_eq(a.ip, "\1\2\3\4", 4);
	ck_assert_mem_eq(b.ip, "\1\2\0\0\0\0\0\0\0\0\0\0\0\0\0\4", 16);
	address_fini(&a);
	address_fini(&b);
}

TEST(options_are_kept)
{
	struct address a = parsed("[::]:80 , name=http,backlog=1024, v6only, interface=eth0, "
				  "freebind, defer-accept=5s, nonblock=yes, rcvbuf=64k, "
				  "sndbuf=1M");

	ck_assert_str_eq(a.name, "http");
	ck_assert_int_eq(a.backlog, 1024);
	ck_assert_int_eq(a.v6only, 1);
	ck_assert_str_eq(a.interface, "eth0");
	ck_assert(a.freebind);
	ck_assert_int_eq(a.defer_accept, 5);
	ck_assert(a.nonblock);
	ck_assert_int_eq(a.rcvbuf, 65536);
	ck_assert_int_eq(a.sndbuf, 1048576);
	address_fini(&a);

	a = parsed("unix:/run/x, mode=0660, owner=root, group=#7");
	ck_assert_int_eq(a.mode, 0660);
	ck_assert_int_eq(a.owner, 0);
	ck_assert_int_eq(a.group, 7);
	address_fini(&a);
}

static const char *const whole[] = {"8000", "127.0.0.1:0", "[fe80::1%1]:80, name=a",
	"udp:[::]:53, v6only=no, rcvbuf=1000",
	"tcp:0.0.0.0:1, backlog=7, interface=lo, freebind, defer-accept=1m",
	"unix:/a b/c, mode=0600, owner=#1, group=#2, nonblock", "unix:@x, sndbuf=2M, backlog=1",
	"unix-dgram:/x, mode=0600, rcvbuf=64k", "unix-seqpacket:@x, backlog=3",
	"8000, nodelay, keepalive, fastopen=5, mark=0xffffffff", "8000, keepalive=60s",
	"udp:53, mark=7", "fd:9, name=nine, backlog=5", "inherit:web, nonblock"};

TEST_LOOP(what_is_formatted_parses_to_the_same, 0, (int)COUNT_OF(whole))
{
	struct address a = parsed(whole[_i]);
	scoped_str text = address_format(&a);
	struct address b = parsed(text);
	struct address c;

	ck_assert_msg(address_equal(&a, &b), "%s", text);
	ck_assert_int_eq(address_copy(&c, &b), 0);
	address_fini(&b);
	ck_assert(address_equal(&a, &c));
	address_fini(&a);
	address_fini(&c);
}

TEST(options_make_a_difference_but_not_another_place)
{
	struct address a = parsed("[::1]:80");
	struct address b = parsed("tcp:[0::1]:80, backlog=1");
	struct address c = parsed("udp:[::1]:80");

	ck_assert(address_same_place(&a, &b));
	ck_assert(!address_equal(&a, &b));
	ck_assert(!address_same_place(&a, &c));
	address_fini(&a);
	address_fini(&b);
	address_fini(&c);
}

#define FORMS \
	"wanted an address such as '8000', '127.0.0.1:8000', '[::1]:8000', " \
	"'udp:53', 'unix:/run/x.sock', 'unix:@name', 'fd:3' or " \
	"'inherit:http', found "

static const struct {
	const char *text;
	const char *error; /* begins so */
} mistakes[] = {
	{"", FORMS "''"},
	{"http", FORMS "'http'"},
	{"8000x", FORMS "'8000x'"},
	{"-1", FORMS "'-1'"},
	{"65536", "wanted a port from 0 to 65535, found '65536'"},
	{"99999999999999999999", "wanted a port from 0 to 65535, found"},
	{"127.0.0.1", FORMS "'127.0.0.1'"},
	{"127.0.0.1:", FORMS "'127.0.0.1:'"},
	{"127.0.0.256:1", FORMS "'127.0.0.256'; names are not resolved"},
	{"localhost:80", FORMS "'localhost'; names are not resolved: write "},
	{"::1:80", FORMS "'::1'; write an IPv6 address in [ and ]"},
	{"[::1:80", FORMS "'[::1:80'; write an IPv6 address in [ and ]"},
	{"[::1", FORMS "'[::1'; write an IPv6 address in [ and ]"},
	{"[::g]:80", FORMS "'::g'"},
	{"[]:80", FORMS "''"},
	{"[fe80::1%nosuchdevice]:80", "wanted an interface that exists after '%', found"},
	{"/run/x", FORMS "'/run/x'; write a path after 'unix:'"},
	{"unix:run/x", "wanted an absolute path or '@name' after 'unix:', "},
	{"unix:", "wanted an absolute path or '@name' after 'unix:', found ''"},
	{"unix:/run/", "wanted an absolute path or '@name' after 'unix:', "},
	{"unix:@", "wanted an abstract name of 1 to 107 bytes after 'unix:@'"},
	{"fd:2", "wanted a descriptor's number, 0 or from 3 to 1048575"},
	{"fd:x", "wanted a descriptor's number, 0 or from 3 to 1048575"},
	{"inherit:", "wanted a descriptor's name after 'inherit:', found ''"},
	{"inherit:a:b", "wanted a descriptor's name after 'inherit:', found"},
	{"http://0.0.0.0:80", FORMS "'http://0.0.0.0:80'; write no scheme such as 'http://'"},
	{"80, 81", "unknown option '81'; give each address by itself"},
	{"80, backlgo=1", "unknown option 'backlgo'; did you mean 'backlog'?"},
	{"80,", "unknown option ''"},
	{"80, backlog", "option 'backlog' needs '=value'"},
	{"80, backlog=0", "backlog: wanted a whole number from 1 to 1048576"},
	{"80, backlog=1, backlog=2", "option 'backlog' is given twice"},
	{"80, name=a:b", "name: wanted a name of 1 to 255 printable char"},
	{"80, name=\033", "name: wanted a name of 1 to 255 printable char"},
	{"80, mode=0600", "option 'mode' does not fit this kind"},
	{"unix:@x, mode=0600", "option 'mode' does not fit this kind"},
	{"80, v6only", "option 'v6only' does not fit this kind of address"},
	{"udp:80, backlog=1", "option 'backlog' does not fit this kind of"},
	{"fd:3, freebind", "option 'freebind' does not fit this kind of"},
	{"unix:/x, mode=999", "mode: wanted an octal number from 0 to 0777"},
	{"unix:/x, mode=7777", "mode: wanted an octal number from 0 to 0777"},
	{"unix:/x, owner=nosuchuser", "owner: wanted a user that exists"},
	{"unix:/x, group=12", "group: wanted a group's name, or '#NUMBER'"},
	{"80, defer-accept=1500ms", "defer-accept: wanted whole seconds"},
	{"80, rcvbuf=2G", "rcvbuf: wanted a size of at most 1G in bytes, k, M"},
	{"80, interface=a/b", "interface: wanted an interface's name, found"},
	{"80, freebind=maybe", "freebind: wanted 'yes' or 'no', found"},
};

TEST_LOOP(every_mistake_is_told, 0, (int)COUNT_OF(mistakes))
{
	const char *start = mistakes[_i].error;
	struct address a;
	struct error err;

	ck_assert_int_eq(address_parse(&a, mistakes[_i].text, &err), -1);
	ck_assert_msg(strncmp(err.text, start, strlen(start)) == 0, "%s", err.text);
}

TEST(an_abstract_name_fills_sun_path_and_no_more)
{
	char text[200] = "unix:@";
	struct address a;
	struct error err;

	memset(text + 6, 'x', 107);
	ck_assert_int_eq(address_parse(&a, text, &err), 0);
	address_fini(&a);
	text[6 + 107] = 'x';
	ck_assert_int_eq(address_parse(&a, text, &err), -1);
}

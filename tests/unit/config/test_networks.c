/* SPDX-License-Identifier: MIT */
#include "config/networks.h"
#include "config_lib.h"

#include <arpa/inet.h>

TEST(networks_are_addresses_with_or_without_a_length)
{
	static const char *const good[] = {
		"10.0.0.0/8", "192.0.2.7", "2001:db8::/32 ::1", " 0.0.0.0/0\t10.1.2.3/32 "};
	static const char *const bad[] = {"", " ", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1",
		"10.0.0.0/8x", "10.0.0", "example.org", "10.0.0.0/8,::1", "::/129", "10.0.0.0/ 8",
		"1111:2222:3333:4444:5555:6666:7777:8888:9999:aaaa:bbbb:cccc/128"};

	for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
		ck_assert_msg(networks_are(good[i]), "%s", good[i]);
	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		ck_assert_msg(!networks_are(bad[i]), "%s", bad[i]);
}

static bool has(const char *networks, const char *address)
{
	uint8_t ip[16];
	size_t len = strchr(address, ':') != NULL ? 16 : 4;

	ck_assert_int_eq(inet_pton(len == 16 ? AF_INET6 : AF_INET, address, ip), 1);
	return networks_have(networks, ip, len);
}

TEST(an_address_is_in_a_network_by_its_first_bits)
{
	ck_assert(has("10.0.0.0/8", "10.255.0.1"));
	ck_assert(!has("10.0.0.0/8", "11.0.0.1"));
	ck_assert(has("192.0.2.128/25", "192.0.2.200"));
	ck_assert(!has("192.0.2.128/25", "192.0.2.100"));
	ck_assert(has("::1 192.0.2.7", "192.0.2.7"));
	ck_assert(!has("::1 192.0.2.7", "192.0.2.8"));
	ck_assert(has("2001:db8::/33", "2001:db8:7fff::1"));
	ck_assert(!has("2001:db8::/33", "2001:db8:8000::1"));
	ck_assert(has("0.0.0.0/0", "203.0.113.9"));
	ck_assert(!has("0.0.0.0/0", "2001:db8::1"));
}

TEST(an_ipv4_client_of_a_dual_stack_socket_is_in_networks_of_ipv4)
{
	ck_assert(has("10.0.0.0/8", "::ffff:10.1.2.3"));
	ck_assert(!has("::/0", "::ffff:10.1.2.3"));
}

TEST(all_has_every_address)
{
	ck_assert(has("all", "203.0.113.9"));
	ck_assert(has("all", "2001:db8::1"));
}

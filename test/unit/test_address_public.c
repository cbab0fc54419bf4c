/*
 * test_address_public.c
 *		Which addresses a webhook may be sent to.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/un.h>

#include "gateway/address_public.h"
#include "tap.h"

/* The edges of a block, and what stands just outside of it. */
typedef struct Edges
{
	const char *what;
	const char *before;			/* NULL: not public either */
	const char *first;
	const char *last;
	const char *after;			/* the same */
} Edges;

static const Edges blocks[] = {
	{"this network", NULL, "0.0.0.0", "0.255.255.255", "1.0.0.0"},
	{"private 10", "9.255.255.255", "10.0.0.0", "10.255.255.255", "11.0.0.0"},
	{"carrier-grade NAT", "100.63.255.255", "100.64.0.0", "100.127.255.255", "100.128.0.0"},
	{"loopback", "126.255.255.255", "127.0.0.0", "127.255.255.255", "128.0.0.0"},
	{"link-local", "169.253.255.255", "169.254.0.0", "169.254.255.255", "169.255.0.0"},
	{"private 172.16", "172.15.255.255", "172.16.0.0", "172.31.255.255", "172.32.0.0"},
	{"protocols", "191.255.255.255", "192.0.0.0", "192.0.0.255", "192.0.1.0"},
	{"documentation 1", "192.0.1.255", "192.0.2.0", "192.0.2.255", "192.0.3.0"},
	{"AS112", "192.31.195.255", "192.31.196.0", "192.31.196.255", "192.31.197.0"},
	{"multicast relays", "192.52.192.255", "192.52.193.0", "192.52.193.255", "192.52.194.0"},
	{"6to4 relays", "192.88.98.255", "192.88.99.0", "192.88.99.255", "192.88.100.0"},
	{"private 192.168", "192.167.255.255", "192.168.0.0", "192.168.255.255", "192.169.0.0"},
	{"AS112 direct", "192.175.47.255", "192.175.48.0", "192.175.48.255", "192.175.49.0"},
	{"benchmarks", "198.17.255.255", "198.18.0.0", "198.19.255.255", "198.20.0.0"},
	{"documentation 2", "198.51.99.255", "198.51.100.0", "198.51.100.255", "198.51.101.0"},
	{"documentation 3", "203.0.112.255", "203.0.113.0", "203.0.113.255", "203.0.114.0"},
	{"multicast, reserved, broadcast", "223.255.255.255", "224.0.0.0", "255.255.255.255", NULL},
	{"Azure's host", "168.63.129.15", "168.63.129.16", "168.63.129.16", "168.63.129.17"},
	{"below unicast", NULL, "::", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2000::"},
	{"above unicast", "3fff:1000::", "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	{"protocols v6", "2000:ffff:ffff:ffff::", "2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "2001:200::"},
	{"documentation v6", "2001:db7:ffff::", "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db9::"},
	{"6to4", "2001:ffff:ffff::", "2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "2003::"},
	{"AS112 v6", "2620:4f:7fff::", "2620:4f:8000::", "2620:4f:8000:ffff:ffff:ffff:ffff:ffff", "2620:4f:8001::"},
	{"6bone", "3ffd:ffff::", "3ffe::", "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff", NULL},
	{"documentation v6, the new one", NULL, "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "3fff:1000::"},
};

#define LEN(array) (sizeof(array) / sizeof(array)[0])

static RgAddress
address_of(const char *text)
{
	RgAddress	address = {{0}};

	if (!rg_address_parse(rg_slice_of(text), &address))
		ok(false, "%s is an address", text);
	return address;
}

static bool
is_public(const char *text)
{
	RgAddress	address = address_of(text);

	return rg_address_public(&address);
}

static bool
is_loopback(const char *text)
{
	RgAddress	address = address_of(text);

	return rg_address_loopback(&address);
}

static void
test_edges(const Edges *edges)
{
	ok(!is_public(edges->first) && !is_public(edges->last), "%s is not public", edges->what);
	ok((edges->before == NULL || is_public(edges->before)) &&
	   (edges->after == NULL || is_public(edges->after)), "... and what is beside it is");
}

static void
test_written_in_ipv6(void)
{
	static const char *const inner[] = {"127.0.0.1", "10.1.2.3", "169.254.169.254", "192.168.0.1", "0.0.0.0", "100.100.100.200"};
	static const char *const forms[] = {"::ffff:%s", "64:ff9b::%s", "::%s", "64:ff9b:1::%s", "::ffff:0:%s", "2002:7f00:1::%s", "2001:0:%s::"};
	char		text[64];
	bool		found = false;

	for (size_t form = 0; form < LEN(forms) - 1; form++)
		for (size_t i = 0; i < LEN(inner); i++)
		{
			snprintf(text, sizeof text, forms[form], inner[i]);
			found |= is_public(text);
		}
	ok(!found, "an address that is not public is none within IPv6 either");
	ok(is_public("::ffff:8.8.8.8") && is_public("64:ff9b::8.8.8.8"), "a public one is, mapped or translated");
	ok(!is_public("::8.8.8.8") && !is_public("64:ff9b:1::8.8.8.8") && !is_public("::ffff:0:8.8.8.8"),
	   "forms that nothing public has are not");
	ok(!is_public("2002:808:808::1") && !is_public("2001:0:808:808::f7f7:f7f7"), "6to4 and Teredo are not, whatever stands in them");
}

static void
test_metadata(void)
{
	static const char *const services[] = {"169.254.169.254", "169.254.170.2", "fd00:ec2::254", "fd20:ce::254",
	"100.100.100.200", "192.0.0.192", "168.63.129.16", "fe80::a9fe:a9fe", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe"};

	for (size_t i = 0; i < LEN(services); i++)
		ok(!is_public(services[i]), "the metadata service %s", services[i]);
}

static bool
is_metadata(const char *text)
{
	RgAddress	address = address_of(text);

	return rg_address_metadata(&address);
}

/* Which stand in networks that an operator may well call his own. */
static void
test_metadata_in_own_networks(void)
{
	static const char *const services[] = {"169.254.169.254", "169.254.170.2", "169.254.170.23", "100.100.100.200", "192.0.0.192",
	"168.63.129.16", "fd00:ec2::254", "fd00:ec2::23", "fd20:ce::254", "::ffff:100.100.100.200", "64:ff9b::169.254.169.254"};
	static const char *const others[] = {"169.254.169.253", "100.100.100.201", "192.0.0.191", "fd00:ec2::253", "fd00:ec2::1:254",
	"fd00:ec2:0:1::254", "::169.254.169.254", "10.0.0.1", "8.8.8.8"};

	for (size_t i = 0; i < LEN(services); i++)
		ok(is_metadata(services[i]) && !is_public(services[i]), "%s tells credentials", services[i]);
	for (size_t i = 0; i < LEN(others); i++)
		ok(!is_metadata(others[i]), "%s does not", others[i]);
}

static void
test_own_networks(void)
{
	ok(!is_public("fc00::1") && !is_public("fdff:ffff::1") && !is_public("fe80::1") && !is_public("fec0::1"),
	   "unique local, link-local and site-local");
	ok(!is_public("ff02::1") && !is_public("::1") && !is_public("::") && !is_public("100::1") && !is_public("5f00::1"),
	   "multicast, loopback, unspecified, discard, segment routing");
	ok(is_public("2606:4700:4700::1111") && is_public("2a00:1450:4001::1") && is_public("1.1.1.1") && is_public("93.184.216.34"),
	   "receivers on the Internet are public");
	ok(is_loopback("127.0.0.1") && is_loopback("127.255.0.3") && is_loopback("::1") && is_loopback("::ffff:127.0.0.1"), "loopback");
	ok(!is_loopback("128.0.0.1") && !is_loopback("::2") && !is_loopback("::") && !is_loopback("7f00::1") && !is_loopback("0.0.0.0"), "no loopback");
}

static void
test_socket_addresses(void)
{
	struct sockaddr_in v4 = {.sin_family = AF_INET,.sin_port = htons(443)};
	struct sockaddr_in6 v6 = {.sin6_family = AF_INET6,.sin6_addr = IN6ADDR_LOOPBACK_INIT};
	struct sockaddr_un local = {.sun_family = AF_UNIX};
	RgAddress	address;
	RgAddress	expected = address_of("192.0.2.1");

	v4.sin_addr.s_addr = inet_addr("192.0.2.1");
	ok(rg_address_of((struct sockaddr *) &v4, &address) && memcmp(&address, &expected, sizeof address) == 0, "IPv4's is mapped");
	ok(rg_address_of((struct sockaddr *) &v6, &address) && rg_address_loopback(&address), "IPv6's is itself");
	ok(!rg_address_of((struct sockaddr *) &local, &address), "a path is no address");
}

int
main(void)
{
	for (size_t i = 0; i < LEN(blocks); i++)
		test_edges(&blocks[i]);
	test_written_in_ipv6();
	test_metadata();
	test_metadata_in_own_networks();
	test_own_networks();
	test_socket_addresses();
	return done();
}

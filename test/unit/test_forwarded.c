/*
 * test_forwarded.c
 *		Addresses, networks and X-Forwarded-For.
 */
#include <netinet/in.h>

#include "gateway/forwarded.h"
#include "tap.h"

static RgNetworks trusted;

static RgSlice
slice_of(const char *text)
{
	return rg_slice(text, strlen(text));
}

static bool
parses_to(const char *text, const char *expected)
{
	RgAddress	address;
	char		out[INET6_ADDRSTRLEN];

	if (!rg_address_parse(slice_of(text), &address))
		return expected == NULL;
	rg_address_text(&address, out);
	return expected != NULL && strcmp(out, expected) == 0;
}

static void
test_addresses(void)
{
	ok(parses_to("192.0.2.1", "192.0.2.1"), "IPv4");
	ok(parses_to("2001:DB8::1", "2001:db8::1"), "IPv6");
	ok(parses_to("::ffff:192.0.2.1", "192.0.2.1"), "IPv4 mapped into IPv6");
	ok(parses_to("192.0.2.1:80", NULL), "no port");
	ok(parses_to("192.0.2", NULL) && parses_to("0300.0.2.1", NULL), "no other form of IPv4");
	ok(parses_to("[::1]", NULL) && parses_to("fe80::1%eth0", NULL), "no bracket, no zone");
	ok(parses_to("", NULL) && parses_to("unknown", NULL), "no word");
}

static bool
is_list(const char *text)
{
	RgNetworks	networks;
	RgSlice		bad;

	return rg_networks_parse(slice_of(text), &networks, &bad);
}

static bool
contains(const char *list, const char *text)
{
	RgNetworks	networks;
	RgAddress	address;
	RgSlice		bad;

	return rg_networks_parse(slice_of(list), &networks, &bad) &&
		rg_address_parse(slice_of(text), &address) &&
		rg_networks_contain(&networks, &address);
}

static void
test_networks(void)
{
	ok(is_list("") && is_list("10.0.0.0/8, ::1 ,192.0.2.1"), "lists");
	ok(!is_list("10.0.0.0/33") && !is_list("::/129") && !is_list("10.0.0.0/"), "bad lengths");
	ok(!is_list("10.0.0.0/-1") && !is_list("10.0.0.0/08x") && !is_list("a,"), "bad entries");
	ok(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"), "a /8");
	ok(contains("10.0.0.128/25", "10.0.0.200") && !contains("10.0.0.128/25", "10.0.0.1"), "a /25");
	ok(contains("192.0.2.1", "192.0.2.1") && !contains("192.0.2.1", "192.0.2.2"), "one address");
	ok(contains("0.0.0.0/0", "8.8.8.8") && !contains("0.0.0.0/0", "2001:db8::1"), "all of IPv4");
	ok(contains("2001:db8::/33", "2001:db8:7fff::1") &&
	   !contains("2001:db8::/33", "2001:db8:8000::1"), "a /33 of IPv6");
	ok(contains("::/0", "8.8.8.8"), "everything");
}

static bool
client_is(const char *peer, const char *header, const char *expected)
{
	RgAddress	client;
	char		out[INET6_ADDRSTRLEN];

	if (!rg_address_parse(slice_of(peer), &client))
		return false;
	(void) rg_forwarded_client(&trusted, slice_of(header), &client);
	rg_address_text(&client, out);
	return strcmp(out, expected) == 0;
}

static void
test_client(void)
{
	RgSlice		bad;

	ok(rg_networks_parse(RG_SLICE("10.0.0.0/8,fd00::/8"), &trusted, &bad), "trusted proxies");
	ok(client_is("198.51.100.1", "203.0.113.9", "198.51.100.1"), "a stranger is not believed");
	ok(client_is("10.0.0.1", "203.0.113.9", "203.0.113.9"), "a proxy is");
	ok(client_is("10.0.0.1", "1.1.1.1, 203.0.113.9", "203.0.113.9"),
	   "what is left of the client is its own invention");
	ok(client_is("10.0.0.1", "1.1.1.1, 203.0.113.9, 10.0.0.2", "203.0.113.9"), "two proxies");
	ok(client_is("10.0.0.1", "10.0.0.3,10.0.0.2", "10.0.0.3"), "proxies only");
	ok(client_is("10.0.0.1", "", "10.0.0.1"), "an empty header");
	ok(client_is("10.0.0.1", "203.0.113.9, unknown", "10.0.0.1"), "no address stops the walk");
	ok(client_is("10.0.0.1", "203.0.113.9, 10.0.0.2:80, 10.0.0.3", "10.0.0.3"),
	   "it stops where it is");
	ok(client_is("10.0.0.1", "203.0.113.9,,10.0.0.2", "10.0.0.2"), "an empty entry stops it");
	ok(client_is("fd00::1", "2001:db8::5", "2001:db8::5"), "IPv6");
}

int
main(void)
{
	test_addresses();
	test_networks();
	test_client();
	return done();
}

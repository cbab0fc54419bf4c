/*
 * test_origin.c
 *		The gateway's own origin, and what proxies say of the scheme.
 */
#include "gateway/origin.h"
#include "gateway/security_headers.h"
#include "tap.h"

static bool
is_origin(bool secure, const char *host, const char *expected)
{
	char		room[RG_ORIGIN_MAX];
	RgText		text = {room, sizeof room, 0};

	rg_origin_put(&text, secure, rg_slice_of(host));
	return rg_slice_is(rg_slice(room, text.len), expected);
}

static bool
leads_to(const char *host, int port, const char *expected)
{
	char		room[RG_ORIGIN_MAX];
	RgText		text = {room, sizeof room, 0};

	rg_origin_put_https(&text, rg_slice_of(host), port);
	return rg_slice_is(rg_slice(room, text.len), expected);
}

static bool
is_https(const char *value)
{
	return rg_proto_is_https(rg_slice_of(value));
}

static bool
are_hosts(const char *list)
{
	RgSlice		bad;

	return rg_hosts_check(rg_slice_of(list), &bad);
}

static void
test_origins(void)
{
	ok(is_origin(true, "A.Example", "https://a.example"), "in lower case");
	ok(is_origin(true, "a:443", "https://a") && is_origin(false, "a:80", "http://a"), "without the usual port");
	ok(is_origin(true, "a:0443", "https://a"), "however it is written");
	ok(is_origin(true, "a:80", "https://a:80") && is_origin(false, "a:8080", "http://a:8080"), "with any other");
	ok(is_origin(true, "a:", "https://a"), "a colon alone is no port");
	ok(is_origin(false, "[::1]:8080", "http://[::1]:8080"), "an IPv6 address");
	ok(leads_to("a:8080", 443, "https://a") && leads_to("a", 8443, "https://a:8443"), "a redirect's port is ours");
	ok(leads_to("[2001:DB8::1]:80", 443, "https://[2001:db8::1]"), "of an address, too");
}

static void
test_protos(void)
{
	ok(is_https("https") && is_https("HTTPS") && is_https(" https\t"), "https");
	ok(is_https("https, https"), "of every proxy");
	ok(!is_https("https, http") && !is_https("http, https") && !is_https("http"), "not of some");
	ok(!is_https("") && !is_https(",") && !is_https("https,") && !is_https(",https"), "nothing is not https");
	ok(!is_https("httpsx") && !is_https("wss") && !is_https("\"https\""), "nor is anything else");
}

static void
test_hosts(void)
{
	ok(are_hosts("") && are_hosts("a.example, [::1] b"), "names of hosts");
	ok(!are_hosts("a.example:443") && !are_hosts("https://a") && !are_hosts("*.a") && !are_hosts("a/b"),
	   "and what is none");
}

static void
test_security_values(void)
{
	ok(rg_security_value_valid("default-src 'self'") && rg_security_value_valid(""), "a header's value");
	ok(!rg_security_value_valid("a\r\nSet-Cookie: b") && !rg_security_value_valid("\xc3\xa4"), "must not end its line");
	ok(rg_security_sources_valid("https://a.example wss://a.example"), "sources");
	ok(!rg_security_sources_valid("a; script-src *") && !rg_security_sources_valid("a, b"), "must not end their directive");
}

int
main(void)
{
	test_origins();
	test_protos();
	test_hosts();
	test_security_values();
	return done();
}

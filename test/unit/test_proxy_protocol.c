/*
 * test_proxy_protocol.c
 *		PROXY protocol headers, whole, cut, and wrong.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "gateway/proxy_protocol.h"
#include "tap.h"

#define SIGNATURE "\r\n\r\n\0\r\nQUIT\n"
#define V4 "\xc0\0\2\1" "\xc6\x33\x64\1" "\x30\x39" "\x01\xbb"
#define V6 "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1" "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2" "\x30\x39" "\x01\xbb"

static RgProxyHeader header;

/* From a copy of exact size, for sanitizers. */
static bool
parse(RgSlice text)
{
	char	   *copy = malloc(text.len + !text.len);
	bool		valid;

	memcpy(copy, text.data, text.len);
	valid = rg_proxy_parse(copy, text.len, &header);
	free(copy);
	return valid;
}

/* At every length that is shorter it is not refused as long as it may go on. */
static bool
comes_byte_by_byte(RgSlice text)
{
	for (size_t len = 0; len < text.len; len++)
	{
		char	   *copy = malloc(len + !len);
		int			whole;

		memcpy(copy, text.data, len);
		whole = rg_proxy_length(copy, len, &header);
		free(copy);
		if (whole != (int) (len < RG_PROXY_FIXED ? RG_PROXY_FIXED : text.len))
			return false;
	}
	return rg_proxy_length(text.data, text.len, &header) == (int) text.len;
}

static bool
client_is(const char *expected)
{
	char		text[INET6_ADDRSTRLEN];

	rg_address_text(&header.client, text);
	return header.has_client && strcmp(text, expected) == 0;
}

#define HEADER(command, family, len, rest) RG_SLICE(SIGNATURE command family len rest)
#define TCP4(len, rest) HEADER("\x21", "\x11", len, rest)

static void
accepts(RgSlice text, const char *client, const char *name)
{
	bool		valid = comes_byte_by_byte(text) && parse(text);

	ok(valid && (client ? client_is(client) : !header.has_client), "%s", name);
}

static void
refuses(RgSlice text, const char *name)
{
	ok(!parse(text) && header.error != NULL, "%s: %s", name, header.error ? header.error : "taken");
}

static void
test_families(void)
{
	accepts(TCP4("\0\x0c", V4), "192.0.2.1", "TCP by IPv4");
	accepts(HEADER("\x21", "\x21", "\0\x24", V6), "2001:db8::1", "TCP by IPv6");
	accepts(HEADER("\x21", "\x00", "\0\0", ""), NULL, "unspecified");
	accepts(HEADER("\x20", "\x00", "\0\0", ""), NULL, "LOCAL");
	accepts(HEADER("\x20", "\x11", "\0\x0c", V4), NULL, "LOCAL, whatever it says");
	accepts(HEADER("\x20", "\xff", "\0\1", "x"), NULL, "LOCAL with what is no TLV");
	refuses(TCP4("\0\x0b", "\xc0\0\2\1\xc6\x33\x64\1\x30\x39\1"), "an address too short");
	refuses(HEADER("\x21", "\x21", "\0\x23", "\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\xd\xb8\0\0\0\0\0\0\0\0\0\0\0\2\x30\x39\1"),
			"IPv6 too short");
	refuses(HEADER("\x21", "\x12", "\0\x0c", V4), "UDP");
	refuses(HEADER("\x21", "\x41", "\0\x0c", V4), "an unknown family");
	refuses(HEADER("\x11", "\x11", "\0\x0c", V4), "version 1 in binary");
	refuses(HEADER("\x31", "\x11", "\0\x0c", V4), "version 3");
	refuses(HEADER("\x22", "\x11", "\0\x0c", V4), "an unknown command");
}

static void
test_unix(void)
{
	char		text[16 + 216] = SIGNATURE "\x21\x31\0\xd8/tmp/a";

	accepts(rg_slice(text, sizeof text), NULL, "a unix socket's client is the proxy's own");
	text[15] = '\xd7';
	refuses(rg_slice(text, sizeof text - 1), "unless it is too short");
}

static void
test_signature(void)
{
	refuses(RG_SLICE("PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n"), "version 1");
	refuses(RG_SLICE("GET / HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP");
	refuses(RG_SLICE("\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03qqqqqqqq"), "TLS");
	refuses(RG_SLICE("\r\n\r\n\0\r\nQUIT\r\x21\x11\0\x0c" V4), "nearly it");
	ok(rg_proxy_length("G", 1, &header) == -1, "HTTP is refused at its first byte");
	ok(rg_proxy_length("\r\n\r\nX", 5, &header) == -1, "and anything as soon as it differs");
	ok(rg_proxy_length(SIGNATURE "\x21\x11\x0f\xf0", 16, &header) == 4096, "4096 bytes at most");
	ok(rg_proxy_length(SIGNATURE "\x21\x11\x0f\xf1", 16, &header) == -1, "not one more");
	ok(rg_proxy_length(SIGNATURE "\x21\x11\xff\xff", 16, &header) == -1, "and not 65551");
	refuses(TCP4("\0\x0c", "\xc0\0\2\1"), "a header that is not whole");
	refuses(TCP4("\0\x0c", V4 "GET / HTTP/1.1\r\n"), "one with something behind it");
}

static void
test_tlvs(void)
{
	accepts(TCP4("\0\x14", V4 "\4\0\0" "\2\0\2ab"), "192.0.2.1", "TLVs");
	refuses(TCP4("\0\x0e", V4 "\4\0"), "half a TLV");
	refuses(TCP4("\0\x10", V4 "\4\0\2a"), "one that is longer than the header");
	refuses(TCP4("\0\x0f", V4 "\4\xff\xff"), "by far");
	accepts(TCP4("\0\x14", V4 "\x20\0\5\1\0\0\0\0"), "192.0.2.1", "by TLS");
	ok(header.secure, "it says so");
	accepts(TCP4("\0\x14", V4 "\x20\0\5\6\0\0\0\1"), "192.0.2.1", "a certificate, but of another connection");
	ok(!header.secure, "says nothing of TLS");
	accepts(TCP4("\0\x1a", V4 "\x20\0\x0b\1\0\0\0\0\x21\0\3" "1.3"), "192.0.2.1", "with its version");
	refuses(TCP4("\0\x13", V4 "\x20\0\4\1\0\0\0"), "TLS, too short");
	refuses(TCP4("\0\x18", V4 "\x20\0\x09\1\0\0\0\0\x21\0\3" "1"), "TLS, with a part longer than it");
	accepts(TCP4("\0\x0c", V4), "192.0.2.1", "without");
	ok(!header.secure, "it is not by TLS");
	accepts(HEADER("\x20", "\x11", "\0\x14", V4 "\x20\0\5\1\0\0\0\0"), NULL, "LOCAL");
	ok(!header.secure, "is not either");
}

/* The sum was computed by another implementation. */
static void
test_checksum(void)
{
	accepts(TCP4("\0\x13", V4 "\3\0\4" "\x9b\x5e\xa8\xe7"), "192.0.2.1", "a checksum");
	refuses(TCP4("\0\x13", V4 "\3\0\4\0\0\0\0"), "a wrong one");
	refuses(TCP4("\0\x12", V4 "\3\0\3\0\0\0"), "one too short");
}

int
main(void)
{
	test_families();
	test_unix();
	test_signature();
	test_tlvs();
	test_checksum();
	return done();
}

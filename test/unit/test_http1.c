/*
 * test_http1.c
 *		Each rule of the strict HTTP/1.1 head, and of chunked bodies.
 */
#include <stdlib.h>
#include <string.h>

#include "gateway/chunked.h"
#include "gateway/http1.h"
#include "tap.h"

#define LINE "GET / HTTP/1.1\r\n"
#define HOST "Host: a\r\n"

/* What the head is read as, at once: its length or -status. */
static int
at_once(RgSlice text, RgHttpHead *head)
{
	size_t		scanned = 0;

	return rg_http_head(text.data, text.len, &scanned, head);
}

/* The same, each byte a call; from a copy of exact size, for sanitizers. */
static int
byte_by_byte(RgSlice text, RgHttpHead *head)
{
	size_t		scanned = 0;
	int			result = 0;

	for (size_t len = 1; len <= text.len && result == 0; len++)
	{
		char	   *copy = malloc(len);

		memcpy(copy, text.data, len);
		result = rg_http_head(copy, len, &scanned, head);
		free(copy);
	}
	return result;
}

static void
reads_as(int expected, RgSlice text, const char *name)
{
	RgHttpHead	head;
	int			once = at_once(text, &head);
	int			bytes = byte_by_byte(text, &head);

	ok(once == expected && bytes == expected, "%s: %d (got %d, byte by byte %d)",
	   name, expected, once, bytes);
}

static void
accepts(RgSlice text, const char *name)
{
	reads_as(text.len, text, name);
}

#define ACCEPT(text, name) accepts(RG_SLICE(text), name)
#define REFUSE(status, text, name) reads_as(-(status), RG_SLICE(text), name)

static void
test_request_line(void)
{
	ACCEPT(LINE HOST "\r\n", "the plainest request");
	ACCEPT("GET / HTTP/1.0\r\n\r\n", "HTTP/1.0 without Host");
	ACCEPT("OPTIONS * HTTP/1.1\r\n" HOST "\r\n", "OPTIONS *");
	REFUSE(400, "\r\n" LINE HOST "\r\n", "an empty line first");
	REFUSE(400, " GET / HTTP/1.1\r\n" HOST "\r\n", "a space first");
	REFUSE(400, "GET  / HTTP/1.1\r\n" HOST "\r\n", "two spaces before the target");
	REFUSE(400, "GET /  HTTP/1.1\r\n" HOST "\r\n", "two spaces behind the target");
	REFUSE(400, "GET\t/ HTTP/1.1\r\n" HOST "\r\n", "a tab for a space");
	REFUSE(400, "GET /\r\n" HOST "\r\n", "no version");
	REFUSE(400, "G(T / HTTP/1.1\r\n" HOST "\r\n", "a method that is no token");
	REFUSE(400, "ABCDEFGHIJKLMNOPQ / HTTP/1.1\r\n" HOST "\r\n", "a very long method");
	REFUSE(400, "GET /\x01 HTTP/1.1\r\n" HOST "\r\n", "a control character in the target");
	REFUSE(400, "GET /\xc3\xa9 HTTP/1.1\r\n" HOST "\r\n", "raw UTF-8 in the target");
	REFUSE(400, "GET /\0 HTTP/1.1\r\n" HOST "\r\n", "a NUL in the target");
	REFUSE(400, "GET / HTTP/1.1 \r\n" HOST "\r\n", "a space behind the version");
	REFUSE(400, "GET / http/1.1\r\n" HOST "\r\n", "a version in lower case");
	REFUSE(505, "GET / HTTP/2.0\r\n" HOST "\r\n", "HTTP/2.0");
	REFUSE(505, "GET / HTTP/1.2\r\n" HOST "\r\n", "HTTP/1.2");
	REFUSE(505, "GET / HTTP/0.9\r\n" HOST "\r\n", "HTTP/0.9");
	REFUSE(400, "GET / HTTP/1.10\r\n" HOST "\r\n", "HTTP/1.10");
}

static void
test_lines(void)
{
	REFUSE(400, "GET / HTTP/1.1\n" HOST "\r\n", "a bare LF ends the request line");
	REFUSE(400, LINE "Host: a\n\r\n", "a bare LF ends a header");
	REFUSE(400, LINE HOST "\n", "a bare LF for the empty line");
	REFUSE(400, LINE "Host: a\rX: b\r\n\r\n", "a bare CR in a header");
	REFUSE(400, LINE HOST "X: a\r\n b\r\n\r\n", "a folded header (space)");
	REFUSE(400, LINE HOST "X: a\r\n\tb\r\n\r\n", "a folded header (tab)");
	REFUSE(400, LINE HOST "X : a\r\n\r\n", "a space before the colon");
	REFUSE(400, LINE HOST ": a\r\n\r\n", "a header without name");
	REFUSE(400, LINE HOST "X\r\n\r\n", "a header without colon");
	REFUSE(400, LINE HOST "X(: a\r\n\r\n", "a header's name that is no token");
	REFUSE(400, LINE HOST "X\xc3\xa9: a\r\n\r\n", "a header's name beyond ASCII");
	REFUSE(400, LINE HOST "X: a\0b\r\n\r\n", "a NUL in a value");
	REFUSE(400, LINE HOST "X: a\x7f\r\n\r\n", "a DEL in a value");
	REFUSE(400, LINE HOST "X: a\x0b\r\n\r\n", "a vertical tab in a value");
	ACCEPT(LINE HOST "X:\r\n\r\n", "an empty value");
	ACCEPT(LINE HOST "X: \t a\tb \t\r\n\r\n", "blanks around and tabs within a value");
	ACCEPT(LINE HOST "X: \xc3\xa9\r\n\r\n", "bytes above 127 in a value");
	reads_as(0, RG_SLICE(LINE HOST), "an incomplete head");
}

static void
test_host(void)
{
	REFUSE(400, LINE "\r\n", "no Host in HTTP/1.1");
	REFUSE(400, LINE HOST HOST "\r\n", "two Hosts");
	REFUSE(400, LINE HOST "hOST: b\r\n\r\n", "two Hosts, differently spelled");
	REFUSE(400, LINE "Host:\r\n\r\n", "an empty Host");
	REFUSE(400, LINE "Host: a b\r\n\r\n", "a space in Host");
	REFUSE(400, LINE "Host: a/b\r\n\r\n", "a slash in Host");
	REFUSE(400, LINE "Host: u@a\r\n\r\n", "a user in Host");
	REFUSE(400, LINE "Host: a,b\r\n\r\n", "a list in Host");
	REFUSE(400, LINE "Host: a:\x62\r\n\r\n", "a port that is no number");
	REFUSE(400, LINE "Host: a:123456\r\n\r\n", "a port that is too long");
	REFUSE(400, LINE "Host: [::1\r\n\r\n", "an open bracket");
	REFUSE(400, LINE "Host: []\r\n\r\n", "empty brackets");
	REFUSE(400, LINE "Host: :80\r\n\r\n", "a port without a name");
	ACCEPT(LINE "Host: a.b-c_d.example:8080\r\n\r\n", "a name and a port");
	ACCEPT(LINE "Host: [::ffff:127.0.0.1]:80\r\n\r\n", "an IPv6 address and a port");
	REFUSE(400, "GET / HTTP/1.0\r\n" HOST HOST "\r\n", "two Hosts in HTTP/1.0");
}

static void
test_content_length(void)
{
	ACCEPT(LINE HOST "Content-Length: 0\r\n\r\n", "a length of zero");
	ACCEPT(LINE HOST "Content-Length: 999999999999999\r\n\r\n", "15 digits");
	REFUSE(400, LINE HOST "Content-Length: 1000000000000000\r\n\r\n", "16 digits");
	REFUSE(400, LINE HOST "Content-Length:\r\n\r\n", "no digit");
	REFUSE(400, LINE HOST "Content-Length: +5\r\n\r\n", "a sign");
	REFUSE(400, LINE HOST "Content-Length: -1\r\n\r\n", "a negative length");
	REFUSE(400, LINE HOST "Content-Length: 0x5\r\n\r\n", "a hexadecimal length");
	REFUSE(400, LINE HOST "Content-Length: 5 5\r\n\r\n", "two numbers");
	REFUSE(400, LINE HOST "Content-Length: 5, 5\r\n\r\n", "a list of equal lengths");
	REFUSE(400, LINE HOST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", "two equal lengths");
	REFUSE(400, LINE HOST "Content-Length: 5\r\ncontent-length: 6\r\n\r\n", "two lengths");
	REFUSE(400, LINE HOST "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n",
		   "Content-Length, then Transfer-Encoding");
	REFUSE(400, LINE HOST "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n",
		   "Transfer-Encoding, then Content-Length");
}

static void
test_transfer_encoding(void)
{
	ACCEPT(LINE HOST "Transfer-Encoding: chunked\r\n\r\n", "chunked");
	ACCEPT(LINE HOST "transfer-encoding: Chunked\r\n\r\n", "chunked in other letters");
	REFUSE(400, LINE HOST "Transfer-Encoding : chunked\r\n\r\n", "a space before the colon");
	REFUSE(400, LINE HOST "Transfer-Encoding: xchunked\r\n\r\n", "xchunked");
	REFUSE(400, LINE HOST "Transfer-Encoding: gzip, chunked\r\n\r\n", "gzip, chunked");
	REFUSE(400, LINE HOST "Transfer-Encoding: chunked, chunked\r\n\r\n", "chunked, chunked");
	REFUSE(400, LINE HOST "Transfer-Encoding: chunked;q=1\r\n\r\n", "chunked with a parameter");
	REFUSE(400, LINE HOST "Transfer-Encoding: \x0b" "chunked\r\n\r\n", "chunked behind a vertical tab");
	REFUSE(400, LINE HOST "Transfer-Encoding: identity\r\n\r\n", "identity");
	REFUSE(400, LINE HOST "Transfer-Encoding:\r\n\r\n", "nothing");
	REFUSE(400, LINE HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
		   "chunked twice");
	REFUSE(400, LINE HOST "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
		   "chunked and identity");
	REFUSE(400, "POST / HTTP/1.0\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n",
		   "chunked in HTTP/1.0");
}

static void
test_expect(void)
{
	RgHttpHead	head;

	ACCEPT(LINE HOST "Expect: 100-Continue\r\n\r\n", "100-continue is expected");
	(void) at_once(RG_SLICE(LINE HOST "Expect: 100-continue\r\n\r\n"), &head);
	ok(head.expects_continue, "and noted");
	REFUSE(417, LINE HOST "Expect: 200-ok\r\n\r\n", "something else is expected");
	(void) at_once(RG_SLICE("GET / HTTP/1.0\r\nExpect: 100-continue\r\n\r\n"), &head);
	ok(!head.expects_continue, "HTTP/1.0 expects nothing");
}

static bool
keeps_alive(RgSlice text)
{
	RgHttpHead	head;

	return at_once(text, &head) > 0 && head.keep_alive;
}

static void
test_connection(void)
{
	ok(keeps_alive(RG_SLICE(LINE HOST "\r\n")), "HTTP/1.1 keeps alive");
	ok(!keeps_alive(RG_SLICE("GET / HTTP/1.0\r\n\r\n")), "HTTP/1.0 does not");
	ok(keeps_alive(RG_SLICE("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")),
	   "HTTP/1.0 does when asked to");
	ok(!keeps_alive(RG_SLICE(LINE HOST "Connection: close\r\n\r\n")), "close");
	ok(!keeps_alive(RG_SLICE(LINE HOST "Connection: x ,\tClose\r\n\r\n")), "close in a list");
	ok(!keeps_alive(RG_SLICE(LINE HOST "Connection: close\r\nConnection: keep-alive\r\n\r\n")),
	   "close wins over a later keep-alive");
	ok(keeps_alive(RG_SLICE(LINE HOST "Connection: closed\r\n\r\n")), "closed is not close");
}

/* count headers between the request line and the empty line */
static RgSlice
with_headers(char *buf, int count)
{
	size_t		len = sprintf(buf, "%s%s", LINE, HOST);

	for (int i = 1; i < count; i++)
		len += sprintf(buf + len, "X: y\r\n");
	len += sprintf(buf + len, "\r\n");
	return rg_slice(buf, len);
}

static RgSlice
with_target(char *buf, int len)
{
	int			total = sprintf(buf, "GET /%0*d HTTP/1.1\r\n" HOST "\r\n", len - 1, 0);

	return rg_slice(buf, total);
}

static RgSlice
with_value(char *buf, int len)
{
	int			total = sprintf(buf, LINE HOST "X: %0*d\r\n\r\n", len, 0);

	return rg_slice(buf, total);
}

static void
test_sizes(void)
{
	static char buf[40000];
	RgSlice		text;

	accepts(with_headers(buf, 64), "64 headers");
	reads_as(-431, with_headers(buf, 65), "65 headers");
	accepts(with_target(buf, 8192), "a target of 8192 bytes");
	reads_as(-414, with_target(buf, 8193), "a target of 8193 bytes");
	reads_as(-414, with_target(buf, 20000), "a request line longer than a head may be");
	text = with_value(buf, 1);
	accepts(with_value(buf, RG_HTTP_MAX_HEAD - text.len + 1), "a head of 16384 bytes");
	reads_as(-431, with_value(buf, RG_HTTP_MAX_HEAD - text.len + 2), "a head of 16385 bytes");
	memset(buf, 'a', sizeof buf);
	reads_as(-414, rg_slice(buf, sizeof buf), "no line at all");
}

static void
test_values(void)
{
	RgHttpHead	head;
	RgSlice		text = RG_SLICE("POST /a?b HTTP/1.1\r\nHost: h:1\r\nContent-Length: 42\r\n"
								"X-Y:  z \r\n\r\nbody");

	ok(at_once(text, &head) == (int) text.len - 4, "the body is not the head's");
	ok(rg_slice_is(head.method, "POST") && rg_slice_is(head.target, "/a?b"), "method and target");
	ok(rg_slice_is(head.host, "h:1") && head.minor == 1, "host and version");
	ok(rg_slice_is(rg_http_host_name(head.host), "h"), "the host's name");
	ok(rg_slice_is(rg_http_host_name(RG_SLICE("[::1]:80")), "[::1]"), "and of an address");
	ok(head.content_length == 42 && !head.chunked, "the length");
	ok(head.nheaders == 3 && rg_slice_is(head.headers[2].name, "X-Y") &&
	   rg_slice_is(head.headers[2].value, "z"), "names, and values without blanks around");
}

/* Decodes a body in pieces of step bytes; its length or -status, -1 for more. */
static int
decode(RgSlice text, size_t step, char *body)
{
	RgChunked	chunked = {0};
	int			len = 0;

	for (size_t at = 0; at < text.len; at += step)
	{
		RgSlice		input = {text.data + at, text.len - at < step ? text.len - at : step};
		RgSlice		data;
		int			status;

		while ((status = rg_chunked_next(&chunked, &input, &data)) > 0)
		{
			memcpy(body + len, data.data, data.len);
			len += data.len;
		}
		if (status < 0)
			return status;
		if (chunked.state == RG_CHUNK_END)
			return input.len + (text.len - at <= step ? 0 : text.len - at - step) == 0 ? len : -2;
	}
	return -1;
}

static void
decodes_to(RgSlice text, const char *expected, const char *name)
{
	char		body[64];
	char		same[64];
	int			len = decode(text, text.len, body);

	ok(len == (int) strlen(expected) && memcmp(body, expected, len) == 0 &&
	   decode(text, 1, same) == len && memcmp(same, body, len) == 0, "%s", name);
}

static void
body_fails(int expected, RgSlice text, const char *name)
{
	char		body[64];
	int			once = decode(text, text.len, body);
	int			bytes = decode(text, 1, body);

	ok(once == expected && bytes == expected, "%s: %d (got %d, byte by byte %d)",
	   name, expected, once, bytes);
}

#define REFUSE_BODY(status, text, name) body_fails(-(status), RG_SLICE(text), name)

static void
test_chunks(void)
{
	decodes_to(RG_SLICE("5\r\nhello\r\n0\r\n\r\n"), "hello", "one chunk");
	decodes_to(RG_SLICE("1\r\na\r\n0B\r\nbcdefghijkl\r\n000\r\n\r\n"), "abcdefghijkl", "two chunks");
	decodes_to(RG_SLICE("0\r\n\r\n"), "", "no chunk");
	decodes_to(RG_SLICE("1;a=b;c=\"d\"\r\nx\r\n0;e\r\n\r\n"), "x", "extensions");
	decodes_to(RG_SLICE("1\r\nx\r\n0\r\nA: b\r\nC:\r\n\r\n"), "x", "trailers are dropped");
	REFUSE_BODY(400, "0x5\r\nhello\r\n0\r\n\r\n", "0x5");
	REFUSE_BODY(400, "+5\r\nhello\r\n0\r\n\r\n", "+5");
	REFUSE_BODY(400, "-5\r\nhello\r\n0\r\n\r\n", "-5");
	REFUSE_BODY(400, " 5\r\nhello\r\n0\r\n\r\n", "a space before the size");
	REFUSE_BODY(400, "5 \r\nhello\r\n0\r\n\r\n", "a space behind the size");
	REFUSE_BODY(400, "\r\n0\r\n\r\n", "no size");
	REFUSE_BODY(400, ";a\r\n0\r\n\r\n", "an extension without size");
	REFUSE_BODY(400, "5\nhello\r\n0\r\n\r\n", "a bare LF behind the size");
	REFUSE_BODY(400, "5\rhello\r\n0\r\n\r\n", "a bare CR behind the size");
	REFUSE_BODY(400, "5\r\nhelloworld\r\n0\r\n\r\n", "a chunk longer than its size");
	REFUSE_BODY(400, "5\r\nhello\n0\r\n\r\n", "a bare LF behind the data");
	REFUSE_BODY(400, "5\r\nhello0\r\n\r\n", "no CRLF behind the data");
	REFUSE_BODY(413, "000000005\r\nhello\r\n0\r\n\r\n", "nine digits");
	REFUSE_BODY(400, "1;\x01\r\nx\r\n0\r\n\r\n", "a control character in an extension");
	REFUSE_BODY(400, "0\r\n\n", "a bare LF at the end");
	REFUSE_BODY(400, "0\r\n\rx", "a bare CR at the end");
	REFUSE_BODY(400, "0\r\n b\r\n\r\n", "a folded trailer");
	REFUSE_BODY(400, "0\r\nA : b\r\n\r\n", "a space before a trailer's colon");
	REFUSE_BODY(400, "0\r\nA\r\n\r\n", "a trailer without colon");
	REFUSE_BODY(400, "0\r\n:\r\n\r\n", "a trailer without name");
	REFUSE_BODY(400, "0\r\nA: \0\r\n\r\n", "a NUL in a trailer");
	REFUSE_BODY(1, "5\r\nhel", "an incomplete body waits");
}

/* Of a refused head, the headers that came whole: all of them, and no more. */
static void
salvages(RgSlice text, const char *names, const char *name)
{
	RgHttpHead	head;
	char		found[64] = "";

	at_once(text, &head);
	for (int i = 0; i < head.nheaders; i++)
		strncat(found, head.headers[i].name.data, head.headers[i].name.len);
	ok(head.error != NULL && strcmp(found, names) == 0, "%s: %s", name, found);
}

static void
test_salvage(void)
{
	RgHttpHead	head;
	static char many[RG_HTTP_MAX_HEAD] = LINE "A: b\r\nC: ";

	salvages(RG_SLICE("GET x y\r\nA: b\r\nC: d\r\n\r\n"), "AC", "behind a request line that is none");
	salvages(RG_SLICE(LINE "A: b\r\nHost: a b\r\nC: d\r\n\r\n"), "AHostC", "around a Host that is none");
	salvages(RG_SLICE(LINE "A: b\r\n C: d\r\nE : f\r\nG: \1\r\nI: j\r\n\r\n"), "AI", "but not what is no header");
	salvages(RG_SLICE(LINE "A: b\r\nC: d\nE: f\r\n\r\n"), "A", "up to a bare LF");
	salvages(RG_SLICE("\r\n" LINE "A: b\r\n\r\n"), "", "not before the request");
	memset(many + strlen(many), 'x', sizeof many - strlen(many));
	salvages(rg_slice(many, sizeof many), "A", "before a line that is too long");
	rg_http_give_up(LINE "A: b\r\nC: d\r\n", sizeof(LINE "A: b\r\n") - 1, &head);
	ok(head.nheaders == 1 && rg_slice_is(head.headers[0].value, "b"), "of a head that ended early");
	ok(rg_slice_is(head.target, "/"), "and where it was for");
	rg_http_give_up("GET\r\n", 5, &head);
	ok(head.target.data == NULL, "unless that is nowhere");
	rg_http_give_up("", 0, &head);
	ok(head.nheaders == 0 && head.target.data == NULL, "of nothing, nothing");
}

/* Eight bytes are looked at together: each place of a control character counts. */
static void
test_long_values(void)
{
	bool		refused = true;
	bool		taken = true;

	for (int at = 0; at < 40; at++)
		for (int c = 1; c < 256; c++)
		{
			char		text[] = LINE HOST "A: 0123456789012345678901234567890123456789\r\n\r\n";
			bool		control = (c < ' ' && c != '\t') || c == 0x7f;
			RgHttpHead	head;

			text[sizeof LINE HOST "A:" - 1 + at + 1] = c;
			if (control)
				refused &= at_once(rg_slice(text, sizeof text - 1), &head) == -400;
			else
				taken &= at_once(rg_slice(text, sizeof text - 1), &head) == sizeof text - 1;
		}
	ok(refused, "a control character anywhere in a value");
	ok(taken, "and all others");
}

static RgSlice
chunks_with(char *buf, const char *before, int len, const char *behind)
{
	int			total = sprintf(buf, "%s%0*d%s", before, len, 0, behind);

	return rg_slice(buf, total);
}

static void
test_chunk_sizes(void)
{
	static char buf[8192];

	decodes_to(chunks_with(buf, "1;", 256, "\r\nx\r\n0\r\n\r\n"), "x", "256 bytes of extension");
	decodes_to(chunks_with(buf, "1;aa\r\nx\r\n1;", 256, "\r\ny\r\n0\r\n\r\n"), "xy",
			   "of each chunk");
	body_fails(-400, chunks_with(buf, "1;", 257, "\r\nx\r\n0\r\n\r\n"), "257 bytes of extension");
	decodes_to(chunks_with(buf, "0\r\nA:", 2046, "\r\n\r\n"), "", "2048 bytes of trailers");
	body_fails(-431, chunks_with(buf, "0\r\nA:", 2047, "\r\n\r\n"), "2049 bytes of trailers");
}

int
main(void)
{
	test_request_line();
	test_lines();
	test_host();
	test_content_length();
	test_transfer_encoding();
	test_expect();
	test_connection();
	test_sizes();
	test_values();
	test_salvage();
	test_long_values();
	test_chunks();
	test_chunk_sizes();
	return done();
}

/*
 * test_proxy_headers.c
 *		Which headers pass between clients and upstreams.
 */
#include "gateway/proxy_headers.h"
#include "tap.h"

static char buffer[RG_PROXY_MAX_HEAD];

/* The lines of a request with these headers, a "|" behind each. */
static RgSlice
request_lines(const char *headers, bool cookies)
{
	RgText		out = {buffer, sizeof buffer, 0};
	char		text[1024];
	RgHttpHead	head;
	size_t		scanned = 0;

	snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n", headers);
	if (rg_http_head(text, strlen(text), &scanned, &head) <= 0)
		return rg_slice(NULL, 0);
	rg_proxy_request_lines(&head, cookies, &out);
	for (size_t i = 0; i < out.len; i++)
		if (buffer[i] == '\0')
			buffer[i] = '|';
	return rg_slice(buffer, out.len);
}

static void
asks(const char *headers, bool cookies, const char *expected)
{
	RgSlice		lines = request_lines(headers, cookies);

	ok(rg_slice_is(lines, expected), "asks %s (%.*s)", expected, (int) lines.len, lines.data);
}

static void
test_requests(void)
{
	asks("Accept: a\r\nX-Empty:\r\nX-Twice: 1\r\nX-Twice: 2\r\n", false, "Accept: a|X-Empty;|X-Twice: 1|X-Twice: 2|");
	asks("X-Relay-User: r\r\nX-RELAY-ROLE: r\r\nx-relay-: r\r\n", true, "");
	asks("X_Relay_User: r\r\nX.Relay.User: r\r\nX!Relay: r\r\nX-Relay_User: r\r\n", true, "");
	asks("Authorization: b\r\nX-API-Key: k\r\nCookie: a=b\r\nX-CSRF-Token: t\r\n", false, "");
	asks("X-Forwarded-For: 1\r\nX-Forwarded-Anything: 1\r\nForwarded: 1\r\nX-Real-IP: 1\r\nX-Request-ID: 1\r\n", true, "");
	asks("Connection: X-A , close,,x-B\r\nX-a: 1\r\nX-B: 2\r\nX-C: 3\r\n", false, "X-C: 3|");
	asks("Connection: close\r\nConnection: X-A\r\nX-A: 1\r\nTE: trailers\r\nUpgrade: x\r\nKeep-Alive: 1\r\n", false, "");
	asks("Cookie: a=b; relay_sid=1; __Host-relay_sid=2;__host-RELAY_x=3; =relay_sid=4; relay_sid; c=\"d\"\r\n", true,
		 "Cookie: a=b; c=\"d\"|");
	asks("Cookie: __Host-relay_sid=2\r\n", true, "");
	asks("X-CSRF-Token: t\r\n", true, "X-CSRF-Token: t|");
}

static RgProxyHead head;

static void
says(const char *lines, bool cookies, bool public, const char *expected)
{
	RgText		out = {buffer, sizeof buffer, 0};
	bool		read = rg_proxy_response_lines(rg_slice_of(lines), cookies, public, &out, &head);

	ok(read == (expected != NULL) && (!read || rg_slice_is(rg_slice(buffer, out.len), expected) ||
									  (out.len == 0 && *expected == '\0')),
	   "says %s (%.*s)", expected != NULL ? expected : "nothing", (int) out.len, buffer);
}

static void
test_answers(void)
{
	says("Content-Type:  text/event-stream; a=b \r\nX-A: 1\nX-B:\r\n", false, false,
		 "Content-Type: text/event-stream; a=b\r\nX-A: 1\r\nX-B: \r\n");
	ok(head.event_stream && head.content_length == -1, "a stream of events without a length");
	says("content-length: 42\r\nServer: s\r\nDate: d\r\nConnection: x-a\r\nX-A: 1\r\n", false, false, "");
	ok(head.content_length == 42 && !head.event_stream, "a length is told");
	says("X-Frame-Options: A\r\nAccess-Control-Allow-Origin: *\r\nX-RateLimit-Limit: 1\r\nRateLimit: x\r\n"
		 "X-Request-ID: 1\r\nX-Relay-User: r\r\nX-Accel-Redirect: /\r\nClear-Site-Data: \"*\"\r\n", true, true, "");
	says("Cache-Control: public\r\nETag: a\r\n", false, false, "ETag: a\r\n");
	ok(!head.cache_control, "nothing is cached where somebody has signed in");
	says("Cache-Control: public\r\n", false, true, "Cache-Control: public\r\n");
	ok(head.cache_control, "where nobody has, as the upstream says");
	says("Set-Cookie: a=b; Path=/\r\nSet-Cookie: relay_sid=1\r\nSet-Cookie: __Host-relay_sid=1\r\n"
		 "Set-Cookie: =relay_sid=1\r\nSet-Cookie: relay_sid\r\n", true, false, "Set-Cookie: a=b; Path=/\r\n");
	says("Set-Cookie: a=b\r\n", false, false, "");
	says("Transfer-Encoding: Chunked\r\n", false, false, "");
	says("Transfer-Encoding: gzip\r\n", false, false, NULL);
	says("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", false, false, NULL);
	says("Transfer-Encoding: chunked\r\nContent-Length: 1\r\n", false, false, NULL);
	says("Content-Length: 1\r\nContent-Length: 1\r\n", false, false, "");
	says("Content-Length: 1\r\nContent-Length: 2\r\n", false, false, NULL);
	says("Content-Length: +1\r\n", false, false, NULL);
	says("Content-Length: \r\n", false, false, NULL);
	says("Content-Length: 1234567890123456\r\n", false, false, NULL);
	says("X-A: 1\r\n folded\r\n", false, false, NULL);
	says("X-A : 1\r\n", false, false, NULL);
	says(": 1\r\n", false, false, NULL);
	says("X-A\r\n", false, false, NULL);
	says("X-A: 1\rX-B: 2\r\n", false, false, NULL);
	says("X-A: \x01\r\n", false, false, NULL);
}

int
main(void)
{
	test_requests();
	test_answers();
	return done();
}

/*
 * fuzz_upstream.c
 *		What passes between clients and upstreams cannot end its line, leave its
 *		base or claim an identity.
 */
#include "fuzz.h"

#include <strings.h>

#include "gateway/fallback_routes.h"
#include "gateway/order_json.h"
#include "gateway/proxy_headers.h"
#include "gateway/proxy_order.h"
#include "upstream_target.h"
#include "urldecode.h"

#define ROOM 262144

static char out[ROOM];

static bool
starts_with(RgSlice text, const char *lower)
{
	return text.len >= strlen(lower) && strncasecmp(text.data, lower, strlen(lower)) == 0;
}

/* Of a target that was made, what stands before the query, decoded once. */
static void
check_decoded(RgSlice path)
{
	char	   *decoded = malloc(path.len + 2);
	size_t		len;

	require(rg_url_decode(path, RG_URL_PATH, decoded, &len));
	decoded[len] = '/';
	decoded[len + 1] = '\0';
	require(memchr(decoded, '\0', len) == NULL);
	require(strstr(decoded, "/../") == NULL && strstr(decoded, "/..;") == NULL);
	require(strchr(decoded, '\\') == NULL && strchr(decoded, '\n') == NULL);
	free(decoded);
}

static void
fuzz_target(RgSlice path, RgSlice query, int strip)
{
	static const RgSlice base = {"/base", 5};
	RgText		text = {out, sizeof out, 0};
	const char *mark;

	if (rg_upstream_path_refusal(path) != NULL || query.len > 8192)
		return;
	rg_upstream_target_put(&text, base, path, strip, query);
	require(text.len < text.cap);
	out[text.len] = '\0';
	require(strlen(out) == text.len && rg_order_target_valid(out));
	require(memcmp(out, base.data, base.len) == 0);
	mark = strchr(out, '?');
	check_decoded(rg_slice(out, mark != NULL ? (size_t) (mark - out) : text.len));
}

static void
check_request_line(const char *line)
{
	RgSlice		name = {line, strcspn(line, ":;")};

	require(strpbrk(line, "\r\n") == NULL && name.len > 0);
	require(memchr(name.data, '_', name.len) == NULL);
	require(!starts_with(name, "x-relay-") && !starts_with(name, "x-forwarded-"));
	require(!rg_http_name_is(name, "authorization") && !rg_http_name_is(name, "transfer-encoding"));
}

static void
fuzz_request(RgSlice text, bool cookies)
{
	RgText		lines = {out, sizeof out, 0};
	RgHttpHead	head;
	size_t		scanned = 0;

	if (rg_http_head(text.data, text.len, &scanned, &head) <= 0)
		return;
	rg_proxy_request_lines(&head, cookies, &lines);
	require(lines.len <= lines.cap);
	for (size_t at = 0; at < lines.len; at += strlen(out + at) + 1)
		check_request_line(out + at);
}

static void
check_answer_line(RgSlice line, bool cookies, bool public)
{
	for (size_t i = 0; i < line.len; i++)
		require((unsigned char) line.data[i] >= ' ' || line.data[i] == '\t');
	require(!starts_with(line, "connection:") && !starts_with(line, "content-length:"));
	require(!starts_with(line, "transfer-encoding:") && !starts_with(line, "access-control-"));
	require(!starts_with(line, "x-relay-") && !starts_with(line, "set-cookie: relay_"));
	require(cookies || !starts_with(line, "set-cookie:"));
	require(public || !starts_with(line, "cache-control:"));
}

/* What passed once passes again, the same. */
static void
fuzz_answer(RgSlice text, bool cookies, bool public)
{
	static char again[ROOM];
	RgText		lines = {out, sizeof out, 0};
	RgText		second = {again, sizeof again, 0};
	RgProxyHead head;

	if (!rg_proxy_response_lines(text, cookies, public, &lines, &head))
	{
		require(head.error != NULL);
		return;
	}
	require(lines.len <= lines.cap);
	for (size_t at = 0; at < lines.len;)
	{
		const char *end = memchr(out + at, '\n', lines.len - at);

		require(end != NULL && end > out + at && end[-1] == '\r');
		check_answer_line(rg_slice(out + at, end - 1 - (out + at)), cookies, public);
		at = end + 1 - out;
	}
	require(rg_proxy_response_lines(rg_slice(out, lines.len), cookies, public, &second, &head));
	require(second.len == lines.len && memcmp(out, again, lines.len) == 0);
}

static void
fuzz_order(RgSlice text)
{
	RgProxyOrder order;
	RgFallbackRoutes *routes = rg_fallback_routes_read(text);
	const RgFallbackRoute *route;

	if (rg_proxy_order_read(text, &order))
	{
		require(rg_order_target_valid(order.target) && strpbrk(order.url, "\r\n ") == NULL);
		rg_proxy_order_free(&order);
	}
	if (routes == NULL)
		return;
	route = rg_fallback_route_find(routes, RG_SLICE("GET"), RG_SLICE("/app/x"));
	if (route != NULL && rg_fallback_order(route, RG_SLICE("/app/x"), RG_SLICE("a=b"), &order))
	{
		require(rg_order_target_valid(order.target));
		rg_proxy_order_free(&order);
	}
	rg_fallback_routes_free(routes);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = {(const char *) data + 1, size - 1};
	const char *nul;

	if (size == 0 || size > 32768)
		return 0;
	nul = memchr(rest.data, '\0', rest.len);
	switch (*data & 3)
	{
		case 0:
			if (nul != NULL)
				fuzz_target(rg_slice(rest.data, nul - rest.data),
							rg_slice(nul + 1, rest.data + rest.len - nul - 1), *data >> 2 & 3);
			break;
		case 1:
			fuzz_request(rest, *data & 4);
			break;
		case 2:
			fuzz_answer(rest, *data & 4, *data & 8);
			break;
		default:
			fuzz_order(rest);
	}
	return 0;
}

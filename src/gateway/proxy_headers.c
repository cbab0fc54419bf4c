/*
 * proxy_headers.c
 *		Headers between clients and upstreams; proxy_headers.h has the
 *		contract.
 */
#include "proxy_headers.h"

#include <strings.h>

#define MAX_LENGTH_DIGITS 15

/* RFC 9110, 7.6.1, and what belongs to a connection beside it. */
static const char *const hop_by_hop[] = {
	"connection", "keep-alive", "proxy-authenticate", "proxy-authentication-info",
	"proxy-authorization", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade",
	"http2-settings", NULL
};

/* Who the client is, and what the gateway says itself. */
static const char *const request_own[] = {
	"authorization", "cookie", "x-api-key", "x-csrf-token", "host", "content-length", "expect",
	"forwarded", "x-real-ip", "x-request-id", "traceparent", "tracestate", "true-client-ip",
	"x-client-ip", "x-cluster-client-ip", "cf-connecting-ip", NULL
};

static const char *const response_own[] = {
	"content-length", "date", "server", "x-powered-by", "x-request-id", "x-sendfile",
	"x-content-type-options", "x-frame-options", "referrer-policy", "content-security-policy",
	"content-security-policy-report-only", "cross-origin-opener-policy",
	"cross-origin-resource-policy", "cross-origin-embedder-policy", "permissions-policy",
	"x-permitted-cross-domain-policies", "x-xss-protection", "strict-transport-security",
	"alt-svc", "clear-site-data", "public-key-pins", "ratelimit", "ratelimit-policy",
	"set-cookie", "set-cookie2", "cache-control", "expires", "pragma", "idempotent-replayed",
	"x-should-retry", "service-worker-allowed", NULL
};

static bool
is_listed(RgSlice name, const char *const *list)
{
	for (; *list != NULL; list++)
		if (rg_http_name_is(name, *list))
			return true;
	return false;
}

static bool
starts_with(RgSlice text, const char *lower)
{
	size_t		len = strlen(lower);

	return text.len >= len && strncasecmp(text.data, lower, len) == 0;
}

static bool
is_ours_to_ask(RgSlice name)
{
	return starts_with(name, "x-relay-") || starts_with(name, "x-forwarded-") ||
		is_listed(name, request_own);
}

static bool
is_ours_to_say(RgSlice name)
{
	return starts_with(name, "access-control-") || starts_with(name, "x-ratelimit-") ||
		starts_with(name, "x-relay-") || starts_with(name, "x-accel-") ||
		is_listed(name, response_own);
}

/* Letters, digits and hyphens: a name that is read in one way only. */
static bool
is_plain_name(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
	{
		char		c = name.data[i];

		if (!(c >= '0' && c <= '9') && !((c | 32) >= 'a' && (c | 32) <= 'z') && c != '-')
			return false;
	}
	return name.len > 0;
}

static RgSlice
trim(RgSlice text)
{
	while (text.len > 0 && (*text.data == ' ' || *text.data == '\t'))
		text.data++, text.len--;
	while (text.len > 0 && (text.data[text.len - 1] == ' ' || text.data[text.len - 1] == '\t'))
		text.len--;
	return text;
}

/* Takes the next element of a list off; false at its end. */
static bool
take_element(RgSlice *list, char separator, RgSlice *element)
{
	const char *end;

	if (list->data == NULL)
		return false;
	end = memchr(list->data, separator, list->len);
	*element = *list;
	if (end == NULL)
		*list = rg_slice(NULL, 0);
	else
	{
		element->len = end - list->data;
		list->len -= element->len + 1;
		list->data = end + 1;
	}
	*element = trim(*element);
	return true;
}

static bool
same_name(RgSlice a, RgSlice b)
{
	return a.len == b.len && strncasecmp(a.data, b.data, a.len) == 0;
}

/* Does a Connection header say that this one is for the next hop only? */
static bool
is_of_connection(RgSlice name, const RgHeader *headers, int count)
{
	RgSlice		list;
	RgSlice		option;

	for (int i = 0; i < count; i++)
	{
		if (!rg_http_name_is(headers[i].name, "connection"))
			continue;
		list = headers[i].value;
		while (take_element(&list, ',', &option))
			if (same_name(option, name))
				return true;
	}
	return false;
}

static RgSlice
cookie_name(RgSlice pair)
{
	const char *equals = pair.len ? memchr(pair.data, '=', pair.len) : NULL;

	return trim(rg_slice(pair.data, equals != NULL ? (size_t) (equals - pair.data) : pair.len));
}

/*
 * Of the gateway's sessions: whoever has one is that user.  So is one without a
 * name, which browsers send back as its value alone: "=relay_sid=x" would come
 * again as "relay_sid=x".
 */
static bool
is_own_cookie(RgSlice pair)
{
	RgSlice		name = cookie_name(pair);

	return name.len == 0 || memchr(pair.data, '=', pair.len) == NULL ||
		starts_with(name, "relay_") || starts_with(name, "__host-relay_") ||
		starts_with(name, "__secure-relay_");
}

static void
put_cookies(RgSlice list, RgText *out)
{
	size_t		before = out->len;
	RgSlice		pair;

	while (take_element(&list, ';', &pair))
	{
		if (pair.len == 0 || is_own_cookie(pair))
			continue;
		rg_text_put(out, out->len == before ? RG_SLICE("Cookie: ") : RG_SLICE("; "));
		rg_text_put(out, pair);
	}
	if (out->len > before)
		rg_text_char(out, '\0');
}

static void
put_request_line(const RgHeader *header, RgText *out)
{
	rg_text_put(out, header->name);
	rg_text_put(out, header->value.len > 0 ? RG_SLICE(": ") : RG_SLICE(";"));
	rg_text_put(out, header->value);
	rg_text_char(out, '\0');
}

void
rg_proxy_request_lines(const RgHttpHead *head, bool cookies, RgText *out)
{
	for (int i = 0; i < head->nheaders; i++)
	{
		const RgHeader *header = &head->headers[i];

		if (cookies && rg_http_name_is(header->name, "cookie"))
			put_cookies(header->value, out);
		else if (cookies && rg_http_name_is(header->name, "x-csrf-token"))
			put_request_line(header, out);	/* the application's, beside its
											 * cookie */
		else if (is_plain_name(header->name) && !is_listed(header->name, hop_by_hop) &&
				 !is_ours_to_ask(header->name) &&
				 !is_of_connection(header->name, head->headers, head->nheaders))
			put_request_line(header, out);
	}
}

static bool
fail(RgProxyHead *head, const char *error)
{
	head->error = error;
	return false;
}

static bool
is_value(RgSlice value)
{
	for (size_t i = 0; i < value.len; i++)
		if (((unsigned char) value.data[i] < ' ' && value.data[i] != '\t') || value.data[i] == 0x7f)
			return false;
	return true;
}

static bool
is_token(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
		if (!rg_http_token_char(name.data[i]))
			return false;
	return name.len > 0;
}

/* Takes a line off; false when it is no header, as a folded one is none. */
static bool
take_line(RgSlice *lines, RgHeader *header)
{
	const char *end = memchr(lines->data, '\n', lines->len);
	size_t		len = end != NULL ? (size_t) (end - lines->data) : lines->len;
	RgSlice		line = {lines->data, len};
	const char *colon;

	lines->data += end != NULL ? len + 1 : len;
	lines->len -= end != NULL ? len + 1 : len;
	if (line.len > 0 && line.data[line.len - 1] == '\r')
		line.len--;
	colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
	if (colon == NULL)
		return false;
	header->name = rg_slice(line.data, colon - line.data);
	header->value = trim(rg_slice(colon + 1, line.data + line.len - colon - 1));
	return is_token(header->name) && is_value(header->value);
}

static bool
read_length(RgSlice value, RgProxyHead *head)
{
	int64_t		length = 0;

	if (value.len == 0 || value.len > MAX_LENGTH_DIGITS)
		return fail(head, "its Content-Length is no number");
	for (size_t i = 0; i < value.len; i++)
	{
		if (value.data[i] < '0' || value.data[i] > '9')
			return fail(head, "its Content-Length is no number");
		length = length * 10 + (value.data[i] - '0');
	}
	if (head->content_length >= 0 && head->content_length != length)
		return fail(head, "it has two Content-Lengths");
	head->content_length = length;
	return true;
}

/* libcurl undoes the chunks; whoever says both lengths may be read in two ways. */
static bool
read_framing(const RgHeader *headers, int count, RgProxyHead *head)
{
	bool		chunked = false;

	for (int i = 0; i < count; i++)
	{
		if (rg_http_name_is(headers[i].name, "content-length") &&
			!read_length(headers[i].value, head))
			return false;
		if (!rg_http_name_is(headers[i].name, "transfer-encoding"))
			continue;
		if (chunked || !rg_http_name_is(headers[i].value, "chunked"))
			return fail(head, "its Transfer-Encoding is not just chunked");
		chunked = true;
	}
	if (chunked && head->content_length >= 0)
		return fail(head, "it has both Transfer-Encoding and Content-Length");
	return true;
}

static bool
may_be_said(const RgHeader *header, bool cookies, bool public)
{
	if (rg_http_name_is(header->name, "set-cookie"))
		return cookies && !is_own_cookie(header->value);
	if (rg_http_name_is(header->name, "cache-control"))
		return public;
	return !is_listed(header->name, hop_by_hop) && !is_ours_to_say(header->name);
}

static void
put_response_line(const RgHeader *header, RgText *out)
{
	rg_text_put(out, header->name);
	rg_text_put(out, RG_SLICE(": "));
	rg_text_put(out, header->value);
	rg_text_put(out, RG_SLICE("\r\n"));
}

static void
note(const RgHeader *header, RgProxyHead *head)
{
	if (rg_http_name_is(header->name, "cache-control"))
		head->cache_control = true;
	if (rg_http_name_is(header->name, "content-type") &&
		starts_with(header->value, "text/event-stream"))
		head->event_stream = true;
}

bool
rg_proxy_response_lines(RgSlice lines, bool cookies, bool public, RgText *out, RgProxyHead *head)
{
	RgHeader	headers[RG_HTTP_MAX_HEADERS];
	int			count = 0;

	memset(head, 0, sizeof *head);
	head->content_length = -1;
	while (lines.len > 0)
	{
		if (count == RG_HTTP_MAX_HEADERS)
			return fail(head, "it has too many headers");
		if (!take_line(&lines, &headers[count++]))
			return fail(head, "a line of its head is no header");
	}
	if (!read_framing(headers, count, head))
		return false;
	for (int i = 0; i < count; i++)
	{
		if (!may_be_said(&headers[i], cookies, public) ||
			is_of_connection(headers[i].name, headers, count))
			continue;
		note(&headers[i], head);
		put_response_line(&headers[i], out);
	}
	return true;
}

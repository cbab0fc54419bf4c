/*
 * proxy_request.c
 *		A request to an upstream, as libcurl is told of it.
 */
#include "order_json.h"
#include "proxy_transfer.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy_aim.h"
#include "worker.h"

#define MAX_LINE 16384

static bool
add_line(RgProxy *proxy, const char *line)
{
	struct curl_slist *lines = curl_slist_append(proxy->lines, line);

	if (lines == NULL)
		return false;
	proxy->lines = lines;
	return true;
}

static bool
add_header(RgProxy *proxy, const char *name, RgSlice value)
{
	char		line[MAX_LINE];
	int			len = snprintf(line, sizeof line, "%s: %.*s", name, (int) value.len, value.data);

	return len > 0 && (size_t) len < sizeof line && add_line(proxy, line);
}

/* Who asks, as serve() signed it. */
static bool
add_identity(RgProxy *proxy)
{
	const char *name;
	const char *value;

	for (int i = 0; rg_order_header(proxy->order.json, i, &name, &value); i++)
		if (!add_header(proxy, name, rg_slice_of(value)))
			return false;
	return true;
}

/* What the upstream cannot see of the client's connection. */
static bool
add_origin(RgProxy *proxy, const RgHttpHead *head)
{
	const RgExchange *exchange = &proxy->exchange;

	return add_header(proxy, "X-Request-ID", rg_exchange_id(exchange)) &&
		add_header(proxy, "X-Forwarded-For", rg_slice_of(exchange->client_text)) &&
		add_header(proxy, "X-Forwarded-Proto", exchange->secure ? RG_SLICE("https") : RG_SLICE("http")) &&
		(head->host.data == NULL || add_header(proxy, "X-Forwarded-Host", head->host)) &&
		(*proxy->order.prefix == '\0' ||
		 add_header(proxy, "X-Forwarded-Prefix", rg_slice_of(proxy->order.prefix)));
}

/* The client's span is the parent of ours, and ours of the upstream's. */
static bool
add_trace(RgProxy *proxy, const RgHttpHead *head)
{
	const RgTrace *trace = &proxy->exchange.trace;
	RgTraceState state = {0};
	char		parent[RG_TRACEPARENT_LEN];

	rg_traceparent_write(trace, parent);
	for (int i = 0; trace->continued && i < head->nheaders; i++)
		if (rg_http_name_is(head->headers[i].name, "tracestate"))
			rg_tracestate_add(&state, head->headers[i].value);
	return add_header(proxy, "traceparent", rg_slice(parent, sizeof parent)) &&
		(rg_tracestate_value(&state).data == NULL ||
		 add_header(proxy, "tracestate", rg_tracestate_value(&state)));
}

/* Lines of the client's that libcurl would make up where they are missing. */
static bool
add_absences(RgProxy *proxy)
{
	static const char *const made_up[] = {"Accept:", "Content-Type:", "Expect:", "User-Agent:"};

	for (size_t i = 0; i < sizeof made_up / sizeof made_up[0]; i++)
	{
		bool		there = false;

		for (struct curl_slist *line = proxy->lines; line != NULL && !there; line = line->next)
			there = strncasecmp(line->data, made_up[i], strlen(made_up[i]) - 1) == 0 &&
				strchr(":;", line->data[strlen(made_up[i]) - 1]) != NULL;
		if (!there && !add_line(proxy, made_up[i]))
			return false;
	}
	return true;
}

static bool
add_client_lines(RgProxy *proxy, const RgHttpHead *head)
{
	static char buffer[2 * RG_HTTP_MAX_HEAD];
	RgText		text = {buffer, sizeof buffer, 0};

	rg_proxy_request_lines(head, proxy->order.cookies, &text);
	if (text.len > text.cap)
		return false;
	for (size_t at = 0; at < text.len; at += strlen(buffer + at) + 1)
		if (!add_line(proxy, buffer + at))
			return false;
	return true;
}

/* The head was read once already, so it can be read. */
static bool
add_lines(RgProxy *proxy)
{
	RgHttpHead	head;
	size_t		scanned = 0;

	if (rg_http_head(proxy->bytes.head, proxy->bytes.head_len, &scanned, &head) <= 0)
		return false;
	return add_identity(proxy) && add_origin(proxy, &head) && add_trace(proxy, &head) &&
		add_client_lines(proxy, &head) && add_absences(proxy);
}

static bool
is_method(const RgProxy *proxy, const char *method)
{
	return rg_slice_is(proxy->exchange.method, method);
}

/*
 * libcurl sends a request again that a connection which had been idle did not
 * answer.  Nobody knows then whether it was carried out: what must not happen twice
 * gets a connection of its own.
 */
static void
set_method(RgProxy *proxy)
{
	CURL	   *curl = proxy->transfer.curl;
	char		method[RG_HTTP_MAX_METHOD + 1];

	snprintf(method, sizeof method, "%.*s", (int) proxy->exchange.method.len,
			 proxy->exchange.method.data);
	if (proxy->exchange.head_only)
	{
		curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
		return;
	}
	if (proxy->bytes.body.len > 0 || is_method(proxy, "POST") || is_method(proxy, "PUT") ||
		is_method(proxy, "PATCH"))
	{
		curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t) proxy->bytes.body.len);
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, proxy->bytes.body.len > 0 ?
						 proxy->bytes.body.data : "");
	}
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	if (is_method(proxy, "POST") || is_method(proxy, "PATCH"))
		curl_easy_setopt(curl, CURLOPT_FRESH_CONNECT, 1L);
}

/*
 * The target goes into the request line as serve() signed it.  Nothing is followed:
 * the identity is for whom the table names.
 */
static void
set_destination(RgProxy *proxy, const char *ca_file)
{
	const RgAim aim = {
		.url = proxy->order.url,.target = proxy->order.target,
		.connect_ms = proxy->order.connect_ms,.ca_file = ca_file
	};

	rg_proxy_aim(proxy->transfer.curl, &aim);
}

/* What comes is not decompressed, so that it is as long as it says. */
static void
set_callbacks(RgProxy *proxy)
{
	CURL	   *curl = proxy->transfer.curl;

	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, proxy->lines);
	curl_easy_setopt(curl, CURLOPT_HTTP_CONTENT_DECODING, 0L);
	curl_easy_setopt(curl, CURLOPT_PREREQFUNCTION, rg_proxy_on_connection);
	curl_easy_setopt(curl, CURLOPT_PREREQDATA, proxy);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, rg_proxy_on_header);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, proxy);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, rg_proxy_on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, proxy);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, proxy->error);
}

bool
rg_proxy_set_up(RgProxy *proxy, const char *ca_file)
{
	proxy->transfer.curl = curl_easy_init();
	if (proxy->transfer.curl == NULL || !add_lines(proxy))
		return false;
	set_destination(proxy, ca_file);
	set_method(proxy);
	set_callbacks(proxy);
	return true;
}

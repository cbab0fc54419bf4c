/*
 * fuzz_edge.c
 *		What browsers and tracers write: origins and their lists, hosts, schemes,
 *		and Trace Context.
 *
 * The input is a list of origins, NUL, an origin, NUL, a Host, NUL, an
 * X-Forwarded-Proto, NUL, a traceparent, NUL and a tracestate, NUL and another
 * line of it.
 */
#include "fuzz.h"

#include "gateway/cors.h"
#include "gateway/http1.h"
#include "gateway/origin.h"
#include "gateway/trace.h"

/* No line of an answer ends where it should not. */
static void
check_lines(RgSlice lines)
{
	require(lines.len >= 2 && memcmp(lines.data + lines.len - 2, "\r\n", 2) == 0);
	for (size_t i = 0; i < lines.len; i++)
	{
		require(lines.data[i] != '\n' || (i > 0 && lines.data[i - 1] == '\r'));
		require(lines.data[i] != '\r' || (i + 1 < lines.len && lines.data[i + 1] == '\n'));
		require(i < 3 || memcmp(lines.data + i - 3, "\r\n\r\n", 4) != 0);
	}
}

static void
check_allowed(const RgCors *cors, int number, RgSlice origin)
{
	char		room[2048];
	RgText		text = {room, sizeof room, 0};

	require(number <= cors->count && !rg_slice_is(origin, "null"));
	require(number == cors->wildcard || rg_slice_equal(cors->origins[number - 1], origin));
	rg_cors_put(&text, cors, number);
	require(text.len <= text.cap);
	check_lines(rg_slice(room, text.len));
}

/* A list that is read back is the same, and each of it is found where it stands. */
static void
check_cors(RgSlice list, RgSlice origin)
{
	RgCors		cors;
	RgSlice		bad;
	const char *why;
	int			number;

	if (!rg_cors_parse(list, &cors, &bad, &why))
	{
		require(why != NULL && bad.len > 0 && lies_within(bad, list));
		return;
	}
	for (int i = 0; i < cors.count; i++)
	{
		number = rg_cors_find(&cors, cors.origins[i]);
		require(number > 0 && rg_slice_equal(cors.origins[number - 1], cors.origins[i]));
	}
	number = rg_cors_find(&cors, origin);
	if (number > 0)
		check_allowed(&cors, number, origin);
}

/* What http1.c lets pass as a Host becomes an origin, and nothing more. */
static void
check_host(RgSlice host, bool secure)
{
	char		room[RG_ORIGIN_MAX];
	RgText		text = {room, sizeof room, 0};
	char		request[1024];
	size_t		scanned = 0;
	RgHttpHead	head;
	int			len = host.len < 600 ? snprintf(request, sizeof request,
												"GET / HTTP/1.1\r\nHost:%.*s\r\n\r\n",
												(int) host.len, host.data ? host.data : "") : 0;

	if (len == 0 || rg_http_head(request, len, &scanned, &head) <= 0)
		return;
	rg_origin_put(&text, secure, head.host);
	require(text.len <= text.cap);
	for (size_t i = 0; i < text.len; i++)
		require(strchr("/?#@\\ ", room[i]) == NULL || i < 8);
	text.len = 0;
	rg_origin_put_https(&text, head.host, 8443);
	require(text.len <= text.cap && memcmp(room, "https://", 8) == 0);
}

static void
check_trace(RgSlice parent)
{
	RgTrace		trace;
	RgTrace		again;
	char		out[RG_TRACEPARENT_LEN];
	bool		valid = rg_traceparent_parse(parent, &trace);

	rg_trace_begin(parent, &trace);
	require(trace.continued == valid);
	require(!valid || memcmp(trace.trace_id, parent.data + 3, RG_TRACE_ID_LEN) == 0);
	rg_traceparent_write(&trace, out);
	require(rg_traceparent_parse(rg_slice(out, sizeof out), &again));
}

/* What is handed on is read the same by the next. */
static void
check_tracestate(RgSlice first, RgSlice second)
{
	RgTraceState state = {0};
	RgTraceState again = {0};
	RgSlice		value;

	rg_tracestate_add(&state, first);
	rg_tracestate_add(&state, second);
	value = rg_tracestate_value(&state);
	require(value.len <= RG_TRACESTATE_MAX);
	rg_tracestate_add(&again, value);
	require(rg_slice_equal(rg_tracestate_value(&again), value));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	RgSlice		list = take_field(&rest);
	RgSlice		origin = take_field(&rest);
	RgSlice		host = take_field(&rest);
	RgSlice		proto = take_field(&rest);
	RgSlice		parent = take_field(&rest);
	RgSlice		state = take_field(&rest);

	check_cors(list, origin);
	check_host(host, rg_proto_is_https(proto));
	check_trace(parent);
	check_tracestate(state, rest);
	return 0;
}

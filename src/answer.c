/*
 * answer.c
 *		The answer to a request while it is being made.
 *
 * The body is rendered where it stands in the frame: nothing is copied.  The
 * header lines come after it, because the limits are known last.
 */
#include "postgres.h"

#include "port/pg_bswap.h"

#include "answer.h"
#include "openai_path.h"
#include "quota_problem.h"
#include "rate_headers.h"
#include "refusal.h"
#include "secret.h"

StaticAssertDecl(RG_RATE_LIMITS_MAX == RG_RATE_MAX_HITS + RG_ROUTE_MAX_QUOTAS,
				 "an answer names all of its limits");

#define BODY_OFFSET (VARHDRSZ + 2 * sizeof(uint32)) /* status and body length */
#define FIRST_SIZE 8192

void
rg_answer_begin(RgAnswer *answer)
{
	answer->status = 200;
	answer->content_type = NULL;
	answer->route = NULL;
	answer->signals = 0;
	answer->redirect = false;
	answer->limited = false;
	answer->cacheable = false;
	answer->admitted = false;
	answer->comes_again = false;
	answer->nhits = 0;
	answer->order_secret = false;
	answer->quotas_held = false;
	answer->nquotas = 0;
	initStringInfo(&answer->headers);
	answer->body_lines = NULL;
	initStringInfo(&answer->order);
	initStringInfo(&answer->out);
	enlargeStringInfo(&answer->out, FIRST_SIZE);
	answer->out.len = BODY_OFFSET;
}

void
rg_answer_header(RgAnswer *answer, const char *format,...)
{
	for (;;)
	{
		va_list		args;
		int			needed;

		va_start(args, format);
		needed = appendStringInfoVA(&answer->headers, format, args);
		va_end(args);
		if (needed == 0)
			break;
		enlargeStringInfo(&answer->headers, needed);
	}
	appendBinaryStringInfo(&answer->headers, "\r\n", 2);
}

void
rg_answer_clear(RgAnswer *answer)
{
	answer->out.len = BODY_OFFSET;
	answer->content_type = NULL;
	answer->body_lines = NULL;
}

bool
rg_answer_problem(RgAnswer *answer, const RgRequest *request, const RgProblem *problem)
{
	StringInfo	out = &answer->out;
	RgProblem	whole = *problem;
	size_t		len;

	rg_answer_clear(answer);
	answer->status = problem->status;
	whole.instance = request->path;
	whole.openai = rg_openai_path(request->path);
	answer->content_type = rg_problem_type(&whole);
	if (request->request_id.len > 0)
		whole.request_id = request->request_id;
	while ((len = rg_problem_json(out->data + out->len, out->maxlen - out->len, &whole)) >
		   (size_t) (out->maxlen - out->len))
		enlargeStringInfo(out, len);
	out->len += len;
	return false;
}

void
rg_answer_missing(RgAnswer *answer, const RgRequest *request)
{
	RgProblem	problem = {
		.status = 404,
		.code = RG_SLICE(RG_MISSING_CODE),
		.detail = RG_SLICE(RG_MISSING_DETAIL),
	};

	rg_answer_problem(answer, request, &problem);
}

bool
rg_answer_limited(RgAnswer *answer, const RgRequest *request)
{
	RgProblem	problem = rg_rate_problem(answer->hits, answer->nhits);

	answer->limited = true;
	return rg_answer_problem(answer, request, &problem);
}

void
rg_answer_held(RgAnswer *answer)
{
	answer->content_type = answer->route->result == RG_JSON_FILE ? NULL : "application/json";
	answer->signals |= RG_SIGNAL_HELD;
	answer->cacheable = true;
}

void
rg_answer_limit_lines(const RgAnswer *answer, StringInfo buf)
{
	RgRateLimit limits[RG_RATE_LIMITS_MAX];
	int			count = rg_rate_hit_limits(answer->hits, answer->nhits, limits);

	count += rg_quota_limits(answer->quotas, answer->nquotas, answer->quotas_held, limits + count);
	if (count > 0)				/* then there is a route */
		rg_rate_headers(buf, limits, count, rg_openai_path(rg_slice_of(answer->route->path)));
}

RgSlice
rg_answer_body(const RgAnswer *answer)
{
	return rg_slice(answer->out.data + BODY_OFFSET, answer->out.len - BODY_OFFSET);
}

static void
put_uint32_at(StringInfo buf, int offset, uint32 value)
{
	value = pg_hton32(value);
	memcpy(buf->data + offset, &value, sizeof value);
}

static void
append_uint32(StringInfo buf, uint32 value)
{
	value = pg_hton32(value);
	appendBinaryStringInfo(buf, (char *) &value, sizeof value);
}

/* The lines that every answer has, then this one's own. */
static void
append_headers(RgAnswer *answer)
{
	StringInfo	out = &answer->out;

	if (answer->content_type != NULL)
	{
		appendBinaryStringInfo(out, "Content-Type: ", 14);
		appendStringInfoString(out, answer->content_type);
		appendBinaryStringInfo(out, "\r\n", 2);
	}
	if (answer->body_lines != NULL)
		appendBinaryStringInfo(out, answer->body_lines->data, answer->body_lines->len);
	appendStringInfoString(out, answer->cacheable ? "Cache-Control: private, no-cache\r\n" :
						   "Cache-Control: no-store\r\n");
	rg_answer_limit_lines(answer, out);
	appendBinaryStringInfo(out, answer->headers.data, answer->headers.len);
}

RgSlice
rg_answer_finish(RgAnswer *answer)
{
	StringInfo	out = &answer->out;
	int			lengths_at = out->len;
	int			headers_at;

	put_uint32_at(out, VARHDRSZ, answer->status);
	put_uint32_at(out, VARHDRSZ + sizeof(uint32), out->len - BODY_OFFSET);
	append_uint32(out, 0);
	headers_at = out->len;
	append_headers(answer);
	put_uint32_at(out, lengths_at, out->len - headers_at);
	return rg_slice(out->data + headers_at, out->len - headers_at);
}

/*
 * The gateway knows the lines about limits and how to count them down; with
 * others that it does not know it asks each time.
 */
static void
append_limits(RgAnswer *answer)
{
	StringInfo	out = &answer->out;
	int			length_at = out->len;

	append_uint32(out, 0);
	if (!answer->limited || answer->status != 429 || answer->headers.len > 0)
		return;
	rg_rate_limits(out, answer->hits, answer->nhits);
	put_uint32_at(out, length_at, out->len - length_at - sizeof(uint32));
}

static void
append_text(StringInfo out, const char *text)
{
	append_uint32(out, strlen(text));
	appendStringInfoString(out, text);
}

bytea *
rg_answer_frame(RgAnswer *answer)
{
	StringInfo	out = &answer->out;

	append_text(out, answer->route != NULL ? answer->route->path : "");
	append_uint32(out, answer->order.len);
	appendBinaryStringInfo(out, answer->order.data, answer->order.len);
	if (answer->order_secret)
		rg_secret_wipe(rg_slice(answer->order.data, answer->order.len));
	append_limits(answer);
	append_text(out, answer->cacheable ? answer->held.validator : "");
	append_uint32(out, answer->signals | (answer->cacheable ? RG_SIGNAL_CACHEABLE : 0));
	SET_VARSIZE(out->data, out->len);
	return (bytea *) out->data;
}

/*
 * represent.c
 *		How an answer is sent; represent.h has the contract.
 *
 * A representation's ETag is that of the bytes as they are, with "-gz" in it for
 * the compressed ones, so both are strong.
 */
#include "represent.h"

#include "accept_encoding.h"
#include "byte_range.h"
#include "gzip.h"
#include "json_text.h"
#include "log.h"
#include "metrics.h"

#define HELD_HEADER "x-relay-held"

static RgResponseCache *cache = NULL;	/* NULL: off */
static bool gzip_on = false;

/* Lines of the answer that is being made, and the ETag among them. */
static char lines[4096];
static RgSlice etag_sent;

void
rg_represent_init(const RgConfig *config)
{
	gzip_on = config->gzip == RG_ON;
	if (config->response_cache == 0)
		return;
	cache = rg_response_cache_new(config->response_cache);
	if (cache == NULL)
		rg_log(RG_LOG_WARNING, "no memory for the cache of answers", NULL);
}

RgHeldBody *
rg_represent_offer(RgRequest *request)
{
	RgHeldBody *held;
	RgHeader   *header;

	if (cache == NULL || request->nheaders == RG_FRAME_MAX_HEADERS)
		return NULL;
	held = rg_response_cache_find(cache, request);
	header = &request->headers[request->nheaders++];
	header->name = RG_SLICE(HELD_HEADER);
	header->value = held ? rg_slice(held->validator, strlen(held->validator)) : RG_SLICE("");
	return held;
}

/* Could a page of another site have made a browser send this? */
static bool
may_be_made_by_others(const RgRequest *request)
{
	RgSlice		site = rg_request_header(request, "sec-fetch-site");

	return rg_request_header(request, "cookie").data != NULL &&
		!rg_slice_is(site, "same-origin") && !rg_slice_is(site, "none");
}

/* Two of them are more than is understood here. */
static RgSlice
accept_encoding(const RgHttpHead *head)
{
	static const RgSlice none = {NULL, 0};
	RgSlice		found = none;

	for (int i = 0; i < head->nheaders; i++)
	{
		if (!rg_http_name_is(head->headers[i].name, "accept-encoding"))
			continue;
		if (found.data != NULL)
			return none;
		found = head->headers[i].value;
	}
	return found;
}

void
rg_represent_accepts(RgExchange *exchange, const RgRequest *request, const RgHttpHead *head)
{
	exchange->gzip_public = gzip_on && rg_accepts_gzip(accept_encoding(head));
	exchange->gzip = exchange->gzip_public && !may_be_made_by_others(request);
}

/* Its ETag, quotes and all. */
static void
put_etag(RgText *text, const char *etag, bool gzip)
{
	rg_text_put(text, rg_slice(etag, strlen(etag) - 1));
	rg_text_put(text, gzip ? RG_SLICE("-gz\"") : RG_SLICE("\""));
}

static bool
names_etag(RgSlice if_none_match, const char *etag, bool gzip)
{
	char		buffer[RG_ETAG_SIZE + 4];
	RgText		text = {buffer, sizeof buffer, 0};

	if (if_none_match.len == 0)
		return false;
	put_etag(&text, etag, gzip);
	return rg_etag_matches(if_none_match, rg_slice(buffer, text.len));
}

/* Only bytes that come back the same are worth a name. */
static void
put_lines(RgResponse *response, const char *etag, bool gzip, bool varies)
{
	RgText		text = {lines, sizeof lines, 0};
	const size_t start = strlen("ETag: ");

	etag_sent = rg_slice(NULL, 0);
	if (etag != NULL)
	{
		rg_text_put(&text, RG_SLICE("ETag: "));
		put_etag(&text, etag, gzip);
		etag_sent = rg_slice(lines + start, text.len - start);
		rg_text_put(&text, RG_SLICE("\r\n"));
	}
	if (varies)
		rg_text_put(&text, RG_SLICE("Vary: Accept-Encoding\r\n"));
	if (gzip && response->status != 304)
		rg_text_put(&text, RG_SLICE("Content-Encoding: gzip\r\n"));
	response->lines = rg_slice(lines, text.len);
}

/* Whichever of its forms that the client takes it has already. */
static bool
answer_unmodified(const char *etag, RgSlice if_none_match, bool gzip, bool varies,
				  RgResponse *response)
{
	bool		has_gzip = gzip && names_etag(if_none_match, etag, true);

	if (!has_gzip && !names_etag(if_none_match, etag, false))
		return false;
	response->status = 304;
	response->body.len = 0;
	put_lines(response, etag, has_gzip, varies);
	return true;
}

static void
represent(RgContent *content, RgSlice if_none_match, bool varies, bool gzip,
		  RgResponse *response)
{
	RgSlice		compressed = {NULL, 0};

	varies = varies && content->body.len >= RG_GZIP_MIN;
	gzip = gzip && varies;
	response->body = content->body;
	if (answer_unmodified(content->etag, if_none_match, gzip, varies, response))
		return;
	if (gzip)
		compressed = rg_content_gzip(content);
	if (compressed.data != NULL)
		response->body = compressed;
	put_lines(response, content->etag, compressed.data != NULL, varies);
}

/* One that nobody keeps: it has no name. */
static void
represent_once(RgSlice body, bool varies, bool gzip, RgResponse *response)
{
	RgSlice		compressed;

	varies = varies && body.len >= RG_GZIP_MIN;
	gzip = gzip && varies && rg_gzip(body, &compressed) == RG_GZIP_DONE;
	response->body = gzip ? compressed : body;
	put_lines(response, NULL, gzip, varies);
}

static bool
may_be_compressed(const RgReplyTraits *traits)
{
	return gzip_on && !traits->cookie && !traits->encoded && rg_gzip_type(traits->type);
}

static bool
is_cacheable(const RgReply *reply, const RgReplyTraits *traits)
{
	return (reply->signals & RG_SIGNAL_CACHEABLE) != 0 && !traits->cookie && !traits->encoded;
}

static void
count_miss(uint64_t evictions_before)
{
	RgResponseCacheCounts now = rg_response_cache_counts(cache);

	rg_metrics_count(RG_COUNT_CACHE_MISSES, 1);
	rg_metrics_count(RG_COUNT_CACHE_EVICTIONS, now.evictions - evictions_before);
	rg_metrics_set(RG_GAUGE_CACHE_BYTES, now.bytes);
}

/* The job has the new body in the place of the one that was offered. */
static void
keep_body(RgJob *job, const RgRequest *request, const RgReply *reply, bool file)
{
	char		kept[sizeof lines / 2];
	RgText		text = {kept, sizeof kept, 0};
	uint64_t	evictions;

	if (file)
		rg_reply_put_file_lines(&text, reply->headers);
	if (cache == NULL || text.len > text.cap)
		return;
	evictions = rg_response_cache_counts(cache).evictions;
	rg_held_body_release(job->held);
	job->held = rg_response_cache_add(cache, request, reply->validator, reply->body,
									  rg_slice(kept, text.len));
	count_miss(evictions);
}

static void
add_lines(RgResponse *response, RgSlice more)
{
	RgText		text = {lines, sizeof lines, response->lines.len};

	rg_text_put(&text, more);
	response->lines = rg_slice(lines, text.len);
}

/* A body that was held comes with the lines that belong to it. */
static void
represent_cacheable(RgJob *job, const RgRequest *request, const RgReply *reply,
					const RgReplyTraits *traits, bool gzip, RgResponse *response)
{
	RgContent	passing;
	RgSlice		if_none_match = rg_request_header(request, "if-none-match");
	bool		held = (reply->signals & RG_SIGNAL_HELD) != 0;

	if (held)
		rg_metrics_count(RG_COUNT_CACHE_HITS, 1);
	else
		keep_body(job, request, reply, traits->file);
	if (job->held == NULL)
		rg_content_init(&passing, reply->body, false);
	represent(job->held ? &job->held->content : &passing, if_none_match,
			  may_be_compressed(traits), gzip, response);
	if (held)
		add_lines(response, job->held->lines);
}

/* Part of a body is what was meant only if the client has the rest of the same one. */
static bool
is_of_this_body(RgSlice if_range, const RgReplyTraits *traits)
{
	return if_range.data == NULL || (if_range.len > 0 && (rg_slice_equal(if_range, etag_sent) ||
														  rg_slice_equal(if_range, traits->modified)));
}

static void
put_content_range(const RgByteRange *range, size_t size, RgText *text)
{
	rg_text_put(text, RG_SLICE("Content-Range: bytes "));
	rg_text_number(text, range->first);
	rg_text_char(text, '-');
	rg_text_number(text, range->first + range->len - 1);
	rg_text_char(text, '/');
	rg_text_number(text, size);
	rg_text_put(text, RG_SLICE("\r\n"));
}

static void
take_range(RgSlice wanted, RgResponse *response)
{
	char		line[96];
	RgText		text = {line, sizeof line, 0};
	RgByteRange range;

	switch (rg_byte_range(wanted, response->body.len, &range))
	{
		case RG_RANGE_ALL:
			break;
		case RG_RANGE_PART:
			put_content_range(&range, response->body.len, &text);
			add_lines(response, rg_slice(line, text.len));
			response->status = 206;
			response->body = rg_slice(response->body.data + range.first, range.len);
			break;
		case RG_RANGE_BEYOND:
			response->status = 416;
	}
}

/* Of a body that was held those lines tell that belong to it. */
static bool
read_traits(const RgJob *job, const RgReply *reply, RgReplyTraits *traits)
{
	if ((reply->signals & RG_SIGNAL_HELD) == 0)
		return true;
	return job->held != NULL && (job->held->lines.len == 0 || rg_reply_traits(job->held->lines, traits));
}

static bool
represent_found(RgJob *job, const RgRequest *request, const RgReply *reply,
				RgReplyTraits traits, RgResponse *response)
{
	RgSlice		range = {NULL, 0};
	bool		gzip;

	if (!read_traits(job, reply, &traits))
		return false;
	if (traits.file && !job->exchange.head_only)	/* Range is for GET alone */
		range = rg_request_header(request, "range");
	gzip = job->exchange.gzip && range.data == NULL;
	if (is_cacheable(reply, &traits))
		represent_cacheable(job, request, reply, &traits, gzip, response);
	else
		represent_once(reply->body, may_be_compressed(&traits), gzip, response);
	if (range.data != NULL && response->status == 200 &&
		is_of_this_body(rg_request_header(request, "if-range"), &traits))
		take_range(range, response);
	return true;
}

bool
rg_represent_reply(RgJob *job, const RgReply *reply, const RgReplyTraits *traits,
				   RgResponse *response)
{
	RgRequest	request;

	if (!job->safe || response->status != 200)
		return (reply->signals & RG_SIGNAL_HELD) == 0;
	if (!is_cacheable(reply, traits) && !traits->file)
	{
		represent_once(reply->body, may_be_compressed(traits), job->exchange.gzip, response);
		return true;
	}
	return rg_request_parse(rg_slice(job->frame, job->len), &request) &&
		represent_found(job, &request, reply, *traits, response);
}

void
rg_represent_file(const RgExchange *exchange, RgStaticFile *file, RgSlice if_none_match,
				  RgResponse *response)
{
	bool		varies = gzip_on && rg_gzip_type(rg_slice_of(file->type));

	represent(&file->content, if_none_match, varies, exchange->gzip_public, response);
}

/*
 * test_response_cache.c
 *		Bodies under their keys: whose, how many, how long.
 */
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "gateway/response_cache.h"
#include "tap.h"

#define LIMIT 100000
#define BODY 1000

static RgResponseCache *cache;
static char body[LIMIT];

static RgRequest
request_of(const char *path, const char *query, const char *name, const char *value)
{
	RgRequest	request = {
		.method = RG_SLICE("GET"),.path = {path, strlen(path)},.query = {query, strlen(query)},
		.nheaders = name ? 1 : 0,
	};

	request.headers[0].name = rg_slice_of(name);
	request.headers[0].value = name ? rg_slice(value, strlen(value)) : rg_slice(NULL, 0);
	return request;
}

static RgHeldBody *
add_sized(const RgRequest *request, const char *validator, size_t len)
{
	return rg_response_cache_add(cache, request, rg_slice_of(validator), rg_slice(body, len),
								 rg_slice(NULL, 0));
}

static void
add(const RgRequest *request, const char *validator)
{
	rg_held_body_release(add_sized(request, validator, BODY));
}

/* The validator that a request is shown with, "" without. */
static const char *
shown(const RgRequest *request)
{
	static char validator[RG_VALIDATOR_MAX + 1];
	RgHeldBody *held = rg_response_cache_find(cache, request);

	strcpy(validator, held ? held->validator : "");
	rg_held_body_release(held);
	return validator;
}

static bool
shows(const RgRequest *request, const char *validator)
{
	return strcmp(shown(request), validator) == 0;
}

static void
test_keys(void)
{
	const RgRequest requests[] = {
		request_of("/a", "", NULL, NULL), request_of("/a", "b", NULL, NULL), request_of("/ab", "", NULL, NULL),
		request_of("/a", "", "authorization", ""), request_of("/a", "", "authorization", "t"),
		request_of("/a", "", "authorization", "tu"), request_of("/a", "", "cookie", "t"),
		request_of("/a", "", "x-api-key", "t"), request_of("/a", "t", "authorization", ""),
	};
	const int	count = sizeof requests / sizeof requests[0];
	char		name[RG_VALIDATOR_MAX];
	int			right = 0;
	RgRequest	head = requests[4];
	RgRequest	post = requests[4];

	for (int i = 0; i < count; i++)
	{
		snprintf(name, sizeof name, "v%d", i);
		add(&requests[i], name);
	}
	for (int i = 0; i < count; i++)
	{
		snprintf(name, sizeof name, "v%d", i);
		right += shows(&requests[i], name);
	}
	ok(right == count, "path, query and each kind of credentials make another key");
	head.method = RG_SLICE("HEAD");
	post.method = RG_SLICE("POST");
	ok(shows(&head, "v4") && shows(&post, ""), "HEAD is GET, and nothing else is");
}

static void
test_replacing(void)
{
	RgRequest	request = request_of("/replaced", "", NULL, NULL);
	RgHeldBody *before = add_sized(&request, "old", BODY);
	uint64_t	bodies = rg_response_cache_counts(cache).bodies;

	add(&request, "new");
	ok(shows(&request, "new") && rg_response_cache_counts(cache).bodies == bodies, "a newer body takes the place");
	ok(before->content.body.len == BODY && strcmp(before->validator, "old") == 0,
	   "whoever has the older one has it still");
	rg_held_body_release(before);
}

static void
test_bounds(void)
{
	RgRequest	first = request_of("/0", "", NULL, NULL);
	char		path[16];

	add(&first, "first");
	for (int i = 1; i < 1000; i++)
	{
		RgRequest	request;

		snprintf(path, sizeof path, "/%d", i);
		request = request_of(path, "", NULL, NULL);
		add(&request, "other");
		if (i < 990 && !shows(&first, "first"))
			break;
	}
	ok(rg_response_cache_counts(cache).bytes <= LIMIT && rg_response_cache_counts(cache).evictions > 800,
	   "the limit holds");
	ok(shows(&first, "first"), "what is used stays");
	ok(add_sized(&first, "x", LIMIT / 8 + 1) == NULL && shows(&first, "first"), "too large a body is not kept");
	ok(add_sized(&first, "", BODY) == NULL, "nor one without a validator");
}

static void
test_pins(void)
{
	RgRequest	request = request_of("/pinned", "", NULL, NULL);
	RgHeldBody *held = add_sized(&request, "pinned", BODY);
	char		path[16];

	memset(body, 'x', BODY);
	for (int i = 0; i < 1000; i++)
	{
		RgRequest	other;

		snprintf(path, sizeof path, "/other/%d", i);
		other = request_of(path, "", NULL, NULL);
		add(&other, "other");
	}
	ok(shows(&request, "") && held->content.body.len == BODY && held->content.body.data[0] == 0,
	   "what is being sent outlives its place");
	rg_held_body_release(held);
	ok(rg_response_cache_counts(cache).bytes <= LIMIT, "and is gone afterwards");
}

static void
test_compressed(void)
{
	RgRequest	request = request_of("/gzip", "", NULL, NULL);
	RgHeldBody *held = add_sized(&request, "v", 8 * BODY);
	uint64_t	before = rg_response_cache_counts(cache).bytes;
	RgSlice		gzip = rg_content_gzip(&held->content);
	bool		once = gzip.data != NULL && gzip.len < 8 * BODY &&
	rg_content_gzip(&held->content).data == gzip.data;

	rg_held_body_release(held);
	ok(once, "a body is compressed once");
	ok(rg_response_cache_counts(cache).bytes == before + gzip.len, "and what that takes is counted");
}

int
main(void)
{
	cache = rg_response_cache_new(LIMIT);
	if (cache == NULL)
		return 1;
	test_keys();
	test_replacing();
	test_bounds();
	test_pins();
	test_compressed();
	rg_response_cache_free(cache);
	return done();
}

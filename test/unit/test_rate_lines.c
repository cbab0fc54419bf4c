/*
 * test_rate_lines.c
 *		What clients are told about limits, and how the gateway is told.
 */
#define _GNU_SOURCE				/* memmem */

#include <stdlib.h>

#include "rate_block.h"
#include "tap.h"

#define SECOND INT64_C(1000000000)

static const RgRateLimit sample[] = {
	{.name = {"ip", 2},.by_address = true,.quota = 60,.window = 30 * SECOND,
	.limit = 60,.remaining = 29,.wait = 20 * SECOND + 1},
	{.name = {"user", 4},.denied = true,.quota = 30,.window = 30 * SECOND,
	.limit = 30,.remaining = 0,.wait = 7 * SECOND - 5},
};

static const char sample_lines[] =
"RateLimit-Policy: \"ip\";q=60;w=30, \"user\";q=30;w=30\r\n"
"RateLimit: \"ip\";r=29;t=21, \"user\";r=0;t=7\r\n"
"X-RateLimit-Limit: 30\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1007\r\n"
"Retry-After: 7\r\n";

static RgSlice
lines_of(const RgRateLimit *limits, int count, char out[RG_RATE_LINES_MAX])
{
	RgText		text = {out, RG_RATE_LINES_MAX, 0};

	rg_rate_lines_put(&text, limits, count, 1000, false);
	return rg_slice(out, text.len);
}

static void
test_lines(void)
{
	char		out[RG_RATE_LINES_MAX];
	RgRateLimit allowed = sample[0];

	ok(rg_slice_is(lines_of(sample, 2, out), sample_lines), "the lines of a refusal");
	ok(rg_slice_is(lines_of(&allowed, 1, out),
				   "RateLimit-Policy: \"ip\";q=60;w=30\r\nRateLimit: \"ip\";r=29;t=21\r\n"
				   "X-RateLimit-Limit: 60\r\nX-RateLimit-Remaining: 29\r\nX-RateLimit-Reset: 1021\r\n"),
	   "what allows has no Retry-After");
	ok(lines_of(sample, 0, out).len == 0, "no limits, no lines");
}

/* A quota of a lifetime has no window, and no time after which there is more. */
static void
test_lifetime(void)
{
	char		out[RG_RATE_LINES_MAX];
	RgRateLimit limits[] = {
		sample[1],
		{.name = {"lifetime", 8},.quota = 100,.limit = 100,.remaining = 1},
	};

	limits[0].denied = false;
	limits[0].remaining = 20;
	ok(rg_slice_is(lines_of(limits, 2, out),
				   "RateLimit-Policy: \"user\";q=30;w=30, \"lifetime\";q=100\r\n"
				   "RateLimit: \"user\";r=20;t=7, \"lifetime\";r=1\r\n"
				   "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 1\r\n"),
	   "a lifetime tells of no time");
	limits[0].denied = limits[1].denied = true;
	limits[0].remaining = 1;
	ok(rg_slice_is(lines_of(limits, 2, out),
				   "RateLimit-Policy: \"user\";q=30;w=30, \"lifetime\";q=100\r\n"
				   "RateLimit: \"user\";r=1;t=7, \"lifetime\";r=1\r\n"
				   "X-RateLimit-Limit: 100\r\nX-RateLimit-Remaining: 1\r\n"
				   "x-should-retry: false\r\n"),
	   "nor does it send anybody to wait, whatever else denied");
	ok(rg_rate_lines_wait(limits, 2) == 0 && rg_rate_lines_wait(limits, 1) == 7, "nor says how long");
}

static RgSlice
openai_lines_of(const RgRateLimit *limits, int count, char out[RG_RATE_LINES_MAX])
{
	RgText		text = {out, RG_RATE_LINES_MAX, 0};

	rg_rate_lines_put(&text, limits, count, 1000, true);
	return rg_slice(out, text.len);
}

static bool
holds(RgSlice lines, const char *text)
{
	return memmem(lines.data, lines.len, text, strlen(text)) != NULL;
}

/* The line x-ratelimit-reset-requests of a limit that so many seconds are left of. */
static bool
resets_in(int64_t seconds, const char *line)
{
	char		out[RG_RATE_LINES_MAX];
	RgRateLimit limit = sample[0];

	limit.wait = seconds * SECOND;
	return holds(openai_lines_of(&limit, 1, out), line);
}

/* Of the closest of each unit, and of tokens only where they are counted. */
static void
test_openai(void)
{
	char		out[RG_RATE_LINES_MAX];
	RgRateLimit limits[] = {
		sample[0], sample[1],
		{.name = {"t", 1},.tokens = true,.limit = 9,.quota = 9,.remaining = 5},
	};
	RgSlice		lines = openai_lines_of(limits, 2, out);

	ok(holds(lines, "X-RateLimit-Limit: 30\r\nX-RateLimit-Remaining: 0\r\nX-RateLimit-Reset: 1007\r\n"
			 "x-ratelimit-limit-requests: 30\r\nx-ratelimit-remaining-requests: 0\r\n"
			 "x-ratelimit-reset-requests: 7s\r\n"), "OpenAI's headers tell of requests");
	ok(!holds(lines, "-tokens") && holds(lines, "Retry-After: 7\r\n"),
	   "and of no tokens where none are counted");
	ok(holds(openai_lines_of(limits, 3, out), "-requests: 7s\r\nx-ratelimit-limit-tokens: 9\r\n"
			 "x-ratelimit-remaining-tokens: 5\r\nRetry-After"), "where they are, of both");
	ok(resets_in(0, "-requests: 0s\r\n") && resets_in(59, "-requests: 59s\r\n") &&
	   resets_in(360, "-requests: 6m0s\r\n") && resets_in(3600, "-requests: 1h0m0s\r\n") &&
	   resets_in(90061, "-requests: 25h1m1s\r\n"), "and write times as OpenAI does");
}

static void
test_room(void)
{
	static const char name[] = "a-name-of-sixty-three-bytes-which-is-as-long-as-a-policy-may-ha";
	RgRateLimit limits[RG_RATE_LIMITS_MAX] = {{.tokens = true}};
	RgRateRefusal words;
	RgProblem	problem;
	char		out[RG_RATE_LINES_MAX];

	for (int i = 0; i < RG_RATE_LIMITS_MAX; i++)
	{
		limits[i].name = rg_slice(name, RG_RATE_NAME_MAX);
		limits[i].denied = true;
		limits[i].quota = limits[i].limit = limits[i].remaining = INT64_C(1000000000000000);
		limits[i].window = limits[i].wait = INT64_C(3660) * 86400 * SECOND * 2;
	}
	ok(openai_lines_of(limits, RG_RATE_LIMITS_MAX, out).len < RG_RATE_LINES_MAX, "the longest lines have room");
	problem = rg_rate_lines_problem(limits, RG_RATE_LIMITS_MAX, &words);
	ok(problem.extra.len <= sizeof words.violated && problem.suggestion.len <= sizeof words.suggestion,
	   "so have the longest words");
}

static void
test_problem(void)
{
	RgRateRefusal words;
	RgProblem	problem = rg_rate_lines_problem(sample, 2, &words);

	ok(problem.status == 429 && rg_slice_is(problem.code, "rate_limited") &&
	   rg_slice_is(problem.suggestion, "Wait 7 s, then try again."), "the problem of a refusal");
	ok(rg_slice_is(problem.extra, "\"violated-policies\":[\"user\"]"), "names what denied");
}

static void
test_block(void)
{
	char		block[RG_RATE_BLOCK_MAX];
	char		out[RG_RATE_LINES_MAX];
	RgRateLimit read[RG_RATE_LIMITS_MAX];
	size_t		len = rg_rate_block_write(sample, 2, block);
	int			refused = 0;

	ok(rg_rate_block_read(rg_slice(block, len), read) == 2 &&
	   rg_slice_is(lines_of(read, 2, out), sample_lines), "limits come through a frame");
	ok(read[0].by_address && !read[1].by_address, "with what they bind");
	for (size_t cut = 1; cut < len; cut++)
	{
		char	   *copy = malloc(cut);

		memcpy(copy, block, cut);
		refused += rg_rate_block_read(rg_slice(copy, cut), read) != 2;
		free(copy);
	}
	ok(refused == (int) len - 1, "no truncation does");
	block[1] = '"';
	ok(rg_rate_block_read(rg_slice(block, len), read) == -1, "nor does a name that would end a string");
	block[1] = 'i';
	memset(block + 4, 0xff, 8);
	ok(rg_rate_block_read(rg_slice(block, len), read) == -1, "nor a number that no policy has");
}

int
main(void)
{
	test_lines();
	test_lifetime();
	test_openai();
	test_room();
	test_problem();
	test_block();
	return done();
}

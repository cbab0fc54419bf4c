/*
 * test_deny_cache.c
 *		Refusals from memory: for whom, for how long, how many.
 */
#include <sodium.h>
#include <stdio.h>

#include "gateway/deny_cache.h"
#include "rate_block.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define START (100 * SECOND)

static RgDenyCache *cache;

static RgRequest
request_of(const char *path, int address, const char *token)
{
	RgRequest	request = {
		.method = RG_SLICE("GET"),.path = {path, strlen(path)},
		.client_ip = {[10] = 0xff,[11] = 0xff,[12] = 198,[15] = address},
		.nheaders = token ? 1 : 0,
	};

	request.headers[0].name = RG_SLICE("authorization");
	request.headers[0].value = rg_slice_of(token);
	return request;
}

/* A refusal by a limit, with "ip" beside it where it is by identity. */
static void
refuse(const RgRequest *request, bool by_address, int64_t wait_us, int64_t now)
{
	RgRateLimit limits[] = {
		{.name = RG_SLICE("ip"),.by_address = true,.denied = by_address,.quota = 60,
		.limit = 60,.window = 30000 * SECOND,.wait = wait_us * 1000},
		{.name = RG_SLICE("user"),.denied = true,.quota = 30,.limit = 30,
		.window = 30000 * SECOND,.wait = wait_us * 1000},
	};
	char		block[RG_RATE_BLOCK_MAX];
	size_t		len = rg_rate_block_write(limits, by_address ? 1 : 2, block);

	rg_deny_cache_add(cache, request, RG_SLICE("/a/{id}"), rg_slice(block, len), now);
}

static bool
is_refused(const RgRequest *request, int64_t now)
{
	RgDenial	denial;

	return rg_deny_cache_find(cache, request, now, &denial);
}

static void
begin(void)
{
	cache = rg_deny_cache_new();
}

static void
test_identity(void)
{
	RgRequest	alice = request_of("/a/1", 1, "Bearer alice");
	RgRequest	bob = request_of("/a/1", 1, "Bearer bob");
	RgRequest	nobody = request_of("/a/1", 1, NULL);
	RgRequest	elsewhere = request_of("/a/1", 2, "Bearer alice");
	RgRequest	other_path = request_of("/a/2", 1, "Bearer alice");
	RgRequest	other_method = alice;

	begin();
	other_method.method = RG_SLICE("POST");
	ok(!is_refused(&alice, START), "an empty cache refuses nobody");
	refuse(&alice, false, 9 * SECOND, START);
	ok(is_refused(&alice, START), "an identity that was refused is refused again");
	ok(!is_refused(&bob, START) && !is_refused(&nobody, START), "another one at its address is not");
	ok(!is_refused(&other_path, START) && !is_refused(&other_method, START),
	   "nor is it elsewhere: routes have limits of their own");
	refuse(&nobody, false, 9 * SECOND, START);
	nobody.client_ip[15] = 2;
	ok(!is_refused(&nobody, START) && !is_refused(&elsewhere, START),
	   "those without credentials are told apart by their addresses");
	rg_deny_cache_free(cache);
}

static void
test_address(void)
{
	RgRequest	alice = request_of("/a/1", 1, "Bearer alice");
	RgRequest	bob = request_of("/a/1", 1, "Bearer bob");
	RgRequest	elsewhere = request_of("/a/1", 2, "Bearer alice");
	RgRequest	v6 = alice;
	RgRequest	neighbour,
				stranger;

	begin();
	refuse(&alice, true, 9 * SECOND, START);
	ok(is_refused(&bob, START), "an address that was refused is, whoever asks");
	ok(!is_refused(&elsewhere, START), "another address is not");
	memcpy(v6.client_ip, "\x20\x01\x0d\xb8\0\1\0\2\0\0\0\0\0\0\0\1", 16);
	neighbour = stranger = v6;
	neighbour.client_ip[15] = 7;
	stranger.client_ip[7] = 9;
	refuse(&v6, true, 9 * SECOND, START);
	ok(is_refused(&neighbour, START) && !is_refused(&stranger, START), "IPv6 by its /64");
	rg_deny_cache_free(cache);
}

static void
test_time(void)
{
	RgRequest	alice = request_of("/a/1", 1, "Bearer alice");
	RgDenial	denial;

	begin();
	refuse(&alice, false, 2 * SECOND, START);
	ok(rg_deny_cache_find(cache, &alice, START + SECOND / 2, &denial) &&
	   denial.count == 2 && denial.limits[1].wait == 1500000000 &&
	   rg_slice_is(denial.route, "/a/{id}"), "what is to be waited for gets less");
	ok(!is_refused(&alice, START + 2 * SECOND), "until the window's end");
	refuse(&alice, false, 60 * SECOND, START);
	ok(is_refused(&alice, START + RG_DENY_SPAN - 1) && !is_refused(&alice, START + RG_DENY_SPAN),
	   "after some seconds the database is asked again");
	rg_deny_cache_free(cache);
}

static void
test_unknown(void)
{
	RgRequest	alice = request_of("/a/1", 1, "Bearer alice");

	begin();
	rg_deny_cache_add(cache, &alice, RG_SLICE("/a"), RG_SLICE("nonsense"), START);
	refuse(&alice, false, 0, START);
	ok(!is_refused(&alice, START), "what cannot be read, or is past, is not remembered");
	rg_deny_cache_free(cache);
}

static void
test_bound(void)
{
	char		path[32];
	RgRequest	request;
	int			found = 0;

	begin();
	for (int i = 0; i < 10 * RG_DENY_ENTRIES; i++)
	{
		snprintf(path, sizeof path, "/a/%d", i);
		request = request_of(path, 1, "Bearer alice");
		refuse(&request, false, 9 * SECOND, START + i);
	}
	ok(is_refused(&request, START + SECOND), "the last of very many is remembered");
	for (int i = 0; i < 10 * RG_DENY_ENTRIES; i++)
	{
		snprintf(path, sizeof path, "/a/%d", i);
		request = request_of(path, 1, "Bearer alice");
		found += is_refused(&request, START + SECOND);
	}
	ok(found <= RG_DENY_ENTRIES && found > RG_DENY_ENTRIES / 2, "of all together %d, no more than have room", found);
	rg_deny_cache_free(cache);
}

int
main(void)
{
	if (sodium_init() < 0)
		return 1;
	test_identity();
	test_address();
	test_time();
	test_unknown();
	test_bound();
	return done();
}

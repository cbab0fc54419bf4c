/*
 * test_address_bucket.c
 *		Token buckets of addresses: exact, apart, bounded, shared.
 */
#include <sys/wait.h>
#include <unistd.h>

#include "gateway/address_bucket.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define START (1000 * SECOND)

static RgAddressBuckets *buckets;

static int64_t
take(const RgAddress *address, int64_t now)
{
	return rg_address_bucket_take(buckets, RG_SLICE("app"), address, 2, 5, now);
}

static RgAddress
v4(uint32_t number)
{
	RgAddress	address = {.bytes = {[10] = 0xff,[11] = 0xff,[12] = number >> 24,[13] = number >> 16,[14] = number >> 8,[15] = number}};

	return address;
}

static int
count_taken(const RgAddress *address, int tries, int64_t now)
{
	int			taken = 0;

	while (tries-- > 0)
		taken += take(address, now) == 0;
	return taken;
}

static void
test_rate(void)
{
	RgAddress	one = v4(0x01020304);

	ok(count_taken(&one, 20, START) == 5, "a burst passes, and no more");
	ok(take(&one, START) == SECOND / 2, "then it is said when");
	ok(take(&one, START + SECOND / 2 - 1) == 1 && take(&one, START + SECOND / 2) == 0,
	   "a token comes when it was said, and not before");
	ok(count_taken(&one, 20, START + 3 * SECOND / 2) == 2, "two a second come back");
	ok(count_taken(&one, 20, START + 1000 * SECOND) == 5, "never more than a burst");
	ok(count_taken(&one, 20, START) == 0, "a clock that is behind gives nothing");
}

static void
test_apart(void)
{
	RgAddress	one = v4(0x05060708);
	RgAddress	other = v4(0x05060709);
	RgAddress	net = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1,[15] = 1}};
	RgAddress	same = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 1,[8] = 9,[15] = 2}};
	RgAddress	next = {.bytes = {0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 2,[15] = 1}};

	count_taken(&one, 5, START);
	ok(take(&one, START) > 0 && take(&other, START) == 0, "addresses are apart");
	ok(rg_address_bucket_take(buckets, RG_SLICE("api"), &one, 2, 5, START) == 0, "so are names");
	count_taken(&net, 5, START);
	ok(take(&same, START) > 0 && take(&next, START) == 0, "IPv6 counts by the /64");
}

static void
test_bounded(void)
{
	int			limited = 0;

	for (uint32_t i = 0; i < RG_ADDRESS_BUCKETS / 4; i++)
	{
		RgAddress	address = v4(0x0a000000 + i);

		count_taken(&address, 5, START + 5000 * SECOND);
	}
	for (uint32_t i = 0; i < RG_ADDRESS_BUCKETS / 4; i++)
	{
		RgAddress	address = v4(0x0a000000 + i);

		limited += take(&address, START + 5000 * SECOND) > 0;
	}
	ok(limited > RG_ADDRESS_BUCKETS / 4 * 99 / 100, "thousands of addresses are remembered (%d)", limited);
	for (uint32_t i = 0; i < 20 * RG_ADDRESS_BUCKETS; i++)
	{
		RgAddress	address = v4(0x0b000000 + i);

		limited += take(&address, START + 5000 * SECOND) > 0;
	}
	ok(true, "and more than there is room for make room");
}

static void
test_shared(void)
{
	RgAddress	one = v4(0x0c000001);
	int			taken = 0;

	for (int child = 0; child < 4; child++)
		if (fork() == 0)
			_exit(count_taken(&one, 100, START + 9000 * SECOND));
	for (int child = 0; child < 4; child++)
	{
		int			status;

		wait(&status);
		taken += WEXITSTATUS(status);
	}
	ok(taken == 5, "processes share them (%d)", taken);
}

int
main(void)
{
	buckets = rg_address_buckets_new();
	test_rate();
	test_apart();
	test_bounded();
	test_shared();
	rg_address_buckets_free(buckets);
	return done();
}

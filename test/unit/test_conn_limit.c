/*
 * test_conn_limit.c
 *		Connections by address.
 */
#include <stdlib.h>

#include "gateway/conn_limit.h"
#include "tap.h"

#define MANY 2000

static RgAddress
address_of(const char *text)
{
	RgAddress	address = {{0}};

	if (!rg_address_parse(rg_slice_of(text), &address))
		abort();
	return address;
}

static bool
take(RgConnLimit *limit, const char *text)
{
	RgAddress	address = address_of(text);

	return rg_conn_limit_take(limit, &address);
}

static void
give(RgConnLimit *limit, const char *text)
{
	RgAddress	address = address_of(text);

	rg_conn_limit_give(limit, &address);
}

static void
test_shares(void)
{
	RgConnLimit *limit = rg_conn_limit_new(2, 100);

	ok(take(limit, "192.0.2.1") && take(limit, "192.0.2.1"), "an address has its share");
	ok(!take(limit, "192.0.2.1"), "and no more");
	ok(!take(limit, "::ffff:192.0.2.1"), "in no other form");
	ok(take(limit, "192.0.2.2"), "another has its own");
	give(limit, "192.0.2.1");
	ok(take(limit, "192.0.2.1") && !take(limit, "192.0.2.1"), "what goes makes room for one");
	ok(take(limit, "2001:db8:1:2::1") && take(limit, "2001:db8:1:2:ffff:ffff:ffff:ffff"), "IPv6");
	ok(!take(limit, "2001:db8:1:2:3::"), "by its /64");
	ok(take(limit, "2001:db8:1:3::1") && take(limit, "2001:db8:1:1::1"), "and not by more");
	give(limit, "203.0.113.9");
	ok(take(limit, "203.0.113.9"), "what was not counted cannot go");
	rg_conn_limit_free(limit);
}

/* Against a plain count, in an order that fills and empties the table. */
static void
test_many(void)
{
	static int	counts[MANY];
	RgConnLimit *limit = rg_conn_limit_new(3, MANY);
	int			held = 0;
	bool		same = true;

	srandom(1);
	for (int step = 0; step < 400000; step++)
	{
		int			which = random() % MANY;
		RgAddress	address = {.bytes = {0x20, 1, which >> 8, which}};
		bool		adds = random() % 1000 < (step / 40000 % 2 ? 300 : 700);

		if (adds && held < MANY)
		{
			bool		taken = rg_conn_limit_take(limit, &address);

			same &= taken == (counts[which] < 3);
			counts[which] += taken;
			held += taken;
		}
		else if (!adds && counts[which] > 0)
		{
			rg_conn_limit_give(limit, &address);
			counts[which]--;
			held--;
		}
	}
	ok(same, "of many addresses each has its own count");
	rg_conn_limit_free(limit);
}

int
main(void)
{
	test_shares();
	test_many();
	return done();
}

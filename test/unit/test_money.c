/*
 * test_money.c
 *		Money: exact to the micro-USD, and nothing that is no amount.
 */
#include <inttypes.h>

#include "money.h"
#include "tap.h"

static void
costs(int64_t in_tokens, int64_t in_price, int64_t out_tokens, int64_t out_price,
	  int64_t expected, const char *name)
{
	int64_t		cost = -1;
	bool		done = rg_money_cost(in_tokens, in_price, out_tokens, out_price, &cost);

	ok(done == (expected >= 0) && cost == expected, "%s (%" PRId64 ")", name, cost);
}

static void
reads(const char *usd, int64_t expected)
{
	int64_t		micro = -1;
	bool		done = rg_money_parse(usd, &micro);

	ok(done == (expected >= 0) && micro == expected, "\"%s\" is %" PRId64, usd, expected);
}

int
main(void)
{
	int64_t		micro;

	costs(1000, 3000000, 500, 15000000, 10500, "a call");
	costs(0, 3000000, 0, 15000000, 0, "nothing costs nothing");
	costs(1, 1, 0, 0, 1, "the smallest call costs a micro-USD");
	costs(1, 1, 1, 1, 1, "both parts are rounded together");
	costs(1000001, 1, 0, 0, 2, "up, not to the nearest");
	costs(1, RG_MONEY_MAX, 0, 0, 1000000000, "the highest price");
	costs(-1, 1, 0, 0, -1, "negative input tokens");
	costs(1, -1, 0, 0, -1, "a negative input price");
	costs(0, 0, -1, 1, -1, "negative output tokens");
	costs(0, 0, 1, -1, -1, "a negative output price");
	costs(INT64_MAX, 1000000, 0, 0, INT64_MAX, "as much as there can be");
	costs(INT64_MAX, 1000000, 1, 1, -1, "and a trillionth more");
	costs(INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, -1, "everything at its largest");

	reads("50", 50000000);
	reads("20.5", 20500000);
	reads("0.000001", 1);
	reads("0", 0);
	reads("007.10", 7100000);
	reads("1000000000", RG_MONEY_MAX);
	reads("1000000000.000000", RG_MONEY_MAX);
	reads("1000000000.000001", -1);
	reads("1000000001", -1);
	reads("99999999999999999999999999999999", -1);
	reads("50.0000001", -1);
	reads("50.0000000", -1);
	reads("", -1);
	reads(".", -1);
	reads("5.", -1);
	reads(".5", -1);
	reads("1.2.3", -1);
	reads("1e3", -1);
	reads("-1", -1);
	reads("+1", -1);
	reads(" 5", -1);
	reads("5 ", -1);
	reads("1,000", -1);
	reads("1_000", -1);
	reads("0x10", -1);
	reads("$5", -1);
	reads("NaN", -1);
	reads("inf", -1);
	reads("\xe2\x88\x9e", -1);
	reads("\xd9\xa5", -1);
	ok(!rg_money_parse("5\n", &micro), "a line is no amount");
	return done();
}

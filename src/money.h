/*
 * money.h
 *		Money: whole micro-USD, never a float.
 *
 * Pure C.
 */
#ifndef RG_MONEY_H
#define RG_MONEY_H

#include <stdbool.h>
#include <stdint.h>

/* A thousand million dollars: more than a limit or a price can say. */
#define RG_MONEY_MAX INT64_C(1000000000000000)

/*
 * What so many tokens cost, in micro-USD; prices are micro-USD for a million
 * tokens.  Rounded up once, for all of them together, so that no call is free
 * which has a price.  False when a number is negative, or when it is more than
 * an int64 holds.
 */
extern bool rg_money_cost(int64_t in_tokens, int64_t in_price,
						  int64_t out_tokens, int64_t out_price, int64_t *cost)
			__attribute__((warn_unused_result));

/*
 * An amount of dollars as people write it: digits, and up to six more after a
 * point.  False for anything else (signs, spaces, exponents) and for more than
 * RG_MONEY_MAX.
 */
extern bool rg_money_parse(const char *usd, int64_t *micro)
			__attribute__((warn_unused_result));

#endif

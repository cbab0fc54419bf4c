/*
 * money.c
 *		Money in micro-USD; money.h has the contract.
 */
#include "money.h"

typedef unsigned __int128 Product;

#define TOKENS_OF_A_PRICE 1000000
#define MICRO_DIGITS 6

/*
 * Two products of numbers below 2^63 stay below 2^127: nothing wraps before the
 * division.
 */
bool
rg_money_cost(int64_t in_tokens, int64_t in_price,
			  int64_t out_tokens, int64_t out_price, int64_t *cost)
{
	Product		total;

	if (in_tokens < 0 || in_price < 0 || out_tokens < 0 || out_price < 0)
		return false;
	total = (Product) in_tokens * (Product) in_price +
		(Product) out_tokens * (Product) out_price;
	total = (total + TOKENS_OF_A_PRICE - 1) / TOKENS_OF_A_PRICE;
	if (total > INT64_MAX)
		return false;
	*cost = (int64_t) total;
	return true;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* Appends a digit; false beyond RG_MONEY_MAX, so that nothing wraps. */
static bool
append(int64_t *number, int digit)
{
	*number = *number * 10 + digit;
	return *number <= RG_MONEY_MAX;
}

bool
rg_money_parse(const char *usd, int64_t *micro)
{
	const char *at = usd;
	int64_t		amount = 0;
	int			places = 0;

	if (!is_digit(*at))
		return false;
	while (is_digit(*at))
		if (!append(&amount, *at++ - '0'))
			return false;
	if (*at == '.' && !is_digit(*++at))
		return false;
	for (; is_digit(*at); places++)
		if (places == MICRO_DIGITS || !append(&amount, *at++ - '0'))
			return false;
	if (*at != '\0')
		return false;
	for (; places < MICRO_DIGITS; places++)
		if (!append(&amount, 0))
			return false;
	*micro = amount;
	return true;
}

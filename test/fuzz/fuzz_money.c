/*
 * fuzz_money.c
 *		Money: what is read is what is written there, to the last micro-USD; and
 *		a cost is the smallest that covers its tokens.
 *
 * The input is an amount in dollars; its first 32 bytes are four numbers, too:
 * tokens and prices.
 */
#include "fuzz.h"

#include "money.h"

#define MICRO 1000000
#define TEXT 64

static size_t
count_digits(const char *text)
{
	return strspn(text, "0123456789");
}

/* The form alone: digits, and up to six more after a point. */
static bool
is_amount(const char *text)
{
	size_t		dollars = count_digits(text);
	size_t		places;

	if (dollars == 0)
		return false;
	text += dollars;
	if (*text == '\0')
		return true;
	places = *text == '.' ? count_digits(text + 1) : 0;
	return places >= 1 && places <= 6 && text[1 + places] == '\0';
}

/* An amount as it would be printed: no zeros before it, six places behind. */
static void
normalize(const char *text, char out[TEXT])
{
	size_t		dollars;
	size_t		places;

	while (*text == '0')
		text++;
	dollars = count_digits(text);
	require(dollars < TEXT - 10);
	places = text[dollars] == '.' ? count_digits(text + dollars + 1) : 0;
	snprintf(out, TEXT, "%s%.*s.%.*s%.*s", dollars == 0 ? "0" : "", (int) dollars, text,
			 (int) places, text + dollars + 1, (int) (6 - places), "000000");
}

/* More than 1000000000.000000. */
static bool
is_beyond(const char *text)
{
	while (*text == '0')
		text++;
	if (count_digits(text) != 10)
		return count_digits(text) > 10;
	return strspn(text + 1, "0.") != strlen(text + 1) || *text != '1';
}

static void
check_amount(RgSlice input)
{
	char	   *text = malloc(input.len + 1);
	char		expected[TEXT];
	char		got[TEXT];
	int64_t		micro;

	memcpy(text, input.data, input.len);
	text[input.len] = '\0';
	if (rg_money_parse(text, &micro))
	{
		require(is_amount(text) && micro >= 0 && micro <= RG_MONEY_MAX);
		snprintf(got, sizeof got, "%lld.%06lld", (long long) (micro / MICRO), (long long) (micro % MICRO));
		normalize(text, expected);
		require(strcmp(got, expected) == 0);
	}
	else
		require(!is_amount(text) || is_beyond(text));
	free(text);
}

/* What so many tokens cost one by one, with nothing that could wrap: in long division. */
static bool
cost_of(int64_t tokens, int64_t price, int64_t *whole, int64_t *rest)
{
	int64_t		units = price / MICRO;
	int64_t		part;
	int64_t		more;

	/* tokens * price = tokens * units * MICRO + tokens * (price % MICRO) */
	if (__builtin_mul_overflow(tokens, units, whole))
		return false;
	part = tokens / MICRO * (price % MICRO);
	more = tokens % MICRO * (price % MICRO);
	*rest = more % MICRO;
	return !__builtin_add_overflow(*whole, part, whole) && !__builtin_add_overflow(*whole, more / MICRO, whole);
}

static bool
cost_of_both(const int64_t *n, int64_t *cost)
{
	int64_t		in,
				out,
				in_rest,
				out_rest;

	return cost_of(n[0], n[1], &in, &in_rest) && cost_of(n[2], n[3], &out, &out_rest) &&
		!__builtin_add_overflow(in, out, cost) &&
		!__builtin_add_overflow(*cost, (in_rest + out_rest + MICRO - 1) / MICRO, cost);
}

static void
check_cost(const int64_t *n)
{
	const bool	negative = n[0] < 0 || n[1] < 0 || n[2] < 0 || n[3] < 0;
	int64_t		cost = -1;
	int64_t		expected = -1;

	if (negative)
	{
		require(!rg_money_cost(n[0], n[1], n[2], n[3], &cost) && cost == -1);
		return;
	}
	if (!rg_money_cost(n[0], n[1], n[2], n[3], &cost))
		require(!cost_of_both(n, &expected));
	else
		require(cost_of_both(n, &expected) && cost == expected);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	RgSlice		rest = rg_slice((const char *) data, size);
	int64_t		numbers[4];

	if (take_bytes(&rest, numbers, sizeof numbers))
	{
		check_cost(numbers);
		for (int i = 0; i < 4; i++)
			numbers[i] >>= 24;
		check_cost(numbers);
	}
	check_amount(rg_slice((const char *) data, size));
	return 0;
}

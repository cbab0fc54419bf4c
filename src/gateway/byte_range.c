/*
 * byte_range.c
 *		The header Range; byte_range.h has the contract.
 */
#include "byte_range.h"

#include <stdint.h>
#include <strings.h>

#define MAX_DIGITS 15			/* more bytes than any file has */

static const char unit[] = "bytes=";

/* Takes digits off; -1: there are none, -2: too many. */
static int64_t
take_number(RgSlice *text)
{
	int64_t		number = 0;
	int			digits = 0;

	for (; text->len > 0 && *text->data >= '0' && *text->data <= '9'; text->data++, text->len--)
	{
		if (++digits > MAX_DIGITS)
			return -2;
		number = number * 10 + (*text->data - '0');
	}
	return digits > 0 ? number : -1;
}

/* "-500": the last 500 */
static RgRangeVerdict
take_suffix(int64_t wanted, size_t size, RgByteRange *range)
{
	if (wanted < 0)
		return RG_RANGE_ALL;
	if (wanted == 0 || size == 0)
		return RG_RANGE_BEYOND;
	range->len = (uint64_t) wanted < size ? (size_t) wanted : size;
	range->first = size - range->len;
	return RG_RANGE_PART;
}

static RgRangeVerdict
take_part(int64_t first, int64_t last, size_t size, RgByteRange *range)
{
	if (last >= 0 && last < first)
		return RG_RANGE_ALL;
	if ((uint64_t) first >= size)
		return RG_RANGE_BEYOND;
	range->first = first;
	range->len = size - first;
	if (last >= 0 && (uint64_t) (last - first) < range->len)
		range->len = last - first + 1;
	return RG_RANGE_PART;
}

RgRangeVerdict
rg_byte_range(RgSlice header, size_t size, RgByteRange *range)
{
	const size_t start = sizeof unit - 1;
	int64_t		first,
				last;

	if (header.len <= start || strncasecmp(header.data, unit, start) != 0)
		return RG_RANGE_ALL;
	header = rg_slice(header.data + start, header.len - start);
	first = take_number(&header);
	if (first == -2 || header.len == 0 || *header.data != '-')
		return RG_RANGE_ALL;
	header = rg_slice(header.data + 1, header.len - 1);
	last = take_number(&header);
	if (last == -2 || header.len > 0)
		return RG_RANGE_ALL;
	return first < 0 ? take_suffix(last, size, range) : take_part(first, last, size, range);
}

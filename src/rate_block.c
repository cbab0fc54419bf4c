/*
 * rate_block.c
 *		The limits of a refusal in a reply frame; rate_block.h describes them.
 */
#include "rate_block.h"

#include <endian.h>

#define DENIED		1
#define BY_ADDRESS	2
#define NUMBERS		5
#define LARGEST		(INT64_MAX / 4) /* of any number: sums of two stay in
									 * range */

static char *
put_number(char *out, int64_t number)
{
	uint64_t	bytes = htobe64((uint64_t) number);

	memcpy(out, &bytes, sizeof bytes);
	return out + sizeof bytes;
}

static char *
put_limit(char *out, const RgRateLimit *limit)
{
	*out++ = (char) limit->name.len;
	memcpy(out, limit->name.data, limit->name.len);
	out += limit->name.len;
	*out++ = (limit->denied ? DENIED : 0) | (limit->by_address ? BY_ADDRESS : 0);
	out = put_number(out, limit->quota);
	out = put_number(out, limit->window);
	out = put_number(out, limit->limit);
	out = put_number(out, limit->remaining);
	return put_number(out, limit->wait);
}

size_t
rg_rate_block_write(const RgRateLimit *limits, int count, char *out)
{
	char	   *at = out;

	for (int i = 0; i < count; i++)
		at = put_limit(at, &limits[i]);
	return at - out;
}

static bool
take_number(RgSlice *rest, int64_t *number)
{
	uint64_t	bytes;

	memcpy(&bytes, rest->data, sizeof bytes);
	*number = (int64_t) be64toh(bytes);
	rest->data += sizeof bytes;
	rest->len -= sizeof bytes;
	return *number >= 0 && *number <= LARGEST;
}

/* It goes between quotes, in a header and in JSON. */
static bool
is_name(RgSlice name)
{
	for (size_t i = 0; i < name.len; i++)
	{
		unsigned char c = name.data[i];

		if (c <= ' ' || c >= 0x7f || c == '"' || c == '\\')
			return false;
	}
	return name.len > 0 && name.len <= RG_RATE_NAME_MAX;
}

static bool
take_limit(RgSlice *rest, RgRateLimit *limit)
{
	size_t		len = (unsigned char) rest->data[0];
	unsigned char flags;

	if (rest->len < 1 + len + 1 + NUMBERS * sizeof(int64_t))
		return false;
	memset(limit, 0, sizeof *limit);
	limit->name = rg_slice(rest->data + 1, len);
	flags = rest->data[1 + len];
	limit->denied = (flags & DENIED) != 0;
	limit->by_address = (flags & BY_ADDRESS) != 0;
	rest->data += 1 + len + 1;
	rest->len -= 1 + len + 1;
	return is_name(limit->name) &&
		take_number(rest, &limit->quota) && take_number(rest, &limit->window) &&
		take_number(rest, &limit->limit) && take_number(rest, &limit->remaining) &&
		take_number(rest, &limit->wait);
}

int
rg_rate_block_read(RgSlice block, RgRateLimit limits[RG_RATE_LIMITS_MAX])
{
	int			count = 0;

	while (block.len > 0)
		if (count == RG_RATE_LIMITS_MAX || !take_limit(&block, &limits[count++]))
			return -1;
	return count;
}

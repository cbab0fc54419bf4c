/*
 * aad.c
 *		The encoding of additional authenticated data; aad.h describes it.
 */
#include "aad.h"

#define ABSENT UINT32_MAX

static uint8_t *
put_number(uint8_t *out, uint32_t number)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		*out++ = (uint8_t) (number >> shift);
	return out;
}

size_t
rg_aad_length(const RgSlice *parts, size_t count)
{
	size_t		length = sizeof(uint32_t) * (count + 1);

	for (size_t i = 0; i < count; i++)
		length += parts[i].len;
	return length;
}

void
rg_aad_write(const RgSlice *parts, size_t count, uint8_t *out)
{
	out = put_number(out, (uint32_t) count);
	for (size_t i = 0; i < count; i++)
	{
		out = put_number(out, parts[i].data == NULL ? ABSENT : (uint32_t) parts[i].len);
		if (parts[i].len > 0)
			memcpy(out, parts[i].data, parts[i].len);
		out += parts[i].len;
	}
}

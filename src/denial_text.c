/*
 * denial_text.c
 *		Texts for audit rows; denial_text.h has the contract.
 */
#include "denial_text.h"

#include <stdint.h>

#define LABEL_MAX 200

static const char cut[] = "...";

static char
printable(char c)
{
	return c >= ' ' && c <= '~' ? c : '?';
}

void
rg_denial_clean(RgSlice text, char *out, size_t size)
{
	size_t		len = text.len < size ? text.len : size - sizeof cut;

	for (size_t i = 0; i < len; i++)
		out[i] = printable(text.data[i]);
	out[len] = '\0';
	if (len < text.len)
		memcpy(out + len, cut, sizeof cut);
}

static RgSlice
without_query(RgSlice path)
{
	for (size_t i = 0; i < path.len; i++)
		if (path.data[i] == '?' || path.data[i] == '#')
			return rg_slice(path.data, i);
	return path;
}

void
rg_denial_clean_request(RgSlice method, RgSlice path, char *out, size_t size)
{
	size_t		len;

	rg_denial_clean(method, out, size / 4);
	len = strlen(out);
	out[len++] = ' ';
	rg_denial_clean(without_query(path), out + len, size - len);
}

bool
rg_denial_is_word(RgSlice text, size_t size)
{
	if (text.len == 0 || text.len >= size)
		return false;
	for (size_t i = 0; i < text.len; i++)
	{
		char		c = text.data[i];

		if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_'))
			return false;
	}
	return true;
}

static uint32_t
read_number(const char *data)
{
	const unsigned char *bytes = (const unsigned char *) data;

	return (uint32_t) bytes[0] << 24 | (uint32_t) bytes[1] << 16 |
		(uint32_t) bytes[2] << 8 | bytes[3];
}

/* Encoded as aad.h says; in SQL an AAD may be any bytes. */
RgSlice
rg_denial_label(RgSlice aad)
{
	uint32_t	len;

	if (aad.len < 8 || read_number(aad.data) == 0)
		return rg_slice(NULL, 0);
	len = read_number(aad.data + 4);
	if (len == 0 || len > LABEL_MAX || len > aad.len - 8)
		return rg_slice(NULL, 0);
	return rg_slice(aad.data + 8, len);
}

RgSlice
rg_denial_label_table(RgSlice label)
{
	size_t		dots[2];
	int			ndots = 0;

	for (size_t i = 0; i < label.len; i++)
	{
		if (label.data[i] != '.')
			continue;
		if (ndots == 2)
			return rg_slice(NULL, 0);
		dots[ndots++] = i;
	}
	if (ndots < 2 || dots[0] == 0 || dots[1] == dots[0] + 1 || dots[1] == label.len - 1)
		return rg_slice(NULL, 0);
	return rg_slice(label.data + dots[0] + 1, dots[1] - dots[0] - 1);
}

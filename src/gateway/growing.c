/*
 * growing.c
 *		Bytes that come bit by bit; growing.h has the contract.
 */
#include "growing.h"

#include <stdlib.h>

#define MIN_CAP 512

static bool
make_room(RgGrowing *growing, size_t needed)
{
	size_t		cap = growing->cap ? growing->cap : MIN_CAP;
	char	   *data;

	while (cap < needed)
		cap *= 2;
	if (cap == growing->cap)
		return true;
	data = realloc(growing->data, cap);
	if (data == NULL)
		return false;
	growing->data = data;
	growing->cap = cap;
	return true;
}

bool
rg_growing_append(RgGrowing *growing, RgSlice more, size_t max)
{
	if (growing->len > max || more.len > max - growing->len ||
		!make_room(growing, growing->len + more.len))
		return false;
	if (more.len > 0)
		memcpy(growing->data + growing->len, more.data, more.len);
	growing->len += more.len;
	return true;
}

void
rg_growing_free(RgGrowing *growing)
{
	free(growing->data);
	memset(growing, 0, sizeof *growing);
}

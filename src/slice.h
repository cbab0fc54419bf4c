/*
 * slice.h
 *		A run of bytes that somebody else owns.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_SLICE_H
#define RG_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

typedef struct RgSlice
{
	const char *data;			/* not NUL-terminated; NULL means absent */
	size_t		len;
} RgSlice;

#define RG_SLICE(literal) ((RgSlice) {(literal), sizeof(literal) - 1})

static inline RgSlice
rg_slice(const char *data, size_t len)
{
	RgSlice		slice = {data, len};

	return slice;
}

/* A string's; absent when that is NULL or empty. */
static inline RgSlice
rg_slice_of(const char *string)
{
	if (string == NULL || *string == '\0')
		return rg_slice(NULL, 0);
	return rg_slice(string, strlen(string));
}

static inline bool
rg_slice_is(RgSlice slice, const char *string)
{
	return slice.data != NULL && strlen(string) == slice.len &&
		memcmp(slice.data, string, slice.len) == 0;
}

static inline bool
rg_slice_equal(RgSlice a, RgSlice b)
{
	return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

#endif

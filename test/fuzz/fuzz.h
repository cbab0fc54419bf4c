/*
 * fuzz.h
 *		What every fuzzer has: the entry that libFuzzer and replay.c call, and
 *		a postcondition.
 */
#ifndef FUZZ_H
#define FUZZ_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "slice.h"

extern int	LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define require(condition) \
	((condition) ? (void) 0 : require_failed(__FILE__, __LINE__, #condition))

static inline void
require_failed(const char *file, int line, const char *condition)
{
	fprintf(stderr, "%s:%d: not so: %s\n", file, line, condition);
	abort();
}

/* Takes what stands before the next NUL; all the rest where there is none. */
static inline RgSlice
take_field(RgSlice *rest)
{
	const char *end = rest->len > 0 ? memchr(rest->data, '\0', rest->len) : NULL;
	RgSlice		field = rg_slice(rest->data, end ? (size_t) (end - rest->data) : rest->len);
	size_t		used = field.len + (end != NULL);

	rest->data += used;
	rest->len -= used;
	return field;
}

/* Takes size bytes; false when there are not so many. */
static inline bool
take_bytes(RgSlice *rest, void *out, size_t size)
{
	if (rest->len < size)
		return false;
	memcpy(out, rest->data, size);
	rest->data += size;
	rest->len -= size;
	return true;
}

/* Does part lie within whole? */
static inline bool
lies_within(RgSlice part, RgSlice whole)
{
	return part.len == 0 || (part.data >= whole.data && part.len <= whole.len &&
							 part.data + part.len <= whole.data + whole.len);
}

#endif

/*
 * cursor_text.h
 *		What a cursor of a list consists of, before anything is looked up.
 *
 * A cursor is the base64url of an envelope; sealed in it stand the values of
 * the keyset columns: for each its type's oid, then -1 for NULL or a length
 * and the value as the type's send function gives it; integers of four bytes,
 * big-endian.
 *
 * Pure C: shared by the extension and fuzzers.
 */
#ifndef RG_CURSOR_TEXT_H
#define RG_CURSOR_TEXT_H

#include <stdint.h>

#include "slice.h"

/* The value of one keyset column. */
typedef struct RgCursorValue
{
	uint32_t	type;			/* oid */
	bool		null;
	RgSlice		sent;			/* empty when null; at most INT32_MAX bytes */
} RgCursorValue;

/*
 * Decodes a cursor into out, which holds text.len bytes; envelope points there.
 * False when the text is no envelope's.
 */
extern bool rg_cursor_decode(RgSlice text, char *out, RgSlice *envelope)
			__attribute__((warn_unused_result));

/*
 * Takes the next value off the opened bytes, and points into them.  False, with
 * rest as it was, when what is left is none.
 */
extern bool rg_cursor_take(RgSlice *rest, RgCursorValue *value)
			__attribute__((warn_unused_result));

/* The bytes rg_cursor_put() needs. */
extern size_t rg_cursor_size(const RgCursorValue *value);

/* Writes the value as rg_cursor_take() reads it; returns rg_cursor_size(). */
extern size_t rg_cursor_put(const RgCursorValue *value, char *out);

#endif

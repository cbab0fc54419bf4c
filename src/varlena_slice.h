/*
 * varlena_slice.h
 *		The bytes of a bytea or text of the server, and one of bytes.
 */
#ifndef RG_VARLENA_SLICE_H
#define RG_VARLENA_SLICE_H

#include "fmgr.h"
#include "utils/builtins.h"

#if PG_VERSION_NUM >= 160000
#include "varatt.h"
#endif

#include "slice.h"

/* Where they are: of a value that is not toasted, as PG_GETARG_..._PP() gives it. */
static inline RgSlice
rg_varlena_slice(const struct varlena *value)
{
	return rg_slice(VARDATA_ANY(value), VARSIZE_ANY_EXHDR(value));
}

/* Detoasts it if need be, then into palloc'd memory. */
static inline RgSlice
rg_datum_slice(Datum value)
{
	return rg_varlena_slice(PG_DETOAST_DATUM_PACKED(value));
}

/* A text or bytea of these bytes, palloc'd. */
static inline Datum
rg_slice_datum(RgSlice bytes)
{
	return PointerGetDatum(cstring_to_text_with_len(bytes.data, bytes.len));
}

#endif

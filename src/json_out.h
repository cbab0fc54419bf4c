/*
 * json_out.h
 *		Rows become JSON: a DestReceiver that renders what a statement returns
 *		straight into a StringInfo.
 *
 * The result is the value that to_json() would give for the row, except that
 * a timestamptz column is always in UTC ("2026-01-02T03:04:05.5Z").  Inside
 * of arrays and composites it stays to_json()'s, in the session's TimeZone.
 */
#ifndef RG_JSON_OUT_H
#define RG_JSON_OUT_H

#include "access/tupdesc.h"
#include "lib/stringinfo.h"
#include "tcop/dest.h"

typedef enum RgJsonResult
{
	RG_JSON_ROWS,				/* {…},{…}: the caller writes the brackets */
	RG_JSON_ROW,				/* {…}: a second row is error 21000 */
	RG_JSON_VALUE,				/* the first column of the only row, bare */
	RG_JSON_NONE,				/* nothing: rows are only counted */
	RG_JSON_FILE				/* no JSON: file_out.h, not here */
} RgJsonResult;

/*
 * How the rows of one statement are rendered.  The caller keeps a pointer
 * beside the statement's plan, NULL at first, and the context that it lives
 * in; it is built and, after a change of the row type, rebuilt at execution.
 * Deleting the context frees it: the caller then forgets the pointer too.
 */
typedef struct RgJsonShape RgJsonShape;

typedef struct RgJsonOut
{
	DestReceiver pub;			/* first: &out.pub is SPIExecuteOptions.dest */

	/* Set by rg_json_out_init() */
	StringInfo	buf;
	RgJsonResult result;
	RgJsonShape **shape;
	MemoryContext shape_context;

	/*
	 * Set by the caller afterwards, if wanted.  max_bytes: what the rows may
	 * add to buf; more is error 54000.  When row number capture_at (from 1; 0
	 * for never) arrives, its columns of those names are copied into
	 * key_context, for a cursor; a shape always belongs to the same names.
	 */
	Size		max_bytes;
	int			nkeys;
	char	   *const *key_names;
	uint64		capture_at;
	MemoryContext key_context;

	/* Results */
	uint64		nrows;
	bool		captured;
	Datum	   *key_values;
	bool	   *key_nulls;
	Oid		   *key_types;

	/* Private */
	Size		start;
	MemoryContext row_context;
} RgJsonOut;

/*
 * Prepares a receiver for one execution of one statement.  There is nothing
 * to clean up: what it allocates belongs to the executor, the shape's or the
 * key's context.  shape is not touched with RG_JSON_NONE.  After an error,
 * what buf holds is no JSON.
 */
extern void rg_json_out_init(RgJsonOut *out, StringInfo buf,
							 RgJsonResult result, RgJsonShape **shape,
							 MemoryContext shape_context);

/* Error 42701 when two columns have one name: no JSON object could hold both. */
extern void rg_json_check_columns(TupleDesc desc);

#endif

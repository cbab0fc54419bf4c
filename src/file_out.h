/*
 * file_out.h
 *		The row of a route of result file becomes the answer's body, as it is.
 *
 * Its columns are content (bytea) and, if wanted, content_type (text), file_name (text)
 * and modified (timestamptz).
 */
#ifndef RG_FILE_OUT_H
#define RG_FILE_OUT_H

#include "access/tupdesc.h"
#include "tcop/dest.h"

#include "answer.h"

typedef struct RgFileColumns
{
	AttrNumber	content;
	AttrNumber	type;			/* of this and those below 0: there is none */
	AttrNumber	name;
	AttrNumber	modified;
} RgFileColumns;

typedef struct RgFileOut
{
	DestReceiver pub;			/* first: &out.pub is SPIExecuteOptions.dest */
	bool		found;			/* there was a row, and its content not NULL */
	RgAnswer   *answer;
	MemoryContext context;		/* that the answer's lines live in */
	uint64		nrows;
	RgFileColumns columns;
} RgFileOut;

/* Error unless the columns are those. */
extern void rg_file_columns(TupleDesc desc, RgFileColumns *columns);

/*
 * Prepares a receiver for one execution, which writes body, type and lines of the
 * answer.  A second row is error 21000, more content than the route's max_response
 * 54000.
 */
extern void rg_file_out_init(RgFileOut *out, RgAnswer *answer);

#endif

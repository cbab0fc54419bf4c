/*
 * record.h
 *		Rows of functions with OUT arguments.
 *
 * To ask the catalog for the row type in each statement takes longer than a limit.
 */
#ifndef RG_RECORD_H
#define RG_RECORD_H

#include "access/tupdesc.h"

typedef struct RgRecordColumn
{
	const char *name;
	Oid			type;
} RgRecordColumn;

/* A row type: static, with desc NULL until it is first used. */
typedef struct RgRecordType
{
	const RgRecordColumn *columns;
	int			count;
	TupleDesc	desc;
} RgRecordType;

/* A row of it. */
extern Datum rg_record(RgRecordType *type, Datum *values, bool *nulls);

#endif

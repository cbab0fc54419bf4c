/*
 * record.c
 *		Rows of functions with OUT arguments.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "funcapi.h"
#include "utils/memutils.h"

#include "record.h"

static TupleDesc
make_desc(const RgRecordType *type)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);
	TupleDesc	desc = CreateTemplateTupleDesc(type->count);

	for (int i = 0; i < type->count; i++)
		TupleDescInitEntry(desc, i + 1, type->columns[i].name, type->columns[i].type, -1, 0);
	desc = BlessTupleDesc(desc);
	MemoryContextSwitchTo(old);
	return desc;
}

Datum
rg_record(RgRecordType *type, Datum *values, bool *nulls)
{
	if (type->desc == NULL)
		type->desc = make_desc(type);
	return HeapTupleGetDatum(heap_form_tuple(type->desc, values, nulls));
}

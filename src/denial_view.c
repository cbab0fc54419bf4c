/*
 * denial_view.c
 *		Numbers of refusals, for SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "denial_shared.h"

static void
put_class(ReturnSetInfo *rsinfo, const char *class, uint64 noted, uint64 left_out)
{
	Datum		values[3];
	bool		nulls[3] = {false, false, false};

	values[0] = CStringGetTextDatum(class);
	values[1] = Int64GetDatum((int64) noted);
	values[2] = Int64GetDatum((int64) left_out);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_denials);

/* read_denials() → class, noted, left_out */
Datum
relay_guard_read_denials(PG_FUNCTION_ARGS)
{
	RgDenialTotals totals;

	InitMaterializedSRF(fcinfo, 0);
	if (!rg_denial_totals(&totals))
		return (Datum) 0;
	for (int class = 0; class < RG_DENIAL_CLASSES; class++)
		put_class((ReturnSetInfo *) fcinfo->resultinfo, rg_denial_class_name(class),
				  totals.noted[class], totals.left_out[class]);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(relay_guard_read_denials_dropped);

/* read_denials_dropped() → bigint, or NULL */
Datum
relay_guard_read_denials_dropped(PG_FUNCTION_ARGS)
{
	RgDenialTotals totals;

	if (!rg_denial_totals(&totals))
		PG_RETURN_NULL();
	PG_RETURN_INT64((int64) totals.dropped);
}

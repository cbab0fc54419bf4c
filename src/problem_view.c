/*
 * problem_view.c
 *		The list of problems, for SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "problem.h"
#include "problem_catalog.h"

static void
put_kind(ReturnSetInfo *rsinfo, const RgProblemKind *kind)
{
	Datum		values[5];
	bool		nulls[5] = {false};

	values[0] = Int32GetDatum(kind->status);
	values[1] = CStringGetTextDatum(kind->code);
	values[2] = CStringGetTextDatum(rg_status_title(kind->status));
	values[3] = CStringGetTextDatum(kind->meaning);
	values[4] = CStringGetTextDatum(kind->suggestion);
	tuplestore_putvalues(rsinfo->setResult, rsinfo->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_problem_catalog);

/* problem_catalog() → status, code, title, meaning, suggestion */
Datum
relay_guard_problem_catalog(PG_FUNCTION_ARGS)
{
	size_t		count;
	const RgProblemKind *kinds = rg_problem_kinds(&count);

	InitMaterializedSRF(fcinfo, 0);
	for (size_t i = 0; i < count; i++)
		put_kind((ReturnSetInfo *) fcinfo->resultinfo, &kinds[i]);
	return (Datum) 0;
}

PG_FUNCTION_INFO_V1(relay_guard_status_title);

/* status_title(status) */
Datum
relay_guard_status_title(PG_FUNCTION_ARGS)
{
	PG_RETURN_TEXT_P(cstring_to_text(rg_status_title(PG_GETARG_INT32(0))));
}

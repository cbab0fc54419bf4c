/*
 * problem_view.c
 *		The list of problems, for SQL.
 */
#include "postgres.h"

#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"

#include "openai_path.h"
#include "problem.h"
#include "problem_catalog.h"
#include "varlena_slice.h"

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

PG_FUNCTION_INFO_V1(relay_guard_is_openai_path);

/* is_openai_path(path) */
Datum
relay_guard_is_openai_path(PG_FUNCTION_ARGS)
{
	PG_RETURN_BOOL(rg_openai_path(rg_varlena_slice(PG_GETARG_TEXT_PP(0))));
}

PG_FUNCTION_INFO_V1(relay_guard_openai_error);

/* openai_error(status, code, detail, suggestion) */
Datum
relay_guard_openai_error(PG_FUNCTION_ARGS)
{
	RgProblem	problem = {
		.status = PG_GETARG_INT32(0),
		.code = rg_varlena_slice(PG_GETARG_TEXT_PP(1)),
		.detail = rg_varlena_slice(PG_GETARG_TEXT_PP(2)),
		.suggestion = rg_varlena_slice(PG_GETARG_TEXT_PP(3)),
		.openai = true,
	};
	size_t		len = rg_problem_json(NULL, 0, &problem);
	struct varlena *json = palloc(VARHDRSZ + len);

	SET_VARSIZE(json, VARHDRSZ + rg_problem_json(VARDATA(json), len, &problem));
	PG_RETURN_TEXT_P(json);
}

/*
 * arguments.c
 *		From the values of a request to the parameters of a statement.
 */
#include "postgres.h"

#include "nodes/params.h"
#include "utils/builtins.h"
#include "utils/date.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/timestamp.h"

#include "arguments.h"
#include "cursor.h"
#include "varlena_slice.h"

/* Runs a type's input function on text that the schema has checked. */
static Datum
read_text(PGFunction input, RgSlice text, bool has_typmod)
{
	char	   *string = pnstrdup(text.data, text.len);

	if (!has_typmod)
		return DirectFunctionCall1(input, CStringGetDatum(string));
	return DirectFunctionCall3(input, CStringGetDatum(string),
							   ObjectIdGetDatum(InvalidOid), Int32GetDatum(-1));
}

static Datum
value_datum(const RgValue *value)
{
	switch (value->kind)
	{
		case RG_VALUE_INTEGER:
			return Int64GetDatum(value->integer);
		case RG_VALUE_NUMBER:
			return Float8GetDatum(value->number);
		case RG_VALUE_BOOLEAN:
			return BoolGetDatum(value->boolean);
		case RG_VALUE_STRING:
			return rg_slice_datum(value->text);
		case RG_VALUE_UUID:
			return read_text(uuid_in, value->text, false);
		case RG_VALUE_DATE:
			return read_text(date_in, value->text, false);
		case RG_VALUE_DATE_TIME:
			return read_text(timestamptz_in, value->text, true);
		case RG_VALUE_TIME:
			return read_text(time_in, value->text, true);
		case RG_VALUE_JSON:
			return read_text(jsonb_in, value->text, false);
	}
	pg_unreachable();
}

static void
set_param(ParamExternData *param, Oid type, Datum value, bool isnull)
{
	param->value = value;
	param->isnull = isnull;
	param->pflags = PARAM_FLAG_CONST;
	param->ptype = type;
}

static bool
is_json_type(RgSlice content_type)
{
	RgSlice		type = content_type;
	const char *semicolon = type.len ? memchr(type.data, ';', type.len) : NULL;

	if (semicolon != NULL)
		type.len = semicolon - type.data;
	while (type.len > 0 && (type.data[type.len - 1] == ' ' || type.data[type.len - 1] == '\t'))
		type.len--;
	if (type.len == 16 && pg_strncasecmp(type.data, "application/json", 16) == 0)
		return true;
	return type.len > 5 && pg_strncasecmp(type.data + type.len - 5, "+json", 5) == 0;
}

static void
free_values(void *arg)
{
	rg_values_free(arg);
}

/*
 * The values may own malloc'ed memory and must not move, so they live in the
 * current context and are freed with it, also after an error.
 */
static RgValues *
check(RgRoutePlan *plan, const RgRequest *request, const RgSlice *path_values,
	  RgViolation *violation)
{
	RgValues   *values = palloc(sizeof *values);
	MemoryContextCallback *callback = palloc(sizeof *callback);

	if (!rg_parameters_check(plan->parameters, path_values, request->query, request->body,
							 is_json_type(rg_request_header(request, "content-type")),
							 values, violation))
		return NULL;
	callback->func = free_values;
	callback->arg = values;
	MemoryContextRegisterResetCallback(CurrentMemoryContext, callback);
	return values;
}

/* The keyset's values: the cursor's, or where the first page starts. */
static bool
set_keyset(RgRoutePlan *plan, const RgRoute *route, const RgValue *after,
		   ParamListInfo params, RgViolation *violation)
{
	ParamExternData *first = &params->params[plan->nvalues - plan->nkeys];
	Datum		values[INDEX_MAX_KEYS];
	bool		nulls[INDEX_MAX_KEYS];

	for (int i = 0; i < plan->nkeys; i++)
	{
		values[i] = plan->keys[i].start;
		nulls[i] = plan->keys[i].start_null;
	}
	if (!after->null && !rg_cursor_open(plan, route, after->text, values, nulls))
	{
		rg_violate(violation, 422, "invalid_parameter",
				   "is not a cursor of this list and this user");
		rg_violation_prepend(violation, "after");
		rg_violation_prepend(violation, "query");
		rg_violation_suggest(violation, "Send the \"next\" of the page before, or leave it out to start anew.");
		return false;
	}
	for (int i = 0; i < plan->nkeys; i++)
		set_param(&first[i], plan->keys[i].type, values[i], nulls[i]);
	return true;
}

/*
 * A document that the statement does not ask for is not read a second time: a
 * body is there as a whole and as its members.
 */
static bool
is_absent(const RgRoutePlan *plan, int index, const RgValue *value)
{
	return value->null || (value->kind == RG_VALUE_JSON && !plan->used[index]);
}

ParamListInfo
rg_arguments(RgRoutePlan *plan, const RgRoute *route, const RgRequest *request,
			 const RgSlice *path_values, uint64 *limit, RgViolation *violation)
{
	RgValues   *values = check(plan, request, path_values, violation);
	ParamListInfo params;

	if (values == NULL)
		return NULL;
	params = makeParamList(plan->nvalues);
	for (int i = 0; i < values->count; i++)
	{
		const RgValue *value = &values->values[i];
		bool		absent = is_absent(plan, i, value);

		set_param(&params->params[i], plan->types[i],
				  absent ? (Datum) 0 : value_datum(value), absent);
	}
	*limit = plan->limit_index >= 0 && !values->values[plan->limit_index].null ?
		values->values[plan->limit_index].integer : 0;
	if (plan->nkeys > 0 &&
		!set_keyset(plan, route, &values->values[plan->after_index], params, violation))
		return NULL;
	return params;
}

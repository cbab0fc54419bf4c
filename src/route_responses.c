/*
 * route_responses.c
 *		Checking what a row of route says of its answers.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "utils/jsonb.h"

#include "responses.h"
#include "route_responses.h"

/* By name: where a column stands that was added later depends on the table's past. */
static char *
responses_of(HeapTuple tuple, TupleDesc desc)
{
	for (int i = 0; i < desc->natts; i++)
	{
		bool		isnull;
		Datum		value;
		Jsonb	   *json;

		if (strcmp(NameStr(TupleDescAttr(desc, i)->attname), "responses") != 0)
			continue;
		value = heap_getattr(tuple, i + 1, desc, &isnull);
		if (isnull)
			return NULL;
		json = DatumGetJsonbP(value);
		return JsonbToCString(NULL, &json->root, VARSIZE(json));
	}
	return NULL;
}

void
rg_route_responses_check(const RgRoute *route, HeapTuple tuple, TupleDesc desc)
{
	char	   *responses = responses_of(tuple, desc);
	bool		has_body = route->result != RG_JSON_NONE && route->result != RG_JSON_FILE &&
	route->status != 204;
	char		problem[700];

	if (responses == NULL ||
		rg_responses_check(rg_slice_of(responses), route->status, has_body, problem, sizeof problem))
		return;
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("route %s %s declares its responses wrongly", route->method, route->path),
			errdetail_internal("%s", problem));
}

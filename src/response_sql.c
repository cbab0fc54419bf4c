/*
 * response_sql.c
 *		What a route's statement may say beside its rows.
 */
#include "postgres.h"

#include "fmgr.h"

#include "gateway_flags.h"
#include "identity.h"
#include "response_header.h"
#include "serving.h"

/* Of all lines together: the gateway has 16 kB for a whole head. */
#define MAX_LINES 4096

static void
check_line(RgSlice name, RgSlice value)
{
	if (!rg_response_header_allowed(name))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a route cannot set the header \"%.*s\"", (int) name.len, name.data),
				errhint("Use a name of your own that begins with X-."));
	if (!rg_response_header_value_valid(value))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the value of a header must be printable ASCII without blanks around it"));
}

/* The columns of a file say these, and what they say is safe. */
static void
check_file(const RgRoute *route, RgSlice name)
{
	if (route->result == RG_JSON_FILE &&
		((name.len == 13 && pg_strncasecmp(name.data, "last-modified", 13) == 0) ||
		 (name.len == 19 && pg_strncasecmp(name.data, "content-disposition", 19) == 0)))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("a route of result file cannot set the header \"%.*s\"", (int) name.len, name.data),
				errhint("Return file_name or modified as a column."));
}

PG_FUNCTION_INFO_V1(relay_guard_response_header);

/* response_header(name, value): nothing where no answer is being made */
Datum
relay_guard_response_header(PG_FUNCTION_ARGS)
{
	RgServing  *serving = rg_serving_writable("response_header()");
	RgSlice		name = rg_text_argument(fcinfo, 0);
	RgSlice		value = rg_text_argument(fcinfo, 1);

	check_line(name, value);
	if (serving == NULL)
		PG_RETURN_VOID();
	check_file(serving->answer->route, name);
	if (serving->answer->headers.len + name.len + value.len + 4 > MAX_LINES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("the headers of an answer have more than %d bytes", MAX_LINES));
	rg_answer_header(serving->answer, "%.*s: %.*s", (int) name.len, name.data,
					 (int) value.len, value.data);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(relay_guard_gateway_flag);

/* gateway_flag(flag) */
Datum
relay_guard_gateway_flag(PG_FUNCTION_ARGS)
{
	RgServing  *serving = rg_serving();

	PG_RETURN_BOOL(serving != NULL && rg_gateway_flag(serving->request, rg_text_argument(fcinfo, 0)));
}

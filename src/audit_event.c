/*
 * audit_event.c
 *		audit_event(): what application SQL wants to be known.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"

#include "audit_write.h"
#include "varlena_slice.h"

#define MAX_WORD 255
#define MAX_RESOURCE_ID 1024

static const char *const statuses[] = {"ok", "denied", "error"};

/* An argument that must be there, not empty, and no longer than max bytes. */
static char *
required(FunctionCallInfo fcinfo, int argno, const char *name)
{
	char	   *word = PG_ARGISNULL(argno) ? NULL : text_to_cstring(PG_GETARG_TEXT_PP(argno));

	if (word == NULL || *word == '\0' || strlen(word) > MAX_WORD)
		ereport(ERROR,
				errcode(word == NULL ? ERRCODE_NULL_VALUE_NOT_ALLOWED : ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s of an audit event must have 1 to %d bytes", name, MAX_WORD));
	return word;
}

static RgSlice
optional_id(FunctionCallInfo fcinfo, int argno)
{
	RgSlice		id;

	if (PG_ARGISNULL(argno))
		return rg_slice(NULL, 0);
	id = rg_varlena_slice(PG_GETARG_TEXT_PP(argno));
	if (id.len > MAX_RESOURCE_ID)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("resource_id of an audit event must have at most %d bytes", MAX_RESOURCE_ID));
	return id;
}

static const char *
status_of(const char *given)
{
	for (size_t i = 0; i < lengthof(statuses); i++)
		if (strcmp(given, statuses[i]) == 0)
			return statuses[i];
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("there is no status \"%s\" of an audit event", given),
			errhint("It is ok, denied or error."));
}

PG_FUNCTION_INFO_V1(relay_guard_audit_event);

/* audit_event(action, resource_type, resource_id, details, status) → id */
Datum
relay_guard_audit_event(PG_FUNCTION_ARGS)
{
	char	   *action = required(fcinfo, 0, "action");
	char	   *resource_type = required(fcinfo, 1, "resource_type");
	RgSlice		resource_id = optional_id(fcinfo, 2);
	Jsonb	   *details = PG_ARGISNULL(3) ? NULL : PG_GETARG_JSONB_P(3);
	const char *status = status_of(required(fcinfo, 4, "status"));

	PreventCommandIfReadOnly("audit_event()");
	PreventCommandIfParallelMode("audit_event()");
	PG_RETURN_INT64(rg_audit_event(action, resource_type, resource_id, details,
								   "event", status));
}

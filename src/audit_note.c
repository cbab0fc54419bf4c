/*
 * audit_note.c
 *		What the audit log says of audited tables themselves: rows of the kind
 *		system, about the table and not about one of its rows.
 */
#include "postgres.h"

#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/fmgroids.h"
#include "utils/json.h"
#include "utils/jsonb.h"
#include "utils/lsyscache.h"

#include "audit_note.h"
#include "audit_write.h"

const char *
rg_audit_table_name(Oid relation)
{
	return quote_qualified_identifier(get_namespace_name(get_rel_namespace(relation)),
									  get_rel_name(relation));
}

static void
note(const char *action, Oid relation, const RgAuditDefinition *definition, const char *details)
{
	rg_audit_event(action, definition->arguments[RG_AUDIT_RESOURCE_TYPE],
				   rg_slice_of(rg_audit_table_name(relation)),
				   DatumGetJsonbP(DirectFunctionCall1(jsonb_in, CStringGetDatum(details))),
				   "system", "ok");
}

/* The text form of a name[] as a JSON array. */
static const char *
json_list(const char *list)
{
	return TextDatumGetCString(OidFunctionCall1(F_ARRAY_TO_JSON_ANYARRAY, rg_audit_names(list)));
}

void
rg_audit_note_definition(const char *action, Oid relation, const RgAuditDefinition *definition)
{
	note(action, relation, definition,
		 psprintf("{\"key\": %s, \"redact\": %s, \"omit\": %s}",
				  json_list(definition->arguments[RG_AUDIT_KEY]),
				  json_list(definition->arguments[RG_AUDIT_REDACT]),
				  json_list(definition->arguments[RG_AUDIT_OMIT])));
}

void
rg_audit_note_column(Oid relation, const char *what, const char *column, const char *to)
{
	RgAuditState state = rg_audit_state(relation);
	StringInfoData details;

	if (!state.audited)
		return;
	initStringInfo(&details);
	appendStringInfo(&details, "{\"%s\": ", what);
	escape_json(&details, column);
	if (to != NULL)
	{
		appendStringInfoString(&details, ", \"to\": ");
		escape_json(&details, to);
	}
	appendStringInfoChar(&details, '}');
	note("audit.alter", relation, &state.definition, details.data);
}

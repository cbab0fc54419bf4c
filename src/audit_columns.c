/*
 * audit_columns.c
 *		Whether the log's own tables have the columns that they were made with.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "utils/builtins.h"
#include "utils/rel.h"

#include "audit_columns.h"
#include "audit_subject.h"

const RgLogColumn rg_audit_log_columns[Natts_audit] = {
	{"id", INT8OID}, {"xid", XID8OID}, {"occurred_at", TIMESTAMPTZOID}, {"epoch", INT4OID},
	{"key_id", INT4OID}, {"action", TEXTOID}, {"resource_type", TEXTOID},
	{"resource_id", TEXTOID}, {"actor", TEXTOID}, {"via", TEXTOID},
	{"session_role", TEXTOID}, {"workspace_id", TEXTOID}, {"api_key_id", UUIDOID},
	{"session_id", TEXTOID}, {"request_id", TEXTOID}, {"client_ip", INETOID},
	{"source", TEXTOID}, {"status", TEXTOID}, {"old", JSONBOID}, {"new", JSONBOID},
	{"details", JSONBOID}, {"mac", BYTEAOID}
};

static bool
is_column(Form_pg_attribute attribute, const RgLogColumn *column)
{
	return !attribute->attisdropped && attribute->atttypid == column->type &&
		namestrcmp(&attribute->attname, column->name) == 0;
}

static bool
has_columns(TupleDesc desc, const RgLogColumn *columns, int count)
{
	if (desc->natts < count)
		return false;
	for (int i = 0; i < count; i++)
		if (!is_column(TupleDescAttr(desc, i), &columns[i]))
			return false;
	for (int i = count; i < desc->natts; i++)
		if (!TupleDescAttr(desc, i)->attisdropped)
			return false;
	return true;
}

void
rg_audit_require_columns(Relation table, const RgLogColumn *columns, int count)
{
	if (!has_columns(RelationGetDescr(table), columns, count))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" has other columns than relay_guard gave it",
					   RelationGetRelationName(table)),
				errhint("Drop the columns that were added, and give the others back their names and types."));
}

/*
 * audit_tables.c
 *		read_audited_tables(): every audited table, found by what depends on
 *		audit_change().
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/dependency.h"
#include "catalog/indexing.h"
#include "catalog/pg_depend.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"

#include "audit_table.h"

/* Columns of the result */
enum
{
	RELATION, RESOURCE_TYPE, KEY, REDACT, OMIT, PART, COMPLETE, NCOLUMNS
};

static List *
triggers_of(Oid function)
{
	Relation	depend = table_open(DependRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData keys[2];
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&keys[0], Anum_pg_depend_refclassid, BTEqualStrategyNumber, F_OIDEQ,
				ObjectIdGetDatum(ProcedureRelationId));
	ScanKeyInit(&keys[1], Anum_pg_depend_refobjid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(function));
	scan = systable_beginscan(depend, DependReferenceIndexId, true, NULL, 2, keys);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		if (((Form_pg_depend) GETSTRUCT(tuple))->classid == TriggerRelationId)
			found = lappend_oid(found, ((Form_pg_depend) GETSTRUCT(tuple))->objid);
	systable_endscan(scan);
	table_close(depend, AccessShareLock);
	return found;
}

static List *
audited_tables(void)
{
	List	   *tables = NIL;
	ListCell   *cell;
	Oid			table;
	bool		enabled;

	foreach(cell, triggers_of(rg_audit_function()))
	{
		rg_audit_trigger_role(lfirst_oid(cell), &table, &enabled);
		if (OidIsValid(table))
			tables = lappend_oid(tables, table);
	}
	list_sort(tables, list_oid_cmp);
	list_deduplicate_oid(tables);
	return tables;
}

static bool
all_alike(const List *relatives, const RgAuditDefinition *definition)
{
	const ListCell *cell;

	foreach(cell, relatives)
	{
		RgAuditState state = rg_audit_state(lfirst_oid(cell));

		if (!state.audited || !rg_audit_definitions_equal(&state.definition, definition))
			return false;
	}
	return true;
}

static bool
any_audited(const List *tables)
{
	const ListCell *cell;

	foreach(cell, tables)
		if (rg_audited(lfirst_oid(cell)))
		return true;
	return false;
}

/* A list that is none, of a trigger that somebody else made, is shown as NULL. */
static Datum
names_datum(const char *list, bool *isnull)
{
	*isnull = list[0] == '\0';
	if (*isnull)
		return (Datum) 0;
	return rg_audit_names(list);
}

static void
put_table(ReturnSetInfo *result, Oid table)
{
	RgAuditState state = rg_audit_state(table);
	List	   *parents = rg_audit_parents(table);
	Datum		values[NCOLUMNS] = {0};
	bool		nulls[NCOLUMNS] = {false};

	if (!state.audited)
		return;					/* no more */
	values[RELATION] = ObjectIdGetDatum(table);
	values[RESOURCE_TYPE] = CStringGetTextDatum(state.definition.arguments[RG_AUDIT_RESOURCE_TYPE]);
	values[KEY] = names_datum(state.definition.arguments[RG_AUDIT_KEY], &nulls[KEY]);
	values[REDACT] = names_datum(state.definition.arguments[RG_AUDIT_REDACT], &nulls[REDACT]);
	values[OMIT] = names_datum(state.definition.arguments[RG_AUDIT_OMIT], &nulls[OMIT]);
	values[PART] = BoolGetDatum(any_audited(parents));
	values[COMPLETE] = BoolGetDatum(state.complete && all_alike(parents, &state.definition) &&
									all_alike(rg_audit_children(table), &state.definition));
	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_read_audited_tables);

/* read_audited_tables() → relation, resource_type, key, redact, omit, part, complete */
Datum
relay_guard_read_audited_tables(PG_FUNCTION_ARGS)
{
	List	   *tables = audited_tables();
	ListCell   *cell;

	InitMaterializedSRF(fcinfo, 0);
	foreach(cell, tables)
		put_table((ReturnSetInfo *) fcinfo->resultinfo, lfirst_oid(cell));
	return (Datum) 0;
}

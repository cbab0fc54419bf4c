/*
 * audit_guard.c
 *		The event triggers that keep DDL from getting around the audit.
 *
 * Whoever owns a table could switch its triggers off, rewrite its values with
 * ALTER TYPE ... USING, or bring rows in and out with ATTACH and DETACH; none of
 * it would stand in the log.  Refused is what takes the audit away, to all but
 * superusers; audit_stop() is the way, and leaves a row.  What only adds, such
 * as the CREATE TRIGGER commands of a dump that is being restored, passes.
 *
 * A new partition of an audited table is given its triggers, and a column that
 * was dropped or renamed a row in the log, whoever did it.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_rewrite.h"
#include "catalog/pg_trigger.h"
#include "commands/event_trigger.h"
#include "commands/extension.h"
#include "executor/executor.h"
#include "funcapi.h"
#include "miscadmin.h"
#include "nodes/parsenodes.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "audit_install.h"
#include "audit_note.h"
#include "audit_table.h"

/* Columns of pg_event_trigger_ddl_commands() and of pg_event_trigger_dropped_objects() */
enum
{
	COMMAND_CLASS = 1, COMMAND_OBJECT = 2, COMMAND_COLLECTED = 9
};
enum
{
	DROPPED_OBJECT = 2, DROPPED_TYPE = 7, DROPPED_SCHEMA = 8, DROPPED_NAME = 9, DROPPED_NAMES = 11
};

/*
 * Refusals
 */

static void
refuse_audited(const char *table, const char *what)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("table %s is audited: %s", table, what),
			errdetail("The audit log would not tell what this changes."),
			errhint("Call relay_guard.audit_stop() first and relay_guard.audit() afterwards: both leave a row in the log."));
}

static void
refuse_log(const char *table)
{
	ereport(ERROR,
			errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
			errmsg("table %s is relay_guard's", table),
			errhint("Partitions of the audit log are made by relay_guard.audit_maintain() and taken away by relay_guard.audit_retire()."));
}

static bool
guarded_against(void)
{
	return !superuser();
}

/* Refuses it on audited tables, and anything on the log. */
static void
guard(Oid relation, const char *what)
{
	if (!guarded_against())
		return;
	if (rg_audit_is_log(relation))
		refuse_log(rg_audit_table_name(relation));
	if (rg_audited(relation))
		refuse_audited(rg_audit_table_name(relation), what);
}

/*
 * What the event triggers are told
 */

typedef void (*EachRow) (TupleTableSlot *slot);

/* Calls a set-returning function of event triggers without a query around it. */
static void
each_row(Oid function, EachRow each)
{
	LOCAL_FCINFO(fcinfo, 0);
	ReturnSetInfo result = {.type = T_ReturnSetInfo,.allowedModes = SFRM_Materialize};
	TupleTableSlot *slot;
	FmgrInfo	info;

	fmgr_info(function, &info);
	result.econtext = CreateStandaloneExprContext();
	InitFunctionCallInfoData(*fcinfo, &info, 0, InvalidOid, NULL, (Node *) &result);
	(void) FunctionCallInvoke(fcinfo);
	slot = MakeSingleTupleTableSlot(result.setDesc, &TTSOpsMinimalTuple);
	while (tuplestore_gettupleslot(result.setResult, true, false, slot))
	{
		slot_getallattrs(slot);
		each(slot);
	}
	ExecDropSingleTupleTableSlot(slot);
	tuplestore_end(result.setResult);
	FreeExprContext(result.econtext, true);
}

static bool
attribute(TupleTableSlot *slot, int attnum, Datum *value)
{
	*value = slot->tts_values[attnum - 1];
	return !slot->tts_isnull[attnum - 1];
}

static void
require_event(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_EVENT_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("this function is an event trigger of relay_guard"));
}

/* Our own install and upgrade scripts, and databases where parts of us are gone. */
static bool
stands_aside(void)
{
	return !OidIsValid(rg_audit_function()) ||
		(creating_extension && CurrentExtensionObject == get_extension_oid("relay_guard", true));
}

/*
 * New parts of audited tables
 */

static bool
audited_parent(Oid relation, RgAuditState *state)
{
	List	   *parents = rg_audit_parents(relation);
	ListCell   *cell;

	foreach(cell, parents)
	{
		*state = rg_audit_state(lfirst_oid(cell));
		if (state->audited)
			return true;
	}
	return false;
}

static void
adopt(Oid relation)
{
	RgAuditState parent;

	if (has_superclass(relation) && audited_parent(relation, &parent))
		rg_audit_install(relation, &parent.definition);
}

static void
warn_of_parent(Oid parent, Oid child)
{
	if (rg_audited(child) && !rg_audited(parent))
		ereport(WARNING,
				errmsg("what is written by way of \"%s\" to audited table \"%s\" is not recorded",
					   get_rel_name(parent), get_rel_name(child)),
				errhint("Call relay_guard.audit() for \"%s\".", get_rel_name(parent)));
}

/*
 * ALTER TABLE
 */

static void
on_part_added(Oid parent, Oid child)
{
	guard(parent, "rows would come in with another table");
	guard(child, "it would become part of another table");
	adopt(child);
	warn_of_parent(parent, child);
}

/* State, not command: ENABLE would have the row trigger fire beside the others. */
static void
on_triggers_enabled(Oid relation, const char *name)
{
	if (guarded_against() && !rg_audit_triggers_enabled(relation, name))
		refuse_audited(rg_audit_table_name(relation), "its triggers are to stay enabled as they are");
}

/* The other table of a subcommand.  The command holds a lock on it; its address is not always told. */
static Oid
other_table(const AlterTableCmd * command)
{
	const RangeVar *name = IsA(command->def, PartitionCmd) ? ((const PartitionCmd *) command->def)->name
	: castNode(RangeVar, command->def);

	return RangeVarGetRelid(name, NoLock, false);
}

static void
on_subcommand(Oid relation, const AlterTableCmd * command)
{
	switch (command->subtype)
	{
		case AT_AttachPartition:
			on_part_added(relation, other_table(command));
			break;
		case AT_AddInherit:
			on_part_added(other_table(command), relation);
			break;
		case AT_DetachPartition:
		case AT_DetachPartitionFinalize:
		case AT_DropInherit:
			guard(relation, "rows would go with what is taken away");
			break;
		case AT_EnableTrig:
		case AT_EnableAlwaysTrig:
		case AT_EnableReplicaTrig:
		case AT_DisableTrig:
			on_triggers_enabled(relation, command->name);
			break;
		case AT_DisableTrigAll:
		case AT_DisableTrigUser:
			on_triggers_enabled(relation, NULL);
			break;

			/*
			 * A dump of data only ends each table so.  It knows no ALWAYS and
			 * no REPLICA.
			 */
		case AT_EnableTrigAll:
		case AT_EnableTrigUser:
			rg_audit_enable_triggers(relation);
			break;
		case AT_EnableRule:
		case AT_EnableAlwaysRule:
		case AT_EnableReplicaRule:
		case AT_DisableRule:
			guard(relation, "rules would write in the place of its users");
			break;
		case AT_SetUnLogged:
			guard(relation, "a crash would empty it");
			break;
		default:
			break;
	}
}

static void
on_alter_table(const CollectedCommand * collected)
{
	Oid			relation = collected->d.alterTable.objectId;
	ListCell   *cell;

	if (guarded_against() && rg_audit_is_log(relation))
		refuse_log(rg_audit_table_name(relation));
	foreach(cell, collected->d.alterTable.subcmds)
		on_subcommand(relation, (const AlterTableCmd *) ((const CollectedATSubcmd *) lfirst(cell))->parsetree);
}

/*
 * Other commands
 */

/* The tables whose rows are of a composite type.  No index leads to them. */
static List *
typed_tables(Oid type)
{
	Relation	classes = table_open(RelationRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_class_reloftype, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(type));
	scan = systable_beginscan(classes, InvalidOid, false, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
		found = lappend_oid(found, ((Form_pg_class) GETSTRUCT(tuple))->oid);
	systable_endscan(scan);
	table_close(classes, AccessShareLock);
	return found;
}

/*
 * Three renames exchange two columns, and with them all their values.  ALTER VIEW
 * and ALTER TYPE do it as well: a table's own, and with CASCADE its type's.
 */
static void
on_renamed(Oid relation, const RenameStmt * rename)
{
	List	   *tables = list_make1_oid(relation);
	ListCell   *cell;

	if (rename->renameType != OBJECT_COLUMN && rename->renameType != OBJECT_ATTRIBUTE)
		return;
	if (rename->renameType == OBJECT_ATTRIBUTE)
		tables = list_concat(tables, typed_tables(get_rel_type_id(relation)));
	foreach(cell, tables)
		rg_audit_note_column(lfirst_oid(cell), "renamed", rename->subname, rename->newname);
}

static void
on_relation(Oid relation, const CollectedCommand * collected)
{
	if (guarded_against() && rg_audit_is_log(relation))
		refuse_log(rg_audit_table_name(relation));
	if (IsA(collected->parsetree, CreateStmt) || IsA(collected->parsetree, CreateForeignTableStmt))
		adopt(relation);
	else if (IsA(collected->parsetree, RenameStmt))
		on_renamed(relation, (const RenameStmt *) collected->parsetree);
}

static bool
agrees(Oid relation)
{
	return !rg_audit_state(relation).at_odds;
}

/* CREATE OR REPLACE and RENAME, too.  What dumps create is not enabled rightly at once. */
static void
on_trigger(Oid trigger, const CollectedCommand * collected)
{
	bool		replaced = IsA(collected->parsetree, CreateTrigStmt) &&
	((const CreateTrigStmt *) collected->parsetree)->replace;
	RgAuditTriggerRole role;
	Oid			relation;
	bool		enabled;

	if (!guarded_against())
		return;
	role = rg_audit_trigger_role(trigger, &relation, &enabled);
	if (OidIsValid(relation) && rg_audit_is_log(relation))
		refuse_log(rg_audit_table_name(relation));
	if (role == RG_AUDIT_FALSE_TRIGGER)
		ereport(ERROR,
				errcode(ERRCODE_INSUFFICIENT_PRIVILEGE),
				errmsg("trigger on table %s is not as relay_guard.audit() makes it", rg_audit_table_name(relation)),
				errdetail("Names that begin with \"%s\" are those of its triggers.", RG_AUDIT_TRIGGER_PREFIX),
				errhint("Call relay_guard.audit(), or give the trigger another name and function."));
	if (role == RG_AUDIT_OWN_TRIGGER && (!agrees(relation) || (replaced && !enabled)))
		refuse_audited(rg_audit_table_name(relation), "its triggers are to stay as they are");
}

static Oid
relation_of_rule(Oid rule)
{
	Relation	rules = table_open(RewriteRelationId, AccessShareLock);
	Oid			relation = InvalidOid;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, Anum_pg_rewrite_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(rule));
	scan = systable_beginscan(rules, RewriteOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
		relation = ((Form_pg_rewrite) GETSTRUCT(tuple))->ev_class;
	systable_endscan(scan);
	table_close(rules, AccessShareLock);
	return relation;
}

static void
on_command(TupleTableSlot *slot)
{
	Datum		class,
				object,
				command;
	const		CollectedCommand *collected;

	if (!attribute(slot, COMMAND_CLASS, &class) || !attribute(slot, COMMAND_OBJECT, &object) ||
		!attribute(slot, COMMAND_COLLECTED, &command))
		return;
	collected = (const CollectedCommand *) DatumGetPointer(command);
	if (collected->type == SCT_AlterTable)
		on_alter_table(collected);
	else if (collected->type != SCT_Simple)
		return;
	else if (DatumGetObjectId(class) == RelationRelationId)
		on_relation(DatumGetObjectId(object), collected);
	else if (DatumGetObjectId(class) == TriggerRelationId)
		on_trigger(DatumGetObjectId(object), collected);
	else if (DatumGetObjectId(class) == RewriteRelationId)
		guard(relation_of_rule(DatumGetObjectId(object)), "rules would write in the place of its users");
}

PG_FUNCTION_INFO_V1(relay_guard_audit_guard_command);

/* On ddl_command_end */
Datum
relay_guard_audit_guard_command(PG_FUNCTION_ARGS)
{
	require_event(fcinfo);
	if (!stands_aside())
		each_row(F_PG_EVENT_TRIGGER_DDL_COMMANDS, on_command);
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(relay_guard_audit_guard_start);

/*
 * On ddl_command_start: DETACH CONCURRENTLY commits its first half, which to
 * refuse at its end would come too late.
 */
Datum
relay_guard_audit_guard_start(PG_FUNCTION_ARGS)
{
	const		AlterTableStmt *statement;
	Oid			relation;
	ListCell   *cell;

	require_event(fcinfo);
	statement = (const AlterTableStmt *) ((EventTriggerData *) fcinfo->context)->parsetree;
	if (stands_aside() || !IsA(statement, AlterTableStmt))
		PG_RETURN_VOID();
	foreach(cell, statement->cmds)
	{
		const		AlterTableCmd *command = lfirst(cell);

		if (command->subtype != AT_DetachPartition || !((const PartitionCmd *) command->def)->concurrent)
			continue;
		relation = RangeVarGetRelid(statement->relation, AccessShareLock, true);
		if (OidIsValid(relation))
			guard(relation, "rows would go with what is taken away");
	}
	PG_RETURN_VOID();
}

/*
 * DROP
 */

static char *
name_at(ArrayType *names, int place)
{
	bool		isnull;
	Datum		name = array_ref(names, 1, &place, -1, -1, false, TYPALIGN_INT, &isnull);

	return isnull ? pstrdup("") : TextDatumGetCString(name);
}

/* Its function is gone from the catalog, so its name has to tell; nobody else can give it. */
static void
on_trigger_dropped(ArrayType *names)
{
	const char *schema = name_at(names, 1);
	const char *table = name_at(names, 2);

	if (strcmp(schema, "relay_guard") == 0)
		refuse_log(quote_qualified_identifier(schema, table));
	if (rg_audit_trigger_name(name_at(names, 3)))
		refuse_audited(quote_qualified_identifier(schema, table), "it and its triggers cannot be dropped");
}

static void
on_table_dropped(const char *schema, const char *table)
{
	if (strcmp(schema, "relay_guard") == 0)
		refuse_log(quote_qualified_identifier(schema, table));
}

static char *
dropped_text(TupleTableSlot *slot, int attnum)
{
	Datum		value;

	return attribute(slot, attnum, &value) ? TextDatumGetCString(value) : pstrdup("");
}

static void
on_dropped(TupleTableSlot *slot)
{
	const char *kind = dropped_text(slot, DROPPED_TYPE);
	Datum		names,
				object;

	if (!attribute(slot, DROPPED_NAMES, &names) || !attribute(slot, DROPPED_OBJECT, &object))
		return;
	if (strcmp(kind, "table column") == 0)
		rg_audit_note_column(DatumGetObjectId(object), "dropped", name_at(DatumGetArrayTypeP(names), 3), NULL);
	else if (guarded_against() && strcmp(kind, "trigger") == 0)
		on_trigger_dropped(DatumGetArrayTypeP(names));
	else if (guarded_against() && strcmp(kind, "table") == 0)
		on_table_dropped(dropped_text(slot, DROPPED_SCHEMA), dropped_text(slot, DROPPED_NAME));
}

PG_FUNCTION_INFO_V1(relay_guard_audit_guard_drop);

/* On sql_drop */
Datum
relay_guard_audit_guard_drop(PG_FUNCTION_ARGS)
{
	require_event(fcinfo);
	if (!stands_aside())
		each_row(F_PG_EVENT_TRIGGER_DROPPED_OBJECTS, on_dropped);
	PG_RETURN_VOID();
}

/*
 * Rewrites
 */

/* Another expression gives a generated column other values. */
static bool
sets_expression(const Node *parsetree)
{
#if PG_VERSION_NUM >= 170000
	ListCell   *cell;

	if (IsA(parsetree, AlterTableStmt))
		foreach(cell, ((const AlterTableStmt *) parsetree)->cmds)
			if (((const AlterTableCmd *) lfirst(cell))->subtype == AT_SetExpression)
			return true;
#endif
	return false;
}

PG_FUNCTION_INFO_V1(relay_guard_audit_guard_rewrite);

/* On table_rewrite, before any row is written anew */
Datum
relay_guard_audit_guard_rewrite(PG_FUNCTION_ARGS)
{
	int			reason;

	require_event(fcinfo);
	if (!guarded_against() || stands_aside())
		PG_RETURN_VOID();
	reason = DatumGetInt32(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_REASON));
	if ((reason & AT_REWRITE_COLUMN_REWRITE) != 0 ||
		sets_expression(((EventTriggerData *) fcinfo->context)->parsetree))
		guard(DatumGetObjectId(OidFunctionCall0(F_PG_EVENT_TRIGGER_TABLE_REWRITE_OID)),
			  "values of a column would be rewritten");
	PG_RETURN_VOID();
}

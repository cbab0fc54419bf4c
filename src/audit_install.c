/*
 * audit_install.c
 *		Making and taking away the triggers of audited tables: what audit() and
 *		audit_stop() do.
 *
 * The triggers are made by PostgreSQL's own function, not by a statement: the
 * event triggers of audit_guard.c see none of it, and so need no way to be told
 * that this time it is all right.  Nothing of the user's runs meanwhile.
 */
#include "postgres.h"

#include "access/relation.h"
#include "access/xact.h"
#include "catalog/catalog.h"
#include "catalog/dependency.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_proc.h"
#include "catalog/pg_trigger.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "nodes/makefuncs.h"
#include "storage/lmgr.h"
#include "utils/acl.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit_install.h"
#include "audit_note.h"

/*
 * Checks
 */

static void
check_kind(Relation table)
{
	if (table->rd_rel->relkind != RELKIND_RELATION && table->rd_rel->relkind != RELKIND_PARTITIONED_TABLE)
		ereport(ERROR,
				errcode(ERRCODE_WRONG_OBJECT_TYPE),
				errmsg("\"%s\" cannot be audited", RelationGetRelationName(table)),
				errdetail("It is not a table of this database."),
				errhint("Tables and partitioned tables can be audited, without foreign tables among their partitions."));
}

static void
check_persistence(Relation table)
{
	if (table->rd_rel->relpersistence != RELPERSISTENCE_PERMANENT)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("table \"%s\" cannot be audited", RelationGetRelationName(table)),
				errdetail("It is temporary or unlogged: rows vanish from it by themselves."),
				errhint("ALTER TABLE ... SET LOGGED lets an unlogged table keep its rows."));
}

static void
check_schema(Relation table)
{
	Oid			schema = RelationGetNamespace(table);

	if (IsSystemRelation(table) || schema == get_namespace_oid("information_schema", true) ||
		schema == get_namespace_oid("relay_guard", true))
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("table \"%s\" cannot be audited", RelationGetRelationName(table)),
				errdetail("It is a catalog, or one of relay_guard's own."));
}

static void
check_rules(Relation table)
{
	if (table->rd_rules != NULL)
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("table \"%s\" has rules", RelationGetRelationName(table)),
				errhint("Do with a trigger what they do, and drop them."));
}

/* What is written by way of a table fires that one's statement triggers only. */
static void
check_parents(Oid relation, List *tree, const RgAuditDefinition *definition)
{
	List	   *parents = rg_audit_parents(relation);
	ListCell   *cell;

	foreach(cell, parents)
	{
		Oid			parent = lfirst_oid(cell);
		RgAuditState state;

		if (list_member_oid(tree, parent))
			continue;
		state = rg_audit_state(parent);
		if (state.audited && rg_audit_definitions_equal(&state.definition, definition))
			continue;
		ereport(ERROR,
				errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
				errmsg("table \"%s\" is part of \"%s\", which is not audited in the same way",
					   get_rel_name(relation), get_rel_name(parent)),
				errdetail("What is written by way of \"%s\" would not be recorded.", get_rel_name(parent)),
				errhint("Audit that one; its partitions and inheritors follow."));
	}
}

static void
check_table(Oid relation, List *tree, const RgAuditDefinition *definition)
{
	Relation	table = relation_open(relation, NoLock);

	check_kind(table);
	check_schema(table);
	check_persistence(table);
	check_rules(table);
	check_parents(relation, tree, definition);
	relation_close(table, NoLock);
}

/*
 * Triggers
 */

static TriggerTransition *
transition(const char *name, bool is_new)
{
	TriggerTransition *table = makeNode(TriggerTransition);

	table->name = pstrdup(name);
	table->isNew = is_new;
	table->isTable = true;
	return table;
}

static CreateTrigStmt *
statement(const RgAuditTriggerKind *kind, const RgAuditDefinition *definition)
{
	CreateTrigStmt *create = makeNode(CreateTrigStmt);

	create->replace = true;
	create->trigname = pstrdup(kind->name);
	for (int i = 0; i < RG_AUDIT_ARGUMENTS; i++)
		create->args = lappend(create->args, makeString(pstrdup(definition->arguments[i])));
	create->row = TRIGGER_FOR_ROW(kind->type);
	create->timing = kind->type & TRIGGER_TYPE_TIMING_MASK;
	create->events = kind->type & TRIGGER_TYPE_EVENT_MASK;
	if (kind->old_rows)
		create->transitionRels = lappend(create->transitionRels, transition("old_rows", false));
	if (kind->new_rows)
		create->transitionRels = lappend(create->transitionRels, transition("new_rows", true));
	return create;
}

static void
create_trigger(Oid relation, const RgAuditTriggerKind *kind, const RgAuditDefinition *definition)
{
	CreateTriggerFiringOn(statement(kind, definition), NULL, relation, InvalidOid, InvalidOid, InvalidOid,
						  rg_audit_function(), InvalidOid, NULL, false, false, kind->enabled);
	CommandCounterIncrement();
}

static void
create_triggers(Oid relation, const RgAuditDefinition *definition)
{
	for (int i = 0; i < rg_audit_triggers_of(relation); i++)
		create_trigger(relation, &rg_audit_triggers[i], definition);
}

static Oid
function_owner(void)
{
	HeapTuple	tuple = SearchSysCache1(PROCOID, ObjectIdGetDatum(rg_audit_function()));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_FUNCTION),
				errmsg("function relay_guard.audit_change() does not exist"),
				errhint("Run CREATE EXTENSION relay_guard in this database."));
	owner = ((Form_pg_proc) GETSTRUCT(tuple))->proowner;
	ReleaseSysCache(tuple);
	return owner;
}

/* An error gives the user's rights back with the transaction or savepoint. */
static void
create_all_triggers(List *tree, const RgAuditDefinition *definition)
{
	ListCell   *cell;
	Oid			user;
	int			context;

	GetUserIdAndSecContext(&user, &context);
	SetUserIdAndSecContext(function_owner(), context | SECURITY_LOCAL_USERID_CHANGE | SECURITY_RESTRICTED_OPERATION);
	foreach(cell, tree)
		create_triggers(lfirst_oid(cell), definition);
	SetUserIdAndSecContext(user, context);
}

void
rg_audit_install(Oid root, const RgAuditDefinition *definition)
{
	List	   *tree;
	ListCell   *cell;

	tree = find_all_inheritors(root, ShareRowExclusiveLock, NULL);
	foreach(cell, tree)
		check_table(lfirst_oid(cell), tree, definition);
	create_all_triggers(tree, definition);
}

/*
 * audit() and audit_stop()
 */

static void
require_owner(Oid relation)
{
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relation));
	Form_pg_class class;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("there is no table with the oid %u", relation));
	class = (Form_pg_class) GETSTRUCT(tuple);
	if (!has_privs_of_role(GetUserId(), class->relowner))
		aclcheck_error(ACLCHECK_NOT_OWNER, OBJECT_TABLE, NameStr(class->relname));
	ReleaseSysCache(tuple);
}

/* Of the table and all that is part of it, which are locked. */
static List *
owned_tree(Oid root, LOCKMODE lock)
{
	List	   *tree;
	ListCell   *cell;

	require_owner(root);
	LockRelationOid(root, lock);
	tree = find_all_inheritors(root, lock, NULL);
	foreach(cell, tree)
		require_owner(lfirst_oid(cell));
	return tree;
}

/* It would differ from the others, or fall behind them. */
static void
check_root(Oid relation)
{
	List	   *parents = rg_audit_parents(relation);
	ListCell   *cell;

	foreach(cell, parents)
		if (rg_audited(lfirst_oid(cell)))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table \"%s\" is audited as part of \"%s\"", get_rel_name(relation),
					   get_rel_name(lfirst_oid(cell))),
				errhint("Name that one; its partitions and inheritors follow."));
}

static const char *
list_argument(FunctionCallInfo fcinfo, int place)
{
	return OidOutputFunctionCall(F_ARRAY_OUT, PG_GETARG_DATUM(place));
}

PG_FUNCTION_INFO_V1(relay_guard_audit_install);

/* audit_install(table, resource_type, key, redact, omit), which audit() has checked; STRICT */
Datum
relay_guard_audit_install(PG_FUNCTION_ARGS)
{
	Oid			relation = PG_GETARG_OID(0);
	RgAuditDefinition definition = {{
			text_to_cstring(PG_GETARG_TEXT_PP(1)), list_argument(fcinfo, 2), list_argument(fcinfo, 3),
			list_argument(fcinfo, 4)
	}};

	(void) owned_tree(relation, ShareRowExclusiveLock);
	check_root(relation);
	rg_audit_install(relation, &definition);
	rg_audit_note_definition("audit.start", relation, &definition);
	PG_RETURN_VOID();
}

/* Clones go with what they are clones of. */
static void
add_triggers(Oid relation, ObjectAddresses * doomed)
{
	Relation	table = relation_open(relation, NoLock);
	TriggerDesc *triggers = table->trigdesc;
	ObjectAddress address;

	for (int i = 0; triggers != NULL && i < triggers->numtriggers; i++)
		if (triggers->triggers[i].tgfoid == rg_audit_function() && !triggers->triggers[i].tgisclone)
		{
			ObjectAddressSet(address, TriggerRelationId, triggers->triggers[i].tgoid);
			add_exact_object_address(&address, doomed);
		}
	relation_close(table, NoLock);
}

PG_FUNCTION_INFO_V1(relay_guard_audit_stop);

/* audit_stop(table) */
Datum
relay_guard_audit_stop(PG_FUNCTION_ARGS)
{
	Oid			relation = PG_ARGISNULL(0) ? InvalidOid : PG_GETARG_OID(0);
	List	   *tree = owned_tree(relation, AccessExclusiveLock);
	RgAuditState state = rg_audit_state(relation);
	ObjectAddresses *doomed = new_object_addresses();
	ListCell   *cell;

	if (!state.audited)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("table \"%s\" is not audited", get_rel_name(relation)),
				errhint("relay_guard.audited_table lists the tables that are."));
	check_root(relation);
	rg_audit_note_definition("audit.stop", relation, &state.definition);
	foreach(cell, tree)
		add_triggers(lfirst_oid(cell), doomed);
	performMultipleDeletions(doomed, DROP_RESTRICT, PERFORM_DELETION_INTERNAL);
	PG_RETURN_VOID();
}

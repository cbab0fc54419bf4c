/*
 * audit_table.c
 *		Audited tables as their triggers describe them; audit_table.h has the
 *		contract.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/htup_details.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/indexing.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_inherits.h"
#include "catalog/pg_trigger.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"
#include "utils/syscache.h"

#include "audit_table.h"
#include "encrypted_column.h"
#include "varlena_slice.h"

#define CHANGES (TRIGGER_TYPE_INSERT | TRIGGER_TYPE_UPDATE | TRIGGER_TYPE_DELETE)

const RgAuditTriggerKind rg_audit_triggers[RG_AUDIT_TRIGGERS] = {
	{RG_AUDIT_TRIGGER_PREFIX "insert", TRIGGER_TYPE_INSERT, TRIGGER_FIRES_ON_ORIGIN, false, true},
	{RG_AUDIT_TRIGGER_PREFIX "update", TRIGGER_TYPE_UPDATE, TRIGGER_FIRES_ON_ORIGIN, true, true},
	{RG_AUDIT_TRIGGER_PREFIX "delete", TRIGGER_TYPE_DELETE, TRIGGER_FIRES_ON_ORIGIN, true, false},
	{RG_AUDIT_TRIGGER_PREFIX "truncate", TRIGGER_TYPE_BEFORE | TRIGGER_TYPE_TRUNCATE,
	TRIGGER_FIRES_ALWAYS, false, false},
	{RG_AUDIT_TRIGGER_PREFIX "row", TRIGGER_TYPE_ROW | CHANGES, TRIGGER_FIRES_ON_REPLICA, false, false},
};

int
rg_audit_triggers_of(Oid relation)
{
	return get_rel_relkind(relation) == RELKIND_PARTITIONED_TABLE ? RG_AUDIT_TRIGGERS - 1 : RG_AUDIT_TRIGGERS;
}

Oid
rg_audit_function(void)
{
	return rg_encrypted_function("audit_change");
}

/*
 * One trigger
 */

bool
rg_audit_trigger_name(const char *name)
{
	return strncmp(name, RG_AUDIT_TRIGGER_PREFIX, strlen(RG_AUDIT_TRIGGER_PREFIX)) == 0;
}

Datum
rg_audit_names(const char *list)
{
	return OidFunctionCall3(F_ARRAY_IN, CStringGetDatum(list), ObjectIdGetDatum(NAMEOID),
							Int32GetDatum(-1));
}

static const RgAuditTriggerKind *
kind_named(const char *name)
{
	for (int i = 0; i < RG_AUDIT_TRIGGERS; i++)
		if (strcmp(rg_audit_triggers[i].name, name) == 0)
			return &rg_audit_triggers[i];
	return NULL;
}

/* Whether it fires for what it should, all of it and with the rows, and should be there. */
static bool
has_shape(HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

	return kind - rg_audit_triggers < rg_audit_triggers_of(trigger->tgrelid) &&
		trigger->tgtype == kind->type && trigger->tgattr.dim1 == 0 &&
		trigger->tgconstraint == InvalidOid &&
		trigger->tgnargs == RG_AUDIT_ARGUMENTS &&
		heap_attisnull(tuple, Anum_pg_trigger_tgqual, desc) &&
		heap_attisnull(tuple, Anum_pg_trigger_tgoldtable, desc) == !kind->old_rows &&
		heap_attisnull(tuple, Anum_pg_trigger_tgnewtable, desc) == !kind->new_rows;
}

/* Its arguments, each ended by a NUL, palloc'd. */
static void
read_arguments(HeapTuple tuple, TupleDesc desc, RgAuditDefinition *definition)
{
	bool		isnull;
	Datum		value = heap_getattr(tuple, Anum_pg_trigger_tgargs, desc, &isnull);
	RgSlice		bytes = isnull ? rg_slice("", 0) : rg_datum_slice(value);
	char	   *next = palloc0(bytes.len + 1);
	const char *end = next + bytes.len;

	memcpy(next, bytes.data, bytes.len);
	for (int i = 0; i < RG_AUDIT_ARGUMENTS; i++)
	{
		definition->arguments[i] = next;
		next += Min(strlen(next) + 1, (size_t) (end - next));
	}
}

bool
rg_audit_definitions_equal(const RgAuditDefinition *a, const RgAuditDefinition *b)
{
	for (int i = 0; i < RG_AUDIT_ARGUMENTS; i++)
		if (strcmp(a->arguments[i], b->arguments[i]) != 0)
			return false;
	return true;
}

/*
 * The triggers of a table
 */

/* Calls back for each trigger of the table that calls audit_change(). */
typedef void (*EachTrigger) (HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind, void *arg);

static void
each_trigger(Oid relation, EachTrigger each, void *arg)
{
	Oid			function = rg_audit_function();
	Relation	triggers;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	if (!OidIsValid(function))
		return;
	triggers = table_open(TriggerRelationId, AccessShareLock);
	ScanKeyInit(&key, Anum_pg_trigger_tgrelid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(triggers, TriggerRelidNameIndexId, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

		if (trigger->tgfoid == function)
			each(tuple, RelationGetDescr(triggers), kind_named(NameStr(trigger->tgname)), arg);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
}

typedef struct StateSoFar
{
	RgAuditState *state;
	int			whole;			/* triggers that are as they should be */
} StateSoFar;

static void
add_to_state(HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind, void *arg)
{
	StateSoFar *sofar = arg;
	RgAuditDefinition definition;

	read_arguments(tuple, desc, &definition);
	if (!sofar->state->audited)
		sofar->state->definition = definition;
	else if (!rg_audit_definitions_equal(&definition, &sofar->state->definition))
		sofar->state->at_odds = true;
	sofar->state->audited = true;
	if (kind != NULL && has_shape(tuple, desc, kind) &&
		((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled == kind->enabled)
		sofar->whole++;
}

RgAuditState
rg_audit_state(Oid relation)
{
	RgAuditState state = {0};
	StateSoFar	sofar = {&state, 0};

	each_trigger(relation, add_to_state, &sofar);
	state.complete = sofar.whole == rg_audit_triggers_of(relation) && !state.at_odds;
	return state;
}

static void
note_any(HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind, void *arg)
{
	*(bool *) arg = true;
}

bool
rg_audited(Oid relation)
{
	bool		any = false;

	each_trigger(relation, note_any, &any);
	return any;
}

typedef struct EnabledSoFar
{
	const char *name;
	bool		enabled;
} EnabledSoFar;

static void
note_enabled(HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind, void *arg)
{
	EnabledSoFar *sofar = arg;
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);

	if (kind != NULL && (sofar->name == NULL || strcmp(sofar->name, kind->name) == 0) &&
		trigger->tgenabled != kind->enabled)
		sofar->enabled = false;
}

bool
rg_audit_triggers_enabled(Oid relation, const char *name)
{
	EnabledSoFar sofar = {name, true};

	each_trigger(relation, note_enabled, &sofar);
	return sofar.enabled;
}

static void
note_other_mode(HeapTuple tuple, TupleDesc desc, const RgAuditTriggerKind *kind, void *arg)
{
	List	  **others = arg;

	if (kind != NULL && ((Form_pg_trigger) GETSTRUCT(tuple))->tgenabled != kind->enabled)
		*others = lappend(*others, unconstify(RgAuditTriggerKind *, kind));
}

/* A clone of a parent's is enabled by itself. */
void
rg_audit_enable_triggers(Oid relation)
{
	List	   *others = NIL;
	ListCell   *cell;
	Relation	table;

	each_trigger(relation, note_other_mode, &others);
	if (others == NIL)
		return;
	table = table_open(relation, ShareRowExclusiveLock);
	foreach(cell, others)
	{
		const RgAuditTriggerKind *kind = lfirst(cell);

#if PG_VERSION_NUM >= 160000
		EnableDisableTrigger(table, kind->name, InvalidOid, kind->enabled, false, true, ShareRowExclusiveLock);
#else
		EnableDisableTrigger(table, kind->name, kind->enabled, false, ShareRowExclusiveLock);
#endif
	}
	table_close(table, NoLock);
	CommandCounterIncrement();
}

static RgAuditTriggerRole
role_of(HeapTuple tuple, TupleDesc desc, bool *enabled)
{
	Form_pg_trigger trigger = (Form_pg_trigger) GETSTRUCT(tuple);
	const RgAuditTriggerKind *kind = kind_named(NameStr(trigger->tgname));

	if (trigger->tgfoid != rg_audit_function())
		return rg_audit_trigger_name(NameStr(trigger->tgname)) ? RG_AUDIT_FALSE_TRIGGER : RG_AUDIT_NO_TRIGGER;
	if (kind == NULL || !has_shape(tuple, desc, kind))
		return RG_AUDIT_FALSE_TRIGGER;
	*enabled = trigger->tgenabled == kind->enabled;
	return RG_AUDIT_OWN_TRIGGER;
}

RgAuditTriggerRole
rg_audit_trigger_role(Oid trigger, Oid *relation, bool *enabled)
{
	Relation	triggers = table_open(TriggerRelationId, AccessShareLock);
	RgAuditTriggerRole role = RG_AUDIT_NO_TRIGGER;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	*relation = InvalidOid;
	*enabled = false;
	ScanKeyInit(&key, Anum_pg_trigger_oid, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(trigger));
	scan = systable_beginscan(triggers, TriggerOidIndexId, true, NULL, 1, &key);
	if (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		*relation = ((Form_pg_trigger) GETSTRUCT(tuple))->tgrelid;
		role = role_of(tuple, RelationGetDescr(triggers), enabled);
	}
	systable_endscan(scan);
	table_close(triggers, AccessShareLock);
	return role;
}

/*
 * What belongs together
 */

static List *
relatives(Oid relation, Oid index, AttrNumber searched)
{
	Relation	inherits = table_open(InheritsRelationId, AccessShareLock);
	List	   *found = NIL;
	ScanKeyData key;
	SysScanDesc scan;
	HeapTuple	tuple;

	ScanKeyInit(&key, searched, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(relation));
	scan = systable_beginscan(inherits, index, true, NULL, 1, &key);
	while (HeapTupleIsValid(tuple = systable_getnext(scan)))
	{
		Form_pg_inherits link = (Form_pg_inherits) GETSTRUCT(tuple);

		found = lappend_oid(found, searched == Anum_pg_inherits_inhrelid ? link->inhparent : link->inhrelid);
	}
	systable_endscan(scan);
	table_close(inherits, AccessShareLock);
	return found;
}

List *
rg_audit_parents(Oid relation)
{
	return relatives(relation, InheritsRelidSeqnoIndexId, Anum_pg_inherits_inhrelid);
}

List *
rg_audit_children(Oid relation)
{
	return relatives(relation, InheritsParentIndexId, Anum_pg_inherits_inhparent);
}

static bool
in_our_schema(Oid relation)
{
	Oid			schema = get_namespace_oid("relay_guard", true);

	return OidIsValid(schema) && get_rel_namespace(relation) == schema;
}

/* By the schema, which sql/01_schema.sql takes from nobody else: names can change. */
bool
rg_audit_is_log(Oid relation)
{
	List	   *parents;
	ListCell   *cell;

	if (in_our_schema(relation))
		return true;
	parents = rg_audit_parents(relation);
	foreach(cell, parents)
		if (in_our_schema(lfirst_oid(cell)))
		return true;
	return false;
}

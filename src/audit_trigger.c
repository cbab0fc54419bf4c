/*
 * audit_trigger.c
 *		audit_change(), the trigger of an audited table, and audit_configuration(),
 *		that of relay_guard's own.
 *
 * A statement's rows are recorded together at its end: OLD TABLE and NEW TABLE
 * are walked in step, since a key that changes leaves nothing to join them by.
 * Where statement triggers do not fire, which is where changes are applied from
 * elsewhere, the row trigger records each row by itself.
 */
#include "postgres.h"

#include "catalog/pg_inherits.h"
#include "commands/trigger.h"
#include "executor/executor.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/tuplestore.h"

#include "audit_generated.h"
#include "audit_plan.h"
#include "audit_settings.h"
#include "audit_write.h"
#include "keyring.h"
#include "own_relation.h"

/* One call of the trigger. */
typedef struct Change
{
	TriggerData *data;
	const RgAuditPlan *plan;
	const char *action;
	bool	   *changed;		/* by column of the plan */
	RgAuditBatch *batch;		/* begun with the first row */
} Change;

/* One transition table. */
typedef struct Walk
{
	Tuplestorestate *rows;
	int			pointer;
	TupleTableSlot *slot;
	RgAuditGenerated *generated;	/* or NULL */
} Walk;

static const char *
action_of(TriggerEvent event)
{
	if (TRIGGER_FIRED_BY_INSERT(event))
		return "INSERT";
	if (TRIGGER_FIRED_BY_UPDATE(event))
		return "UPDATE";
	return TRIGGER_FIRED_BY_DELETE(event) ? "DELETE" : "TRUNCATE";
}

static void
require_trigger(FunctionCallInfo fcinfo)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	bool		fits = CALLED_AS_TRIGGER(fcinfo);

	if (fits && TRIGGER_FIRED_BY_TRUNCATE(data->tg_event))
		fits = TRIGGER_FIRED_BEFORE(data->tg_event);
	else if (fits)
		fits = TRIGGER_FIRED_AFTER(data->tg_event) &&
			(TRIGGER_FIRED_FOR_ROW(data->tg_event) ||
			 ((data->tg_oldtable != NULL || TRIGGER_FIRED_BY_INSERT(data->tg_event)) &&
			  (data->tg_newtable != NULL || TRIGGER_FIRED_BY_DELETE(data->tg_event))));
	if (!fits)
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("audit_change() is the trigger of an audited table"),
				errhint("relay_guard.audit() creates it."));
}

/*
 * Recording
 */

static MemoryContext
scratch(Change *change)
{
	if (change->batch == NULL)
		change->batch = rg_audit_begin(change->action, change->plan->resource_type,
									   "trigger", "ok");
	return rg_audit_scratch(change->batch);
}

/* Marks the columns that differ; whether any does, be it one that is left out. */
static bool
compare(Change *change, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	const RgAuditPlan *plan = change->plan;
	bool		any = false;

	for (int i = 0; i < plan->ncolumns; i++)
	{
		change->changed[i] = !rg_audit_unchanged(&plan->columns[i], old_row, new_row);
		any |= change->changed[i];
	}
	for (int i = 0; i < plan->nomitted && !any; i++)
		any = !rg_audit_unchanged(&plan->omitted[i], old_row, new_row);
	return any;
}

static RgAuditJson
object_of(const RgAuditPlan *plan, TupleTableSlot *row, const bool *chosen)
{
	return row == NULL ? rg_audit_json(NULL)
		: rg_audit_object(plan->columns, plan->ncolumns, row, chosen);
}

/* Either row is NULL for INSERT and DELETE. */
static void
record(Change *change, TupleTableSlot *old_row, TupleTableSlot *new_row)
{
	const RgAuditPlan *plan = change->plan;
	const bool *chosen = NULL;
	MemoryContext old;
	RgSlice		key;
	RgAuditJson before,
				after;

	if (old_row != NULL)
		slot_getallattrs(old_row);
	if (new_row != NULL)
		slot_getallattrs(new_row);
	if (old_row != NULL && new_row != NULL)
	{
		if (!compare(change, old_row, new_row))
			return;
		chosen = change->changed;
	}
	old = MemoryContextSwitchTo(scratch(change));
	key = rg_audit_key(plan->keys, plan->nkeys, old_row != NULL ? old_row : new_row);
	before = object_of(plan, old_row, chosen);
	after = object_of(plan, new_row, chosen);
	MemoryContextSwitchTo(old);
	rg_audit_add(change->batch, key, &before, &after, NULL);
}

/*
 * Statements
 */

/* A read pointer of its own leaves that of other triggers where it is. */
static void
begin_walk(Walk *walk, Tuplestorestate * rows, Relation table)
{
	walk->rows = rows;
	walk->pointer = tuplestore_alloc_read_pointer(rows, EXEC_FLAG_REWIND);
	tuplestore_select_read_pointer(rows, walk->pointer);
	tuplestore_rescan(rows);
	walk->slot = MakeSingleTupleTableSlot(RelationGetDescr(table), &TTSOpsMinimalTuple);
}

/* The next row, or NULL after the last. */
static TupleTableSlot *
step(Walk *walk)
{
	if (walk->rows == NULL)
		return NULL;
	tuplestore_select_read_pointer(walk->rows, walk->pointer);
	if (!tuplestore_gettupleslot(walk->rows, true, false, walk->slot))
		return NULL;
	if (walk->generated != NULL)
		rg_audit_generated_fill(walk->generated, walk->slot);
	return walk->slot;
}

static void
end_walk(Walk *walk)
{
	if (walk->rows == NULL)
		return;
	if (walk->generated != NULL)
		rg_audit_generated_end(walk->generated);
	ExecDropSingleTupleTableSlot(walk->slot);
	tuplestore_select_read_pointer(walk->rows, 0);
}

static void
record_statement(Change *change)
{
	bool		paired = TRIGGER_FIRED_BY_UPDATE(change->data->tg_event);
	Relation	table = change->data->tg_relation;
	Walk		before = {NULL};
	Walk		after = {NULL};

	if (!TRIGGER_FIRED_BY_INSERT(change->data->tg_event))
		begin_walk(&before, change->data->tg_oldtable, table);
	if (!TRIGGER_FIRED_BY_DELETE(change->data->tg_event))
	{
		begin_walk(&after, change->data->tg_newtable, table);
		after.generated = rg_audit_generated_begin(table);
	}
	for (;;)
	{
		TupleTableSlot *old_row = step(&before);
		TupleTableSlot *new_row = step(&after);

		CHECK_FOR_INTERRUPTS();
		if (old_row == NULL && new_row == NULL)
			break;
		if (paired && (old_row == NULL || new_row == NULL))
			ereport(ERROR,
					errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
					errmsg("rows before and after an update of \"%s\" do not pair",
						   RelationGetRelationName(table)),
					errhint("A BEFORE trigger that keeps a row from its new partition is in the way: raise an error in it instead."));
		record(change, old_row, new_row);
	}
	end_walk(&before);
	end_walk(&after);
}

static void
record_row(Change *change)
{
	TriggerData *data = change->data;

	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		record(change, NULL, data->tg_trigslot);
	else if (TRIGGER_FIRED_BY_DELETE(data->tg_event))
		record(change, data->tg_trigslot, NULL);
	else
		record(change, data->tg_trigslot, data->tg_newslot);
}

static void
record_truncate(Change *change)
{
	(void) scratch(change);
	rg_audit_add(change->batch, rg_slice(NULL, 0), NULL, NULL, NULL);
}

PG_FUNCTION_INFO_V1(relay_guard_audit_change);

/* audit_change(resource_type, key, redact, omit) */
Datum
relay_guard_audit_change(PG_FUNCTION_ARGS)
{
	Change		change = {.data = (TriggerData *) fcinfo->context};
	int			level;

	require_trigger(fcinfo);
	change.action = action_of(change.data->tg_event);
	change.plan = rg_audit_plan(change.data->tg_relation, change.data->tg_trigger);
	change.changed = palloc0(change.plan->ncolumns * sizeof *change.changed);
	level = rg_audit_settings_begin(change.plan->settings);
	if (TRIGGER_FIRED_BY_TRUNCATE(change.data->tg_event))
		record_truncate(&change);
	else if (TRIGGER_FIRED_FOR_ROW(change.data->tg_event))
		record_row(&change);
	else
		record_statement(&change);
	if (change.batch != NULL)
		(void) rg_audit_end(change.batch);
	rg_audit_settings_end(level);
	pfree(change.changed);
	return PointerGetDatum(NULL);
}

/*
 * Configuration
 */

/* Partitions that a dump brings get their triggers last. */
static bool
log_stands(void)
{
	Oid			log = rg_own_relation("audit_log");
	List	   *partitions = OidIsValid(log) ? find_inheritance_children(log, AccessShareLock) : NIL;
	ListCell   *cell;

	foreach(cell, partitions)
		if (!OidIsValid(get_trigger_oid(lfirst_oid(cell), "audit_refuse", true)))
		return false;
	return partitions != NIL;
}

PG_FUNCTION_INFO_V1(relay_guard_audit_configuration);

/*
 * audit_configuration(resource_type, key, redact, omit)
 *
 * Nobody has asked for it with audit(), so it must not stand in the way of who
 * keeps no log: it records where the server was given a key ring and the log has
 * partitions, and there a change that cannot be recorded fails, be it that the
 * ring is unreadable or the month has none.  It makes no partitions: a dump that is
 * restored brings its own, after CREATE EXTENSION and before the rows of these
 * tables, which are not recorded either while that lasts.  None of this is up to
 * those who may change the configuration, whatever they set.
 */
Datum
relay_guard_audit_configuration(PG_FUNCTION_ARGS)
{
	if (!rg_keyring_configured() || !log_stands())
		return PointerGetDatum(NULL);
	return relay_guard_audit_change(fcinfo);
}

/*
 * config_cache.c
 *		A backend's copies of the configuration tables; config_cache.h has the
 *		contract.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/xact.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"

#include "cache_change.h"
#include "config_cache.h"
#include "own_relation.h"

static RgConfigCache *caches = NULL;

/* Copies that were replaced in this transaction; freed at its end. */
static List *retired = NIL;

/* The slot of the scan that is being loaded; loads do not nest. */
static TupleTableSlot *load_slot = NULL;

static void
on_invalidate(Datum arg, Oid relid)
{
	for (RgConfigCache *cache = caches; cache != NULL; cache = cache->next)
		if (relid == InvalidOid || relid == cache->relid)
		{
			cache->valid = false;
			cache->generation++;
		}
}

static void
on_transaction_end(XactEvent event, void *arg)
{
	ListCell   *cell;

	if (event != XACT_EVENT_COMMIT && event != XACT_EVENT_ABORT &&
		event != XACT_EVENT_PREPARE)
		return;
	foreach(cell, retired)
		MemoryContextDelete(lfirst(cell));
	list_free(retired);
	retired = NIL;
}

void
rg_config_register(RgConfigCache *cache)
{
	if (caches == NULL)
	{
		CacheRegisterRelcacheCallback(on_invalidate, (Datum) 0);
		RegisterXactCallback(on_transaction_end, NULL);
	}
	cache->next = caches;
	caches = cache;
}

static void
retire(MemoryContext context)
{
	MemoryContext old = MemoryContextSwitchTo(TopMemoryContext);

	retired = lappend(retired, context);
	MemoryContextSwitchTo(old);
}

/* New code over the tables of an old version would read past a row's end. */
static Relation
open_table(RgConfigCache *cache)
{
	Relation	rel;

	cache->relid = rg_own_relation_required(cache->table);
	rel = table_open(cache->relid, AccessShareLock);
	if (RelationGetDescr(rel)->natts < cache->natts)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("relation relay_guard.%s is of an older version of relay_guard", cache->table),
				errhint("Run ALTER EXTENSION relay_guard UPDATE, or create the extension anew."));
	return rel;
}

/* Reads the table into a context of its own, which it returns. */
static MemoryContext
load(RgConfigCache *cache, Relation rel, void **content)
{
	MemoryContext context = AllocSetContextCreate(TopMemoryContext,
												  "relay_guard configuration",
												  ALLOCSET_SMALL_SIZES);
	MemoryContext old;
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	TableScanDesc scan = table_beginscan(rel, snapshot, 0, NULL);

	/* An error on the way leaves the context to the end of the transaction */
	retire(context);
	load_slot = table_slot_create(rel, NULL);
	old = MemoryContextSwitchTo(context);
	*content = cache->load(scan, context, cache->content);
	MemoryContextSwitchTo(old);
	ExecDropSingleTupleTableSlot(load_slot);
	load_slot = NULL;
	table_endscan(scan);
	UnregisterSnapshot(snapshot);
	return context;
}

static void
publish(RgConfigCache *cache, MemoryContext context, void *content)
{
	retired = list_delete_ptr(retired, context);
	if (cache->context != NULL)
		retire(cache->context);
	cache->context = context;
	cache->content = content;
	cache->valid = true;
}

/*
 * The generation is noted before the read and compared after the invalidations
 * that arrived during it have been taken in: only a copy that nothing has
 * overtaken is kept, any other serves this call and is read again by the next.
 */
static void *
reload(RgConfigCache *cache)
{
	Relation	rel;
	MemoryContext context;
	uint64		generation;
	void	   *content;

	rel = open_table(cache);
	generation = cache->generation;
	context = load(cache, rel, &content);
	table_close(rel, AccessShareLock);
	AcceptInvalidationMessages();
	if (cache->generation == generation)
		publish(cache, context, content);
	return content;
}

void *
rg_config_get(RgConfigCache *cache)
{
	return likely(cache->valid) ? cache->content : reload(cache);
}

uint64
rg_config_generation(RgConfigCache *cache)
{
	if (unlikely(!cache->valid))
	{
		cache->relid = rg_own_relation_required(cache->table);
		cache->valid = true;
	}
	return cache->generation;
}

bool
rg_config_find(RgConfigCache *cache, const char *index, ScanKey keys, int nkeys,
			   Datum *values, bool *nulls)
{
	Relation	rel = open_table(cache);
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	SysScanDesc scan = systable_beginscan(rel, rg_own_relation_required(index), true, snapshot, nkeys, keys);
	HeapTuple	tuple = systable_getnext(scan);
	bool		found = HeapTupleIsValid(tuple);

	if (found)
	{
		tuple = heap_copytuple(tuple);
		for (int i = 0; i < cache->natts; i++)
			values[i] = heap_getattr(tuple, i + 1, RelationGetDescr(rel), &nulls[i]);
	}
	systable_endscan(scan);
	UnregisterSnapshot(snapshot);
	table_close(rel, AccessShareLock);
	return found;
}

bool
rg_config_next(TableScanDesc scan, Datum **values, bool **nulls)
{
	if (!table_scan_getnextslot(scan, ForwardScanDirection, load_slot))
		return false;
	slot_getallattrs(load_slot);
	*values = load_slot->tts_values;
	*nulls = load_slot->tts_isnull;
	return true;
}

char	  **
rg_config_texts(Datum value, int *count)
{
	Datum	   *elements;
	char	  **copy;

	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT,
					  &elements, NULL, count);
	copy = palloc(sizeof *copy * Max(*count, 1));
	for (int i = 0; i < *count; i++)
		copy[i] = TextDatumGetCString(elements[i]);
	return copy;
}

PG_FUNCTION_INFO_V1(relay_guard_config_changed);

/* What the other tables say is looked at by every serve(). */
static bool
shapes_bodies(Relation rel)
{
	return strcmp(RelationGetRelationName(rel), "route") == 0;
}

/* The trigger on every configuration table: tell all backends. */
Datum
relay_guard_config_changed(PG_FUNCTION_ARGS)
{
	TriggerData *trigger = (TriggerData *) fcinfo->context;

	if (!CALLED_AS_TRIGGER(fcinfo))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("config_changed() can only be called as a trigger"));
	CacheInvalidateRelcacheByRelid(RelationGetRelid(trigger->tg_relation));
	if (!shapes_bodies(trigger->tg_relation))
		rg_cache_change_ignore(RelationGetRelid(trigger->tg_relation));
	return PointerGetDatum(NULL);
}

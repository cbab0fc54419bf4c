/*
 * audit_write.c
 *		Writing rows of the audit log.
 *
 * Rows go straight into the partition and its indexes, many at a time: no plan,
 * no triggers, no right that could be missing.  The log is written whatever the
 * setting of synchronous_commit, for a change that was acknowledged and has no
 * row would be worse than a slow one.
 */
#include "postgres.h"

#include "access/heapam.h"
#include "access/tableam.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "commands/sequence.h"
#include "miscadmin.h"
#include "utils/memutils.h"
#include "utils/rel.h"
#include "utils/timestamp.h"

#include "audit_insert.h"
#include "audit_subject.h"
#include "audit_witness.h"
#include "audit_write.h"
#include "durable.h"
#include "keyring.h"
#include "month_partition.h"
#include "varlena_slice.h"

/* Rows, and bytes of their values, that wait to be written together. */
#define BATCH_ROWS 100
#define BATCH_BYTES (1024 * 1024)

struct RgAuditBatch
{
	MemoryContext context;
	MemoryContext scratch;
	RgAuditMac *mac;			/* of the shared part */
	Datum		values[Natts_audit];
	bool		nulls[Natts_audit];

	Oid			sequence;
	Relation	partition;
	RgInsert	insert;
	BulkInsertState bulk;		/* from the second flush on */
	TupleTableSlot *slots[BATCH_ROWS];
	int			nslots;			/* made */
	int			nrows;			/* waiting */
	int64		last_id;
};

static RgMonths months =
{
	.table = "audit_log",.sequence = "audit_log_id_seq",
	.columns = rg_audit_log_columns,.ncolumns = Natts_audit,.what = "the audit log",
	.hint = "Call relay_guard.audit_maintain(), which makes those of the months ahead."
};

int32
rg_audit_epoch(void)
{
	static int32 epoch = 0;
	uint8		place[12];
	uint8		hash[RG_AUDIT_MAC_BYTES];
	uint64		system = GetSystemIdentifier();

	if (epoch != 0)
		return epoch;
	for (int i = 0; i < 8; i++)
		place[i] = (uint8) (system >> (56 - 8 * i));
	for (int i = 0; i < 4; i++)
		place[8 + i] = (uint8) (MyDatabaseId >> (24 - 8 * i));
	crypto_generichash(hash, sizeof hash, place, sizeof place, NULL, 0);
	epoch = (int32) ((uint32) hash[0] << 24 | hash[1] << 16 | hash[2] << 8 | hash[3]);
	if (epoch == 0)
		epoch = 1;
	return epoch;
}

/*
 * Beginning
 */

static RgAuditMac *
make_mac(const RgAuditShared *shared)
{
	RgAuditMac *mac = (RgAuditMac *) TYPEALIGN(RG_AUDIT_MAC_ALIGNMENT, palloc(sizeof *mac + RG_AUDIT_MAC_ALIGNMENT));
	uint8		key[RG_KEY_BYTES];

	rg_keyring_subkey(RG_FOR_AUDIT, (uint32) shared->key_id, key);
	rg_audit_mac_begin(mac, key, shared);
	sodium_memzero(key, sizeof key);
	return mac;
}

RgAuditBatch *
rg_audit_begin_as(const RgIdentity *identity, const char *action,
				  const char *resource_type, const char *source,
				  const char *status)
{
	MemoryContext context = AllocSetContextCreate(CurrentMemoryContext, "relay_guard audit",
												  ALLOCSET_DEFAULT_SIZES);
	MemoryContext old = MemoryContextSwitchTo(context);
	RgAuditBatch *batch = palloc0(sizeof *batch);
	RgAuditShared shared;

	batch->context = context;
	batch->scratch = AllocSetContextCreate(context, "relay_guard audit rows",
										   ALLOCSET_DEFAULT_SIZES);
	rg_audit_subject(identity, action, resource_type, source, status, &shared,
					 batch->values, batch->nulls);
	batch->mac = make_mac(&shared);
	batch->partition = rg_month_partition_open(&months,
											   DatumGetTimestampTz(batch->values[Anum_audit_occurred_at]),
											   &batch->sequence);
	rg_insert_open(&batch->insert, batch->partition);
	rg_commit_durably();
	MemoryContextSwitchTo(old);
	return batch;
}

RgAuditBatch *
rg_audit_begin(const char *action, const char *resource_type,
			   const char *source, const char *status)
{
	return rg_audit_begin_as(rg_context(), action, resource_type, source, status);
}

MemoryContext
rg_audit_scratch(RgAuditBatch *batch)
{
	return batch->scratch;
}

/*
 * Rows
 */

/* Columns that were added and dropped again are NULL, in this row and those after it. */
static TupleTableSlot *
make_slot(RgAuditBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->context);
	TupleTableSlot *slot = table_slot_create(batch->partition, NULL);

	memset(slot->tts_isnull, true, slot->tts_tupleDescriptor->natts * sizeof *slot->tts_isnull);
	MemoryContextSwitchTo(old);
	return slot;
}

static TupleTableSlot *
next_slot(RgAuditBatch *batch)
{
	if (batch->nrows == batch->nslots)
		batch->slots[batch->nslots++] = make_slot(batch);
	return ExecClearTuple(batch->slots[batch->nrows++]);
}

/* A column of jsonb; what of it the MAC takes in. */
static RgSlice
set_jsonb(RgAuditBatch *batch, int column, const RgAuditJson *value)
{
	batch->nulls[column] = value == NULL || value->stored == NULL;
	if (batch->nulls[column])
		return rg_slice(NULL, 0);
	batch->values[column] = JsonbPGetDatum(value->stored);
	return rg_audit_utf8(value->text);
}

static RgSlice
set_resource(RgAuditBatch *batch, RgSlice resource_id)
{
	batch->nulls[Anum_audit_resource_id] = resource_id.data == NULL;
	if (resource_id.data != NULL)
		batch->values[Anum_audit_resource_id] = rg_slice_datum(resource_id);
	return rg_audit_utf8(resource_id);
}

static void
set_mac(RgAuditBatch *batch, const RgAuditOwn *own)
{
	bytea	   *mac = palloc(VARHDRSZ + RG_AUDIT_MAC_BYTES);

	SET_VARSIZE(mac, VARHDRSZ + RG_AUDIT_MAC_BYTES);
	rg_audit_mac_row(batch->mac, own, (uint8 *) VARDATA(mac));
	rg_audit_witness_add(own->id, (uint8 *) VARDATA(mac));
	batch->values[Anum_audit_mac] = PointerGetDatum(mac);
	batch->nulls[Anum_audit_mac] = false;
}

static void
flush(RgAuditBatch *batch)
{
	MemoryContext old = MemoryContextSwitchTo(batch->scratch);

	table_multi_insert(batch->partition, batch->slots, batch->nrows,
					   GetCurrentCommandId(true), 0, batch->bulk);
	for (int i = 0; i < batch->nrows; i++)
	{
		rg_insert_index_entries(&batch->insert, batch->slots[i]);
		ExecClearTuple(batch->slots[i]);
	}
	MemoryContextSwitchTo(old);
	MemoryContextReset(batch->scratch);
	batch->nrows = 0;
}

/* A long run has a buffer of its own in the pool and does not push others out. */
static void
flush_full(RgAuditBatch *batch)
{
	flush(batch);
	if (batch->bulk == NULL)
	{
		MemoryContext old = MemoryContextSwitchTo(batch->context);

		batch->bulk = GetBulkInsertState();
		MemoryContextSwitchTo(old);
	}
}

void
rg_audit_add(RgAuditBatch *batch, RgSlice resource_id, const RgAuditJson *old_values,
			 const RgAuditJson *new_values, Jsonb *details)
{
	MemoryContext old = MemoryContextSwitchTo(batch->scratch);
	TupleTableSlot *slot = next_slot(batch);
	RgAuditJson said = rg_audit_json(details);
	RgAuditOwn	own = {
		.id = batch->last_id = nextval_internal(batch->sequence, false),
		.resource_id = set_resource(batch, resource_id),
		.old_values = set_jsonb(batch, Anum_audit_old, old_values),
		.new_values = set_jsonb(batch, Anum_audit_new, new_values),
		.details = set_jsonb(batch, Anum_audit_details, &said),
	};

	batch->values[Anum_audit_id] = Int64GetDatum(own.id);
	batch->nulls[Anum_audit_id] = false;
	set_mac(batch, &own);
	memcpy(slot->tts_values, batch->values, sizeof batch->values);
	memcpy(slot->tts_isnull, batch->nulls, sizeof batch->nulls);
	ExecStoreVirtualTuple(slot);
	MemoryContextSwitchTo(old);
	if (batch->nrows == BATCH_ROWS ||
		MemoryContextMemAllocated(batch->scratch, true) > BATCH_BYTES)
		flush_full(batch);
}

int64
rg_audit_end(RgAuditBatch *batch)
{
	int64		last_id = batch->last_id;

	if (batch->nrows > 0)
		flush(batch);
	for (int i = 0; i < batch->nslots; i++)
		ExecDropSingleTupleTableSlot(batch->slots[i]);
	if (batch->bulk != NULL)
		FreeBulkInsertState(batch->bulk);
	rg_insert_close(&batch->insert);
	table_close(batch->partition, NoLock);
	sodium_memzero(batch->mac, sizeof *batch->mac);
	MemoryContextDelete(batch->context);
	return last_id;
}

int64
rg_audit_event(const char *action, const char *resource_type, RgSlice resource_id,
			   Jsonb *details, const char *source, const char *status)
{
	RgAuditBatch *batch = rg_audit_begin(action, resource_type, source, status);

	rg_audit_add(batch, resource_id, NULL, NULL, details);
	return rg_audit_end(batch);
}

/*
 * idempotency_store.c
 *		The table idempotency_key; idempotency_store.h has the contract.
 *
 * Rows are read and written without a plan: no right, policy or trigger stands
 * in the way, and none has to be granted.
 */
#include "postgres.h"

#include "access/genam.h"
#include "access/table.h"
#include "access/tableam.h"
#include "access/xact.h"
#include "executor/tuptable.h"
#include "lib/stringinfo.h"
#include "miscadmin.h"
#include "utils/fmgroids.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "audit_insert.h"
#include "errcodes.h"
#include "idempotency_store.h"
#include "keyring.h"
#include "own_relation.h"
#include "varlena_slice.h"

#define TABLE "idempotency_key"
#define KEPT_FOR (24 * USECS_PER_HOUR)

/* Columns of relay_guard.idempotency_key */
enum
{
	Anum_kept_scope, Anum_kept_fingerprint, Anum_kept_principal, Anum_kept_method,
	Anum_kept_route, Anum_kept_status, Anum_kept_sealed, Anum_kept_answer, Anum_kept_created_at,
	Natts_kept
};

static Relation
open_table(LOCKMODE mode)
{
	Relation	table = table_open(rg_own_relation_required(TABLE), mode);

	if (RelationGetDescr(table)->natts != Natts_kept)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("relation relay_guard.%s is of another version of relay_guard", TABLE),
				errhint("Run ALTER EXTENSION relay_guard UPDATE, or create the extension anew."));
	return table;
}

/*
 * SnapshotSelf sees what is committed, and this transaction's own row.  It takes
 * no predicate locks: serializable transactions with other keys do not fail for
 * sharing a page of the index.
 */
static SysScanDesc
begin_scan(Relation table, const RgKept *kept, ScanKey key)
{
	Datum		scope = rg_slice_datum(rg_slice((const char *) kept->scope, sizeof kept->scope));

	ScanKeyInit(key, Anum_kept_scope + 1, BTEqualStrategyNumber, F_BYTEAEQ, scope);
	return systable_beginscan(table, rg_own_relation_required("idempotency_key_pkey"), true,
							  SnapshotSelf, 1, key);
}

/*
 * An answer as one value: type NUL header lines NUL body
 */

/* What is empty may have no address. */
static void
append(StringInfo buf, RgSlice bytes)
{
	if (bytes.len > 0)
		appendBinaryStringInfo(buf, bytes.data, bytes.len);
}

static RgSlice
join_answer(const RgKeptAnswer *answer)
{
	StringInfoData joined;

	initStringInfo(&joined);
	enlargeStringInfo(&joined, answer->content_type.len + answer->headers.len + answer->body.len + 2);
	append(&joined, answer->content_type);
	appendStringInfoChar(&joined, '\0');
	append(&joined, answer->headers);
	appendStringInfoChar(&joined, '\0');
	append(&joined, answer->body);
	return rg_slice(joined.data, joined.len);
}

static bool
take_string(RgSlice *rest, RgSlice *string)
{
	const char *end = rest->len > 0 ? memchr(rest->data, '\0', rest->len) : NULL;

	if (end == NULL)
		return false;
	*string = rg_slice(rest->data, end - rest->data);
	*rest = rg_slice(end + 1, rest->len - string->len - 1);
	return true;
}

static bool
split_answer(RgSlice joined, RgKeptAnswer *answer)
{
	answer->body = joined;
	return take_string(&answer->body, &answer->content_type) &&
		take_string(&answer->body, &answer->headers);
}

/* An answer opens only as that to its own request. */
static RgSlice
row_aad(const RgKept *kept)
{
	StringInfoData aad;

	initStringInfo(&aad);
	appendBinaryStringInfo(&aad, TABLE, sizeof TABLE);
	appendBinaryStringInfo(&aad, (const char *) kept->scope, sizeof kept->scope);
	appendBinaryStringInfo(&aad, (const char *) kept->fingerprint, sizeof kept->fingerprint);
	return rg_slice(aad.data, aad.len);
}

static void
read_answer(const RgKept *kept, Datum value, bool sealed, RgKeptAnswer *answer)
{
	RgSlice		stored = rg_datum_slice(value);
	RgSlice		joined = stored;

	if ((!sealed || rg_keyring_open(RG_FOR_SECRETS, row_aad(kept), stored, &joined)) &&
		split_answer(joined, answer))
		return;
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAVAILABLE),
			errmsg("a stored answer of relay_guard.%s does not open", TABLE),
			errhint("Its row was made with another key ring or changed by hand: delete the row."));
}

/*
 * Reading
 */

static bool
is_same(Datum fingerprint, const RgKept *kept)
{
	RgSlice		expected = rg_slice((const char *) kept->fingerprint, sizeof kept->fingerprint);

	return rg_slice_equal(rg_datum_slice(fingerprint), expected);
}

static RgKeptFound
read_row(RgKept *kept, const Datum *values, const bool *nulls, RgKeptAnswer *answer)
{
	kept->outlived = DatumGetTimestampTz(values[Anum_kept_created_at]) <= GetCurrentTimestamp() - KEPT_FOR;
	if (kept->outlived)
		return RG_KEPT_NONE;
	if (!is_same(values[Anum_kept_fingerprint], kept))
		return RG_KEPT_OTHER;
	answer->status = DatumGetInt32(values[Anum_kept_status]);
	if (nulls[Anum_kept_answer])
		return RG_KEPT_WITHOUT_ANSWER;
	read_answer(kept, values[Anum_kept_answer], DatumGetBool(values[Anum_kept_sealed]), answer);
	return RG_KEPT_ANSWER;
}

RgKeptFound
rg_kept_find(RgKept *kept, RgKeptAnswer *answer)
{
	Relation	table = open_table(AccessShareLock);
	ScanKeyData key;
	SysScanDesc scan = begin_scan(table, kept, &key);
	HeapTuple	tuple = systable_getnext(scan);
	Datum		values[Natts_kept];
	bool		nulls[Natts_kept];

	kept->outlived = false;
	if (HeapTupleIsValid(tuple))
	{
		tuple = heap_copytuple(tuple);
		heap_deform_tuple(tuple, RelationGetDescr(table), values, nulls);
	}
	systable_endscan(scan);
	table_close(table, AccessShareLock);
	return HeapTupleIsValid(tuple) ? read_row(kept, values, nulls, answer) : RG_KEPT_NONE;
}

/*
 * Writing
 */

/* Expiry may be deleting it at the same time, which is as good. */
static void
delete_old(Relation table, const RgKept *kept)
{
	ScanKeyData key;
	SysScanDesc scan = begin_scan(table, kept, &key);
	HeapTuple	tuple = systable_getnext(scan);
	TM_FailureData failure;

	if (HeapTupleIsValid(tuple))
		(void) table_tuple_delete(table, &tuple->t_self, GetCurrentCommandId(true), SnapshotSelf,
								  InvalidSnapshot, true, &failure, false);
	systable_endscan(scan);
}

static void
fill_answer(const RgKept *kept, const RgKeptAnswer *answer, Datum *values, bool *nulls)
{
	RgSlice		joined;
	bool		sealed = rg_keyring_available();

	values[Anum_kept_status] = Int32GetDatum(answer->status);
	values[Anum_kept_sealed] = BoolGetDatum(sealed);
	nulls[Anum_kept_answer] = answer->headers.len + answer->body.len > RG_IDEMPOTENCY_MAX_ANSWER;
	if (nulls[Anum_kept_answer])
		return;
	joined = join_answer(answer);
	if (sealed)
		joined = rg_keyring_seal(RG_FOR_SECRETS, row_aad(kept), joined);
	values[Anum_kept_answer] = rg_slice_datum(joined);
}

static void
fill_row(const RgKept *kept, Datum *values)
{
	values[Anum_kept_scope] = rg_slice_datum(rg_slice((const char *) kept->scope, sizeof kept->scope));
	values[Anum_kept_fingerprint] = rg_slice_datum(rg_slice((const char *) kept->fingerprint,
															sizeof kept->fingerprint));
	values[Anum_kept_principal] = rg_slice_datum(kept->principal);
	values[Anum_kept_method] = rg_slice_datum(kept->method);
	values[Anum_kept_route] = rg_slice_datum(kept->route);
	values[Anum_kept_created_at] = TimestampTzGetDatum(GetCurrentTimestamp());
}

static void
insert_row(Relation table, TupleTableSlot *slot)
{
	RgInsert	insert;

	rg_insert_open(&insert, table);
	ExecStoreVirtualTuple(slot);
	table_tuple_insert(table, slot, GetCurrentCommandId(true), 0, NULL);
	rg_insert_index_entries(&insert, slot);
	rg_insert_close(&insert);
}

void
rg_kept_write(const RgKept *kept, const RgKeptAnswer *answer)
{
	Relation	table = open_table(RowExclusiveLock);
	TupleTableSlot *slot = table_slot_create(table, NULL);

	if (kept->outlived)
		delete_old(table, kept);
	ExecClearTuple(slot);
	memset(slot->tts_isnull, false, Natts_kept * sizeof *slot->tts_isnull);
	fill_row(kept, slot->tts_values);
	fill_answer(kept, answer, slot->tts_values, slot->tts_isnull);
	insert_row(table, slot);
	ExecDropSingleTupleTableSlot(slot);
	table_close(table, NoLock);
	CommandCounterIncrement();
}

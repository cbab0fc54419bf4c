/*
 * audit_verify_seals.c
 *		The chain of seals: read in order, each checked and its ids kept.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "common/int.h"
#include "executor/spi.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/jsonb.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "audit_month.h"
#include "audit_seal_message.h"
#include "audit_subject.h"
#include "audit_verify.h"
#include "audit_write.h"
#include "varlena_slice.h"

#define FETCH 1000

/*
 * From the first one of the months asked for, and the one before, which that is
 * linked to; the last one always, for it tells which rows are not sealed yet.
 */
#define SEALS \
	"SELECT seal_id, epoch, row_epoch, snap, month, rows, ids, digest, unwitnessed, findings, sealed_at," \
	" previous, root, key_id, mac, step, proof, to_char(month, 'YYYY-MM-DD')" \
	" FROM relay_guard.audit_seal" \
	" WHERE $1 = '-infinity' OR seal_id >=" \
	" (SELECT coalesce(min(seal_id) FILTER (WHERE month >= $1), max(seal_id)) - 1 FROM relay_guard.audit_seal)" \
	" ORDER BY seal_id"

enum
{
	Anum_seal_id = 1, Anum_epoch, Anum_row_epoch, Anum_snap, Anum_month, Anum_rows, Anum_ids,
	Anum_digest, Anum_unwitnessed, Anum_findings, Anum_sealed_at, Anum_previous, Anum_root,
	Anum_key_id, Anum_mac, Anum_step, Anum_proof, Anum_month_text
};

/* A seal as it is stored. */
typedef struct StoredSeal
{
	RgAuditSeal message;
	DateADT		month;
	Datum		snap;
	char	   *ids;
	RgSlice		root;
	RgSlice		mac;
} StoredSeal;

/* Where the chain stands. */
typedef struct ChainEnd
{
	int64		seal_id;		/* 0 before the first */
	int64		step;			/* of the last seal that has one, or -1 */
	bool		from_start;		/* the chain is read from its first seal on */
	bool		known;			/* whether root is that of a seal that was
								 * read */
	uint8		root[RG_AUDIT_HASH_BYTES];
} ChainEnd;

/*
 * Reading
 */

static Datum
column(HeapTuple tuple, int attnum)
{
	bool		isnull;

	return SPI_getbinval(tuple, SPI_tuptable->tupdesc, attnum, &isnull);
}

static RgSlice
bytes_column(HeapTuple tuple, int attnum)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, attnum, &isnull);

	return isnull ? rg_slice(NULL, 0) : rg_datum_slice(value);
}

static RgSlice
text_column(HeapTuple tuple, int attnum)
{
	char	   *text = SPI_getvalue(tuple, SPI_tuptable->tupdesc, attnum);

	return text == NULL ? rg_slice(NULL, 0) : rg_audit_utf8(rg_slice(text, strlen(text)));
}

static bool
is_null(HeapTuple tuple, int attnum)
{
	bool		isnull;

	(void) SPI_getbinval(tuple, SPI_tuptable->tupdesc, attnum, &isnull);
	return isnull;
}

static bool
may_be_null(int attnum)
{
	return attnum == Anum_findings || attnum == Anum_previous || attnum == Anum_step || attnum == Anum_proof;
}

/* Constraints see to it, unless somebody took them away. */
static bool
lacks_values(HeapTuple tuple)
{
	for (int attnum = Anum_seal_id; attnum <= Anum_month_text; attnum++)
		if (!may_be_null(attnum) && is_null(tuple, attnum))
			return true;
	return false;
}

/* The root does not tell whether there is a proof, nor a negative step from none. */
static bool
has_half_a_proof(HeapTuple tuple)
{
	return is_null(tuple, Anum_step) != is_null(tuple, Anum_proof) ||
		(!is_null(tuple, Anum_step) && DatumGetInt64(column(tuple, Anum_step)) < 0);
}

static void
read_seal(HeapTuple tuple, StoredSeal *seal)
{
	RgAuditSeal *message = &seal->message;

	message->seal_id = DatumGetInt64(column(tuple, Anum_seal_id));
	message->epoch = DatumGetInt32(column(tuple, Anum_epoch));
	message->row_epoch = DatumGetInt32(column(tuple, Anum_row_epoch));
	message->snap = text_column(tuple, Anum_snap);
	message->month = text_column(tuple, Anum_month_text);
	message->rows = DatumGetInt64(column(tuple, Anum_rows));
	message->ids = text_column(tuple, Anum_ids);
	message->digest = bytes_column(tuple, Anum_digest);
	message->unwitnessed = DatumGetInt64(column(tuple, Anum_unwitnessed));
	message->findings = text_column(tuple, Anum_findings);
	message->sealed_at = rg_audit_unix_time(DatumGetTimestampTz(column(tuple, Anum_sealed_at)));
	message->previous = bytes_column(tuple, Anum_previous);
	message->key_id = DatumGetInt32(column(tuple, Anum_key_id));
	message->step = is_null(tuple, Anum_step) ? -1 : DatumGetInt64(column(tuple, Anum_step));
	seal->month = DatumGetDateADT(column(tuple, Anum_month));
	seal->snap = column(tuple, Anum_snap);
	seal->root = bytes_column(tuple, Anum_root);
	seal->mac = bytes_column(tuple, Anum_mac);
}

/*
 * Epochs
 */

static RgSealingEpoch *
epoch_of(RgAuditVerify *run, int32 epoch, bool make)
{
	RgSealingEpoch *made;
	MemoryContext old;
	ListCell   *cell;

	foreach(cell, run->epochs)
	{
		RgSealingEpoch *known = lfirst(cell);

		if (known->epoch == epoch)
			return known;
	}
	if (!make)
		return NULL;
	old = MemoryContextSwitchTo(run->context);
	made = palloc0(sizeof *made);
	made->epoch = epoch;
	made->last_step = -1;
	run->epochs = lappend(run->epochs, made);
	MemoryContextSwitchTo(old);
	return made;
}

/*
 * Checking
 */

static bool
is_hash(RgSlice stored, const uint8 computed[RG_AUDIT_HASH_BYTES])
{
	return stored.len == RG_AUDIT_HASH_BYTES && memcmp(stored.data, computed, RG_AUDIT_HASH_BYTES) == 0;
}

static bool
check_mac(RgAuditVerify *run, const StoredSeal *seal, const uint8 root[RG_AUDIT_HASH_BYTES])
{
	const uint8 *key = rg_audit_verify_key(run, (uint32) seal->message.key_id);
	uint8		mac[RG_AUDIT_HASH_BYTES];

	if (key == NULL)
	{
		rg_audit_problem(run, "key_missing", seal->message.seal_id,
						 "the seal's key %d is not in the key ring", seal->message.key_id);
		return true;
	}
	rg_audit_seal_mac(key, root, mac);
	if (is_hash(seal->mac, mac))
		return true;
	rg_audit_problem(run, "seal_changed", seal->message.seal_id, "its MAC is not that of its root");
	return false;
}

/* Whether nobody without the ring has changed it. */
static bool
check_authentic(RgAuditVerify *run, const StoredSeal *seal)
{
	uint8		root[RG_AUDIT_HASH_BYTES];

	rg_audit_seal_root(&seal->message, root);
	if (is_hash(seal->root, root))
		return check_mac(run, seal, root);
	rg_audit_problem(run, "seal_changed", seal->message.seal_id, "its root is not that of its columns");
	return false;
}

static void
check_place(RgAuditVerify *run, const StoredSeal *seal, const ChainEnd *end)
{
	int64		seal_id = seal->message.seal_id;

	if (seal_id <= end->seal_id)
		rg_audit_problem(run, "seal_duplicated", seal_id, "another seal has this number");
	else if (seal_id > end->seal_id + 1)
		rg_audit_problem(run, "seal_missing", end->seal_id + 1,
						 "seals " INT64_FORMAT " to " INT64_FORMAT " are not there",
						 end->seal_id + 1, seal_id - 1);
	else if (end->known ? !is_hash(seal->message.previous, end->root) : seal->message.previous.data != NULL)
		rg_audit_problem(run, "seal_link", seal_id, "it does not follow from the seal before it");
}

/*
 * Every seal made with a ratchet takes it a step on; another cluster may begin
 * with 0.  Where the chain is read from its middle, the first step is as it is.
 */
static int64
expected_step(const ChainEnd *end, const RgSealingEpoch *epoch, int64 step)
{
	if (epoch->last_step >= 0)
		return epoch->last_step + 1;
	if (step == 0 || (end->step < 0 && !end->from_start))
		return step;
	return end->step + 1;
}

static void
check_step(RgAuditVerify *run, const StoredSeal *seal, ChainEnd *end)
{
	RgSealingEpoch *epoch = epoch_of(run, seal->message.epoch, true);
	int64		step = seal->message.step;
	int64		expected = expected_step(end, epoch, step);

	if (step < 0)
		return;
	if (step > expected)
		rg_audit_problem(run, "tail_missing", seal->message.seal_id,
						 "of the ratchet's steps " INT64_FORMAT " to " INT64_FORMAT " no seal is left",
						 expected, step - 1);
	else if (step < expected)
		rg_audit_problem(run, "seal_step", seal->message.seal_id,
						 "step " INT64_FORMAT " of the ratchet was used before", step);
	end->step = epoch->last_step = step;
}

/* The ratchet's file is ahead of all seals: those behind the last were cut off. */
static void
check_ratchet(RgAuditVerify *run, const ChainEnd *end)
{
	if (run->ratchet_step > end->step + 1 && (end->step >= 0 || end->from_start))
		rg_audit_problem(run, "tail_missing", end->seal_id,
						 "the ratchet is at step " INT64_FORMAT ", but the last seal at " INT64_FORMAT,
						 run->ratchet_step, end->step);
}

static void
move_end(ChainEnd *end, const StoredSeal *seal)
{
	end->seal_id = seal->message.seal_id;
	end->known = seal->root.len == RG_AUDIT_HASH_BYTES;
	if (end->known)
		memcpy(end->root, seal->root.data, RG_AUDIT_HASH_BYTES);
}

/*
 * Findings: rows that the sealer no longer found, a ratchet that it could not use
 */

static void
tell_finding(RgAuditVerify *run, int64 seal_id, JsonbValue * finding)
{
	int64		id = seal_id;
	JsonbValue *found = NULL;
	Jsonb	   *whole = JsonbValueToJsonb(finding);

	if (JB_ROOT_IS_OBJECT(whole))
		found = getKeyJsonValueFromContainer(&whole->root, "id", 2, NULL);
	if (found != NULL && found->type == jbvNumeric)
		id = DatumGetInt64(DirectFunctionCall1(numeric_int8, NumericGetDatum(found->val.numeric)));
	rg_audit_problem(run, "seal_finding", id,
					 "seal " INT64_FORMAT " tells what was not as it should be: %s",
					 seal_id, JsonbToCString(NULL, &whole->root, VARSIZE(whole)));
}

static void
tell_findings(RgAuditVerify *run, HeapTuple tuple, int64 seal_id)
{
	bool		isnull;
	Datum		value = SPI_getbinval(tuple, SPI_tuptable->tupdesc, Anum_findings, &isnull);
	Jsonb	   *findings;
	JsonbIterator *iterator;
	JsonbValue	item;

	if (isnull)
		return;
	findings = DatumGetJsonbP(value);
	if (!JB_ROOT_IS_ARRAY(findings))
		return;
	iterator = JsonbIteratorInit(&findings->root);
	(void) JsonbIteratorNext(&iterator, &item, true);
	while (JsonbIteratorNext(&iterator, &item, true) == WJB_ELEM)
		tell_finding(run, seal_id, &item);
}

/*
 * What the rows need
 */

static void
note_epochs(RgAuditVerify *run, const StoredSeal *seal)
{
	RgSealingEpoch *epoch = epoch_of(run, seal->message.epoch, true);
	MemoryContext old = CurrentMemoryContext;

	if (epoch->last_seal > 0)
		pfree(DatumGetPointer(epoch->snap));
	MemoryContextSwitchTo(run->context);
	epoch->snap = datumCopy(seal->snap, false, -1);
	MemoryContextSwitchTo(old);
	epoch->last_seal = seal->message.seal_id;
	if (seal->message.row_epoch != seal->message.epoch)
		epoch_of(run, seal->message.row_epoch, true)->taken_over = true;
	run->last_seal = seal->message.seal_id;
}

/* The first seal of this database takes over what any other has left. */
static bool
has_sealed(RgAuditVerify *run)
{
	RgSealingEpoch *own = epoch_of(run, rg_audit_epoch(), false);

	return own != NULL && own->last_seal > 0;
}

bool
rg_audit_may_be_pending(RgAuditVerify *run, int32 epoch, Datum xid)
{
	RgSealingEpoch *known = epoch_of(run, epoch, false);

	if (known == NULL)
		return epoch == rg_audit_epoch() || !has_sealed(run);
	if (known->taken_over || (known->last_seal > 0 && known->last_seal < run->last_seal))
		return false;
	return !DatumGetBool(DirectFunctionCall2(pg_visible_in_snapshot, xid, known->snap));
}

/*
 * Ids
 */

static void *
grow(RgAuditVerify *run, void *array, uint64 *size, uint64 used, size_t element)
{
	if (used < *size)
		return array;
	*size = *size * 2 + 64;
	return array == NULL ? MemoryContextAllocHuge(run->context, *size * element)
		: repalloc_huge(array, *size * element);
}

static void
add_range(RgAuditVerify *run, RgSealedRows *rows, int32 epoch, int64 first, int64 end, int64 *ids)
{
	RgSealedRange *range;

	run->ranges = grow(run, run->ranges, &run->ranges_size, run->nranges, sizeof *run->ranges);
	range = &run->ranges[run->nranges++];
	range->first = first;
	range->end = end;
	range->before = *ids;
	range->epoch = epoch;
	range->seal = (uint32) (rows - run->seals);
	rows->nranges++;
	if (pg_sub_s64_overflow(end, first, &end) || pg_add_s64_overflow(*ids, end, ids))
		*ids = PG_INT64_MAX;
}

/* {[1,4),[6,7)}, as int8multirange_out() makes it; returns how many ids that are. */
static int64
read_ranges(RgAuditVerify *run, RgSealedRows *rows, int32 epoch, const char *text)
{
	int64		ids = 0;

	while ((text = strchr(text, '[')) != NULL)
	{
		char	   *comma;
		char	   *close;
		int64		first = strtoi64(text + 1, &comma, 10);
		int64		end = *comma == ',' ? strtoi64(comma + 1, &close, 10) : first;

		if (*comma != ',' || *close != ')' || end <= first)
			return -1;
		add_range(run, rows, epoch, first, end, &ids);
		text = close;
	}
	return ids;
}

static void
add_rows(RgAuditVerify *run, const StoredSeal *seal, bool flawed)
{
	RgSealedRows *rows;
	int64		ids;

	run->seals = grow(run, run->seals, &run->seals_size, run->nseals, sizeof *run->seals);
	rows = &run->seals[run->nseals++];
	memset(rows, 0, sizeof *rows);
	rows->seal_id = seal->message.seal_id;
	rows->month = seal->month;
	rows->flawed = flawed;
	rows->first_range = run->nranges;
	if (seal->message.digest.len == sizeof rows->digest)
		memcpy(rows->digest, seal->message.digest.data, sizeof rows->digest);
	ids = read_ranges(run, rows, seal->message.row_epoch,
					  pnstrdup(seal->message.ids.data, seal->message.ids.len));
	rows->rows = ids < 0 ? 0 : ids;
	if (ids != seal->message.rows && !flawed)
		rg_audit_problem(run, "seal_changed", rows->seal_id, "its ids are not as many as its rows");
	run->rows_sealed += Min(rows->rows, PG_INT32_MAX);
}

static int
compare_ranges(const void *a, const void *b)
{
	const RgSealedRange *left = a;
	const RgSealedRange *right = b;

	if (left->epoch != right->epoch)
		return left->epoch < right->epoch ? -1 : 1;
	if (left->first != right->first)
		return left->first < right->first ? -1 : 1;
	return 0;
}

static void
order_ranges(RgAuditVerify *run)
{
	run->by_id = MemoryContextAllocHuge(CurrentMemoryContext, (run->nranges + 1) * sizeof *run->by_id);
	if (run->nranges > 0)
		memcpy(run->by_id, run->ranges, run->nranges * sizeof *run->ranges);
	qsort(run->by_id, run->nranges, sizeof *run->by_id, compare_ranges);
}

RgSealedRows *
rg_audit_seal_of(RgAuditVerify *run, int32 epoch, int64 id)
{
	uint64		low = 0;
	uint64		high = run->nranges;

	/* the last range that does not begin after it */
	while (low < high)
	{
		uint64		middle = low + (high - low) / 2;
		RgSealedRange *range = &run->by_id[middle];

		if (range->epoch < epoch || (range->epoch == epoch && range->first <= id))
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || run->by_id[low - 1].epoch != epoch || id >= run->by_id[low - 1].end)
		return NULL;
	return &run->seals[run->by_id[low - 1].seal];
}

/*
 * The chain
 */

static void
check_seal(RgAuditVerify *run, HeapTuple tuple, ChainEnd *end)
{
	StoredSeal	seal;
	bool		flawed;

	read_seal(tuple, &seal);
	if (end->seal_id != 0 || end->from_start)
		check_place(run, &seal, end);
	flawed = !check_authentic(run, &seal);
	if (!flawed && has_half_a_proof(tuple))
		rg_audit_problem(run, "seal_changed", seal.message.seal_id, "its step and its proof do not belong together");
	check_step(run, &seal, end);
	move_end(end, &seal);
	if (!flawed)
		tell_findings(run, tuple, seal.message.seal_id);
	note_epochs(run, &seal);
	if (rg_audit_is_asked_for(run, seal.month))
		add_rows(run, &seal, flawed);
}

static void
take_seal(RgAuditVerify *run, HeapTuple tuple, ChainEnd *end)
{
	MemoryContext old = MemoryContextSwitchTo(run->row_context);

	if (lacks_values(tuple))
		rg_audit_problem(run, "seal_changed", is_null(tuple, Anum_seal_id) ? 0 : DatumGetInt64(column(tuple, Anum_seal_id)),
						 "a column that every seal has is NULL");
	else
		check_seal(run, tuple, end);
	MemoryContextSwitchTo(old);
	MemoryContextReset(run->row_context);
}

void
rg_audit_verify_seals(RgAuditVerify *run)
{
	Oid			types[1] = {DATEOID};
	Datum		values[1] = {DateADTGetDatum(run->first_month)};
	ChainEnd	end = {.step = -1,.from_start = DATE_IS_NOBEGIN(run->first_month)};
	Portal		portal = SPI_cursor_open_with_args(NULL, SEALS, 1, types, values, NULL, true, 0);

	for (;;)
	{
		CHECK_FOR_INTERRUPTS();
		SPI_cursor_fetch(portal, true, FETCH);
		if (SPI_processed == 0)
			break;
		for (uint64 i = 0; i < SPI_processed; i++)
			take_seal(run, SPI_tuptable->vals[i], &end);
		SPI_freetuptable(SPI_tuptable);
	}
	SPI_cursor_close(portal);
	check_ratchet(run, &end);
	MemoryContextSwitchTo(run->context);
	order_ranges(run);
}

/*
 * audit_verify_digests.c
 *		Which rows of each seal are there, and whether they are those that it
 *		sealed.
 *
 * A record sorts as bytes: number of the seal, xid and id big-endian, MAC.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "port/pg_bswap.h"
#include "utils/memutils.h"

#include "audit_verify.h"

/* More ids than any seal has: no bits are kept, only their number compared. */
#define MOST_BITS (INT64CONST(1) << 31)

typedef struct Record
{
	char		header[VARHDRSZ];
	uint32		seal;
	uint8		xid[8];
	uint8		id[8];
	uint8		mac[RG_AUDIT_MAC_BYTES];
} Record;

/* The seal whose records are being read. */
typedef struct Digest
{
	RgSealedRows *seal;
	int64		found;			/* different rows */
	bool		duplicates;
	uint8	   *bits;			/* one for each id that was found; NULL for
								 * none */
	RgAuditMac *hash;
} Digest;

static void
put_uint64(uint8 out[8], uint64 value)
{
	value = pg_hton64(value);
	memcpy(out, &value, sizeof value);
}

static uint64
get_uint64(const uint8 in[8])
{
	uint64		value;

	memcpy(&value, in, sizeof value);
	return pg_ntoh64(value);
}

void
rg_audit_record(RgAuditVerify *run, const RgSealedRows *seal, uint64 xid, int64 id,
				const uint8 mac[RG_AUDIT_MAC_BYTES])
{
	Record		record;

	SET_VARSIZE(&record, sizeof record);
	record.seal = pg_hton32((uint32) (seal - run->seals));
	put_uint64(record.xid, xid);
	put_uint64(record.id, (uint64) id);
	memcpy(record.mac, mac, sizeof record.mac);
	tuplesort_putdatum(run->records, PointerGetDatum(&record), false);
}

static bool
next_record(RgAuditVerify *run, Record *record)
{
	Datum		value;
	bool		isnull;

#if PG_VERSION_NUM >= 160000
	if (!tuplesort_getdatum(run->records, true, true, &value, &isnull, NULL))
		return false;
#else
	if (!tuplesort_getdatum(run->records, true, &value, &isnull, NULL))
		return false;
#endif
	memcpy(record, DatumGetPointer(value), sizeof *record);
	pfree(DatumGetPointer(value));
	return true;
}

/*
 * Ids
 */

/* The range of a seal that holds the id, which is in one. */
static const RgSealedRange *
range_of(const RgAuditVerify *run, const RgSealedRows *seal, int64 id)
{
	const RgSealedRange *ranges = run->ranges + seal->first_range;
	uint64		low = 0;
	uint64		high = seal->nranges;

	while (high - low > 1)
	{
		uint64		middle = low + (high - low) / 2;

		if (ranges[middle].first <= id)
			low = middle;
		else
			high = middle;
	}
	return &ranges[low];
}

/* Whether it was there already. */
static bool
mark(const RgAuditVerify *run, Digest *digest, int64 id)
{
	const RgSealedRange *range = range_of(run, digest->seal, id);
	int64		bit;
	bool		was;

	if (digest->bits == NULL || id < range->first || id >= range->end)
		return false;
	bit = range->before + (id - range->first);
	was = (digest->bits[bit / 8] >> (bit % 8)) & 1;
	digest->bits[bit / 8] |= (uint8) (1 << (bit % 8));
	return was;
}

static bool
is_marked(const Digest *digest, int64 bit)
{
	return digest->bits != NULL && ((digest->bits[bit / 8] >> (bit % 8)) & 1);
}

static void
tell_missing(RgAuditVerify *run, const RgSealedRows *seal, int64 first, int64 last)
{
	if (first == last)
		rg_audit_problem(run, "row_missing", first, "seal " INT64_FORMAT " has it", seal->seal_id);
	else
		rg_audit_problem(run, "row_missing", first,
						 "seal " INT64_FORMAT " has rows " INT64_FORMAT " to " INT64_FORMAT,
						 seal->seal_id, first, last);
}

static void
tell_missing_of_range(RgAuditVerify *run, const Digest *digest, const RgSealedRange *range)
{
	int64		first = range->first;

	if (digest->bits == NULL)
	{
		tell_missing(run, digest->seal, range->first, range->end - 1);
		return;
	}
	for (int64 id = range->first; id < range->end; id++)
	{
		if (!is_marked(digest, range->before + (id - range->first)))
			continue;
		if (first < id)
			tell_missing(run, digest->seal, first, id - 1);
		first = id + 1;
	}
	if (first < range->end)
		tell_missing(run, digest->seal, first, range->end - 1);
}

/* Its month was retired, and nothing of it is left. */
static bool
is_retired(const RgAuditVerify *run, const RgSealedRows *seal)
{
	return seal->month < run->retired_before && !list_member_int(run->months, seal->month);
}

/*
 * Seals
 */

static void
begin_digest(RgAuditVerify *run, Digest *digest, RgSealedRows *seal)
{
	MemoryContextReset(run->row_context);
	digest->seal = seal;
	digest->found = 0;
	digest->duplicates = false;
	digest->bits = NULL;
	crypto_generichash_init(digest->hash, NULL, 0, RG_AUDIT_MAC_BYTES);
}

static void
make_bits(RgAuditVerify *run, Digest *digest)
{
	Size		size = (Size) (digest->seal->rows / 8 + 1);

	if (digest->bits == NULL && digest->seal->rows <= MOST_BITS)
		digest->bits = MemoryContextAllocExtended(run->row_context, size, MCXT_ALLOC_HUGE | MCXT_ALLOC_ZERO);
}

static void
add_record(RgAuditVerify *run, Digest *digest, const Record *record)
{
	int64		id = (int64) get_uint64(record->id);

	make_bits(run, digest);
	if (mark(run, digest, id))
	{
		digest->duplicates = true;
		rg_audit_problem(run, "row_duplicated", id, "seal " INT64_FORMAT " has it once", digest->seal->seal_id);
		return;
	}
	digest->found++;
	crypto_generichash_update(digest->hash, record->mac, sizeof record->mac);
}

static void
check_digest(RgAuditVerify *run, Digest *digest)
{
	uint8		hash[RG_AUDIT_MAC_BYTES];

	crypto_generichash_final(digest->hash, hash, sizeof hash);
	if (memcmp(hash, digest->seal->digest, sizeof hash) != 0)
		rg_audit_problem(run, "seal_digest", digest->seal->seal_id, "its digest is not that of its rows");
}

static void
end_digest(RgAuditVerify *run, Digest *digest)
{
	RgSealedRows *seal = digest->seal;

	CHECK_FOR_INTERRUPTS();
	if (digest->found < seal->rows)
	{
		if (!is_retired(run, seal))
			for (uint64 i = 0; i < seal->nranges; i++)
				tell_missing_of_range(run, digest, &run->ranges[seal->first_range + i]);
	}
	else if (!seal->flawed && !digest->duplicates)
		check_digest(run, digest);
}

/* Those that no record is of end as soon as they begin. */
static void
move_to(RgAuditVerify *run, Digest *digest, uint64 *current, uint64 seal)
{
	while (*current < seal)
	{
		end_digest(run, digest);
		if (++*current < run->nseals)
			begin_digest(run, digest, &run->seals[*current]);
	}
}

void
rg_audit_verify_digests(RgAuditVerify *run)
{
	char		room[sizeof(RgAuditMac) + RG_AUDIT_MAC_ALIGNMENT];
	Digest		digest = {.hash = (RgAuditMac *) TYPEALIGN(RG_AUDIT_MAC_ALIGNMENT, room)};
	uint64		current = 0;
	Record		record;

	tuplesort_performsort(run->records);
	if (run->nseals == 0)
		return;
	begin_digest(run, &digest, &run->seals[0]);
	for (uint64 n = 0; next_record(run, &record); n++)
	{
		if (n % 1024 == 0)
			CHECK_FOR_INTERRUPTS();
		move_to(run, &digest, &current, pg_ntoh32(record.seal));
		add_record(run, &digest, &record);
	}
	move_to(run, &digest, &current, run->nseals);
}

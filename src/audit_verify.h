/*
 * audit_verify.h
 *		One run of audit_verify(): what its parts share.
 *
 * It reads seals, then rows, in one snapshot.  Every row becomes a record of
 * its seal, xid, id and MAC; sorted, these give the digest of one seal after
 * the other, and which rows are missing or there twice.
 */
#ifndef RG_AUDIT_VERIFY_H
#define RG_AUDIT_VERIFY_H

#include "nodes/execnodes.h"
#include "utils/date.h"
#include "utils/snapshot.h"
#include "utils/tuplesort.h"

#include "audit_row.h"

/* A seal as far as its rows are concerned. */
typedef struct RgSealedRows
{
	int64		seal_id;
	int64		rows;
	uint64		first_range;
	uint64		nranges;
	DateADT		month;
	bool		flawed;			/* a problem was told that explains a wrong
								 * digest */
	uint8		digest[RG_AUDIT_MAC_BYTES];
} RgSealedRows;

/* Ids of rows that a seal covers. */
typedef struct RgSealedRange
{
	int64		first;
	int64		end;			/* one past the last */
	int64		before;			/* how many ids of its seal are in ranges
								 * before it */
	int32		epoch;
	uint32		seal;			/* place in the array of seals */
} RgSealedRange;

/* An epoch that has sealed, or whose rows were. */
typedef struct RgSealingEpoch
{
	int32		epoch;
	bool		taken_over;		/* another epoch has sealed rows of it */
	int64		last_step;		/* of its last seal with a proof, or -1 */
	int64		last_seal;		/* 0 when it has made none */
	Datum		snap;			/* of its last seal: pg_snapshot */
} RgSealingEpoch;

/* A key of the ring that is not there. */
typedef struct RgMissingKey
{
	int32		key_id;
	int64		first_id;
	int64		rows;
} RgMissingKey;

typedef struct RgAuditVerify
{
	ReturnSetInfo *set;
	MemoryContext context;		/* of the run */
	MemoryContext row_context;	/* emptied for each row */
	Snapshot	snapshot;

	/* months by their first day; rows and seals of others are left alone */
	DateADT		first_month;
	DateADT		last_month;
	DateADT		retired_before;
	List	   *months;			/* that the log has rows of, as integers */

	RgSealedRows *seals;
	uint64		nseals,
				seals_size;
	RgSealedRange *ranges;		/* each seal's together, in order */
	uint64		nranges,
				ranges_size;
	RgSealedRange *by_id;		/* the same in order of (epoch, first) */
	List	   *epochs;			/* of RgSealingEpoch */
	int64		last_seal;
	int64		ratchet_step;	/* where the ratchet's file is, or -1 */

	int64		rows_sealed;	/* what the seals say */
	int64		rows_read;
	Tuplesortstate *records;

	List	   *missing_keys;	/* of RgMissingKey */
	uint32		key_id;			/* of key, or 0 */
	uint8		key[RG_KEY_BYTES];
} RgAuditVerify;

/* Whether problems of that month were asked for. */
static inline bool
rg_audit_is_asked_for(const RgAuditVerify *run, DateADT month)
{
	return month >= run->first_month && month <= run->last_month;
}

/* Adds a row to the result. */
extern void rg_audit_problem(RgAuditVerify *run, const char *problem, int64 id,
							 const char *detail,...) pg_attribute_printf(4, 5);

/* The ring's key for audit, good until the next call; NULL when it is not there. */
extern const uint8 *rg_audit_verify_key(RgAuditVerify *run, uint32 key_id);

/* audit_verify_seals.c: reads and checks the chain. */
extern void rg_audit_verify_seals(RgAuditVerify *run);

/* The seal that covers such a row, or NULL. */
extern RgSealedRows *rg_audit_seal_of(RgAuditVerify *run, int32 epoch, int64 id);

/* Whether the next seal may take a row that no seal covers. */
extern bool rg_audit_may_be_pending(RgAuditVerify *run, int32 epoch, Datum xid);

/* audit_verify_rows.c: reads and checks the rows, and makes the records. */
extern void rg_audit_verify_rows(RgAuditVerify *run, List *partitions);

/* Until when, by authentic events, the log was retired. */
extern DateADT rg_audit_retired_before(RgAuditVerify *run);

/* audit_verify_digests.c: the records against the seals. */
extern void rg_audit_record(RgAuditVerify *run, const RgSealedRows *seal, uint64 xid,
							int64 id, const uint8 mac[RG_AUDIT_MAC_BYTES]);
extern void rg_audit_verify_digests(RgAuditVerify *run);

#endif

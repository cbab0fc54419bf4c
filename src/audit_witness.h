/*
 * audit_witness.h
 *		Shared memory's own account of the rows that transactions wrote to the
 *		audit log, against which a seal counts what it finds.
 *
 * A transaction leaves one entry just before it commits or is prepared; what
 * its savepoints rolled back is not in it.  The next sealing takes the entry.
 * So rows that vanish before they are sealed are found, unless the server was
 * started again in between or the ring was too small.
 */
#ifndef RG_AUDIT_WITNESS_H
#define RG_AUDIT_WITNESS_H

#include "audit_row.h"

/* How many rows, and the sums of their ids and MACs, modulo 2^64 each. */
typedef struct RgAuditSums
{
	int64		rows;
	uint64		ids;
	uint64		macs[4];
} RgAuditSums;

typedef struct RgAuditWitness
{
	uint64		xid;			/* FullTransactionId */
	RgAuditSums sums;
	int32		slot;			/* where it stands */
} RgAuditWitness;

static inline void
rg_audit_sums_add(RgAuditSums *sums, int64 id, const uint8 mac[RG_AUDIT_MAC_BYTES])
{
	uint64		parts[4];

	memcpy(parts, mac, sizeof parts);
	sums->rows++;
	sums->ids += (uint64) id;
	for (int i = 0; i < 4; i++)
		sums->macs[i] += parts[i];
}

static inline bool
rg_audit_sums_equal(const RgAuditSums *a, const RgAuditSums *b)
{
	return memcmp(a, b, sizeof *a) == 0;
}

/* The setting and the callbacks of transactions; called from _PG_init. */
extern void rg_audit_witness_init(void);

/* Parts of the shared memory hooks of counter.c. */
extern void rg_audit_witness_request_shmem(void);
extern void rg_audit_witness_startup_shmem(void);

/* Notes a row that the present (sub)transaction has written. */
extern void rg_audit_witness_add(int64 id, const uint8 mac[RG_AUDIT_MAC_BYTES]);

/*
 * This database's entries in the order of xid, palloc'd.  Of each transaction
 * that a snapshot taken before shows as over, its entry is among them if there
 * is one.
 */
extern RgAuditWitness *rg_audit_witness_copy(int *count);

/* Removes every entry of a database whose log is gone; raises nothing. */
extern void rg_audit_witness_purge(Oid database);

/* Removes entries that are in the ring still; raises nothing. */
extern void rg_audit_witness_forget(const RgAuditWitness *witnesses, int count);

#endif

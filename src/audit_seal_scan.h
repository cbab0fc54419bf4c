/*
 * audit_seal_scan.h
 *		Reading the rows that are in no seal yet.
 *
 * Connected to SPI, with the snapshot of the sealing active.  Rows come in the
 * order of (epoch, xid, id).
 */
#ifndef RG_AUDIT_SEAL_SCAN_H
#define RG_AUDIT_SEAL_SCAN_H

#include "audit_seal_part.h"

typedef void (*RgTakeRow) (const RgAuditRow *row, void *arg);

/*
 * Rows of an epoch that snap shows as committed and before, the snapshot of the
 * last sealing, does not.  before may be NULL: there was none.
 */
extern void rg_seal_scan_new(int32 epoch, const Datum *before, Datum snap,
							 RgTakeRow take, void *arg);

/* Rows of other epochs that those who sealed in them, or took them over, left. */
extern void rg_seal_scan_foreign(int32 epoch, RgTakeRow take, void *arg);

#endif

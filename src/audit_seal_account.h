/*
 * audit_seal_account.h
 *		Comparing what a sealing finds of each transaction with its witness.
 */
#ifndef RG_AUDIT_SEAL_ACCOUNT_H
#define RG_AUDIT_SEAL_ACCOUNT_H

#include "audit_seal_part.h"

typedef struct RgSealAccount
{
	RgAuditWitness *witnesses;	/* those of transactions that are over come
								 * first after the end */
	int			count;
	bool	   *met;
	RgSealPart *part;			/* of the transaction being read; NULL: none */
	int32		epoch;
	uint64		xid;
	RgAuditSums sums;
} RgSealAccount;

/* Copies the witnesses, after the snapshot was taken; palloc'd. */
extern void rg_seal_account_begin(RgSealAccount *account);

/* A row, in the order of (epoch, xid), and the part that took it in. */
extern void rg_seal_account_row(RgSealAccount *account, int32 own_epoch, RgSealPart *part,
								const RgAuditRow *row);

/*
 * After the last row: finds the transactions that are over as of snap, a
 * pg_snapshot, and left no row at all.  Returns how many of the witnesses have
 * done their duty; they stand first from then on.
 */
extern int	rg_seal_account_end(RgSealAccount *account, RgSealParts *parts, Datum snap);

#endif

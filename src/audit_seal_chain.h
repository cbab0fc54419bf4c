/*
 * audit_seal_chain.h
 *		relay_guard.audit_seal: what was sealed last, and adding a seal to it.
 */
#ifndef RG_AUDIT_SEAL_CHAIN_H
#define RG_AUDIT_SEAL_CHAIN_H

#include "utils/relcache.h"

#include "audit_seal_message.h"
#include "audit_seal_part.h"
#include "audit_seal_ratchet.h"

typedef struct RgSealChain
{
	Relation	table;			/* locked against every other sealing */
	int32		epoch;
	Datum		snap;			/* of this sealing, a pg_snapshot */
	const char *snap_text;
	int64		last_id;		/* 0: none */
	uint8		last_root[RG_AUDIT_HASH_BYTES];
	bool		begun;			/* this epoch has sealed: ... */
	Datum		before;			/* ... its last snapshot */
	RgProvedSeal proved;		/* its last seal with a proof */
	bool		had_proof;		/* its last seal has one */
} RgSealChain;

/* Whether the log can be sealed: it has partitions, and is whole. */
typedef enum RgLogState
{
	RG_LOG_EMPTY,				/* no partition: nothing was ever written */
	RG_LOG_UNFINISHED,			/* a partition without audit_refuse: being
								 * restored */
	RG_LOG_FOREIGN,				/* a subscription brings the seals */
	RG_LOG_READY
} RgLogState;

/* All of these are connected to SPI. */

extern RgLogState rg_seal_log_state(void);

/* Locks the table and takes the snapshot, which stays active until the close. */
extern void rg_seal_chain_open(RgSealChain *chain);
extern void rg_seal_chain_close(RgSealChain *chain);

/* Adds the seal of a part under the ratchet's step, if there is one. */
extern void rg_seal_chain_add(RgSealChain *chain, RgSealPart *part);

#endif

/*
 * rekey_batch.h
 *		A batch of rekey(): rows in the order of the primary key.
 */
#ifndef RG_REKEY_BATCH_H
#define RG_REKEY_BATCH_H

#include "rekey_state.h"

typedef enum RgRekeyBatch
{
	RG_REKEY_MORE,				/* rows may follow */
	RG_REKEY_LAST,				/* the pass is over */
	RG_REKEY_GONE				/* there is no such encrypted column any more */
} RgRekeyBatch;

/*
 * Reads up to so many rows that follow run->place, for about a second, and
 * seals anew the values that are not under run->target.  Everything of the
 * table's (triggers, operators, types) runs as its owner, in a
 * security-restricted operation.  The caller must own the table.
 */
extern RgRekeyBatch rg_rekey_batch(RgRekey *run, int size);

#endif

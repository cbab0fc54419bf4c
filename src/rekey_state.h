/*
 * rekey_state.h
 *		How far a run of rekey() came, and where that is kept.
 *
 * A run reads the table in passes, a pass in batches, a batch in one
 * transaction that also stores how far it came.  So a run that was broken off
 * goes on where its last batch ended.
 */
#ifndef RG_REKEY_STATE_H
#define RG_REKEY_STATE_H

#include "access/attnum.h"
#include "utils/timestamp.h"

/* Of rows that are left, so many are named. */
#define RG_REKEY_NAMED 20

/* Phases, as rekey_state has them. */
#define RG_REKEY_WORKING "rekeying"
#define RG_REKEY_WAITING "waiting"
#define RG_REKEY_DONE "done"
#define RG_REKEY_INCOMPLETE "incomplete"

/* One column's run: a row of rekey_state.  Memory is that of context. */
typedef struct RgRekey
{
	MemoryContext context;
	Oid			relation;
	AttrNumber	attnum;
	uint32		target;			/* the key that values get */
	const char *phase;
	TimestampTz started_at;
	int64		rows_done;		/* sealed anew, by all passes */

	/* The pass */
	int			pass;			/* from 1 */
	bool		settled;		/* whoever wrote under an older key had ended */
	char	   *key_columns;	/* what the place is a place in; NULL before
								 * the first batch */
	int			nplace;
	char	  **place;			/* primary key of the last row read, as text;
								 * NULL at the start */
	int64		pass_done;
	int64		rows_seen;
	int64		rows_failed;	/* left, for what failures says */
	int64		rows_locked;	/* left to the next pass */
	int			nkeys;
	int32	   *key_ids;		/* which keys the values had when read */
	int64	   *key_rows;
	int			nfailures;
	char	   *failures[RG_REKEY_NAMED];
} RgRekey;

/* Starts a pass from the first row. */
extern void rg_rekey_new_pass(RgRekey *run, bool settled);

/*
 * What is stored: of another session's run, or one that was broken off.  A run
 * that had ended starts anew.  The caller holds the column's lock.
 */
extern void rg_rekey_load(RgRekey *run);
extern void rg_rekey_store(const RgRekey *run);

/* What a settled pass saw becomes what keyring_status shows. */
extern void rg_rekey_publish(const RgRekey *run);

/* Forgets the column, which is encrypted no more. */
extern void rg_rekey_forget(const RgRekey *run);

/* A constant query of SPI's, as the extension's owner. */
extern void rg_rekey_read_as_owner(const char *query, int nargs, Oid *types, Datum *values);

#endif

/*
 * audit_sealer.h
 *		The background worker that seals the audit log of a database, makes its
 *		partitions in time, and writes down what was denied.
 */
#ifndef RG_AUDIT_SEALER_H
#define RG_AUDIT_SEALER_H

#include "fmgr.h"

/* What can be pending for RG_WORK_SEALS */
#define RG_SEAL_ROWS 1			/* rows of the log are in no seal yet */
#define RG_SEAL_DENIALS 2		/* denials are to be written, at once */
#define RG_SEAL_NOW 4			/* the ring of witnesses fills up */

/* The setting and the kind of work; called from _PG_init. */
extern void rg_audit_sealer_init(void);

/*
 * Tells of rows that are committed; now: their witnesses fill the ring.  Nothing
 * where sealing is left to audit_seal().  Returns as rg_work_notify() does.
 */
extern uint32 rg_audit_sealer_notify(bool now);

/* Entry point of the process. */
extern PGDLLEXPORT void rg_audit_sealer_main(Datum arg);

#endif

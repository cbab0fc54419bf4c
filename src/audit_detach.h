/*
 * audit_detach.h
 *		Taking partitions off the audit log beside its writers.
 */
#ifndef RG_AUDIT_DETACH_H
#define RG_AUDIT_DETACH_H

#include "fmgr.h"

/*
 * ALTER TABLE ... DETACH PARTITION ... CONCURRENTLY of a partition of the log,
 * as that user, outside the present transaction, which must hold no lock on
 * either.  Waits for it.  What came of it stands in the catalog; a failure is
 * in the server's log.  False when no worker could be started.
 */
extern bool rg_audit_detach_concurrently(Oid partition, Oid user)
			__attribute__((warn_unused_result));

/* Entry point of the worker. */
extern PGDLLEXPORT void rg_audit_detach_main(Datum arg);

#endif

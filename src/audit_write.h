/*
 * audit_write.h
 *		Writing rows of the audit log: in the transaction, in the name of its
 *		identity, whatever the rights of its user.
 *
 * An error of these fails the change that was to be recorded.  RG503 when there
 * is no key ring, 55000 when the log has no partition for now.
 */
#ifndef RG_AUDIT_WRITE_H
#define RG_AUDIT_WRITE_H

#include "audit_object.h"
#include "context.h"
#include "slice.h"

typedef struct RgAuditBatch RgAuditBatch;

/* Which epoch this database writes in: a number of the cluster and database. */
extern int32 rg_audit_epoch(void);

/*
 * Begins a run of rows that share these four, which must outlive it, the
 * transaction's identity and the time.  The batch lives in the current context
 * until rg_audit_end().
 */
extern RgAuditBatch *rg_audit_begin(const char *action, const char *resource_type,
									const char *source, const char *status);

/* As rg_audit_begin() in the name of another identity, or of none when NULL. */
extern RgAuditBatch *rg_audit_begin_as(const RgIdentity *identity, const char *action,
									   const char *resource_type, const char *source,
									   const char *status);

/*
 * Where the values of a row are to be made: emptied once its rows are written,
 * which rg_audit_add() and rg_audit_end() do.
 */
extern MemoryContext rg_audit_scratch(RgAuditBatch *batch);

/*
 * Adds a row.  resource_id and the three, each of which may be absent, are not
 * copied: they are in rg_audit_scratch(), or outlive the batch.
 */
extern void rg_audit_add(RgAuditBatch *batch, RgSlice resource_id,
						 const RgAuditJson *old_values, const RgAuditJson *new_values,
						 Jsonb *details);

/* Writes what is left and frees the batch; the id of the last row, 0 without any. */
extern int64 rg_audit_end(RgAuditBatch *batch);

/* A run of one row; its id. */
extern int64 rg_audit_event(const char *action, const char *resource_type,
							RgSlice resource_id, Jsonb *details,
							const char *source, const char *status);

#endif

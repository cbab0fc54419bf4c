/*
 * audit_partition.h
 *		The partition of the audit log that a time belongs to.
 */
#ifndef RG_AUDIT_PARTITION_H
#define RG_AUDIT_PARTITION_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

/*
 * Opens it for writing; the lock stays until the end of the transaction.
 * *sequence is that of the log's ids.  Error 55000 when there is no partition.
 */
extern Relation rg_audit_partition_open(TimestampTz at, Oid *sequence);

#endif

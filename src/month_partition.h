/*
 * month_partition.h
 *		The partition that a time belongs to, of a table with one for each month.
 */
#ifndef RG_MONTH_PARTITION_H
#define RG_MONTH_PARTITION_H

#include "datatype/timestamp.h"
#include "utils/relcache.h"

#include "audit_columns.h"

/* A table of relay_guard with partitions, and what is remembered of them. */
typedef struct RgMonths
{
	const char *table;			/* partitioned by a range of timestamptz */
	const char *sequence;		/* of its ids */
	const RgLogColumn *columns; /* that a partition must have */
	int			ncolumns;

	const char *what;			/* for errors */
	const char *hint;
	void		(*make) (void); /* makes those that are missing; or NULL */

	/* private to month_partition.c */
	struct RgMonths *next;
	bool		registered;
	Oid			table_oid;
	Oid			sequence_oid;
	Oid			partition;		/* InvalidOid: nothing is remembered */
	TimestampTz from;
	TimestampTz until;
	bool		fits;			/* it has been seen to have the columns */
} RgMonths;

/*
 * Opens it for writing; the lock stays until the end of the transaction.
 * *sequence is that of the table's ids.  Error 55000 when there is no partition and
 * none can be made, or when it has other columns.
 */
extern Relation rg_month_partition_open(RgMonths *months, TimestampTz at, Oid *sequence);

/*
 * The partitions, as a list of oids, that may hold rows from from on and before
 * until, in order of time: those too that are being detached.  They are locked
 * for reading, and so is the table.
 */
extern List *rg_month_partitions(RgMonths *months, TimestampTz from, TimestampTz until);

#endif

/*
 * failure_totals.h
 *		What failed in each database since the server started: values that did not
 *		open, webhooks whose signatures were not true.
 *
 * Exact, in shared memory, in a place for each database in which it happened.
 * Databases that find no place are not counted.
 */
#ifndef RG_FAILURE_TOTALS_H
#define RG_FAILURE_TOTALS_H

typedef enum RgFailure
{
	RG_FAILURE_DECRYPT,
	RG_FAILURE_WEBHOOK,
	RG_FAILURES
} RgFailure;

/* Parts of the shared memory hooks of counter.c. */
extern void rg_failure_totals_request_shmem(void);
extern void rg_failure_totals_startup_shmem(void);

/* Counts one more in this database; nothing without shared memory. */
extern void rg_failure_totals_add(RgFailure failure);

/* Those of this database; -1 without shared memory. */
extern int64 rg_failure_totals_read(RgFailure failure);

/* Frees the place of a database that is gone. */
extern void rg_failure_totals_purge(Oid database);

#endif

/*
 * decrypt_totals.h
 *		How many values of each database did not open since the server started.
 *
 * Exact, in shared memory, in a place for each database in which it happened.
 * Databases that find no place are not counted.
 */
#ifndef RG_DECRYPT_TOTALS_H
#define RG_DECRYPT_TOTALS_H

/* Parts of the shared memory hooks of counter.c. */
extern void rg_decrypt_totals_request_shmem(void);
extern void rg_decrypt_totals_startup_shmem(void);

/* Counts one more in this database; nothing without shared memory. */
extern void rg_decrypt_totals_add(void);

/* Those of this database; -1 without shared memory. */
extern int64 rg_decrypt_totals_read(void);

/* Frees the place of a database that is gone. */
extern void rg_decrypt_totals_purge(Oid database);

#endif

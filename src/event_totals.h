/*
 * event_totals.h
 *		How often something has happened in each database since the server
 *		started.
 *
 * Exact, in shared memory, in a place for each database in which anything
 * happened.  Databases that find no place are not counted.
 */
#ifndef RG_EVENT_TOTALS_H
#define RG_EVENT_TOTALS_H

typedef enum RgEvent
{
	RG_EVENT_NOT_OPENED,		/* an encrypted value did not open */
	RG_EVENT_CSRF_REFUSED,
	RG_EVENTS
} RgEvent;

/* Parts of the shared memory hooks of counter.c. */
extern void rg_event_totals_request_shmem(void);
extern void rg_event_totals_startup_shmem(void);

/* Counts one more in this database; nothing without shared memory. */
extern void rg_event_totals_add(RgEvent event);

/* Those of this database; -1 without shared memory. */
extern int64 rg_event_totals_read(RgEvent event);

/* Frees the place of a database that is gone. */
extern void rg_event_totals_purge(Oid database);

#endif

/*
 * denial_shared.h
 *		Refusals in shared memory, between whoever was refused and the worker
 *		that writes them into the audit log.
 *
 * Databases that the launcher looks after have a place here; in the first minute
 * after the server's start any may, since the launcher may not have looked yet.
 * Without a place nothing is noted.
 */
#ifndef RG_DENIAL_SHARED_H
#define RG_DENIAL_SHARED_H

#include "datatype/timestamp.h"

#include "denial_rate.h"

#define RG_DENIAL_RESOURCE_SIZE 320
#define RG_DENIAL_LABEL_SIZE 208
#define RG_DENIAL_REQUEST_ID_SIZE 132

/* A row to be written.  Strings end with a NUL and are empty where unknown. */
typedef struct RgDenialEvent
{
	RgDenialClass class;
	RgDenialWho who;			/* what the buckets go by; its address may be
								 * a network */
	uint64		sequence;		/* rises with every event */
	TimestampTz at;
	uint64		left_out;		/* refusals that this row stands for beside
								 * its own */
	bool		count_only;		/* it has none of its own */
	uint32		values;			/* that did not open */
	char		resource_type[NAMEDATALEN];
	char		request[RG_DENIAL_RESOURCE_SIZE];	/* method and path */
	char		label[RG_DENIAL_LABEL_SIZE];	/* of a value */
	char		subject[RG_DENIAL_USER_SIZE];	/* whom a refused credential
												 * names */
	char		via[16];
	char		workspace_id[RG_DENIAL_USER_SIZE];
	char		session_id[RG_DENIAL_USER_SIZE];
	char		request_id[RG_DENIAL_REQUEST_ID_SIZE];
	uint8		address[RG_DENIAL_ADDRESS_SIZE];	/* an inet without its
													 * header */
	uint8		address_len;
} RgDenialEvent;

/* Refusals of this database since its place was made. */
typedef struct RgDenialTotals
{
	uint64		noted[RG_DENIAL_CLASSES];
	uint64		left_out[RG_DENIAL_CLASSES];	/* of them, for want of a
												 * token */
	uint64		dropped;		/* that no row or count will tell of */
} RgDenialTotals;

/* Parts of the shared memory hooks of counter.c. */
extern void rg_denial_request_shmem(void);
extern void rg_denial_startup_shmem(void);

/* Frees the place of a database that is gone, or has lost the extension. */
extern void rg_denial_purge(Oid database);

/*
 * Stores a refusal; never an error.  When it becomes a row, fill completes the
 * event, whose class, who, sequence, at and left_out are set; a lock is held then,
 * so it must neither raise an error nor take long.
 */
extern void rg_denial_store(RgDenialClass class, const RgDenialWho *who,
							void (*fill) (RgDenialEvent *event, const void *arg),
							const void *arg);

/*
 * For the worker.  What refusals there are of this database: none, some of which
 * only a count is kept that is not due yet, or some to be written now.
 */
typedef enum RgDenialState
{
	RG_DENIAL_NOTHING,
	RG_DENIAL_COUNTED,
	RG_DENIAL_WAITING
} RgDenialState;

extern RgDenialState rg_denial_state(void);

/*
 * Copies the oldest events, counts that are due among them, or all counts; returns
 * how many.
 */
extern int	rg_denial_copy(RgDenialEvent *events, int max, bool all_counts);

/*
 * They could not be written: for a while, which grows with every failure, they are
 * not waiting.
 */
extern void rg_denial_failed(void);

/* Forgets those up to a sequence number; as dropped unless they were written. */
extern void rg_denial_done(uint64 sequence, bool written);

/* All zero where this database has no place; false without shared memory. */
extern bool rg_denial_totals(RgDenialTotals *totals);

#endif

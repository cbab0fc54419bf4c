/*
 * pg.h
 *		One connection to the database, in libpq's pipeline mode.
 *
 * Each job is one Execute and one Sync, which makes it a transaction of its
 * own: an error ends it and nothing else.  There is never a BEGIN, which would
 * outlive an error and meet the next client's request, and no cancel but where
 * there is one job at a time (lane.c): it would hit whatever is running by then.
 */
#ifndef RG_PG_H
#define RG_PG_H

#include <event2/event_struct.h>

#include "job.h"
#include "resolve.h"

struct RgLane;

typedef enum RgPgState
{
	RG_PG_DOWN,					/* to be tried again at retry_at */
	RG_PG_RESOLVING,			/* asks for the host's addresses */
	RG_PG_CONNECTING,
	RG_PG_PREPARING,			/* checks the role, prepares serve() */
	RG_PG_READY
} RgPgState;

typedef struct RgPg
{
	struct RgLane *lane;
	RgPgState	state;
	PGconn	   *conn;
	struct event event;
	RgJob	   *first;			/* in flight, in the order they were sent */
	RgJob	   *last;
	int			inflight;
	int			failures;		/* since it was last ready */
	bool		refused;		/* while preparing: something was not right */
	bool		refusal_logged; /* since it was last ready */
	bool		unflushed;
	bool		cancelling;		/* its backend has been told, or is being told */
	int64_t		retry_at;
	int64_t		give_up_at;		/* until it is ready */
	RgResolver	resolver;
} RgPg;

/* A connection that is down and will be tried at the next tick. */
extern void rg_pg_init(RgPg *pg, struct RgLane *lane);

/*
 * Sends a job, which is the connection's from then on until rg_lane_synced()
 * or rg_lane_lost() hand it back.  False when the connection broke; the job
 * stays the caller's, and the connection is to be dropped.
 */
extern bool rg_pg_send(RgPg *pg, RgJob *job)
			__attribute__((warn_unused_result));

/* Sends on what rg_pg_send() left in the buffer; once a turn of the loop. */
extern void rg_pg_flush(RgPg *pg);

/*
 * Gives the connection up: its jobs go to rg_lane_lost(), the next try comes
 * after a while that doubles with every failure.  The reason goes to the log.
 */
extern void rg_pg_drop(RgPg *pg, const char *reason);

/* Connects when it is time, gives up what takes too long. */
extern void rg_pg_tick(RgPg *pg, int64_t now);

/* Ends it for good. */
extern void rg_pg_close(RgPg *pg);

/*
 * Starts connecting as the gateway's settings say: PQconnectStartParams() with
 * application name, encoding, a statement_timeout slightly below timeout_us,
 * the session's further options, and the addresses that were found, unless
 * resolver is NULL.  NULL only out of memory.
 */
extern PGconn *rg_pg_connect_start(const char *conninfo, int64_t timeout_us, const char *options,
								   const RgResolver *resolver);

#endif

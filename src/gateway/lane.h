/*
 * lane.h
 *		A few connections and the queue in front of them.
 *
 * Reads and writes have a fast lane each: a write in a pipeline waits until its
 * WAL is flushed, and reads behind it would wait along.  What may take long, or
 * waits for a lock, goes on to the slow lane, where a connection has one job at
 * a time, which is cancelled when nobody waits for it any more.
 */
#ifndef RG_LANE_H
#define RG_LANE_H

#include "pg.h"

#define RG_LANE_MAX 16

struct RgWorker;

typedef struct RgLane
{
	struct RgWorker *worker;
	const char *name;			/* for the log */
	bool		slow;
	int			depth;			/* jobs in flight on a connection */
	int64_t		timeout;		/* of a statement */
	const char *options;		/* of the sessions */
	int			count;
	RgPg		pgs[RG_LANE_MAX];
	RgJob	   *first;			/* waiting, the earliest deadline first */
	RgJob	   *last;
	int			queued;
} RgLane;

extern void rg_lane_init(RgLane *lane, struct RgWorker *worker, const char *name, int count);
extern void rg_lane_init_slow(RgLane *lane, struct RgWorker *worker);

/*
 * Takes a job over and sends it to the connection with the fewest, or lets it
 * wait.  rg_request_done() will be called once, perhaps at once; the lane frees
 * the job.
 */
extern void rg_lane_submit(RgLane *lane, RgJob *job);

/* Deadlines, reconnects; some twenty times a second. */
extern void rg_lane_tick(RgLane *lane, int64_t now);

/* Sends on what the last turn of the loop has put into buffers. */
extern void rg_lane_flush(RgLane *lane);

extern void rg_lane_close(RgLane *lane);

/*
 * Called by pg.c: the job's Sync has come; its connection was lost (the job may
 * be sent again); the connection is ready; it failed or was dropped.
 */
extern void rg_lane_synced(RgLane *lane, RgJob *job);
extern void rg_lane_lost(RgLane *lane, RgJob *job);
extern void rg_lane_ready(RgLane *lane);
extern void rg_lane_failed(RgLane *lane);

#endif

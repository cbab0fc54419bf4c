/*
 * lane.c
 *		Connections and their queue; lane.h has the contract.
 */
#include "lane.h"

#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "request.h"
#include "worker.h"

void
rg_lane_init(RgLane *lane, RgWorker *worker, const char *name, int count)
{
	memset(lane, 0, sizeof *lane);
	lane->worker = worker;
	lane->name = name;
	lane->count = count;
	for (int i = 0; i < count; i++)
		rg_pg_init(&lane->pgs[i], lane);
}

/*
 * Nothing works, and every connection has been tried in vain since it last
 * did: then nobody is made to wait.  Until then there is hope.
 */
static bool
is_down(const RgLane *lane)
{
	for (int i = 0; i < lane->count; i++)
		if (lane->pgs[i].state == RG_PG_READY || lane->pgs[i].failures == 0)
			return false;
	return true;
}

static void
tell(RgJob *job, RgOutcome outcome)
{
	if (job->done)
		return;
	job->done = true;
	rg_request_done(job, outcome);
}

static void
finish(RgJob *job, RgOutcome outcome)
{
	tell(job, outcome);
	rg_job_free(job);
}

/*
 * The connection with the fewest in flight that has room for one more, or
 * NULL.
 */
static RgPg *
choose(RgLane *lane)
{
	RgPg	   *best = NULL;

	for (int i = 0; i < lane->count; i++)
	{
		RgPg	   *pg = &lane->pgs[i];

		if (pg->state == RG_PG_READY &&
			pg->inflight < lane->worker->config->pipeline_depth &&
			(best == NULL || pg->inflight < best->inflight))
			best = pg;
	}
	return best;
}

/* Nearly always the new one's deadline is the last. */
static void
enqueue(RgLane *lane, RgJob *job)
{
	RgJob	  **place = &lane->first;

	if (lane->last != NULL && lane->last->deadline <= job->deadline)
		place = &lane->last->next;
	while (*place != NULL && (*place)->deadline <= job->deadline)
		place = &(*place)->next;
	job->next = *place;
	*place = job;
	if (job->next == NULL)
		lane->last = job;
	lane->queued++;
}

static RgJob *
dequeue(RgLane *lane)
{
	RgJob	   *job = lane->first;

	lane->first = job->next;
	if (lane->first == NULL)
		lane->last = NULL;
	lane->queued--;
	job->next = NULL;
	return job;
}

/* Did its client leave, so that it need not be sent any more? */
static bool
has_left(const RgJob *job)
{
	return job->conn == NULL && !job->own;
}

static void
send_job(RgLane *lane, RgPg *pg, RgJob *job)
{
	int64_t		now = rg_now();

	if (has_left(job))
	{
		finish(job, RG_QUEUE_EXPIRED);
		return;
	}
	job->sent = now;
	job->exchange.queued_us += now - job->submitted;
	rg_metrics_queue_wait(now - job->submitted);
	if (rg_pg_send(pg, job))
		return;
	job->submitted = now;
	enqueue(lane, job);
	rg_pg_drop(pg, PQerrorMessage(pg->conn));
}

static void
dispatch(RgLane *lane)
{
	RgPg	   *pg;

	while (lane->first != NULL && (pg = choose(lane)) != NULL)
		send_job(lane, pg, dequeue(lane));
}

/* Makes room in the queue: nobody waits for these any more. */
static void
drop_left(RgLane *lane)
{
	RgJob	   *waiting = lane->first;

	lane->first = lane->last = NULL;
	lane->queued = 0;
	while (waiting != NULL)
	{
		RgJob	   *job = waiting;

		waiting = job->next;
		job->next = NULL;
		if (has_left(job))
			finish(job, RG_QUEUE_EXPIRED);
		else
			enqueue(lane, job);
	}
}

void
rg_lane_submit(RgLane *lane, RgJob *job)
{
	RgPg	   *pg = lane->first == NULL ? choose(lane) : NULL;

	job->submitted = rg_now();
	if (lane->queued >= lane->worker->config->queue_limit)
		drop_left(lane);
	if (pg != NULL)
		send_job(lane, pg, job);
	else if (is_down(lane))
		finish(job, RG_DATABASE_DOWN);
	else if (lane->queued >= lane->worker->config->queue_limit)
		finish(job, RG_QUEUE_FULL);
	else
		enqueue(lane, job);
}

void
rg_lane_synced(RgLane *lane, RgJob *job)
{
	job->exchange.database_us += rg_now() - job->sent;
	finish(job, RG_FINISHED);
	dispatch(lane);
}

/*
 * Whether a lost request was carried out nobody can tell: the connection may
 * have gone before or after its commit.  Only what is safe is sent again.
 */
void
rg_lane_lost(RgLane *lane, RgJob *job)
{
	int64_t		now = rg_now();

	job->exchange.database_us += now - job->sent;
	PQclear(job->result);
	job->result = NULL;
	if (job->done || job->conn == NULL || !job->safe || job->retried)
	{
		finish(job, RG_DATABASE_LOST);
		return;
	}
	job->retried = true;
	job->submitted = now;
	enqueue(lane, job);
}

void
rg_lane_ready(RgLane *lane)
{
	dispatch(lane);
}

void
rg_lane_failed(RgLane *lane)
{
	if (!is_down(lane))
		return;
	while (lane->first != NULL)
		finish(dequeue(lane), RG_DATABASE_DOWN);
}

static void
expire_queued(RgLane *lane, int64_t now)
{
	while (lane->first != NULL && lane->first->deadline <= now)
		finish(dequeue(lane), RG_QUEUE_EXPIRED);
}

/* The jobs stay where they are: their results are dropped at their Sync. */
static void
expire_sent(RgPg *pg, int64_t now)
{
	for (RgJob *job = pg->first; job != NULL; job = job->next)
	{
		if (job->deadline > now || job->done)
			continue;
		job->exchange.database_us = now - job->sent;
		tell(job, RG_DATABASE_EXPIRED);
		if (pg->state != RG_PG_READY)	/* dropped meanwhile, jobs and all */
			return;
	}
}

void
rg_lane_tick(RgLane *lane, int64_t now)
{
	expire_queued(lane, now);
	for (int i = 0; i < lane->count; i++)
	{
		expire_sent(&lane->pgs[i], now);
		rg_pg_tick(&lane->pgs[i], now);
	}
	dispatch(lane);
}

void
rg_lane_flush(RgLane *lane)
{
	for (int i = 0; i < lane->count; i++)
		if (lane->pgs[i].unflushed)
			rg_pg_flush(&lane->pgs[i]);
}

void
rg_lane_close(RgLane *lane)
{
	for (int i = 0; i < lane->count; i++)
		rg_pg_close(&lane->pgs[i]);
	while (lane->first != NULL)
		rg_job_free(dequeue(lane));
}

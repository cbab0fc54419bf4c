/*
 * lane.c
 *		Connections and their queue; lane.h has the contract.
 */
#include "lane.h"

#include <stdio.h>

#include "ask.h"
#include "clock.h"
#include "log.h"
#include "metrics.h"
#include "request.h"
#include "worker.h"

#define SAME_OUTAGE INT64_C(1000000)
#define CANCEL_TIMEOUT INT64_C(5000000)
#define LOCK_NOT_AVAILABLE "55P03"

void
rg_lane_init(RgLane *lane, RgWorker *worker, const char *name, int count)
{
	memset(lane, 0, sizeof *lane);
	lane->worker = worker;
	lane->name = name;
	lane->count = count;
	lane->depth = worker->config->pipeline_depth;
	lane->timeout = worker->config->request_timeout;
	lane->options = "-c relay_guard.fast_lane=on -c lock_timeout=200ms";
	for (int i = 0; i < count; i++)
		rg_pg_init(&lane->pgs[i], lane);
}

void
rg_lane_init_slow(RgLane *lane, RgWorker *worker)
{
	rg_lane_init(lane, worker, "slow", worker->config->slow_connections);
	lane->slow = true;
	lane->depth = 1;
	lane->timeout = worker->config->slow_timeout;
	lane->options = "";
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
	job->done = true;
	rg_request_done(job, outcome);
}

static void
finish(RgJob *job, RgOutcome outcome)
{
	if (job->done)
		rg_request_late(job);
	else
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

		if (pg->state == RG_PG_READY && pg->inflight < lane->depth && !pg->cancelling &&
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

/* What serve() left alone because it may be slow has all the time of slow ones. */
static bool
is_for_slow_lane(RgJob *job)
{
	const char *sqlstate = PQresultErrorField(job->result, PG_DIAG_SQLSTATE);

	if (job->kind != RG_JOB_SERVE || job->done || has_left(job))
		return false;
	if (rg_reply_signals(rg_job_value(job)) & RG_SIGNAL_SLOW)
		job->deadline = rg_now() + job->conn->worker->config->slow_timeout;
	else if (sqlstate == NULL || strcmp(sqlstate, LOCK_NOT_AVAILABLE) != 0)
		return false;
	return true;
}

/* Nothing has happened yet, so even a write may be sent again. */
static void
change_lane(RgLane *slow, RgJob *job)
{
	PQclear(job->result);
	job->result = NULL;
	rg_lane_submit(slow, job);
}

void
rg_lane_synced(RgLane *lane, RgJob *job)
{
	job->exchange.database_us += rg_now() - job->sent;
	if (!lane->slow && is_for_slow_lane(job))
		change_lane(&lane->worker->slow, job);
	else
		finish(job, RG_FINISHED);
	dispatch(lane);
}

/*
 * The connections of a server that stops are lost one after the other: whoever
 * went from one to the next meanwhile has been sent in vain.  Later it would be
 * a second try, and a statement that ends backends gets no third.
 */
static bool
may_be_sent_again(const RgJob *job, int64_t now)
{
	return !job->done && job->conn != NULL && job->safe &&
		(job->lost == 0 || now - job->lost < SAME_OUTAGE);
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
	if (!may_be_sent_again(job, now))
	{
		finish(job, RG_DATABASE_LOST);
		return;
	}
	if (job->lost == 0)
		job->lost = now;
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

/* rg_ask() is on the stack: who is answered now has told the database nothing. */
static bool telling = false;

/*
 * From now on it may have another job; but a cancel without an answer may still come, and
 * hit that: then its backend is left alone.
 */
static void
note_cancelled(void *arg, const PGresult *result)
{
	RgPg	   *pg = arg;

	pg->cancelling = false;
	if (result == NULL && !telling && pg->state == RG_PG_READY)
		rg_pg_drop(pg, "whether its statement was cancelled is not known");
	else
		rg_lane_ready(pg->lane);
}

/*
 * By another connection, and without blocking, as PQcancel() would.  Until the
 * answer is there, which may be at once, this one has no other job that could be
 * hit instead.
 */
static void
cancel(RgPg *pg)
{
	char		pid[16];
	const char *params[] = {pid};

	snprintf(pid, sizeof pid, "%d", PQbackendPID(pg->conn));
	pg->cancelling = telling = true;
	if (!rg_ask(&pg->lane->worker->reads, CANCEL_TIMEOUT,
				"SELECT pg_catalog.pg_cancel_backend($1::int)", 1, params, note_cancelled, pg))
		pg->cancelling = false;
	telling = false;
}

/* A client that has ended its side has left: who asks for long waits for it. */
static bool
is_abandoned(RgJob *job)
{
	if (job->conn != NULL && job->conn->ended)
		rg_conn_close(job->conn);
	return job->done || has_left(job);
}

static void
cancel_abandoned(RgLane *lane)
{
	for (int i = 0; i < lane->count; i++)
	{
		RgPg	   *pg = &lane->pgs[i];

		if (pg->state == RG_PG_READY && pg->first != NULL && !pg->cancelling &&
			is_abandoned(pg->first))
			cancel(pg);
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
	if (lane->slow)
		cancel_abandoned(lane);
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

/*
 * pg.c
 *		A pipelined connection to the database; pg.h has the contract.
 */
#include "pg.h"

#include <event2/event.h>
#include <stdio.h>
#include <stdlib.h>

#include "clock.h"
#include "lane.h"
#include "log.h"
#include "metrics.h"
#include "random.h"
#include "role_check.h"
#include "worker.h"

#define BYTEA 17				/* pg_type.oid */
#define BINARY 1
#define FIRST_DELAY INT64_C(50000)
#define LAST_DELAY	INT64_C(2000000)
#define CONNECT_TIMEOUT INT64_C(5000000)

/* Beyond its deadline, that the oldest job may keep its connection busy. */
#define STUCK_AFTER INT64_C(10000000)

static const char serve_query[] = "SELECT relay_guard.serve($1)";
static const char ready_query[] = "SELECT relay_guard.ready()::text";

static void on_event(evutil_socket_t fd, short what, void *arg);

/*
 * The session's own options, behind those that the connection string gives.  An
 * error's context must not hold its parameters: they are whole requests, and
 * the gateway logs the context.
 */
static char *
make_options(const char *conninfo, int64_t timeout_us, const char *further)
{
	PQconninfoOption *given = PQconninfoParse(conninfo, NULL);
	const char *theirs = getenv("PGOPTIONS");
	char	   *options = NULL;

	for (PQconninfoOption *option = given; option && option->keyword; option++)
		if (strcmp(option->keyword, "options") == 0 && option->val != NULL)
			theirs = option->val;
	/* slightly below the gateway's, so that the backend is freed in time */
	if (asprintf(&options, "-c statement_timeout=%lldms -c log_parameter_max_length_on_error=0 %s %s",
				 (long long) (timeout_us - timeout_us / 20) / 1000,
				 further, theirs ? theirs : "") < 0)
		options = NULL;
	PQconninfoFree(given);
	return options;
}

PGconn *
rg_pg_connect_start(const char *conninfo, int64_t timeout_us, const char *further,
					const RgResolver *resolver)
{
	char	   *options = make_options(conninfo, timeout_us, further);
	const char *const names[] = {"dbname", "application_name", "client_encoding",
	"options", "tcp_user_timeout", "host", "hostaddr", NULL};
	const char *const values[] = {*conninfo ? conninfo : NULL, "relay_gateway", "UTF8",
		options, "10000", resolver ? resolver->hosts : NULL,
	resolver ? resolver->addresses : NULL, NULL};
	PGconn	   *conn = options ? PQconnectStartParams(names, values, 1) : NULL;

	free(options);
	return conn;
}

void
rg_pg_init(RgPg *pg, RgLane *lane)
{
	memset(pg, 0, sizeof *pg);
	pg->lane = lane;
	pg->state = RG_PG_DOWN;
	rg_resolver_init(&pg->resolver, lane->worker->config->database_url);
}

static void
ignore_notice(void *arg, const PGresult *notice)
{
	(void) arg;
	rg_log(RG_LOG_DEBUG, "notice of the database", "text",
		   PQresultErrorMessage(notice), NULL);
}

static void
watch(RgPg *pg, short what)
{
	struct event_base *base = pg->lane->worker->base;

	if (event_initialized(&pg->event))
		event_del(&pg->event);
	event_assign(&pg->event, base, PQsocket(pg->conn), what | EV_PERSIST, on_event, pg);
	event_add(&pg->event, NULL);
}

/* 50 ms, 100 ms … 2 s, of which a random half: not all gateways at once. */
static int64_t
next_delay(int failures)
{
	int64_t		delay = failures < 6 ? FIRST_DELAY << failures : LAST_DELAY;
	uint16_t	jitter;

	rg_random(&jitter, sizeof jitter);
	if (delay > LAST_DELAY)
		delay = LAST_DELAY;
	return delay / 2 + delay / 2 * jitter / UINT16_MAX;
}

/* Says it once an outage; the tries that follow are of no interest. */
static void
log_failure(const RgPg *pg, const char *reason)
{
	rg_log(pg->failures == 0 ? RG_LOG_WARNING : RG_LOG_DEBUG,
		   pg->state == RG_PG_READY ? "a connection to the database is lost"
		   : "the database cannot be used", "lane", pg->lane->name,
		   "reason", reason, NULL);
}

static void
disconnect(RgPg *pg)
{
	if (event_initialized(&pg->event))
		event_del(&pg->event);
	memset(&pg->event, 0, sizeof pg->event);
	PQfinish(pg->conn);
	pg->conn = NULL;
	pg->state = RG_PG_DOWN;
}

/* Hands back what was in flight. */
static void
lose_jobs(RgPg *pg)
{
	RgJob	   *job = pg->first;

	pg->first = pg->last = NULL;
	pg->inflight = 0;
	while (job != NULL)
	{
		RgJob	   *next = job->next;

		rg_lane_lost(pg->lane, job);
		job = next;
	}
}

void
rg_pg_drop(RgPg *pg, const char *reason)
{
	bool		was_ready = pg->state == RG_PG_READY;

	log_failure(pg, reason);
	rg_metrics_count(RG_COUNT_DATABASE_LOSSES, was_ready);
	pg->retry_at = rg_now() + next_delay(pg->failures);
	if (!was_ready)
		pg->failures++;
	disconnect(pg);
	lose_jobs(pg);
	rg_lane_failed(pg->lane);
}

void
rg_pg_close(RgPg *pg)
{
	disconnect(pg);
	for (RgJob *job = pg->first, *next; job != NULL; job = next)
	{
		next = job->next;
		rg_job_free(job);
	}
	pg->first = pg->last = NULL;
}

static void
start_connecting(RgPg *pg)
{
	const RgConfig *config = pg->lane->worker->config;

	pg->conn = rg_pg_connect_start(config->database_url, pg->lane->timeout, pg->lane->options,
								   &pg->resolver);
	pg->state = RG_PG_CONNECTING;
	pg->refused = false;
	if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD)
	{
		rg_pg_drop(pg, pg->conn ? PQerrorMessage(pg->conn) : "out of memory");
		return;
	}
	PQsetNoticeReceiver(pg->conn, ignore_notice, NULL);
	watch(pg, EV_WRITE);
}

static void
continue_resolving(RgPg *pg)
{
	RgResolution resolution = rg_resolver_poll(&pg->resolver);

	pg->state = RG_PG_RESOLVING;
	if (resolution == RG_RESOLVED)
		start_connecting(pg);
	else if (resolution == RG_UNRESOLVED)
		rg_pg_drop(pg, pg->resolver.error);
}

/* The role's check and the statement go in one flight. */
static void
start_preparing(RgPg *pg)
{
	const Oid	types[] = {BYTEA};

	pg->state = RG_PG_PREPARING;
	if (PQsetnonblocking(pg->conn, 1) != 0 || !PQenterPipelineMode(pg->conn) ||
		!PQsendQueryParams(pg->conn, rg_role_check_query, 0, NULL, NULL, NULL, NULL, 0) ||
		!PQsendPrepare(pg->conn, "serve", serve_query, 1, types) ||
		!PQpipelineSync(pg->conn))
	{
		rg_pg_drop(pg, PQerrorMessage(pg->conn));
		return;
	}
	watch(pg, EV_READ);
	rg_pg_flush(pg);
}

static void
continue_connecting(RgPg *pg)
{
	switch (PQconnectPoll(pg->conn))
	{
		case PGRES_POLLING_READING:
			watch(pg, EV_READ);
			break;
		case PGRES_POLLING_WRITING:
			watch(pg, EV_WRITE);
			break;
		case PGRES_POLLING_OK:
			start_preparing(pg);
			break;
		default:
			rg_pg_drop(pg, PQerrorMessage(pg->conn));
	}
}

static void
refuse(RgPg *pg, const char *message, const char *reason)
{
	if (!pg->refusal_logged)
		rg_log(RG_LOG_ERROR, message, "reason", reason, NULL);
	pg->refused = pg->refusal_logged = true;
}

static void
become_ready(RgPg *pg)
{
	if (pg->failures > 0)
		rg_log(RG_LOG_INFO, "the database is back", "lane", pg->lane->name, NULL);
	pg->state = RG_PG_READY;
	pg->failures = 0;
	pg->refusal_logged = false;
	rg_lane_ready(pg->lane);
}

/* Takes a result of start_preparing(); false when the connection is gone. */
static bool
take_preparing(RgPg *pg, PGresult *result)
{
	ExecStatusType status = PQresultStatus(result);

	if (status == PGRES_TUPLES_OK && rg_role_check_reason(result) != NULL)
		refuse(pg, "the gateway does not work with this database role",
			   rg_role_check_reason(result));
	else if (status == PGRES_FATAL_ERROR)
		refuse(pg, "the database is not ready for the gateway",
			   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY));
	PQclear(result);
	if (status != PGRES_PIPELINE_SYNC)
		return true;
	if (pg->refused)
		rg_pg_drop(pg, "refused");
	else
		become_ready(pg);
	return pg->state == RG_PG_READY;
}

/* A later error takes the place of rows: the commit may be what failed. */
static void
keep_result(RgJob *job, PGresult *result)
{
	if (job->result != NULL && PQresultStatus(job->result) == PGRES_FATAL_ERROR)
	{
		PQclear(result);
		return;
	}
	PQclear(job->result);
	job->result = result;
}

static RgJob *
take_first(RgPg *pg)
{
	RgJob	   *job = pg->first;

	pg->first = job->next;
	if (pg->first == NULL)
		pg->last = NULL;
	pg->inflight--;
	return job;
}

/*
 * A transaction left open would swallow the requests that follow.  While more
 * of them are in flight libpq only says "active", and the question is answered
 * at the last Sync.
 */
static bool
transaction_is_open(const RgPg *pg)
{
	PGTransactionStatusType status = PQtransactionStatus(pg->conn);

	return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

/*
 * Only here may a job be answered: libpq hands over the rows first, and then
 * the error, when the commit fails.
 */
static bool
take_result(RgPg *pg, PGresult *result)
{
	if (PQresultStatus(result) != PGRES_PIPELINE_SYNC)
	{
		keep_result(pg->first, result);
		return true;
	}
	PQclear(result);
	if (transaction_is_open(pg))
	{
		rg_pg_drop(pg, "a transaction was left open");
		return false;
	}
	rg_lane_synced(pg->lane, take_first(pg));
	return pg->state == RG_PG_READY;	/* sending the next may fail */
}

static bool
expects_result(const RgPg *pg)
{
	return pg->first != NULL || pg->state == RG_PG_PREPARING;
}

/* False when the connection is gone. */
static bool
take_results(RgPg *pg)
{
	int			ends = 0;		/* NULLs in a row: one between two commands */

	while (expects_result(pg) && ends < 2 && !PQisBusy(pg->conn))
	{
		PGresult   *result = PQgetResult(pg->conn);

		ends = result ? 0 : ends + 1;
		if (result == NULL)
			continue;
		if (!(pg->state == RG_PG_PREPARING ? take_preparing(pg, result)
			  : take_result(pg, result)))
			return false;
	}
	return true;
}

static void
read_results(RgPg *pg)
{
	bool		alive = PQconsumeInput(pg->conn);

	if (!take_results(pg))
		return;
	if (!alive || PQstatus(pg->conn) == CONNECTION_BAD)
		rg_pg_drop(pg, PQerrorMessage(pg->conn));
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	RgPg	   *pg = arg;

	(void) fd;
	if (pg->state == RG_PG_CONNECTING)
	{
		continue_connecting(pg);
		return;
	}
	if (what & EV_WRITE)
		rg_pg_flush(pg);
	if ((what & EV_READ) && pg->conn != NULL)
		read_results(pg);
}

void
rg_pg_flush(RgPg *pg)
{
	int			left;

	pg->unflushed = false;
	if (pg->conn == NULL)
		return;
	left = PQflush(pg->conn);
	if (left < 0)
		rg_pg_drop(pg, PQerrorMessage(pg->conn));
	else if ((left > 0) != ((event_get_events(&pg->event) & EV_WRITE) != 0))
		watch(pg, left > 0 ? EV_READ | EV_WRITE : EV_READ);
}

static bool
send_query(RgPg *pg, const RgJob *job)
{
	const char *values[] = {job->frame};
	const int	lengths[] = {(int) job->len};
	const int	formats[] = {BINARY};

	if (job->kind == RG_JOB_READY)
		return PQsendQueryParams(pg->conn, ready_query, 0, NULL, NULL, NULL, NULL, 0);
	if (job->kind == RG_JOB_ASK)
		return PQsendQueryParams(pg->conn, job->ask.sql, job->ask.nparams, NULL,
								 job->ask.params, NULL, NULL, 0);
	return PQsendQueryPrepared(pg->conn, "serve", 1, values, lengths, formats, BINARY);
}

/* libpq before 17 can only send a Sync with a system call of its own. */
static bool
send_sync(PGconn *conn)
{
#ifdef LIBPQ_HAS_SEND_PIPELINE_SYNC
	return PQsendPipelineSync(conn);
#else
	return PQpipelineSync(conn);
#endif
}

bool
rg_pg_send(RgPg *pg, RgJob *job)
{
	if (!send_query(pg, job) || !send_sync(pg->conn))
		return false;
	job->next = NULL;
	if (pg->last != NULL)
		pg->last->next = job;
	else
		pg->first = job;
	pg->last = job;
	pg->inflight++;
	pg->unflushed = true;
	rg_worker_flush_soon(pg->lane->worker);
	return true;
}

static bool
is_becoming_ready(const RgPg *pg)
{
	return pg->state != RG_PG_DOWN && pg->state != RG_PG_READY;
}

void
rg_pg_tick(RgPg *pg, int64_t now)
{
	if (is_becoming_ready(pg) && now >= pg->give_up_at)
		rg_pg_drop(pg, "connecting took too long");
	else if (pg->state == RG_PG_RESOLVING)
		continue_resolving(pg);
	else if (pg->state == RG_PG_DOWN && now >= pg->retry_at)
	{
		pg->give_up_at = now + CONNECT_TIMEOUT;
		continue_resolving(pg);
	}
	else if (pg->first != NULL && now >= pg->first->deadline + STUCK_AFTER)
		rg_pg_drop(pg, "the database does not answer");
}

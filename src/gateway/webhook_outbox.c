/*
 * webhook_outbox.c
 *		The outbox's two questions; webhook_outbox.h has the contract.
 *
 * They have a connection of their own: a claim signs what it leases, and nobody's
 * request is to wait behind that.
 */
#include "webhook_outbox.h"

#include <stdio.h>
#include <string.h>

#include "ask.h"
#include "clock.h"
#include "log.h"
#include "worker.h"

#define TIMEOUT INT64_C(10000000)
#define RETRY_AFTER INT64_C(1000000)
#define LAST_DELAY INT64_C(30000000)

/* Columns of webhook_claim() */
enum
{
	Col_delivery, Col_attempt, Col_url, Col_headers, Col_body, Col_timeout_ms, Columns
};

static const char claim_query[] =
"SELECT delivery, attempt, url, pg_catalog.array_to_json(headers), body, timeout_ms"
" FROM relay_guard.webhook_claim($1::int, '2 minutes')";

static const char done_query[] =
"SELECT relay_guard.webhook_done($1::bigint, $2::int, NULLIF($3, '')::int, NULLIF($4, ''), $5::int)";

static void
connect_lane(RgWebhookOutbox *outbox)
{
	if (outbox->connected)
		return;
	outbox->connected = true;
	rg_lane_init(&outbox->lane, outbox->worker, "webhooks", 1);
	outbox->lane.options = "";
	outbox->lane.timeout = TIMEOUT;
}

static bool
has_rows(const PGresult *result, int columns)
{
	return result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && PQnfields(result) == columns;
}

static const char *
error_of(const PGresult *result)
{
	return result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
}

/*
 * Asking
 */

/* A standby, or a role without the right, fills its log with refusals otherwise. */
static void
note_failure(RgWebhookOutbox *outbox, const PGresult *result)
{
	if (outbox->delay == 0)
		rg_log(RG_LOG_WARNING, "the database gives no webhooks to be sent",
			   "error", error_of(result), NULL);
	if (result == NULL || outbox->delay == 0)
		outbox->delay = RETRY_AFTER;
	else if (outbox->delay < LAST_DELAY)
		outbox->delay *= 2;
	outbox->retry_at = rg_now() + outbox->delay;
}

static void
note_answer(RgWebhookOutbox *outbox)
{
	if (outbox->delay > 0)
		rg_log(RG_LOG_WARNING, "webhooks are sent again", NULL);
	outbox->delay = 0;
}

static void
begin_row(const PGresult *result, int row, int64_t lease_end)
{
	const RgWebhookOrder order = {
		.delivery = PQgetvalue(result, row, Col_delivery),
		.attempt = PQgetvalue(result, row, Col_attempt),
		.url = PQgetvalue(result, row, Col_url),
		.headers = PQgetvalue(result, row, Col_headers),
		.body = PQgetvalue(result, row, Col_body),
		.timeout_ms = PQgetvalue(result, row, Col_timeout_ms),
	};

	rg_webhook_begin(&order, lease_end);
}

/* As many as were asked for: there may be more. */
static void
on_claimed(void *arg, const PGresult *result)
{
	RgWebhookOutbox *outbox = arg;
	bool		answered = has_rows(result, Columns);

	outbox->asking = false;
	if (answered)
		note_answer(outbox);
	else
		note_failure(outbox, result);
	outbox->wanted |= answered && PQntuples(result) >= outbox->asked_for;
	for (int row = 0; answered && row < PQntuples(result); row++)
		begin_row(result, row, outbox->asked_at + RG_WEBHOOK_LEASE);
	rg_webhook_answered();
}

void
rg_webhook_ask(RgWebhookOutbox *outbox, int most)
{
	char		count[12];
	const char *params[] = {count};

	snprintf(count, sizeof count, "%d", most);
	connect_lane(outbox);
	outbox->wanted = false;
	outbox->asking = true;
	outbox->asked_for = most;
	outbox->asked_at = rg_now();
	if (rg_ask(&outbox->lane, TIMEOUT, claim_query, 1, params, on_claimed, outbox))
		return;
	outbox->asking = false;
	note_failure(outbox, NULL);
}

/*
 * Reporting
 */

static void
log_failure(const RgWebhookAttempt *attempt, const char *outcome)
{
	if (attempt->result != RG_WEBHOOK_DELIVERED)
		rg_log(RG_LOG_WARNING, "a webhook was not delivered", "delivery", attempt->delivery,
			   "attempt", attempt->attempt, "reason", attempt->reason, "outcome", outcome, NULL);
}

/* Said once; how it ends is said as well. */
static void
put_off(RgWebhookAttempt *attempt, const PGresult *result)
{
	if (!attempt->put_off)
		rg_log(RG_LOG_INFO, "the database cannot be told yet what came of a webhook",
			   "delivery", attempt->delivery, "error", error_of(result), NULL);
	attempt->put_off = true;
	attempt->report_at = rg_now() + RETRY_AFTER;
}

/* Has it taken note? */
static bool
is_taken(const PGresult *result)
{
	return has_rows(result, 1) && PQntuples(result) == 1 && strcmp(PQgetvalue(result, 0, 0), "busy") != 0;
}

static void
on_reported(void *arg, const PGresult *result)
{
	RgWebhookAttempt *attempt = arg;

	attempt->reporting = false;
	if (!is_taken(result))
	{
		put_off(attempt, result);
		return;
	}
	log_failure(attempt, PQgetvalue(result, 0, 0));
	rg_webhook_reported(attempt);
}

/* The lease is over, so it may be somebody else's by now. */
static void
give_up(RgWebhookAttempt *attempt)
{
	rg_log(RG_LOG_WARNING, "the database was not told what came of a webhook, and has it sent again",
		   "delivery", attempt->delivery, "attempt", attempt->attempt, NULL);
	log_failure(attempt, NULL);
	rg_webhook_reported(attempt);
}

void
rg_webhook_report(RgWebhookOutbox *outbox, RgWebhookAttempt *attempt)
{
	char		status[12] = "";
	char		retry_after[12];
	const char *params[] = {attempt->delivery, attempt->attempt, status, attempt->reason, retry_after};

	if (rg_now() >= attempt->lease_end)
	{
		give_up(attempt);
		return;
	}
	if (attempt->status != 0)
		snprintf(status, sizeof status, "%d", attempt->status);
	snprintf(retry_after, sizeof retry_after, "%d", attempt->retry_after);
	attempt->reporting = true;
	if (rg_ask(&outbox->lane, TIMEOUT, done_query, 5, params, on_reported, attempt))
		return;
	attempt->reporting = false;
	put_off(attempt, NULL);
}

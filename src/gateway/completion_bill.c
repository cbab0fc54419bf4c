/*
 * completion_bill.c
 *		What a completion is charged, and the lease of its reservation.
 *
 * A provider that was not asked, or has refused, is owed nothing.  One that was
 * asked may charge whatever becomes of its answer: what is not known is taken for as
 * much as it can be.  Otherwise whoever makes answers fail would have them for
 * nothing.
 */
#include "completion_call.h"

#include <stdio.h>

#include "ask.h"
#include "clock.h"
#include "completion_settle.h"
#include "worker.h"

#define EXTEND_TIMEOUT INT64_C(5000000)
#define SECOND INT64_C(1000000)
#define ANSWERS_AFTER (2 * SECOND)	/* what does not think has said something */
#define THINKS_PER_SECOND 100	/* tokens */

static int64_t
lesser(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/*
 * Models think unseen before they say anything, and only the usage tells how much.  Of
 * whoever leaves before it comes, or makes it fail, that is not to be had for nothing.
 */
static int64_t
thought(const RgCompletion *call)
{
	int64_t		spoke_at = call->spoke_at != 0 ? call->spoke_at : rg_now();
	int64_t		silent = spoke_at - call->asked_at - ANSWERS_AFTER;

	return silent > 0 ? silent * THINKS_PER_SECOND / SECOND : 0;
}

/* Of a stream what has come; of an answer that has not come as a whole, all of it. */
static int64_t
output_used(const RgCompletion *call)
{
	const RgProviderOrder *order = &call->order;

	int64_t		used = rg_completion_estimate(call->produced);

	if (!order->stream && !call->whole)
		return order->max_output_tokens;
	return lesser(used + (order->stream ? thought(call) : 0), order->max_output_tokens);
}

/* Some providers tell a usage before the end: what came behind it is estimated. */
RgCompletionUsage
rg_completion_used(const RgCompletion *call)
{
	RgCompletionUsage used = {
		.input = call->order.input_tokens,.output = output_used(call)
	};

	if (!call->usage.known)
		return used;
	used = call->usage;
	used.output += rg_completion_estimate(call->produced - call->counted);
	return used;
}

static bool
costs_nothing(const RgCompletion *call)
{
	return !call->asked || (call->headed && !rg_completion_accepted(call));
}

void
rg_completion_charge(RgCompletion *call)
{
	RgCompletionUsage used = rg_completion_used(call);
	RgSettlement settlement = {
		.release = costs_nothing(call),.input = used.input,.output = used.output,
		.until = call->lease_until
	};

	memcpy(settlement.reservation, call->order.reservation, sizeof settlement.reservation);
	rg_settle(&settlement);
	if (settlement.release)
		return;
	rg_metrics_count(RG_COUNT_TOKENS_INPUT, used.input);
	rg_metrics_count(RG_COUNT_TOKENS_OUTPUT, used.output);
}

/* Without an answer it is tried again while there is time. */
static void
take_extension(void *arg, const PGresult *result)
{
	RgCompletion *call = arg;
	int64_t		now = rg_now();
	bool		extended = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;

	call->extending = false;
	if (extended)
		call->lease_until = now + call->order.lease_ms * 1000;
	call->extend_at = now + (call->lease_until > now ? (call->lease_until - now) / 2 : 0);
	if (call->extend_at < now + SECOND && !extended)
		call->extend_at = now + SECOND;
}

/* An answer that takes long keeps its reservation, from half of the lease on. */
void
rg_completion_lease_tick(RgCompletion *call, int64_t now)
{
	char		ttl[48];
	const char *params[] = {call->order.reservation, ttl};

	if (call->ended || call->extending || now < call->extend_at)
		return;
	snprintf(ttl, sizeof ttl, "%lld milliseconds", (long long) call->order.lease_ms);
	call->extending = true;		/* the answer may be there at once */
	if (!rg_ask(&call->worker->writes, EXTEND_TIMEOUT,
				"SELECT relay_guard.completion_extend($1::uuid, $2::interval)", 2, params,
				take_extension, call))
		take_extension(call, NULL);
}

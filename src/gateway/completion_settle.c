/*
 * completion_settle.c
 *		Ends reservations; completion_settle.h has the contract.
 */
#include "completion_settle.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"
#include "clock.h"
#include "log.h"

#define MAX_PENDING 4096
#define TIMEOUT INT64_C(10000000)
#define FIRST_RETRY INT64_C(250000)
#define LAST_RETRY INT64_C(5000000)

typedef struct Pending
{
	struct Pending *next;
	RgSettlement settlement;
	bool		asking;
	bool		done;			/* freed at the next tick */
	bool		warned;
	int64_t		retry_at;
	int64_t		retry_after;
} Pending;

static RgLane *lane;
static Pending *list = NULL;
static int	count = 0;

static void
log_end(RgLogLevel level, const Pending *pending, const char *what, const char *error)
{
	rg_log(level, what, "reservation", pending->settlement.reservation, "error", error, NULL);
}

/* The next try comes later and later. */
static void
put_off(Pending *pending, const PGresult *result)
{
	const char *error = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;

	if (!pending->warned)
		log_end(RG_LOG_WARNING, pending, "a completion cannot be settled yet", error);
	pending->warned = true;
	pending->retry_at = rg_now() + pending->retry_after;
	pending->retry_after *= 2;
	if (pending->retry_after > LAST_RETRY)
		pending->retry_after = LAST_RETRY;
}

static void
take_answer(void *arg, const PGresult *result)
{
	Pending    *pending = arg;

	pending->asking = false;
	pending->done = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;
	if (!pending->done)
		put_off(pending, result);
}

static bool
ask_release(Pending *pending)
{
	const char *params[] = {pending->settlement.reservation};

	return rg_ask(lane, TIMEOUT, "SELECT relay_guard.completion_release($1::uuid)", 1, params,
				  take_answer, pending);
}

static bool
ask_settle(Pending *pending)
{
	char		input[24];
	char		output[24];
	const char *params[] = {pending->settlement.reservation, input, output};

	snprintf(input, sizeof input, "%lld", (long long) pending->settlement.input);
	snprintf(output, sizeof output, "%lld", (long long) pending->settlement.output);
	return rg_ask(lane, TIMEOUT, "SELECT relay_guard.completion_settle($1::uuid, $2::bigint, $3::bigint)",
				  3, params, take_answer, pending);
}

/* The answer may be there at once. */
static void
ask(Pending *pending)
{
	bool		asked;

	pending->asking = true;
	asked = pending->settlement.release ? ask_release(pending) : ask_settle(pending);
	if (asked)
		return;
	pending->asking = false;
	put_off(pending, NULL);
}

/* The database charges what was held when the lease is over. */
static void
give_up(const RgSettlement *settlement)
{
	Pending		given = {.settlement = *settlement};

	log_end(RG_LOG_ERROR, &given, "a completion is charged what was reserved: it was not settled in time",
			NULL);
}

void
rg_settle_init(RgLane *writes)
{
	lane = writes;
}

void
rg_settle(const RgSettlement *settlement)
{
	Pending    *pending = count < MAX_PENDING ? calloc(1, sizeof *pending) : NULL;

	if (pending == NULL)
	{
		give_up(settlement);
		return;
	}
	pending->settlement = *settlement;
	pending->retry_after = FIRST_RETRY;
	pending->next = list;
	list = pending;
	count++;
	ask(pending);
}

static void
look_at(Pending *pending, int64_t now)
{
	if (pending->done || pending->asking || now < pending->retry_at)
		return;
	if (now < pending->settlement.until)
	{
		ask(pending);
		return;
	}
	give_up(&pending->settlement);
	pending->done = true;
}

void
rg_settle_tick(int64_t now)
{
	Pending   **place = &list;

	for (Pending *pending = list; pending != NULL; pending = *place)
	{
		look_at(pending, now);
		if (!pending->done)
		{
			place = &pending->next;
			continue;
		}
		*place = pending->next;
		free(pending);
		count--;
	}
}

int
rg_settle_pending(void)
{
	return count;
}

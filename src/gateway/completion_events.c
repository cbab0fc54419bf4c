/*
 * completion_events.c
 *		The events of a completion; completion_events.h has the contract.
 */
#include "completion_events.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"
#include "clock.h"
#include "log.h"

#define TIMEOUT INT64_C(5000000)
#define INTERVAL INT64_C(50000)
#define RETRY_AFTER INT64_C(300000)
#define GIVE_UP_AFTER INT64_C(30000000)
#define MAX_WAITING (4u << 20)	/* bytes; the provider is not read long before */

void
rg_completion_events_init(RgCompletionEvents *events, const RgProviderOrder *order,
						  RgLane *lane, void (*on_kept) (void *arg, RgSlice text), void *arg)
{
	memset(events, 0, sizeof *events);
	events->order = order;
	events->lane = lane;
	events->last_id = events->next.last_id = -1;
	events->on_kept = on_kept;
	events->arg = arg;
}

static bool
put_element(RgGrowing *elements, RgSlice value)
{
	char		small[512];
	RgText		text = {small, sizeof small, 0};
	bool		put;

	rg_completion_put_element(&text, value);
	if (text.len > text.cap)
	{
		text.cap = text.len;
		text.data = malloc(text.cap);
		if (text.data == NULL)
			return false;
		text.len = 0;
		rg_completion_put_element(&text, value);
	}
	put = rg_growing_append(elements, elements->len > 0 ? RG_SLICE(",\"") : RG_SLICE("{\""), MAX_WAITING) &&
		rg_growing_append(elements, rg_slice(text.data, text.len), MAX_WAITING) &&
		rg_growing_append(elements, RG_SLICE("\""), MAX_WAITING);
	if (text.data != small)
		free(text.data);
	return put;
}

/* Data is JSON, and so has no line ends. */
static bool
put_text(RgGrowing *out, int64_t id, RgSlice name, RgSlice data)
{
	char		head[128];
	int			len = snprintf(head, sizeof head, "id: %lld\nevent: %.*s\ndata: ", (long long) id,
							   (int) name.len, name.data);

	return rg_growing_append(out, rg_slice(head, len), MAX_WAITING) &&
		rg_growing_append(out, data, MAX_WAITING) &&
		rg_growing_append(out, RG_SLICE("\n\n"), MAX_WAITING);
}

bool
rg_completion_events_add(RgCompletionEvents *events, RgSlice name, RgSlice data)
{
	RgEventBatch *batch = &events->next;

	events->failed |= !put_element(&batch->elements, name) ||
		!put_element(&batch->elements, data) ||
		!put_text(&batch->text, batch->last_id + 1, name, data);
	batch->last_id++;
	return !events->failed;
}

void
rg_completion_events_end(RgCompletionEvents *events)
{
	events->next.end = true;
	rg_completion_events_tick(events, rg_now());
}

static void
fail(RgCompletionEvents *events, const char *why)
{
	if (events->failed)
		return;
	rg_log(RG_LOG_ERROR, "the events of a completion cannot be kept",
		   "reservation", events->order->reservation, "error", why, NULL);
	events->failed = true;
	events->on_kept(events->arg, rg_slice(NULL, 0));
}

/* What is sent may bring about the next batch. */
static void
note_kept(RgCompletionEvents *events)
{
	RgGrowing	text = events->kept.text;
	RgGrowing	none = {NULL, 0, 0};

	events->failing_since = 0;
	events->last_id = events->kept.last_id;
	events->ended = events->kept.end;
	events->kept.elements.len = 0;
	events->kept.text = none;
	events->on_kept(events->arg, rg_growing_slice(&text));
	rg_growing_free(&text);
}

static void
put_off(RgCompletionEvents *events, const char *why)
{
	int64_t		now = rg_now();

	if (events->failing_since == 0)
		events->failing_since = now;
	if (now - events->failing_since > GIVE_UP_AFTER)
		fail(events, why);
}

static bool
is_answer(const PGresult *result)
{
	return result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1;
}

static const char *
error_of(const PGresult *result)
{
	return result != NULL ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
}

/* Whatever became of those that got no answer, they may be told again. */
static void
take_kept(void *arg, const PGresult *result)
{
	RgCompletionEvents *events = arg;

	events->asking = false;
	if (!is_answer(result))
		put_off(events, error_of(result));
	else if (strtoll(PQgetvalue(result, 0, 0), NULL, 10) == events->kept.last_id)
		note_kept(events);
	else
		fail(events, "somebody else has appended to their stream");
}

static bool
ask_keep(RgCompletionEvents *events)
{
	char		number[24];
	char		after[24];
	const char *params[] = {number, events->order->token, events->kept.elements.data,
	events->kept.end ? "t" : "f", after};

	snprintf(number, sizeof number, "%lld", (long long) events->order->events);
	snprintf(after, sizeof after, "%lld", (long long) events->last_id);
	return rg_ask(events->lane, TIMEOUT,
				  "SELECT relay_guard.completion_events($1::bigint, $2::uuid, $3::text[], $4::boolean, $5::bigint)",
				  5, params, take_kept, events);
}

/* The batch that is being made becomes the one that is kept; its literal is closed. */
static bool
turn_over(RgCompletionEvents *events)
{
	RgEventBatch batch = events->kept;

	if (!rg_growing_append(&events->next.elements, rg_slice("}", 2), MAX_WAITING + 2))
		return false;
	events->kept = events->next;
	events->next = batch;
	events->next.last_id = events->kept.last_id;
	return true;
}

static bool
is_due(const RgCompletionEvents *events, int64_t now)
{
	bool		again = events->kept.elements.len > 0;

	return !events->asking && !events->failed && !events->ended &&
		(again || events->next.elements.len > 0) &&
		now - events->asked_at >= (again ? RETRY_AFTER : INTERVAL);
}

void
rg_completion_events_tick(RgCompletionEvents *events, int64_t now)
{
	if (events->order == NULL || !is_due(events, now) ||
		(events->kept.elements.len == 0 && !turn_over(events)))
		return;
	events->asked_at = now;
	events->asking = true;		/* the answer may be there at once */
	if (ask_keep(events))
		return;
	events->asking = false;
	put_off(events, "memory is used up");
}

size_t
rg_completion_events_waiting(const RgCompletionEvents *events)
{
	return events->next.text.len + events->kept.text.len;
}

bool
rg_completion_events_done(const RgCompletionEvents *events)
{
	return !events->asking && (events->order == NULL || events->ended || events->failed);
}

void
rg_completion_events_free(RgCompletionEvents *events)
{
	rg_growing_free(&events->next.elements);
	rg_growing_free(&events->next.text);
	rg_growing_free(&events->kept.elements);
	rg_growing_free(&events->kept.text);
}

/*
 * event_order.c
 *		Routes of result stream; event_order.h has the contract.
 */
#include "postgres.h"

#include "access/skey.h"
#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/uuid.h"

#include "config_cache.h"
#include "event_order.h"
#include "event_row.h"

/* Columns of relay_guard.event_stream */
enum
{
	Anum_stream_number, Anum_stream_name, Anum_stream_token, Anum_stream_first_id,
	Anum_stream_last_id, Anum_stream_permanent, Anum_stream_ended_at,
	Natts_stream
};

/* Where a client wants to go on. */
typedef struct RgEventPlace
{
	Datum		values[Natts_stream];
	bool		nulls[Natts_stream];
	int64		after;
} RgEventPlace;

static RgConfigCache streams = {.table = "event_stream",.natts = Natts_stream};

void
rg_event_order_init(void)
{
	rg_config_register(&streams);
}

static void
answer_malformed_id(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 400,
		.code = RG_SLICE("invalid_last_event_id"),
		.detail = RG_SLICE("the header Last-Event-ID is not an id of this stream"),
	};

	rg_answer_problem(answer, request, &problem);
}

static void
answer_expired(const RgRequest *request, RgAnswer *answer)
{
	RgProblem	problem = {
		.status = 410,
		.code = RG_SLICE("events_expired"),
		.detail = RG_SLICE("events after that id are not kept any more"),
	};

	rg_answer_problem(answer, request, &problem);
}

static bool
find_stream(const char *name, RgEventPlace *place)
{
	ScanKeyData by_name;

	if (*name == '\0')
		return false;
	ScanKeyInit(&by_name, Anum_stream_name + 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(name));
	by_name.sk_collation = DEFAULT_COLLATION_OID;
	return rg_config_find(&streams, "event_stream_name", &by_name, 1, place->values, place->nulls);
}

/* False when the header is malformed. */
static bool
find_after(const RgRequest *request, const RgEventRow *row, RgEventPlace *place)
{
	RgSlice		seen = rg_request_header(request, "last-event-id");

	place->after = row->has_after ? row->after :
		DatumGetInt64(place->values[Anum_stream_first_id]) - 1;
	return seen.data == NULL || rg_event_id_parse(seen, &place->after);
}

/* An id of the future is one of another stream of that name. */
static bool
is_kept(const RgEventPlace *place)
{
	return place->after >= DatumGetInt64(place->values[Anum_stream_first_id]) - 1 &&
		place->after <= DatumGetInt64(place->values[Anum_stream_last_id]);
}

static bool
is_over(const RgEventPlace *place)
{
	return !place->nulls[Anum_stream_ended_at] &&
		place->after == DatumGetInt64(place->values[Anum_stream_last_id]);
}

static void
write_order(const RgEventPlace *place, RgAnswer *answer)
{
	char	   *token = DatumGetCString(DirectFunctionCall1(uuid_out, place->values[Anum_stream_token]));

	appendStringInfo(&answer->order,
					 "{\"kind\":\"stream\",\"number\":" INT64_FORMAT ",\"token\":\"%s\",\"after\":" INT64_FORMAT "}",
					 DatumGetInt64(place->values[Anum_stream_number]), token, place->after);
}

static void
answer_place(const RgRequest *request, const RgEventPlace *place, RgAnswer *answer)
{
	rg_answer_clear(answer);
	if (!is_kept(place))
		answer_expired(request, answer);
	else if (is_over(place))
		answer->status = 204;
	else
		write_order(place, answer);
}

void
rg_event_order(const RgRequest *request, RgAnswer *answer)
{
	RgEventRow	row;
	RgEventPlace place;

	if (!rg_event_row_parse(rg_answer_body(answer), &row))
		ereport(ERROR,
				errcode(ERRCODE_DATATYPE_MISMATCH),
				errmsg("the statement of %s %s does not return a stream", answer->route->method,
					   answer->route->path),
				errhint("Let it return the columns stream, of type text and at most %d bytes, and perhaps after, of type bigint.",
						RG_EVENT_STREAM_MAX));
	if (!find_stream(row.stream, &place))
		rg_answer_missing(answer, request);
	else if (!find_after(request, &row, &place))
		answer_malformed_id(request, answer);
	else
		answer_place(request, &place, answer);
}

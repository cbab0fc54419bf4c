/*
 * sse_read.c
 *		News of streams; sse_read.h has the contract.
 *
 * One call waits in the database, at most five seconds, for any stream to have
 * news.  Then what is new is read on the lane for reads, a few streams at a time.
 * After whatever went wrong everything is looked at: no news is lost, however the
 * connection or the server ended.
 */
#include "sse_read.h"

#include <stdio.h>
#include <stdlib.h>

#include "ask.h"
#include "clock.h"
#include "log.h"
#include "sse.h"
#include "worker.h"

#define WAIT_TIMEOUT INT64_C(15000000)
#define READ_TIMEOUT INT64_C(10000000)
#define RETRY_AFTER INT64_C(300000)
#define ROWS "16"				/* of one read */
#define MAX_READS 8				/* under way at a time */
#define EVENT_SIZE (8 * 65536)	/* every byte of the data may be a line's end */

/* Columns of event_read() */
enum
{
	Col_first_id, Col_last_id, Col_ended, Col_id, Col_event, Col_data
};

static struct
{
	RgWorker   *worker;
	RgLane		lane;			/* one connection, that waits */
	bool		waiting;
	bool		looking;		/* at everything */
	bool		all_due;
	int64_t		retry_at;		/* nothing is asked before */
	char		seen[24];		/* as event_wait() has it */
	int			reads;
	RgSseStream *first_due;
	RgSseStream **last_due;
}			news =

{
	.seen = "0",.last_due = &news.first_due
};

static void go_on(void);

static int64_t
number_at(const PGresult *result, int row, int column)
{
	return strtoll(PQgetvalue(result, row, column), NULL, 10);
}

static bool
is_true(const PGresult *result, int row, int column)
{
	return *PQgetvalue(result, row, column) == 't';
}

static bool
has_rows(const PGresult *result)
{
	return result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;
}

static void
put_off(const PGresult *result)
{
	if (result != NULL && PQresultStatus(result) == PGRES_FATAL_ERROR)
		rg_log(RG_LOG_WARNING, "streams of events cannot be read", "error",
			   PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY), NULL);
	news.retry_at = rg_now() + RETRY_AFTER;
}

/*
 * Reading a stream
 */

/* The event after which somebody needs the next ones; false when nobody does. */
static bool
find_after(const RgSseStream *stream, int64_t *after)
{
	bool		found = false;

	for (const RgSseClient *client = stream->clients; client != NULL; client = client->next)
	{
		if (client->stalled || (found && client->after >= *after))
			continue;
		*after = client->after;
		found = true;
	}
	return found;
}

/*
 * Nobody is sent an event while one before it is missing: it was deleted while
 * he was slow, and whoever asks anew is told so.
 */
static void
send_event(RgSseStream *stream, int64_t id, RgSlice text)
{
	for (RgSseClient *client = stream->clients, *next; client != NULL; client = next)
	{
		next = client->next;
		if (client->stalled || client->after >= id)
			continue;
		if (client->after + 1 != id)
		{
			rg_sse_end(client, false);
			continue;
		}
		client->after = id;
		if (rg_sse_send(client, text) && client->until <= rg_now())
			rg_sse_end(client, true);
	}
}

static void
send_row(RgSseStream *stream, const PGresult *result, int row)
{
	static char buffer[EVENT_SIZE];
	RgText		text = {buffer, sizeof buffer, 0};
	RgSlice		event = rg_slice(PQgetvalue(result, row, Col_event), PQgetlength(result, row, Col_event));
	RgSlice		data = rg_slice(PQgetvalue(result, row, Col_data), PQgetlength(result, row, Col_data));
	RgSlice		id = rg_slice(PQgetvalue(result, row, Col_id), PQgetlength(result, row, Col_id));

	rg_sse_event(&text, id, event, data);
	if (text.len <= text.cap)
		send_event(stream, number_at(result, row, Col_id), rg_slice(buffer, text.len));
}

/* Of a stream that has ended, or is there no more. */
static void
end_clients(RgSseStream *stream, int64_t last_id, bool whole)
{
	for (RgSseClient *client = stream->clients, *next; client != NULL; client = next)
	{
		next = client->next;
		if (!whole || (client->after >= last_id && !client->stalled))
			rg_sse_end(client, whole);
	}
}

/*
 * Nothing was found behind what was asked for, though there have been events: they
 * are not kept any more.  Who lacks them would be read for again and again.
 */
static void
end_overtaken(RgSseStream *stream)
{
	for (RgSseClient *client = stream->clients, *next; client != NULL; client = next)
	{
		next = client->next;
		if (client->after >= stream->asked_after && client->after < stream->last_id &&
			!client->stalled)
			rg_sse_end(client, false);
	}
}

static void
take_rows(RgSseStream *stream, const PGresult *result)
{
	int			rows = PQntuples(result);
	int64_t		after = 0;

	if (rows == 0)
	{
		end_clients(stream, 0, false);
		return;
	}
	stream->last_id = number_at(result, 0, Col_last_id);
	if (PQgetisnull(result, 0, Col_id))
		end_overtaken(stream);
	for (int row = 0; row < rows; row++)
		if (!PQgetisnull(result, row, Col_id))
			send_row(stream, result, row);
	if (is_true(result, 0, Col_ended))
		end_clients(stream, stream->last_id, true);
	if (find_after(stream, &after) && after < stream->last_id)
		rg_sse_read_soon(stream);
}

static void
on_read(void *arg, const PGresult *result)
{
	RgSseStream *stream = arg;

	news.reads--;
	if (has_rows(result))
		take_rows(stream, result);
	else
	{
		put_off(result);
		rg_sse_read_soon(stream);
	}
	stream->reading = false;
	rg_sse_stream_release(stream);
	go_on();
}

static void
read_stream(RgSseStream *stream)
{
	char		number[24];
	char		after[24];
	const char *params[] = {number, stream->token, after, ROWS};
	int64_t		seen = 0;

	if (!find_after(stream, &seen))
		return;
	snprintf(number, sizeof number, "%lld", (long long) stream->number);
	snprintf(after, sizeof after, "%lld", (long long) seen);
	stream->reading = true;
	stream->asked_after = seen;
	news.reads++;
	if (rg_ask(&news.worker->reads, READ_TIMEOUT,
			   "SELECT * FROM relay_guard.event_read($1::bigint, $2::uuid, $3::bigint, $4::int)",
			   4, params, on_read, stream))
		return;
	stream->reading = false;
	news.reads--;
	put_off(NULL);
	rg_sse_read_soon(stream);
}

void
rg_sse_read_soon(RgSseStream *stream)
{
	if (stream->due)
		return;
	stream->due = true;
	stream->next_due = NULL;
	*news.last_due = stream;
	news.last_due = &stream->next_due;
}

static RgSseStream *
take_due(void)
{
	RgSseStream *stream = news.first_due;

	news.first_due = stream->next_due;
	if (news.first_due == NULL)
		news.last_due = &news.first_due;
	stream->due = false;
	return stream;
}

/* After a failure, which may come at once, nothing is asked for a while. */
static bool
may_ask(void)
{
	return rg_now() >= news.retry_at;
}

/* A stream that is being read is put off: its rows may not have the news. */
static void
read_due(void)
{
	RgSseStream *stop = NULL;

	while (may_ask() && news.first_due != NULL && news.first_due != stop && news.reads < MAX_READS)
	{
		RgSseStream *stream = take_due();

		if (!stream->reading)
			read_stream(stream);
		else
		{
			rg_sse_read_soon(stream);
			stop = stop ? stop : stream;
		}
		rg_sse_stream_release(stream);
	}
}

/*
 * Looking at everything
 */

static void
on_state(void *arg, const PGresult *result)
{
	news.looking = false;
	if (!has_rows(result))
	{
		put_off(result);
		news.all_due = true;
		return;
	}
	for (int row = 0; row < PQntuples(result); row++)
	{
		RgSseStream *stream = rg_sse_stream_find(number_at(result, row, 0));

		if (stream != NULL && (number_at(result, row, 1) != stream->last_id || is_true(result, row, 2)))
			rg_sse_read_soon(stream);
	}
	go_on();
}

/* {1,2,3}; NULL when memory is used up. */
static char *
list_streams(void)
{
	size_t		size = 3;
	char	   *list;
	char	   *at;

	for (RgSseStream *stream = rg_sse_stream_next(NULL); stream; stream = rg_sse_stream_next(stream))
		size += 21;
	list = at = malloc(size);
	if (list == NULL)
		return NULL;
	*at++ = '{';
	for (RgSseStream *stream = rg_sse_stream_next(NULL); stream; stream = rg_sse_stream_next(stream))
		at += sprintf(at, "%s%lld", at == list + 1 ? "" : ",", (long long) stream->number);
	strcpy(at, "}");
	return list;
}

static void
look_at_everything(void)
{
	char	   *list = list_streams();
	const char *params[] = {list};

	bool		asked;

	news.all_due = false;
	news.looking = true;
	asked = list != NULL &&
		rg_ask(&news.worker->reads, READ_TIMEOUT,
			   "SELECT * FROM relay_guard.event_state($1::bigint[])", 1, params, on_state, NULL);
	free(list);
	if (asked)
		return;
	news.looking = false;
	news.all_due = true;
	put_off(NULL);
}

/*
 * Waiting
 */

/* {1,2,3} */
static void
take_streams(const char *list)
{
	char	   *at;

	for (const char *rest = list + 1; *rest >= '0' && *rest <= '9'; rest = at + (*at == ','))
	{
		RgSseStream *stream = rg_sse_stream_find(strtoll(rest, &at, 10));

		if (stream != NULL)
			rg_sse_read_soon(stream);
	}
}

static void
on_news(void *arg, const PGresult *result)
{
	news.waiting = false;
	if (!has_rows(result) || PQntuples(result) != 1)
	{
		put_off(result);
		strcpy(news.seen, "0");
		return;
	}
	snprintf(news.seen, sizeof news.seen, "%s", PQgetvalue(result, 0, 0));
	take_streams(PQgetvalue(result, 0, 1));
	news.all_due |= is_true(result, 0, 2);
	go_on();
}

static void
wait_for_news(void)
{
	const char *params[] = {news.seen};

	news.waiting = true;		/* the answer may be there at once */
	if (rg_ask(&news.lane, WAIT_TIMEOUT, "SELECT * FROM relay_guard.event_wait($1::bigint)",
			   1, params, on_news, NULL))
		return;
	news.waiting = false;
	put_off(NULL);
}

static void
go_on(void)
{
	if (may_ask() && !news.waiting && rg_sse_count() > 0)
		wait_for_news();
	if (may_ask() && news.all_due && !news.looking)
		look_at_everything();
	read_due();
}

void
rg_sse_read_now(RgSseStream *stream)
{
	rg_sse_read_soon(stream);
	go_on();
}

void
rg_sse_read_start(RgWorker *worker)
{
	if (news.worker != NULL)
		return;
	news.worker = worker;
	rg_lane_init(&news.lane, worker, "events", 1);
	news.lane.options = "";
	news.lane.depth = 1;
	news.lane.timeout = WAIT_TIMEOUT;
}

void
rg_sse_tick(int64_t now)
{
	if (news.worker == NULL)
		return;
	rg_lane_tick(&news.lane, now);
	go_on();
}

void
rg_sse_flush(void)
{
	if (news.worker != NULL)
		rg_lane_flush(&news.lane);
}

void
rg_sse_close(void)
{
	if (news.worker != NULL)
		rg_lane_close(&news.lane);
}

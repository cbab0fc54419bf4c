/*
 * event_signal.c
 *		RgEventNews of streams in shared memory; event_signal.h says why.
 *
 * A ring of the latest numbers of streams, of all databases.  Who waits says how far
 * he has read, and gets what was put since, or, when the ring has run past him or
 * cannot know, the advice to look at everything: a standby hears nothing of
 * commits, nor does the ring of COMMIT PREPARED, so that advice comes with
 * every wait that was in vain.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_type.h"
#include "fmgr.h"
#include "miscadmin.h"
#include "pgstat.h"
#include "storage/condition_variable.h"
#include "storage/ipc.h"
#include "storage/latch.h"
#include "storage/lwlock.h"
#include "storage/shmem.h"
#include "utils/array.h"
#include "utils/memutils.h"
#include "utils/timestamp.h"

#include "event_signal.h"
#include "record.h"

#define TRANCHE "relay_guard_events"
#define PLACES 4096
#define NOTES 64				/* streams of a transaction; beyond: all */
#define WAIT_MS 5000L
#define BLIND_WAIT_MS 500L		/* where nothing would wake us */
#define PAUSE_US 20000L			/* from one answer to the next */
#define ALL_STREAMS INT64CONST(-1)

typedef struct RgEventNote
{
	Oid			database;
	int64		stream;
} RgEventNote;

typedef struct RgEventRing
{
	ConditionVariable changed;
	uint64		next;			/* grows across restarts, too */
	RgEventNote places[PLACES];
} RgEventRing;

static RgEventRing *ring = NULL;
static LWLock *lock;

/* Of the present transaction. */
static int64 notes[NOTES];
static int	nnotes = 0;

void
rg_event_signal_request_shmem(void)
{
	RequestAddinShmemSpace(sizeof(RgEventRing));
	RequestNamedLWLockTranche(TRANCHE, 1);
}

void
rg_event_signal_startup_shmem(void)
{
	bool		found;

	ring = ShmemInitStruct(TRANCHE, sizeof *ring, &found);
	lock = &GetNamedLWLockTranche(TRANCHE)->lock;
	if (found)
		return;
	memset(ring, 0, sizeof *ring);
	ConditionVariableInit(&ring->changed);
	ring->next = (uint64) GetCurrentTimestamp();
}

/*
 * Telling
 */

static void
publish(void)
{
	LWLockAcquire(lock, LW_EXCLUSIVE);
	for (int i = 0; i < nnotes; i++)
	{
		RgEventNote *place = &ring->places[ring->next++ % PLACES];

		place->database = MyDatabaseId;
		place->stream = notes[i];
	}
	LWLockRelease(lock);
	ConditionVariableBroadcast(&ring->changed);
}

/* What was appended can be seen by now. */
static void
on_transaction(XactEvent event, void *arg)
{
	if (event == XACT_EVENT_COMMIT && nnotes > 0 && ring != NULL)
		publish();
	if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT || event == XACT_EVENT_PREPARE)
		nnotes = 0;
}

static bool
is_noted(int64 stream)
{
	for (int i = 0; i < nnotes; i++)
		if (notes[i] == stream || notes[i] == ALL_STREAMS)
			return true;
	return false;
}

PG_FUNCTION_INFO_V1(relay_guard_event_note);

/* event_note(number); what a savepoint takes back is looked at in vain */
Datum
relay_guard_event_note(PG_FUNCTION_ARGS)
{
	static bool registered = false;
	int64		stream = PG_GETARG_INT64(0);

	if (!registered)
		RegisterXactCallback(on_transaction, NULL);
	registered = true;
	if (nnotes == NOTES)
		notes[NOTES - 1] = ALL_STREAMS;
	else if (!is_noted(stream))
		notes[nnotes++] = stream;
	PG_RETURN_VOID();
}

/*
 * Waiting
 */

typedef struct RgEventNews
{
	uint64		seen;
	bool		everything;
	int			count;
	Datum	   *streams;
} RgEventNews;

static void
add_stream(RgEventNews *news, int64 stream)
{
	if (stream == ALL_STREAMS)
		news->everything = true;
	for (int i = 0; i < news->count; i++)
		if (DatumGetInt64(news->streams[i]) == stream)
			return;
	news->streams[news->count++] = Int64GetDatum(stream);
}

/* False when there are none; the ring does not change meanwhile. */
static bool
read_ring(RgEventNews *news)
{
	uint64		at = news->seen;

	news->everything = at > ring->next || ring->next - at > PLACES;
	for (; at < ring->next && !news->everything && news->count < NOTES; at++)
		if (ring->places[at % PLACES].database == MyDatabaseId)
			add_stream(news, ring->places[at % PLACES].stream);
	news->seen = news->everything ? ring->next : at;
	return news->everything || news->count > 0;
}

static bool
take_news(RgEventNews *news)
{
	bool		found;

	LWLockAcquire(lock, LW_SHARED);
	found = read_ring(news);
	LWLockRelease(lock);
	return found;
}

static void
wait_for_news(RgEventNews *news)
{
	TimestampTz end = TimestampTzPlusMilliseconds(GetCurrentTimestamp(), WAIT_MS);
	bool		found;

	ConditionVariablePrepareToSleep(&ring->changed);
	while (!(found = take_news(news)))
	{
		long		left = TimestampDifferenceMilliseconds(GetCurrentTimestamp(), end);

		if (left <= 0)
			break;
		(void) ConditionVariableTimedSleep(&ring->changed, left, PG_WAIT_EXTENSION);
	}
	ConditionVariableCancelSleep();
	news->everything |= !found;
}

/* Nothing here would tell: not preloaded, or a standby. */
static void
wait_blindly(RgEventNews *news)
{
	(void) WaitLatch(MyLatch, WL_TIMEOUT | WL_EXIT_ON_PM_DEATH, BLIND_WAIT_MS, PG_WAIT_EXTENSION);
	CHECK_FOR_INTERRUPTS();
	news->everything = true;
}

/* A busy stream is looked at fifty times a second, however many events it has. */
static void
pause_after(TimestampTz former)
{
	int64		passed = GetCurrentTimestamp() - former;

	if (passed >= 0 && passed < PAUSE_US)
		pg_usleep(PAUSE_US - passed);
}

static Datum
news_record(const RgEventNews *news)
{
	static const RgRecordColumn columns[] = {
		{"seen", INT8OID}, {"streams", INT8ARRAYOID}, {"everything", BOOLOID}
	};
	static RgRecordType type = {columns, lengthof(columns), NULL};
	Datum		values[lengthof(columns)];
	bool		nulls[lengthof(columns)] = {false};

	values[0] = Int64GetDatum((int64) news->seen);
	values[1] = PointerGetDatum(construct_array(news->streams, news->count, INT8OID, sizeof(int64),
												FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
	values[2] = BoolGetDatum(news->everything);
	return rg_record(&type, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_event_wait);

/* event_wait(seen) */
Datum
relay_guard_event_wait(PG_FUNCTION_ARGS)
{
	static TimestampTz answered_at = 0;
	Datum		streams[NOTES];
	RgEventNews news = {.seen = (uint64) PG_GETARG_INT64(0),.streams = streams};

	pause_after(answered_at);
	if (ring == NULL || RecoveryInProgress())
		wait_blindly(&news);
	else
		wait_for_news(&news);
	answered_at = GetCurrentTimestamp();
	return news_record(&news);
}

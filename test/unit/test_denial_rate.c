/*
 * test_denial_rate.c
 *		Floods of refusals: what becomes a row, and that no count is lost.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "denial_queue.h"
#include "denial_rate.h"
#include "tap.h"

#define SECOND INT64_C(1000000000)
#define MINUTE (60 * SECOND)
#define START (1000 * SECOND)

static RgDenialRates *rates;

static RgDenialWho
who_of(int number)
{
	RgDenialWho who;

	memset(&who, 0, sizeof who);
	snprintf(who.code, sizeof who.code, "token_signature");
	snprintf(who.user_id, sizeof who.user_id, "%d", number);
	return who;
}

/* As a keyed hash would spread them. */
static uint64_t
key_of(int number)
{
	uint64_t	key = (uint64_t) (number + 1) * UINT64_C(0x9E3779B97F4A7C15);

	return key ^ key >> 29;
}

static bool
take(RgDenialClass class, int number, int64_t now, uint64_t *left_out)
{
	RgDenialWho who = who_of(number);

	*left_out = 0;
	return rg_denial_rate_take(rates, 0, class, key_of(number), &who, true, now, left_out);
}

static bool
takes(int number, int64_t now)
{
	uint64_t	left_out;

	return take(RG_DENIAL_CREDENTIALS, number, now, &left_out);
}

static void
begin(void)
{
	free(rates);
	rates = calloc(1, sizeof *rates);
}

static int
take_many(int number, int count, int64_t now)
{
	int			rows = 0;

	for (int i = 0; i < count; i++)
		rows += takes(number, now);
	return rows;
}

/* Every count that is due then. */
static int
tell(int64_t now, uint64_t *sum, RgDenialCount *last)
{
	int			at = 0;
	int			rows = 0;
	RgDenialCount count;

	while (rg_denial_rate_due(rates, 0, now, false, &at, &count))
	{
		rows++;
		*sum += count.left_out;
		*last = count;
	}
	return rows;
}

static void
test_one_source(void)
{
	uint64_t	left_out;

	begin();
	ok(take_many(1, 1000, START) == RG_DENIAL_BURST, "a source gets its burst of rows and no more");
	ok(takes(2, START), "another source is not concerned");
	ok(!take(RG_DENIAL_CREDENTIALS, 1, START + 5 * SECOND, &left_out),
	   "the next row of a source is not due before six seconds");
	ok(take(RG_DENIAL_CREDENTIALS, 1, START + 6 * SECOND, &left_out) && left_out == 991,
	   "then it tells how many were left out before it");
	ok(take(RG_DENIAL_CREDENTIALS, 1, START + 12 * SECOND, &left_out) && left_out == 0,
	   "and the one after it tells of none");
}

static void
test_count_by_itself(void)
{
	RgDenialCount count = {0};
	uint64_t	sum = 0;
	int			at;

	begin();
	take_many(1, 15, START);
	ok(rg_denial_rate_next(rates, 0) == START + MINUTE, "a count is due a minute after the first left out");
	ok(tell(START + MINUTE - 1, &sum, &count) == 0, "it is not told earlier");
	ok(tell(START + MINUTE, &sum, &count) == 1 && sum == 5, "then it is told by itself");
	ok(strcmp(count.who.user_id, "1") == 0 && strcmp(count.who.code, "token_signature") == 0,
	   "with its source and reason");
	ok(tell(START + 2 * MINUTE, &sum, &count) == 0 && sum == 5, "and not twice");
	ok(rg_denial_rate_next(rates, 0) == INT64_MAX, "then none is due");
	take_many(2, 15, START + 2 * MINUTE);
	at = 0;
	ok(rg_denial_rate_due(rates, 0, START + 2 * MINUTE, true, &at, &count) && count.left_out == 5,
	   "at the end a count is told at once");
}

static void
test_many_sources(void)
{
	RgDenialCount count = {0};
	uint64_t	sum = 0;
	int			rows = 0;
	int			counts;

	begin();
	for (int number = 0; number < 100000; number++)
		rows += takes(number, START);
	ok(rows == RG_DENIAL_ALL_BURST, "a flood from 100,000 sources gets the burst of its class: %d rows", rows);
	counts = tell(START + MINUTE, &sum, &count);
	ok(counts <= RG_DENIAL_ALL_BURST + 1, "its counts take no more rows than that: %d", counts);
	ok(count.who.code[0] == '\0' && count.class == RG_DENIAL_CREDENTIALS,
	   "the last is the one of the class as a whole");
	ok(rows + sum == 100000, "every refusal is in a row or a count");
}

static void
test_classes(void)
{
	uint64_t	left_out;

	begin();
	for (int number = 0; number < 100000; number++)
		(void) takes(number, START);
	ok(take(RG_DENIAL_VALUE, 7, START, &left_out), "forged tokens do not hide a value that does not open");
	ok(take(RG_DENIAL_FORBIDDEN, 7, START, &left_out), "nor what is forbidden");
}

static void
test_eviction_does_not_refill(void)
{
	int			rows = 0;

	begin();
	rows += take_many(1, 20, START);
	for (int number = 2; number < 100000; number++)
		rows += takes(number, START);
	rows += take_many(1, 20, START);
	ok(rows <= RG_DENIAL_ALL_BURST, "crowding one's own bucket out wins no rows");
}

/* Keys that are the same modulo a power of two share the few places of a set. */
static void
test_who_makes_room(void)
{
	RgDenialWho who = who_of(1);
	RgDenialCount count = {0};
	uint64_t	left_out;
	bool		taken = true;
	int			at = 0;

	begin();
	for (int i = 0; i < 15; i++)
		taken &= rg_denial_rate_take(rates, 0, RG_DENIAL_VALUE, 1024, &who, true, START, &left_out) == (i < 10);
	who = who_of(2);
	for (int i = 0; i < 20; i++)
		taken &= rg_denial_rate_take(rates, 0, RG_DENIAL_VALUE, 2048 + 1024 * i, &who, true,
									 START + 59 * SECOND, &left_out);
	ok(taken && rg_denial_rate_due(rates, 0, START + MINUTE, false, &at, &count) &&
	   count.left_out == 5 && strcmp(count.who.user_id, "1") == 0,
	   "a source with a count is the last to make room");
}

static void
test_no_room(void)
{
	RgDenialWho who = who_of(1);
	uint64_t	left_out;

	begin();
	ok(!rg_denial_rate_take(rates, 0, RG_DENIAL_VALUE, key_of(1), &who, false, START, &left_out),
	   "without room in the queue a refusal is counted");
	ok(rg_denial_rate_take(rates, 0, RG_DENIAL_VALUE, key_of(1), &who, true, START, &left_out) &&
	   left_out == 1, "and told with the next that has room");
}

static void
test_places(void)
{
	RgDenialWho who = who_of(1);
	uint64_t	left_out;
	uint64_t	sum = 0;
	RgDenialCount count;

	begin();
	take_many(1, 1000, START);
	ok(rg_denial_rate_take(rates, 1, RG_DENIAL_CREDENTIALS, key_of(1), &who, true, START, &left_out) &&
	   left_out == 0, "databases have buckets of their own");
	ok(rg_denial_rate_forget(rates, 0) == 990, "forgetting a database tells what is lost");
	ok(tell(START + MINUTE, &sum, &count) == 0, "and leaves nothing to be told");
	ok(rg_denial_rate_next(rates, 0) == INT64_MAX, "nor anything due");
}

/* Random traffic of an hour in three classes, with a queue that is at times full. */
static void
test_sums(void)
{
	uint64_t	noted = 0;
	uint64_t	rows = 0;
	uint64_t	told = 0;
	int64_t		now = START;
	RgDenialCount count;

	begin();
	srandom(1);
	for (; now < START + 60 * MINUTE; now += random() % (SECOND / 50))
	{
		int			number = random() % 4 == 0 ? random() % 20000 : random() % 5;
		RgDenialWho who = who_of(number);
		uint64_t	left_out = 0;

		noted++;
		rows += rg_denial_rate_take(rates, 0, random() % RG_DENIAL_CLASSES, key_of(number), &who,
									random() % 10 > 0, now, &left_out);
		told += left_out;
		if (random() % 100 == 0)
			(void) tell(now, &told, &count);
	}
	told += rg_denial_rate_forget(rates, 0);
	ok(rows + told == noted, "after an hour of %lu refusals none is lost or counted twice",
	   (unsigned long) noted);
	ok(rows <= RG_DENIAL_CLASSES * (RG_DENIAL_ALL_BURST + 60 * RG_DENIAL_ALL_A_MINUTE),
	   "and the rows stay within the bounds of their classes: %lu", (unsigned long) rows);
}

static void
test_queue(void)
{
	static RgDenialQueue queue;
	int			pushed = 0;
	bool		in_order = true;
	int			slots[RG_DENIAL_SLOTS];

	rg_denial_queue_init(&queue);
	while (rg_denial_queue_has_room(&queue, 3, RG_DENIAL_VALUE))
		slots[pushed++] = rg_denial_queue_push(&queue, 3, RG_DENIAL_VALUE);
	ok(pushed == RG_DENIAL_QUEUE_SHARE, "a class of a database has its share of the queue");
	ok(rg_denial_queue_has_room(&queue, 3, RG_DENIAL_CREDENTIALS), "another class is not concerned");
	for (int i = 0; i < pushed; i++)
	{
		in_order &= rg_denial_queue_first(&queue, 3) == slots[i];
		rg_denial_queue_pop(&queue, 3);
	}
	ok(in_order && rg_denial_queue_first(&queue, 3) == RG_DENIAL_NO_SLOT, "first come, first served");
	pushed = 0;
	for (int place = 0; place < RG_DENIAL_PLACES; place++)
		for (int class = 0; class < RG_DENIAL_CLASSES; class++)
			while (rg_denial_queue_has_room(&queue, place, class))
				pushed += rg_denial_queue_push(&queue, place, class) >= 0;
	ok(pushed == RG_DENIAL_SLOTS, "all databases together have what there is");
	for (int place = 0; place < RG_DENIAL_PLACES; place++)
		for (; rg_denial_queue_first(&queue, place) != RG_DENIAL_NO_SLOT; pushed--)
			rg_denial_queue_pop(&queue, place);
	ok(pushed == 0, "and give all of it back");
}

int
main(void)
{
	test_one_source();
	test_count_by_itself();
	test_many_sources();
	test_classes();
	test_eviction_does_not_refill();
	test_who_makes_room();
	test_no_room();
	test_places();
	test_sums();
	test_queue();
	free(rates);
	return done();
}

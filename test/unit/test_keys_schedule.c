/*
 * test_keys_schedule.c
 *		When key sets are fetched, by a clock that the test moves.
 */
#include "gateway/keys_schedule.h"
#include "tap.h"

#define SECOND INT64_C(1000000)
#define START (1000 * SECOND)

static RgKeysSchedule schedule;

static void
fetch_well(int64_t now, int64_t lifetime, uint32_t random)
{
	rg_keys_schedule_start(&schedule, now);
	rg_keys_schedule_success(&schedule, now, lifetime, random);
}

static void
fetch_badly(int64_t now, uint32_t random)
{
	rg_keys_schedule_start(&schedule, now);
	rg_keys_schedule_failure(&schedule, now, random);
}

/* Seconds until the next fetch that nobody asks for, rounded up. */
static int64_t
wait_after(int64_t now)
{
	return (schedule.next - now + SECOND - 1) / SECOND;
}

static int64_t
wait_of_lifetime(int64_t lifetime, uint32_t random)
{
	rg_keys_schedule_init(&schedule, START);
	fetch_well(START, lifetime, random);
	return wait_after(START);
}

static void
test_lifetimes(void)
{
	rg_keys_schedule_init(&schedule, START);
	ok(rg_keys_schedule_due(&schedule, START, false), "the first fetch is due at once");
	fetch_well(START, 600, 0);
	ok(!rg_keys_schedule_due(&schedule, START + 600 * SECOND - 1, false) &&
	   rg_keys_schedule_due(&schedule, START + 600 * SECOND, false),
	   "a set is fetched again when its lifetime is over");
	ok(wait_of_lifetime(600, UINT32_MAX) == 541, "a tenth earlier at most");
	ok(wait_of_lifetime(600, UINT32_MAX / 2) == 571, "and in between");
	ok(wait_of_lifetime(0, 0) == 60 && wait_of_lifetime(1, 0) == 60 &&
	   wait_of_lifetime(-1, 0) == 60 && wait_of_lifetime(1, UINT32_MAX) == 60,
	   "refresh every second (hasura#8299): a lifetime of 0 or 1 s is a minute");
	ok(wait_of_lifetime(INT32_MAX, 0) == 86400 && wait_of_lifetime(INT64_MAX, 0) == 86400,
	   "a lifetime of years is a day");
}

/* A provider that always says max-age=1, watched every quarter of a second. */
static void
test_an_hour(void)
{
	int			fetches = 0;

	rg_keys_schedule_init(&schedule, START);
	for (int64_t now = START; now < START + 3600 * SECOND; now += SECOND / 4)
		if (rg_keys_schedule_due(&schedule, now, false))
		{
			fetch_well(now, 1, 0);
			fetches++;
		}
	ok(fetches == 60, "an hour of max-age=1 is 60 fetches, not 3600 (%d)", fetches);
}

static void
test_failures(void)
{
	static const int64_t waits[] = {5, 10, 20, 40, 80, 160, 300, 300, 300};
	bool		as_said = true;

	rg_keys_schedule_init(&schedule, START);
	for (size_t i = 0; i < sizeof waits / sizeof waits[0]; i++)
	{
		fetch_badly(START, 0);
		as_said &= wait_after(START) == waits[i];
	}
	ok(as_said, "failures: 5 s, 10 s and so on to 300 s");
	for (int i = 0; i < 1000; i++)
		fetch_badly(START, UINT32_MAX);
	ok(wait_after(START) == 271, "a thousand failures: still every 5 min, a tenth less at most");
	fetch_well(START, 600, 0);
	ok(schedule.failures == 0 && wait_after(START) == 600, "a success ends the row");
	fetch_badly(START, 0);
	ok(wait_after(START) == 5, "after it the first failure is the first again");
}

static void
test_unknown_keys(void)
{
	rg_keys_schedule_init(&schedule, START);
	fetch_well(START, 600, 0);
	ok(!rg_keys_schedule_due(&schedule, START + 30 * SECOND - 1, true) &&
	   rg_keys_schedule_due(&schedule, START + 30 * SECOND, true),
	   "an unknown key is looked for 30 s after the last fetch");
	fetch_well(START + 600 * SECOND, 600, 0);
	ok(!rg_keys_schedule_due(&schedule, START + 629 * SECOND, true),
	   "a fetch that nobody asked for counts as well");
	fetch_badly(START + 700 * SECOND, 0);
	ok(!rg_keys_schedule_due(&schedule, START + 704 * SECOND, true) &&
	   rg_keys_schedule_due(&schedule, START + 705 * SECOND, true),
	   "and so does one that failed, whose own retry stays");
}

/* Tokens with random kids come all the time; the provider answers or not. */
static int
count_in_an_hour(bool provider_works)
{
	int			fetches = 0;
	int64_t		last = START - 3600 * SECOND;

	rg_keys_schedule_init(&schedule, START);
	for (int64_t now = START; now < START + 3600 * SECOND; now += SECOND / 4)
	{
		if (!rg_keys_schedule_due(&schedule, now, true))
			continue;
		if (provider_works && now - last < 30 * SECOND)
			return -1;
		last = now;
		provider_works ? fetch_well(now, 600, 0) : fetch_badly(now, 0);
		fetches++;
	}
	return fetches;
}

static void
test_storm(void)
{
	int			fetches = count_in_an_hour(true);

	ok(fetches == 120, "an unknown kid causes a fetch storm (go-oidc#482): "
	   "an hour of them is 120 fetches, never two within 30 s (%d)", fetches);
	fetches = count_in_an_hour(false);
	/* those after 5, 10 and 20 s, and one every 30 s */
	ok(fetches <= 123, "and no more than the first retries beside that while all fail (%d)", fetches);
}

static int64_t
max_age(const char *value)
{
	return rg_keys_max_age(rg_slice_of(value));
}

static void
test_max_age(void)
{
	ok(max_age("max-age=600") == 600 && max_age("public, max-age=15") == 15 &&
	   max_age("Max-Age=7 , public") == 7 && max_age("\tmax-age=\"8\"") == 8,
	   "max-age is found");
	ok(max_age("max-age=0") == 0, "max-age=0 is 0");
	ok(max_age("max-age=1, max-age=2") == 1, "the first of two counts");
	ok(max_age("max-age=99999999999999999999999") == INT32_MAX, "too many seconds are many");
	ok(max_age(NULL) == -1 && max_age("no-store") == -1 && max_age("s-maxage=5") == -1 &&
	   max_age(",,  ,") == -1, "there may be none");
	ok(max_age("max-age=") == -1 && max_age("max-age=-1") == -1 && max_age("max-age=1x") == -1 &&
	   max_age("max-age = 5") == -1 && max_age("max-age=\"") == -1 && max_age("max-age=\"\"") == -1,
	   "what is not well-formed is none");
}

int
main(void)
{
	test_lifetimes();
	test_an_hour();
	test_failures();
	test_unknown_keys();
	test_storm();
	test_max_age();
	return done();
}

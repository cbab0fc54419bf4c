/*
 * keys_schedule.c
 *		Timing of fetches; keys_schedule.h has the contract.
 */
#include "keys_schedule.h"

#include <strings.h>

#define SECOND		INT64_C(1000000)
#define MIN_LIFETIME 60			/* seconds */
#define MAX_LIFETIME (24 * 3600)
#define WANTED_GAP	(30 * SECOND)
#define FIRST_DELAY (5 * SECOND)
#define LAST_DELAY	(300 * SECOND)

void
rg_keys_schedule_init(RgKeysSchedule *schedule, int64_t now)
{
	schedule->started = schedule->next = now;
	schedule->failures = 0;
}

bool
rg_keys_schedule_due(const RgKeysSchedule *schedule, int64_t now, bool wanted)
{
	return now >= schedule->next || (wanted && now - schedule->started >= WANTED_GAP);
}

void
rg_keys_schedule_start(RgKeysSchedule *schedule, int64_t now)
{
	schedule->started = now;
}

/* Less a random part of up to a tenth. */
static int64_t
jittered(int64_t interval, uint32_t random)
{
	return interval - interval / 10 * (int64_t) (random >> 8) / (1 << 24);
}

void
rg_keys_schedule_success(RgKeysSchedule *schedule, int64_t now, int64_t lifetime, uint32_t random)
{
	int64_t		wait = jittered((lifetime < MAX_LIFETIME ? lifetime : MAX_LIFETIME) * SECOND, random);

	schedule->failures = 0;
	schedule->next = now + (wait > MIN_LIFETIME * SECOND ? wait : MIN_LIFETIME * SECOND);
}

void
rg_keys_schedule_failure(RgKeysSchedule *schedule, int64_t now, uint32_t random)
{
	int64_t		delay = schedule->failures < 6 ? FIRST_DELAY << schedule->failures : LAST_DELAY;

	if (schedule->failures < 6)
		schedule->failures++;
	schedule->next = now + jittered(delay, random);
}

/* What stands before the next comma, without the blanks around it. */
static RgSlice
take_directive(RgSlice *list)
{
	const char *comma = memchr(list->data, ',', list->len);
	size_t		len = comma ? (size_t) (comma - list->data) : list->len;
	RgSlice		item = rg_slice(list->data, len);

	list->data += comma ? len + 1 : len;
	list->len -= comma ? len + 1 : len;
	while (item.len > 0 && (*item.data == ' ' || *item.data == '\t'))
		item = rg_slice(item.data + 1, item.len - 1);
	while (item.len > 0 && (item.data[item.len - 1] == ' ' || item.data[item.len - 1] == '\t'))
		item.len--;
	return item;
}

/* -1 unless all of it is digits. */
static int64_t
parse_seconds(RgSlice text)
{
	int64_t		seconds = 0;

	if (text.len >= 2 && text.data[0] == '"' && text.data[text.len - 1] == '"')
		text = rg_slice(text.data + 1, text.len - 2);
	if (text.len == 0)
		return -1;
	for (size_t i = 0; i < text.len; i++)
	{
		if (text.data[i] < '0' || text.data[i] > '9')
			return -1;
		seconds = seconds * 10 + (text.data[i] - '0');
		if (seconds > INT32_MAX)
			seconds = INT32_MAX;
	}
	return seconds;
}

int64_t
rg_keys_max_age(RgSlice cache_control)
{
	static const RgSlice name = {"max-age=", sizeof "max-age=" - 1};

	while (cache_control.len > 0)
	{
		RgSlice		item = take_directive(&cache_control);

		if (item.len >= name.len && strncasecmp(item.data, name.data, name.len) == 0)
			return parse_seconds(rg_slice(item.data + name.len, item.len - name.len));
	}
	return -1;
}

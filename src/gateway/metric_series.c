/*
 * metric_series.c
 *		The table of what is counted apart; metric_series.h has the contract.
 */
#include "metric_series.h"

#include "utf8.h"

/* The last resort: a place for each class of statuses. */
#define CLASSES 6
#define PLACES (RG_SERIES_MAX - CLASSES)
/* 128 places stay free, so that searching ends soon */
#define OTHERS (PLACES - RG_SERIES_OWN - 128)
#define OTHER_METHOD 0

static const char *const methods[] = {
	"other", "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"
};

#define NMETHODS (sizeof methods / sizeof methods[0])

typedef struct Key
{
	uint8_t		method;
	uint16_t	status;
	RgSlice		route;			/* empty: other */
} Key;

static uint8_t
find_method(RgSlice method)
{
	for (size_t i = 1; i < NMETHODS; i++)
		if (rg_slice_is(method, methods[i]))
			return i;
	return OTHER_METHOD;
}

static uint64_t
mix(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * UINT64_C(0x9E3779B97F4A7C15);
	return hash ^ hash >> 32;
}

/* Never 0.  Nobody chooses what is hashed but whoever makes the routes. */
static uint64_t
hash_of(const Key *key)
{
	const char *at = key->route.data;
	size_t		left = key->route.len;
	uint64_t	word = 0;
	uint64_t	hash = mix(0, (uint64_t) left << 32 | key->method << 16 | key->status);

	for (; left >= sizeof word; left -= sizeof word, at += sizeof word)
	{
		memcpy(&word, at, sizeof word);
		hash = mix(hash, word);
	}
	word = 0;
	if (left > 0)
		memcpy(&word, at, left);
	hash = mix(hash, word);
	return hash != 0 ? hash : 1;
}

/* The writer of the same bytes beside this one does no harm. */
static void
write_name(RgSeriesName *name, const Key *key)
{
	name->method = key->method;
	name->status = key->status;
	name->route_len = key->route.len;
	if (key->route.len > 0)
		memcpy(name->route, key->route.data, key->route.len);
	atomic_store_explicit(&name->written, 1, memory_order_release);
}

static int
use(RgSeries *series, int place, const Key *key)
{
	RgSeriesName *name = &series->names[place];

	if (!atomic_load_explicit(&name->written, memory_order_relaxed))
		write_name(name, key);
	return place;
}

/* One more, if that is within the bound. */
static bool
may_add(_Atomic uint32_t *count, uint32_t bound)
{
	if (atomic_load_explicit(count, memory_order_relaxed) >= bound)
		return false;
	if (atomic_fetch_add_explicit(count, 1, memory_order_relaxed) < bound)
		return true;
	atomic_fetch_sub_explicit(count, 1, memory_order_relaxed);
	return false;
}

static bool
may_have_entry(RgSeries *series, const Key *key)
{
	if (key->route.len == 0)
		return may_add(&series->others, OTHERS);
	return rg_utf8_valid(key->route) && may_add(&series->own, RG_SERIES_OWN);
}

/* What stands at a free place afterwards: the key's hash, or that of who was first. */
static uint64_t
claim(RgSeries *series, int place, const Key *key, uint64_t hash)
{
	uint64_t	there = 0;

	if (atomic_compare_exchange_strong(&series->hashes[place], &there, hash))
		return hash;
	atomic_fetch_sub_explicit(key->route.len > 0 ? &series->own : &series->others, 1,
							  memory_order_relaxed);
	return there;
}

/* The key's place, made if it is not there yet and there is room; or -1. */
static int
find(RgSeries *series, const Key *key)
{
	uint64_t	hash = hash_of(key);

	for (int i = 0; i < PLACES; i++)
	{
		int			place = (hash + i) % PLACES;
		uint64_t	there = atomic_load_explicit(&series->hashes[place], memory_order_relaxed);

		if (there == 0 && !may_have_entry(series, key))
			return -1;
		if (there == 0)
			there = claim(series, place, key, hash);
		if (there == hash)
			return use(series, place, key);
	}
	return -1;
}

/* Beyond all bounds; these places are never searched. */
static int
find_class(RgSeries *series, int status)
{
	Key			key = {OTHER_METHOD, status / 100, {NULL, 0}};

	return use(series, PLACES + key.status, &key);
}

int
rg_series_find(RgSeries *series, RgSlice method, RgSlice route, int status)
{
	Key			key = {find_method(method), status < 100 || status > 599 ? 0 : status, route};
	int			place;

	if (key.route.len > RG_SERIES_ROUTE_MAX)
		key.route.len = 0;
	place = find(series, &key);
	if (place < 0 && key.route.len > 0)
	{
		key.route.len = 0;
		place = find(series, &key);
	}
	return place < 0 ? find_class(series, key.status) : place;
}

bool
rg_series_labels(const RgSeries *series, int number, RgSeriesLabels *labels)
{
	const RgSeriesName *name = &series->names[number];

	if (!atomic_load_explicit(&name->written, memory_order_acquire))
		return false;
	labels->method = rg_slice_of(methods[name->method]);
	labels->route = name->route_len > 0 ? rg_slice(name->route, name->route_len)
		: RG_SLICE("other");
	labels->status = name->status;
	return true;
}

/*
 * id_ranges.c
 *		A set of ids as ranges.
 *
 * An id that is next to the one before lengthens the last range.  Others begin
 * a range; when there is no room for one, ranges that have met are joined first.
 */
#include "postgres.h"

#include "utils/memutils.h"

#include "id_ranges.h"

#define FIRST_ROOM 64

static int
compare_ranges(const void *a, const void *b)
{
	int64		left = ((const RgIdRange *) a)->first;
	int64		right = ((const RgIdRange *) b)->first;

	return left < right ? -1 : left > right;
}

/* Whether b, which starts no earlier, overlaps a or begins right behind it. */
static bool
meets(const RgIdRange *a, const RgIdRange *b)
{
	return a->last == PG_INT64_MAX || b->first <= a->last + 1;
}

static void
join_ranges(RgIdRanges *set)
{
	Size		kept = 0;

	if (set->count < 2)
		return;
	qsort(set->ranges, set->count, sizeof *set->ranges, compare_ranges);
	for (Size i = 1; i < set->count; i++)
	{
		RgIdRange  *last = &set->ranges[kept];

		if (meets(last, &set->ranges[i]))
			last->last = Max(last->last, set->ranges[i].last);
		else
			set->ranges[++kept] = set->ranges[i];
	}
	set->count = kept + 1;
}

static void
make_room(RgIdRanges *set)
{
	if (set->ranges == NULL)
	{
		set->room = FIRST_ROOM;
		set->ranges = palloc(set->room * sizeof *set->ranges);
		return;
	}
	join_ranges(set);
	if (set->count <= set->room / 2)
		return;
	set->room *= 2;
	set->ranges = repalloc_huge(set->ranges, set->room * sizeof *set->ranges);
}

void
rg_id_ranges_add(RgIdRanges *set, int64 id)
{
	RgIdRange	range = {id, id};

	if (set->count > 0 && set->ranges[set->count - 1].last + 1 == id)
	{
		set->ranges[set->count - 1].last = id;
		return;
	}
	if (set->count == set->room)
		make_room(set);
	set->ranges[set->count++] = range;
}

/* The end is not included, as in every range of int8; the largest id has none. */
static void
print_range(const RgIdRange *range, StringInfo out)
{
	if (range->last == PG_INT64_MAX)
		appendStringInfo(out, "[" INT64_FORMAT ",)", range->first);
	else
		appendStringInfo(out, "[" INT64_FORMAT "," INT64_FORMAT ")",
						 range->first, range->last + 1);
}

void
rg_id_ranges_print(RgIdRanges *set, StringInfo out)
{
	join_ranges(set);
	appendStringInfoChar(out, '{');
	for (Size i = 0; i < set->count; i++)
	{
		if (i > 0)
			appendStringInfoChar(out, ',');
		print_range(&set->ranges[i], out);
	}
	appendStringInfoChar(out, '}');
}

/*
 * rate_override.c
 *		This backend's copy of relay_guard.rate_override; rate.h has the contract.
 *
 * A hash table with chains, built when the table is read.  Two look-ups a hit,
 * by key and by role; none where there are no overrides.
 *
 * Keys are compared as rate.c has them.  An address is 16 bytes there, so each
 * row that reads as one is entered in that form too, whatever its policy counts:
 * the bytes hold zeros, which no text has.
 */
#include "postgres.h"

#include <arpa/inet.h>

#include "common/hashfn.h"
#include "port/pg_bitutils.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "rate.h"

#define ADDRESS_LEN 16
#define NETWORK_LEN 8

/* The columns of relay_guard.rate_override, in order. */
enum
{
	COL_POLICY,
	COL_KIND,
	COL_VALUE,
	COL_QUOTA,
	COL_WINDOW,
	COL_BURST,
	NCOLS
};

typedef struct Override
{
	uint32		hash;
	int32		next;			/* in its chain, or -1 */
	const char *policy;
	RgRuledBy	kind;
	RgSlice		value;
	int64		quota;
	int64		window;
	int64		burst;
} Override;

typedef struct Overrides
{
	int			count;
	int			size;
	uint32		mask;			/* chains - 1 */
	Override   *rows;
	int32	   *chains;
} Overrides;

static void *load_overrides(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache cache = {.table = "rate_override",.natts = NCOLS,.load = load_overrides};

static uint32
hash_of(const char *policy, RgRuledBy kind, RgSlice value)
{
	uint32		hash = hash_bytes((const unsigned char *) policy, (int) strlen(policy));

	hash = hash_combine(hash, murmurhash32(kind));
	return hash_combine(hash, hash_bytes((const unsigned char *) value.data, (int) value.len));
}

/*
 * Reading the table
 */

static RgSlice
copy_text(Datum value)
{
	char	   *copy = TextDatumGetCString(value);

	return rg_slice(copy, strlen(copy));
}

static Override
read_override(const Datum *values, const bool *nulls)
{
	Override	row;

	row.policy = TextDatumGetCString(values[COL_POLICY]);
	row.kind = rg_slice_is(copy_text(values[COL_KIND]), "role") ? RG_RULED_BY_ROLE : RG_RULED_BY_KEY;
	row.value = copy_text(values[COL_VALUE]);
	row.quota = DatumGetInt64(values[COL_QUOTA]);
	row.window = rg_rate_window(DatumGetIntervalP(values[COL_WINDOW]));
	row.burst = nulls[COL_BURST] ? Max(row.quota, 1) : DatumGetInt64(values[COL_BURST]);
	return row;
}

static void
add_row(Overrides *overrides, Override row)
{
	if (overrides->count == overrides->size)
	{
		overrides->size *= 2;
		overrides->rows = repalloc_huge(overrides->rows, overrides->size * sizeof row);
	}
	row.hash = hash_of(row.policy, row.kind, row.value);
	overrides->rows[overrides->count++] = row;
}

/* The bytes of an address as the table spells it; false for any other text. */
static bool
address_of(const char *text, unsigned char *address)
{
	char		network[INET6_ADDRSTRLEN + 3];
	size_t		len = strlcpy(network, text, sizeof network);

	memset(address, 0, ADDRESS_LEN);
	memset(address + 10, 0xff, 2);
	if (inet_pton(AF_INET, text, address + 12) == 1)
		return true;
	if (len < 4 || len >= sizeof network || strcmp(network + len - 3, "/64") != 0)
		return false;
	network[len - 3] = '\0';
	if (inet_pton(AF_INET6, network, address) != 1)
		return false;
	memset(address + NETWORK_LEN, 0, ADDRESS_LEN - NETWORK_LEN);
	return true;
}

static void
add_address(Overrides *overrides, Override row)
{
	char	   *address = palloc(ADDRESS_LEN);

	if (row.kind != RG_RULED_BY_KEY || !address_of(row.value.data, (unsigned char *) address))
		return;
	row.value = rg_slice(address, ADDRESS_LEN);
	add_row(overrides, row);
}

static void
chain_rows(Overrides *overrides)
{
	uint32		nchains = pg_nextpower2_32(Max(overrides->count, 1));

	overrides->mask = nchains - 1;
	overrides->chains = palloc_extended(nchains * sizeof(int32), MCXT_ALLOC_HUGE);
	memset(overrides->chains, 0xff, nchains * sizeof(int32));
	for (int i = 0; i < overrides->count; i++)
	{
		int32	   *chain = &overrides->chains[overrides->rows[i].hash & overrides->mask];

		overrides->rows[i].next = *chain;
		*chain = i;
	}
}

static void *
load_overrides(TableScanDesc scan, MemoryContext context, void *previous)
{
	Overrides  *overrides = palloc0(sizeof *overrides);
	Datum	   *values;
	bool	   *nulls;

	overrides->size = 16;
	overrides->rows = palloc(overrides->size * sizeof *overrides->rows);
	while (rg_config_next(scan, &values, &nulls))
	{
		Override	row = read_override(values, nulls);

		add_row(overrides, row);
		add_address(overrides, row);
	}
	chain_rows(overrides);
	return overrides;
}

void
rg_rate_override_init(void)
{
	rg_config_register(&cache);
}

/*
 * Looking up
 */

static const Override *
find(const Overrides *overrides, const char *policy, RgRuledBy kind, RgSlice value)
{
	uint32		hash = hash_of(policy, kind, value);

	for (int32 at = overrides->chains[hash & overrides->mask]; at >= 0;)
	{
		const Override *row = &overrides->rows[at];

		if (row->hash == hash && row->kind == kind && row->value.len == value.len &&
			memcmp(row->value.data, value.data, value.len) == 0 &&
			strcmp(row->policy, policy) == 0)
			return row;
		at = row->next;
	}
	return NULL;
}

/*
 * Before anybody is known the limits by address are asked; a role could not
 * change them there.  What everybody shares has no role.
 */
static bool
may_have_role(const RgRateHit *hit)
{
	return hit->role.len > 0 && hit->policy->identify_by != RG_BY_IP &&
		hit->policy->identify_by != RG_BY_GLOBAL;
}

static const Override *
find_for(const Overrides *overrides, const RgRateHit *hit)
{
	const Override *row = find(overrides, hit->policy->name, RG_RULED_BY_KEY, hit->key);

	if (row != NULL || !may_have_role(hit))
		return row;
	return find(overrides, hit->policy->name, RG_RULED_BY_ROLE, hit->role);
}

RgRuledBy
rg_rate_hit_rule(const RgRateHit *hit, RgRateRule *rule)
{
	const Overrides *overrides = rg_config_get(&cache);
	const Override *row = overrides->count > 0 ? find_for(overrides, hit) : NULL;

	*rule = rg_rate_rule(hit->policy);
	if (row == NULL)
		return RG_RULED_BY_POLICY;
	rule->quota = row->quota;
	rule->window = row->window;
	rule->burst = row->burst;
	return row->kind;
}

static const char *const ruled_by_names[] = {"policy", "key", "role"};

const char *
rg_rate_ruled_by_name(RgRuledBy ruled_by)
{
	return ruled_by_names[ruled_by];
}

/*
 * counter_key.c
 *		Keys of counters; counter_key.h has the contract.
 *
 * The key of the hash is made at CREATE EXTENSION and never dumped, so an
 * extension that was dropped and made again, or a database with the same oid,
 * meets none of the old counters.
 */
#include "postgres.h"

#include <sodium.h>

#include "miscadmin.h"
#include "utils/uuid.h"

#include "config_cache.h"
#include "counter_key.h"

#define STACK_VALUE 512			/* longer values are hashed in palloc'd memory */

StaticAssertDecl(UUID_LEN == crypto_shorthash_siphashx24_KEYBYTES, "a uuid is the key");
StaticAssertDecl(sizeof(RgCounterKey) == crypto_shorthash_siphashx24_BYTES, "a hash is the key");

typedef struct Installation
{
	unsigned char key[crypto_shorthash_siphashx24_KEYBYTES];
	uint64		owner;
} Installation;

typedef enum Kind
{
	KIND_OWNER,
	KIND_VALUE,
	KIND_OVERFLOW,
	KIND_ROLE,
	KIND_ROLE_VALUE,
	KIND_WINDOW,
	KIND_ACCOUNT,
	KIND_PSEUDONYM
} Kind;

/* What is hashed: this, and the value behind it. */
typedef struct Prefix
{
	Oid			database;
	int32		policy;
	int32		kind;
} Prefix;

static void *load_installation(TableScanDesc scan, MemoryContext context, void *previous);

static RgConfigCache cache = {.table = "installation",.load = load_installation};

static RgCounterKey
hash(const Installation *installation, Kind kind, int32 policy, RgSlice value)
{
	char		stack[sizeof(Prefix) + STACK_VALUE];
	char	   *message = value.len <= STACK_VALUE ? stack : palloc(sizeof(Prefix) + value.len);
	Prefix		prefix = {MyDatabaseId, policy, kind};
	RgCounterKey key;

	memcpy(message, &prefix, sizeof prefix);
	if (value.len > 0)
		memcpy(message + sizeof prefix, value.data, value.len);
	crypto_shorthash_siphashx24(key.bytes, (unsigned char *) message,
								sizeof prefix + value.len, installation->key);
	if (message != stack)
		pfree(message);
	return key;
}

static void *
load_installation(TableScanDesc scan, MemoryContext context, void *previous)
{
	Installation *installation = palloc(sizeof *installation);
	RgCounterKey owner;
	Datum	   *values;
	bool	   *nulls;

	if (!rg_config_next(scan, &values, &nulls))
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("table relay_guard.installation is empty"),
				errhint("Insert one row, with DEFAULT VALUES; all counters start afresh."));
	memcpy(installation->key, DatumGetUUIDP(values[1])->data, sizeof installation->key);
	owner = hash(installation, KIND_OWNER, 0, RG_SLICE(""));
	memcpy(&installation->owner, owner.bytes, sizeof installation->owner);
	return installation;
}

void
rg_counter_key_init(void)
{
	rg_config_register(&cache);
}

RgCounterKey
rg_counter_key(int32 policy, RgSlice value)
{
	return hash(rg_config_get(&cache), KIND_VALUE, policy, value);
}

static RgCounterKey
hash_pair(const Installation *installation, Kind kind, int32 policy, RgCounterKey first, RgCounterKey second)
{
	const RgCounterKey pair[2] = {first, second};

	return hash(installation, kind, policy, rg_slice((const char *) pair, sizeof pair));
}

RgCounterKey
rg_counter_role_key(int32 policy, RgSlice role, RgSlice value)
{
	const Installation *installation = rg_config_get(&cache);

	return hash_pair(installation, KIND_ROLE_VALUE, policy,
					 hash(installation, KIND_ROLE, policy, role),
					 hash(installation, KIND_VALUE, policy, value));
}

RgCounterKey
rg_counter_account_key(int64 version, TimestampTz from, RgSlice value)
{
	const Installation *installation = rg_config_get(&cache);
	const int64 window[2] = {version, from};

	return hash_pair(installation, KIND_ACCOUNT, 0,
					 hash(installation, KIND_WINDOW, 0, rg_slice((const char *) window, sizeof window)),
					 hash(installation, KIND_VALUE, 0, value));
}

RgCounterKey
rg_counter_overflow_key(int32 policy)
{
	return hash(rg_config_get(&cache), KIND_OVERFLOW, policy, RG_SLICE(""));
}

RgCounterKey
rg_counter_pseudonym(RgSlice value)
{
	return hash(rg_config_get(&cache), KIND_PSEUDONYM, 0, value);
}

uint64
rg_counter_owner(void)
{
	return ((Installation *) rg_config_get(&cache))->owner;
}

/*
 * revocation.c
 *		Tokens that are refused although they are genuine.
 *
 * A revocation must not empty the cache of verified tokens, or every logout
 * would cost everybody a signature: each entry remembers up to which change of
 * the table it has been asked for, and only then costs three index probes.
 */
#include "postgres.h"

#include "catalog/pg_collation.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "revocation.h"

/* Columns of relay_guard.revocation */
enum
{
	Anum_revocation_kind, Anum_revocation_value, Anum_revocation_before,
	Natts_revocation
};

static RgConfigCache table = {.table = "revocation",.natts = Natts_revocation};

void
rg_revocation_init(void)
{
	rg_config_register(&table);
}

static bool
look_up(const char *kind, RgSlice value, Datum values[Natts_revocation])
{
	ScanKeyData keys[2];
	bool		nulls[Natts_revocation];

	if (value.len == 0)
		return false;
	ScanKeyInit(&keys[0], Anum_revocation_kind + 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(kind));
	ScanKeyInit(&keys[1], Anum_revocation_value + 1, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(cstring_to_text_with_len(value.data, value.len)));
	return rg_config_find(&table, "revocation_pkey", keys, lengthof(keys), values, nulls);
}

/*
 * Tokens say when they were issued in whole seconds, so one made in the second
 * of the revocation, but after it, is refused too.
 */
static bool
issued_before(int64 iat, TimestampTz before)
{
	return (iat - (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY) *
		USECS_PER_SEC < before;
}

bool
rg_revoked(RgVerified *verified)
{
	uint64		generation = rg_config_generation(&table);
	Datum		values[Natts_revocation];

	if (verified->revocations == generation)
		return false;
	if (look_up("jti", verified->jti, values) || look_up("session", verified->session, values))
		return true;
	if (look_up("user", verified->identity.user_id, values) &&
		issued_before(verified->iat, DatumGetTimestampTz(values[Anum_revocation_before])))
		return true;
	verified->revocations = generation;
	return false;
}

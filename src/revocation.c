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
#include "utils/uuid.h"

#include "config_cache.h"
#include "revocation.h"
#include "varlena_slice.h"

/* Columns of relay_guard.revocation */
enum
{
	Anum_revocation_kind, Anum_revocation_value, Anum_revocation_before,
	Natts_revocation
};

#define INDEX "revocation_pkey"

typedef enum Kind
{
	JTI, SESSION, USER, KINDS
} Kind;

static const char *const kind_names[] = {"jti", "session", "user"};

/* Of which kinds there are revocations; what there is none of, is not asked. */
static struct
{
	uint64		generation;
	bool		kinds[KINDS];
}			in_use = {.generation = PG_UINT64_MAX};

static RgConfigCache table = {.table = "revocation",.natts = Natts_revocation};

void
rg_revocation_init(void)
{
	rg_config_register(&table);
}

static void
by_kind(ScanKey key, Kind kind)
{
	ScanKeyInit(key, Anum_revocation_kind + 1, BTEqualStrategyNumber, F_TEXTEQ,
				CStringGetTextDatum(kind_names[kind]));
}

static bool
any_of(Kind kind)
{
	ScanKeyData key;
	Datum		values[Natts_revocation];
	bool		nulls[Natts_revocation];

	by_kind(&key, kind);
	return rg_config_find(&table, INDEX, &key, 1, values, nulls);
}

/* Most installations revoke in one way, or never. */
static void
note_kinds(uint64 generation)
{
	if (in_use.generation == generation)
		return;
	for (Kind kind = 0; kind < KINDS; kind++)
		in_use.kinds[kind] = any_of(kind);
	in_use.generation = generation;
}

static bool
look_up(Kind kind, RgSlice value, Datum values[Natts_revocation])
{
	ScanKeyData keys[2];
	bool		nulls[Natts_revocation];

	if (value.len == 0 || !in_use.kinds[kind])
		return false;
	by_kind(&keys[0], kind);
	ScanKeyInit(&keys[1], Anum_revocation_value + 1, BTEqualStrategyNumber, F_TEXTEQ,
				rg_slice_datum(value));
	return rg_config_find(&table, INDEX, keys, lengthof(keys), values, nulls);
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
	note_kinds(generation);
	if (look_up(JTI, verified->jti, values) || look_up(SESSION, verified->identity.session_id, values))
		return true;
	if (look_up(USER, verified->identity.user_id, values) &&
		issued_before(verified->iat, DatumGetTimestampTz(values[Anum_revocation_before])))
		return true;
	verified->revocations = generation;
	return false;
}

/*
 * Sessions that were not revoked when the table was last asked, each in one
 * place that its random id chooses.
 */
#define PLACES 256

static struct
{
	pg_uuid_t	id;
	uint64		asked;			/* a generation and 1; 0: free */
}			in_force[PLACES];

bool
rg_revoked_session(const pg_uuid_t *id, const RgIdentity *identity, TimestampTz created_at)
{
	uint64		generation = rg_config_generation(&table);
	int			place = id->data[0] % PLACES;
	Datum		values[Natts_revocation];

	if (in_force[place].asked == generation + 1 &&
		memcmp(in_force[place].id.data, id->data, UUID_LEN) == 0)
		return false;
	note_kinds(generation);
	if (look_up(SESSION, identity->session_id, values))
		return true;
	if (look_up(USER, identity->user_id, values) &&
		created_at < DatumGetTimestampTz(values[Anum_revocation_before]))
		return true;
	in_force[place].id = *id;
	in_force[place].asked = generation + 1;
	return false;
}

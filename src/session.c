/*
 * session.c
 *		Sessions of browsers; session.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/fmgroids.h"
#include "utils/guc.h"
#include "utils/lsyscache.h"
#include "utils/syscache.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "own_relation.h"
#include "revocation.h"
#include "run_as.h"
#include "session.h"
#include "uuid.h"
#include "varlena_slice.h"

/* Columns of relay_guard.session */
enum
{
	Anum_session_id, Anum_session_hash, Anum_session_user_id, Anum_session_workspace_id,
	Anum_session_role, Anum_session_idle, Anum_session_created_at, Anum_session_expires_at,
	Anum_session_seen_at, Anum_session_ended_at,
	Natts_session
};

#define INDEX "session_hash_key"

/* A session that was used within this part of its idle time is not written. */
#define TOUCH_PART 16

static RgConfigCache table = {.table = "session",.natts = Natts_session};

/* Whether the serving's session is to be touched. */
static bool touch_due;

void
rg_session_init(void)
{
	rg_config_register(&table);
}

void
rg_session_hash(const uint8 secret[RG_SESSION_SECRET_BYTES], uint8 hash[RG_SESSION_HASH_BYTES])
{
	static const char purpose[] = "relay session";
	crypto_generichash_state state;

	crypto_generichash_init(&state, NULL, 0, RG_SESSION_HASH_BYTES);
	crypto_generichash_update(&state, (const uint8 *) purpose, sizeof purpose);
	crypto_generichash_update(&state, secret, RG_SESSION_SECRET_BYTES);
	crypto_generichash_final(&state, hash, RG_SESSION_HASH_BYTES);
	sodium_memzero(&state, sizeof state);
}

static bool
find(const uint8 *secret, Datum values[Natts_session], bool nulls[Natts_session])
{
	uint8		hash[RG_SESSION_HASH_BYTES];
	ScanKeyData by_hash;

	rg_session_hash(secret, hash);
	ScanKeyInit(&by_hash, Anum_session_hash + 1, BTEqualStrategyNumber, F_BYTEAEQ,
				rg_slice_datum(rg_slice((char *) hash, sizeof hash)));
	return rg_config_find(&table, INDEX, &by_hash, 1, values, nulls);
}

/* A month has 30 days, as elsewhere. */
static int64
microseconds(const Interval *interval)
{
	return interval->time +
		((int64) interval->month * DAYS_PER_MONTH + interval->day) * USECS_PER_DAY;
}

/* By the clock, not by the transaction's start: that may be long ago. */
static RgSessionError
check_times(const Datum *values, const bool *nulls)
{
	TimestampTz now = GetCurrentTimestamp();
	int64		idle = microseconds(DatumGetIntervalP(values[Anum_session_idle]));
	int64		unused = now - DatumGetTimestampTz(values[Anum_session_seen_at]);

	if (!nulls[Anum_session_ended_at])
		return RG_SESSION_ENDED;
	if (now >= DatumGetTimestampTz(values[Anum_session_expires_at]) || unused >= idle)
		return RG_SESSION_EXPIRED;
	touch_due = unused >= idle / TOUCH_PART;
	return RG_SESSION_OK;
}

static void
describe(const Datum *values, const bool *nulls, RgIdentity *identity)
{
	char	   *id = palloc(RG_UUID_TEXT_LEN);

	rg_uuid_text(DatumGetUUIDP(values[Anum_session_id])->data, id);
	memset(identity, 0, sizeof *identity);
	identity->user_id = rg_datum_slice(values[Anum_session_user_id]);
	identity->role = rg_datum_slice(values[Anum_session_role]);
	identity->via = RG_SLICE("session");
	identity->session_id = rg_slice(id, RG_UUID_TEXT_LEN);
	if (!nulls[Anum_session_workspace_id])
		identity->workspace_id = rg_datum_slice(values[Anum_session_workspace_id]);
}

/* revoke() counts here, too: as for tokens, of a user those made before a time. */
static RgSessionError
verify(const uint8 *secret, Datum *values, RgIdentity *identity)
{
	bool		nulls[Natts_session];
	RgSessionError error;

	memset(identity, 0, sizeof *identity);
	if (!find(secret, values, nulls))
		return RG_SESSION_UNKNOWN;
	describe(values, nulls, identity);
	error = check_times(values, nulls);
	if (error == RG_SESSION_OK &&
		rg_revoked_session(DatumGetUUIDP(values[Anum_session_id]), identity,
						   DatumGetTimestampTz(values[Anum_session_created_at])))
		error = RG_SESSION_REVOKED;
	return error;
}

RgSessionError
rg_session_identify(RgServing *serving, RgIdentity *identity, RgSlice *subject)
{
	Datum		values[Natts_session];
	uint8		secret[RG_SESSION_SECRET_BYTES];
	RgSessionError error = rg_session_cookie_read(serving->request, secret);

	*subject = rg_slice(NULL, 0);
	if (error != RG_SESSION_OK)
		return error;
	error = verify(secret, values, identity);
	if (error != RG_SESSION_OK)
		*subject = identity->user_id;
	else
	{
		serving->has_session = true;
		memcpy(serving->session_id, DatumGetUUIDP(values[Anum_session_id])->data,
			   sizeof serving->session_id);
		memcpy(serving->session_secret, secret, sizeof secret);
	}
	sodium_memzero(secret, sizeof secret);
	return error;
}

static Oid
owner_of_table(void)
{
	Oid			relid = rg_own_relation_required(table.table);
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(relid));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		elog(ERROR, "cache lookup failed for relation %u", relid);
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

/*
 * Whoever finds the row locked leaves it: another request of the session is just
 * doing the same, and nobody must wait for the end of that.
 */
static void
update_seen_at(const uint8 *session_id)
{
	Oid			types[] = {UUIDOID, TIMESTAMPTZOID};
	Datum		values[] = {PointerGetDatum(session_id), TimestampTzGetDatum(GetCurrentTimestamp())};

	SPI_connect();
	SPI_execute_with_args("UPDATE relay_guard.session SET seen_at = $2 WHERE id = "
						  "(SELECT id FROM relay_guard.session WHERE id = $1 FOR NO KEY UPDATE SKIP LOCKED)",
						  lengthof(types), types, values, NULL, false, 0);
	SPI_finish();
}

void
rg_session_touch(const RgServing *serving)
{
	int			nest;
	RgRunAs		before;

	if (!serving->has_session || !touch_due || XactReadOnly || RecoveryInProgress() ||
		IsolationUsesXactSnapshot())
		return;
	nest = NewGUCNestLevel();
	before = rg_run_as_enter(owner_of_table(), "pg_catalog, pg_temp");
	update_seen_at(serving->session_id);
	rg_run_as_leave(before);
	AtEOXact_GUC(false, nest);
}

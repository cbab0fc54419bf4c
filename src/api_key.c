/*
 * api_key.c
 *		API keys: making, hashing and looking up.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api_key.h"
#include "base64url.h"
#include "config_cache.h"
#include "denial.h"
#include "errcodes.h"
#include "identity.h"
#include "keyring.h"
#include "log_guard.h"
#include "secret.h"
#include "varlena_slice.h"
#include "verifier.h"

#define KEY_PREFIX "rgk_"		/* by which scanners of source code find keys */
#define KEY_BYTES 32
#define HASH_BYTES 32
#define MAX_LEN 256				/* of a presented key */

/* Columns of relay_guard.api_key, and of api_key_pepper */
enum
{
	Anum_api_key_id, Anum_api_key_name, Anum_api_key_hash, Anum_api_key_role,
	Anum_api_key_workspace, Anum_api_key_scopes, Anum_api_key_rate,
	Anum_api_key_created_at, Anum_api_key_expires_at, Anum_api_key_revoked_at,
	Natts_api_key
};
enum
{
	Anum_pepper_singleton, Anum_pepper_sealed,
	Natts_pepper
};

/* A copy of the sealed pepper; NULL while there is none. */
static void *
load_pepper(TableScanDesc scan, MemoryContext context, void *previous)
{
	Datum	   *values;
	bool	   *nulls;

	if (!rg_config_next(scan, &values, &nulls))
		return NULL;
	return DatumGetByteaPCopy(values[Anum_pepper_sealed]);
}

static RgConfigCache keys = {.table = "api_key",.natts = Natts_api_key};
static RgConfigCache sealed_pepper = {
	.table = "api_key_pepper",.natts = Natts_pepper,.load = load_pepper
};

/* The pepper, in guarded memory, and what it was opened from. */
static struct
{
	uint64		table_generation;
	uint64		ring_generation;
	uint8	   *bytes;			/* NULL: not opened yet */
}			pepper;

void
rg_api_key_init(void)
{
	rg_config_register(&keys);
	rg_config_register(&sealed_pepper);
}

/* Two at once: the second waits for the first, then finds its pepper. */
static void
make_pepper(void)
{
	uint8		bytes[KEY_BYTES];
	RgSlice		sealed;
	Oid			types[] = {BYTEAOID};
	Datum		value;

	randombytes_buf(bytes, sizeof bytes);
	sealed = rg_secret_seal("api_key_pepper", "", "", rg_slice((char *) bytes, sizeof bytes));
	sodium_memzero(bytes, sizeof bytes);
	value = rg_slice_datum(sealed);
	SPI_connect();
	SPI_execute_with_args("INSERT INTO relay_guard.api_key_pepper (secret) VALUES ($1)"
						  " ON CONFLICT DO NOTHING", 1, types, &value, NULL, false, 0);
	SPI_finish();
	AcceptInvalidationMessages();
}

/* Keeps an opened pepper where no core dump and no swap finds it. */
static void
keep_pepper(RgSlice opened)
{
	if (pepper.bytes == NULL)
		pepper.bytes = sodium_malloc(KEY_BYTES);
	if (pepper.bytes == NULL || opened.len != KEY_BYTES)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("could not prepare the pepper of API keys"));
	memcpy(pepper.bytes, opened.data, KEY_BYTES);
	rg_secret_wipe(opened);
}

/* Nobody can make the same pepper again: what it hashed is lost with it. */
static RgSlice
unseal_pepper(const bytea *sealed)
{
	RgSlice		opened;

	if (!rg_secret_try_open("api_key_pepper", "", "",
							rg_slice(VARDATA(sealed), VARSIZE(sealed) - VARHDRSZ), &opened))
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("the pepper of API keys does not open"),
				errdetail("It was sealed under a key that the server's key ring does not have, or changed by hand."),
				errhint("Bring that key back into the key ring, or empty relay_guard.api_key and relay_guard.api_key_pepper as their owner and make all API keys anew."));
	return opened;
}

/*
 * Opens the pepper unless that is done; false when there is none yet.  Both
 * generations are read first: a pepper that comes in while the former one is
 * read is then opened by the next call.
 */
static bool
open_pepper(void)
{
	uint64		table_generation = sealed_pepper.generation;
	uint64		ring_generation = rg_keyring_generation();
	const bytea *sealed = rg_config_get(&sealed_pepper);

	if (sealed == NULL)
		return false;
	if (pepper.bytes != NULL && pepper.table_generation == table_generation &&
		pepper.ring_generation == ring_generation)
		return true;
	keep_pepper(unseal_pepper(sealed));
	pepper.table_generation = table_generation;
	pepper.ring_generation = ring_generation;
	return true;
}

/* The hash of a key under the pepper, as a datum; open_pepper() was true. */
static Datum
hash_key(RgSlice key)
{
	bytea	   *hash = palloc(VARHDRSZ + HASH_BYTES);

	SET_VARSIZE(hash, VARHDRSZ + HASH_BYTES);
	crypto_generichash((uint8 *) VARDATA(hash), HASH_BYTES, (const uint8 *) key.data, key.len,
					   pepper.bytes, KEY_BYTES);
	return PointerGetDatum(hash);
}

static bool
find(RgSlice key, Datum values[Natts_api_key], bool nulls[Natts_api_key])
{
	ScanKeyData by_hash;

	if (key.len == 0 || key.len > MAX_LEN || !open_pepper())
		return false;
	ScanKeyInit(&by_hash, Anum_api_key_hash + 1, BTEqualStrategyNumber, F_BYTEAEQ, hash_key(key));
	return rg_config_find(&keys, "api_key_hash_key", &by_hash, 1, values, nulls);
}

static RgSlice
user_id_of(Datum id)
{
	char	   *uuid = DatumGetCString(DirectFunctionCall1(uuid_out, id));

	return rg_slice_of(psprintf(RG_API_KEY_USER_PREFIX "%s", uuid));
}

static RgSlice
join(char **scopes, int count)
{
	StringInfoData joined;

	initStringInfo(&joined);
	for (int i = 0; i < count; i++)
		appendStringInfo(&joined, "%s%s", i > 0 ? " " : "", scopes[i]);
	return rg_slice(joined.len > 0 ? joined.data : NULL, joined.len);
}

static void
describe(const Datum *values, const bool *nulls, RgIdentity *identity)
{
	int			nscopes;
	char	  **scopes = rg_config_texts(values[Anum_api_key_scopes], &nscopes);

	memset(identity, 0, sizeof *identity);
	identity->user_id = user_id_of(values[Anum_api_key_id]);
	identity->role = rg_datum_slice(values[Anum_api_key_role]);
	identity->via = RG_SLICE("api_key");
	identity->scopes = join(scopes, nscopes);
	if (!nulls[Anum_api_key_workspace])
		identity->workspace_id = rg_datum_slice(values[Anum_api_key_workspace]);
}

static RgApiKeyError
check_validity(const Datum *values, const bool *nulls)
{
	if (!nulls[Anum_api_key_revoked_at])
		return RG_API_KEY_REVOKED;
	if (!nulls[Anum_api_key_expires_at] &&
		DatumGetTimestampTz(values[Anum_api_key_expires_at]) <= GetCurrentTimestamp())
		return RG_API_KEY_EXPIRED;
	return RG_API_KEY_OK;
}

RgApiKeyError
rg_api_key_verify(RgSlice key, RgIdentity *identity, RgSlice *subject,
				  char ***rates, int *nrates)
{
	Datum		values[Natts_api_key];
	bool		nulls[Natts_api_key];
	RgApiKeyError error;

	*subject = rg_slice(NULL, 0);
	if (!find(key, values, nulls))
		return RG_API_KEY_UNKNOWN;
	error = check_validity(values, nulls);
	if (error != RG_API_KEY_OK)
	{
		*subject = user_id_of(values[Anum_api_key_id]);
		return error;
	}
	describe(values, nulls, identity);
	*rates = rg_config_texts(values[Anum_api_key_rate], nrates);
	return RG_API_KEY_OK;
}

const char *
rg_api_key_reason(RgApiKeyError error)
{
	static const char *const reasons[] = {
		[RG_API_KEY_OK] = "ok",
		[RG_API_KEY_UNKNOWN] = "api_key_unknown",
		[RG_API_KEY_EXPIRED] = "api_key_expired",
		[RG_API_KEY_REVOKED] = "api_key_revoked",
	};

	return reasons[error];
}

_Noreturn static void
refuse(FunctionCallInfo fcinfo, RgApiKeyError error, RgSlice subject)
{
	rg_denial_note_credentials(fcinfo, rg_api_key_reason(error), subject);
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("the API key is not valid"),
			errdetail_internal("%s", rg_api_key_reason(error)),
			errhint("Use a key that relay_guard.api_key_create() made."));
}

static void
authenticate(FunctionCallInfo fcinfo)
{
	RgIdentity	identity;
	RgSlice		subject;
	char	  **rates;
	int			nrates;
	RgApiKeyError error;

	AcceptInvalidationMessages();
	error = rg_api_key_verify(rg_text_argument(fcinfo, 0), &identity, &subject, &rates, &nrates);
	if (error != RG_API_KEY_OK)
		refuse(fcinfo, error, subject);
	identity.request_id = rg_text_argument(fcinfo, 1);
	identity.client_ip = rg_inet_argument(fcinfo, 2);
	rg_context_set(&identity);
}

PG_FUNCTION_INFO_V1(relay_guard_authenticate_api_key);

/* authenticate_api_key(key, request_id, client_ip) → the user id */
Datum
relay_guard_authenticate_api_key(PG_FUNCTION_ARGS)
{
	rg_log_guard_secret_used();
	rg_identity_warn_if_lost("authenticate_api_key()");
	authenticate(fcinfo);
	PG_RETURN_DATUM(PointerGetDatum(rg_context_datum(&rg_context()->user_id)));
}

PG_FUNCTION_INFO_V1(relay_guard_api_key_random);

/* api_key_random(): a new key, 256 random bits */
Datum
relay_guard_api_key_random(PG_FUNCTION_ARGS)
{
	uint8		bytes[KEY_BYTES];
	char		key[sizeof KEY_PREFIX + RG_BASE64URL_SIZE(KEY_BYTES)] = KEY_PREFIX;
	size_t		len;
	text	   *result;

	randombytes_buf(bytes, sizeof bytes);
	len = rg_base64url_encode(rg_slice((char *) bytes, sizeof bytes), key + strlen(KEY_PREFIX));
	result = cstring_to_text_with_len(key, strlen(KEY_PREFIX) + len);
	sodium_memzero(bytes, sizeof bytes);
	sodium_memzero(key, sizeof key);
	PG_RETURN_TEXT_P(result);
}

static void
refuse_weak_key(RgSlice key)
{
	const char *weakness = rg_verifier_weak_secret(key);

	if (weakness != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the API key %s", weakness),
				errhint("Use 32 random bytes or more, for example from \"openssl rand -base64 32\"."));
	if (key.len > MAX_LEN)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the API key is longer than %d bytes", MAX_LEN));
}

/* The hash of a key to be registered, under the pepper, which the first makes. */
static Datum
hash_new_key(RgSlice key)
{
	refuse_weak_key(key);
	if (!open_pepper())
		make_pepper();
	if (!open_pepper())
		elog(ERROR, "the pepper of API keys is gone");
	return hash_key(key);
}

PG_FUNCTION_INFO_V1(relay_guard_api_key_hash);

/* api_key_hash(key): for the functions that register keys */
Datum
relay_guard_api_key_hash(PG_FUNCTION_ARGS)
{
	Datum		hash;

	rg_log_guard_secret_used();
	hash = hash_new_key(rg_text_argument(fcinfo, 0));
	return hash;
}

static bool
put_key(Datum name, Datum hash, Datum role)
{
	Oid			types[] = {TEXTOID, BYTEAOID, TEXTOID};
	Datum		values[] = {name, hash, role};
	bool		isnull;
	bool		changed;

	SPI_connect();
	SPI_execute_with_args("SELECT relay_guard.api_key_put($1, $2, $3)",
						  3, types, values, NULL, false, 1);
	changed = DatumGetBool(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return changed;
}

PG_FUNCTION_INFO_V1(relay_guard_api_key_set);

/*
 * api_key_set(name, key, role): whatever is wrong with any of them, the
 * statement, which holds the key, stays out of the log.
 */
Datum
relay_guard_api_key_set(PG_FUNCTION_ARGS)
{
	bool		changed;

	rg_log_guard_secret_used();
	changed = put_key(PG_GETARG_DATUM(0), hash_new_key(rg_text_argument(fcinfo, 1)),
					  PG_GETARG_DATUM(2));
	PG_RETURN_BOOL(changed);
}

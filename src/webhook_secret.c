/*
 * webhook_secret.c
 *		The table webhook_secret; webhook_secret.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "errcodes.h"
#include "secret.h"
#include "varlena_slice.h"
#include "webhook_secret.h"
#include "webhook_signature.h"

/* Columns of relay_guard.webhook_secret */
enum
{
	Anum_webhook_name, Anum_webhook_version, Anum_webhook_secret,
	Anum_webhook_created_at, Anum_webhook_expires_at,
	Natts_webhook
};

static RgConfigCache table = {.table = "webhook_secret",.natts = Natts_webhook};

static bool
next_row(RgLiveSecrets *secrets, Datum values[Natts_webhook], bool nulls[Natts_webhook])
{
	ScanKeyData keys[2];

	if (secrets->at_end)
		return false;
	ScanKeyInit(&keys[0], Anum_webhook_name + 1, BTEqualStrategyNumber, F_TEXTEQ,
				PointerGetDatum(secrets->name));
	ScanKeyInit(&keys[1], Anum_webhook_version + 1, BTGreaterStrategyNumber, F_INT4GT,
				Int32GetDatum(secrets->version));
	if (!rg_config_find(&table, "webhook_secret_pkey", keys, 2, values, nulls))
		return false;
	secrets->version = DatumGetInt32(values[Anum_webhook_version]);
	secrets->at_end = nulls[Anum_webhook_expires_at];
	return true;
}

static bool
has_ended(const Datum *values, const bool *nulls)
{
	return !nulls[Anum_webhook_expires_at] &&
		DatumGetTimestampTz(values[Anum_webhook_expires_at]) <= GetCurrentTimestamp();
}

/* The rest of a former one's grace is not worth the loss of every message. */
static bool
open_secret(RgLiveSecrets *secrets, const Datum *values, const bool *nulls)
{
	char	   *name = text_to_cstring(secrets->name);
	RgSlice		sealed = rg_datum_slice(values[Anum_webhook_secret]);

	if (nulls[Anum_webhook_expires_at])
		secrets->secret = rg_secret_open(table.table, name, "", sealed);
	else if (!rg_secret_try_open(table.table, name, "", sealed, &secrets->secret))
	{
		ereport(WARNING,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("a former secret of webhook \"%s\" does not open and is left out", name));
		return false;
	}
	return true;
}

bool
rg_live_secret_next(RgLiveSecrets *secrets)
{
	Datum		values[Natts_webhook];
	bool		nulls[Natts_webhook];

	while (next_row(secrets, values, nulls))
		if (!has_ended(values, nulls) && open_secret(secrets, values, nulls))
			return secrets->any = true;
	return false;
}

static void
refuse_secret(RgSlice secret)
{
	const char *reason = rg_webhook_secret_refusal(secret);

	if (reason != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the secret %s", reason),
				errhint("Leave it out to have one made, or use what the sender of the webhooks shows, to the letter."));
}

static void
refuse_key(RgSlice key)
{
	bool		fits = key.len > 0 && key.len <= RG_GIVEN_KEY_MAX;

	for (size_t i = 0; fits && i < key.len; i++)
		fits = key.data[i] > ' ' && key.data[i] <= '~';
	if (!fits)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the key is not 1 to %d characters of visible ASCII", RG_GIVEN_KEY_MAX),
				errhint("Use what the provider shows, to the letter."));
}

/* Whether it is the one that is stored; one that does not open is another. */
static bool
is_stored(text * name, RgSlice secret)
{
	RgLiveSecrets secrets = {.name = name};
	Datum		values[Natts_webhook];
	bool		nulls[Natts_webhook];
	RgSlice		stored;
	bool		same = false;

	while (next_row(&secrets, values, nulls))
	{
		if (!nulls[Anum_webhook_expires_at] ||
			!rg_secret_try_open(table.table, text_to_cstring(name), "",
								rg_datum_slice(values[Anum_webhook_secret]), &stored))
			continue;
		same = stored.len == secret.len && sodium_memcmp(stored.data, secret.data, secret.len) == 0;
		rg_secret_wipe(stored);
	}
	return same;
}

text *
rg_endpoint_secret_name(RgSlice endpoint)
{
	return cstring_to_text(psprintf(RG_ENDPOINT_SECRETS "%.*s", (int) endpoint.len, endpoint.data));
}

/* The secret sealed, or null when there is nothing new to store. */
static void
put(text * name, RgSlice secret, Datum keep_old)
{
	Oid			types[] = {TEXTOID, BYTEAOID, INTERVALOID};
	Datum		values[] = {PointerGetDatum(name), (Datum) 0, keep_old};
	char		nulls[] = {' ', 'n', ' '};

	if (!is_stored(name, secret))
	{
		values[1] = rg_slice_datum(rg_secret_seal(table.table, text_to_cstring(name), "", secret));
		nulls[1] = ' ';
	}
	SPI_connect();
	SPI_execute_with_args("SELECT relay_guard.webhook_secret_put($1, $2, $3)",
						  3, types, values, nulls, false, 1);
	SPI_finish();
}

static text *
make_and_put(text * name, Datum keep_old)
{
	char		secret[RG_WEBHOOK_TEXT_SIZE];
	text	   *shown;

	rg_webhook_secret_make(secret);
	shown = cstring_to_text(secret);
	sodium_memzero(secret, sizeof secret);
	put(name, rg_slice(VARDATA(shown), VARSIZE(shown) - VARHDRSZ), keep_old);
	return shown;
}

text *
rg_webhook_secret_store(text * name, RgSlice secret, Datum keep_old)
{
	if (secret.data == NULL)
		return make_and_put(name, keep_old);
	refuse_secret(secret);
	put(name, secret, keep_old);
	return NULL;
}

void
rg_given_key_store(text * name, RgSlice key, Datum keep_old)
{
	refuse_key(key);
	put(name, key, keep_old);
}

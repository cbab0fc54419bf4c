/*
 * secret.c
 *		Secrets in tables: sealed under the key ring, bound to their row.
 */
#include "postgres.h"

#include <sodium.h>

#include "lib/stringinfo.h"

#include "errcodes.h"
#include "keyring.h"
#include "secret.h"

/* Names the row: three strings, each ended by a NUL, so none runs over. */
static RgSlice
row_aad(const char *table, const char *key1, const char *key2)
{
	StringInfoData aad;

	initStringInfo(&aad);
	appendBinaryStringInfo(&aad, table, strlen(table) + 1);
	appendBinaryStringInfo(&aad, key1, strlen(key1) + 1);
	appendBinaryStringInfo(&aad, key2, strlen(key2) + 1);
	return rg_slice(aad.data, aad.len);
}

RgSlice
rg_secret_seal(const char *table, const char *key1, const char *key2, RgSlice secret)
{
	return rg_keyring_seal(RG_FOR_SECRETS, row_aad(table, key1, key2), secret);
}

bool
rg_secret_try_open(const char *table, const char *key1, const char *key2, RgSlice sealed,
				   RgSlice *secret)
{
	uint32		key_id = rg_envelope_key_id(sealed);

	return key_id != 0 && rg_keyring_available() && rg_keyring_usable(key_id) &&
		rg_keyring_open(RG_FOR_SECRETS, row_aad(table, key1, key2), sealed, secret);
}

RgSlice
rg_secret_open(const char *table, const char *key1, const char *key2, RgSlice sealed)
{
	RgSlice		secret;

	if (!rg_keyring_open(RG_FOR_SECRETS, row_aad(table, key1, key2), sealed, &secret))
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("the secret of relay_guard.%s (%s%s%s) does not open", table, key1,
					   *key2 != '\0' ? ", " : "", key2),
				errhint("Its row was made with another key ring or changed by hand: register the secret again."));
	return secret;
}

void
rg_secret_wipe(RgSlice secret)
{
	sodium_memzero(unconstify(char *, secret.data), secret.len);
}

/*
 * jwt_key.c
 *		Registration of the keys that verify tokens.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"

#include "identity.h"
#include "secret.h"
#include "verifier.h"

static void
refuse_weak_secret(RgSlice secret)
{
	const char *weakness = rg_verifier_weak_secret(secret);

	if (weakness != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the secret %s", weakness),
				errhint("Use 32 random bytes or more, for example from \"openssl rand -base64 32\"."));
}

static void
store_key(const char *iss, const char *kid, RgSlice sealed)
{
	Oid			types[] = {TEXTOID, TEXTOID, BYTEAOID};
	bytea	   *secret = (bytea *) cstring_to_text_with_len(sealed.data, sealed.len);
	Datum		values[] = {
		CStringGetTextDatum(iss), CStringGetTextDatum(kid), PointerGetDatum(secret)
	};

	SPI_connect();
	SPI_execute_with_args("INSERT INTO relay_guard.jwt_key (iss, kid, alg, secret)"
						  " VALUES ($1, $2, 'HS256', $3)",
						  3, types, values, NULL, false, 0);
	SPI_finish();
}

PG_FUNCTION_INFO_V1(relay_guard_jwt_key_add);

/* jwt_key_add(iss, kid, secret): SECURITY DEFINER, for admins */
Datum
relay_guard_jwt_key_add(PG_FUNCTION_ARGS)
{
	ErrorContextCallback hide = {error_context_stack, rg_secret_hide_statement, NULL};
	char	   *iss = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *kid = text_to_cstring(PG_GETARG_TEXT_PP(1));
	RgSlice		secret = rg_text_argument(fcinfo, 2);

	error_context_stack = &hide;
	refuse_weak_secret(secret);
	store_key(iss, kid, rg_secret_seal("jwt_key", iss, kid, secret));
	error_context_stack = hide.previous;
	PG_RETURN_VOID();
}

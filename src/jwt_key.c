/*
 * jwt_key.c
 *		Registration of the keys that verify tokens.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"

#include "identity.h"
#include "jwk.h"
#include "log_guard.h"
#include "secret.h"
#include "varlena_slice.h"

static void
refuse_weak_secret(RgSlice secret)
{
	const char *weakness = rg_verifier_weak_secret(secret);

	if (weakness != NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the secret %s", weakness),
				errhint("Use 32 random bytes or more, for example from \"openssl rand -base64 32\"; a public key is registered by jwt_public_key_add()."));
}

static void
store_key(const char *iss, const char *kid, RgSlice sealed)
{
	Oid			types[] = {TEXTOID, TEXTOID, BYTEAOID};
	Datum		values[] = {
		CStringGetTextDatum(iss), CStringGetTextDatum(kid), rg_slice_datum(sealed)
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
	char	   *iss = text_to_cstring(PG_GETARG_TEXT_PP(0));
	char	   *kid = text_to_cstring(PG_GETARG_TEXT_PP(1));
	RgSlice		secret = rg_text_argument(fcinfo, 2);

	rg_log_guard_secret_used();
	refuse_weak_secret(secret);
	store_key(iss, kid, rg_secret_seal("jwt_key", iss, kid, secret));
	PG_RETURN_VOID();
}

static const char *
quote_kid(const RgJwkRefusal *refusal)
{
	return refusal->kid[0] != '\0' ? psprintf("the key \"%s\"", refusal->kid) : "a key";
}

/* Raises what is wrong with a set, and with its first bad key. */
static void
refuse_set(const RgJwkSet *set)
{
	ereport(ERROR,
			errcode(ERRCODE_INVALID_PARAMETER_VALUE),
			errmsg("the key set %s", set->error),
			set->nrefused == 0 ? 0 :
			errdetail("Refused: %s %s.", quote_kid(&set->refused[0]), set->refused[0].reason),
			set->nignored == 0 ? 0 :
			errhint("Ignored for their use, type or algorithm: %d. RS256, ES256 with P-256 and EdDSA with Ed25519 are read.", set->nignored));
}

static void
read_set(const Jsonb *jwks, RgJwkSet *set)
{
	StringInfoData text;

	initStringInfo(&text);
	(void) JsonbToCString(&text, unconstify(JsonbContainer *, &jwks->root), VARSIZE(jwks));
	if (!rg_jwks_parse(rg_slice(text.data, text.len), set))
		refuse_set(set);
	pfree(text.data);
}

static void
warn_of_refused(const RgJwkSet *set)
{
	for (int i = 0; i < set->nrefused; i++)
		ereport(WARNING,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s is left out: it %s", quote_kid(&set->refused[i]), set->refused[i].reason));
}

static void
put_key(ReturnSetInfo *result, const RgJwk *jwk)
{
	Datum		values[] = {
		CStringGetTextDatum(jwk->kid),
		CStringGetTextDatum(jwk->alg),
		DirectFunctionCall1(jsonb_in, CStringGetDatum(jwk->json)),
	};
	bool		nulls[lengthof(values)] = {false};

	tuplestore_putvalues(result->setResult, result->setDesc, values, nulls);
}

PG_FUNCTION_INFO_V1(relay_guard_jwks_keys);

/*
 * jwks_keys(jwks) → the usable keys of a set: kid, alg, public_key.  What is
 * refused may hold a private key: statements are kept out of the log.
 */
Datum
relay_guard_jwks_keys(PG_FUNCTION_ARGS)
{
	RgJwkSet   *set = palloc(sizeof *set);

	rg_log_guard_secret_used();
	InitMaterializedSRF(fcinfo, 0);
	read_set(PG_GETARG_JSONB_P(0), set);
	warn_of_refused(set);
	for (int i = 0; i < set->count; i++)
		put_key((ReturnSetInfo *) fcinfo->resultinfo, &set->keys[i]);
	pfree(set);
	return (Datum) 0;
}

static int32
put_set(Datum iss, Datum jwks)
{
	Oid			types[] = {TEXTOID, JSONBOID};
	Datum		values[] = {iss, jwks};
	bool		isnull;
	int32		live;

	SPI_connect();
	SPI_execute_with_args("SELECT relay_guard.jwks_put($1, $2)",
						  2, types, values, NULL, false, 1);
	live = DatumGetInt32(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull));
	SPI_finish();
	return live;
}

PG_FUNCTION_INFO_V1(relay_guard_jwks_import);

/*
 * jwks_import(iss, jwks): the set may hold a private key beside good ones, and
 * be refused for another reason.
 */
Datum
relay_guard_jwks_import(PG_FUNCTION_ARGS)
{
	int32		live;

	rg_log_guard_secret_used();
	live = put_set(PG_GETARG_DATUM(0), PG_GETARG_DATUM(1));
	PG_RETURN_INT32(live);
}

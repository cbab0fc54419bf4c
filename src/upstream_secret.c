/*
 * upstream_secret.c
 *		upstream_secret_set(): what the gateway's word to an upstream is signed
 *		with.
 */
#include "postgres.h"

#include "fmgr.h"
#include "utils/builtins.h"

#include "identity.h"
#include "log_guard.h"
#include "upstream.h"
#include "webhook_secret.h"

static const RgUpstream *
known_upstream(FunctionCallInfo fcinfo)
{
	const char *name = PG_ARGISNULL(0) ? "" : text_to_cstring(PG_GETARG_TEXT_PP(0));
	const RgUpstream *upstream = rg_upstream(name);

	if (upstream == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("upstream \"%s\" does not exist", name),
				errhint("Insert it into relay_guard.upstream first."));
	return upstream;
}

/* Nobody but the provider makes its keys. */
static void
require_given(const RgUpstream *upstream, RgSlice key)
{
	if (key.data == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("upstream \"%s\" is of auth bearer: its secret must not be null", upstream->name),
				errhint("Pass the key that it gave."));
}

static void
require_grace(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("keep_old must not be null"),
				errhint("Pass '0' to end the former secret at once."));
}

PG_FUNCTION_INFO_V1(relay_guard_upstream_secret_set);

/* upstream_secret_set(name, secret, keep_old): SECURITY DEFINER, for admins */
Datum
relay_guard_upstream_secret_set(PG_FUNCTION_ARGS)
{
	const RgUpstream *upstream;
	text	   *name;
	text	   *shown = NULL;

	rg_log_guard_secret_used();
	upstream = known_upstream(fcinfo);
	require_grace(fcinfo);
	name = cstring_to_text(psprintf(RG_UPSTREAM_SECRETS "%s", upstream->name));
	if (upstream->auth == RG_UPSTREAM_BEARER)
	{
		require_given(upstream, rg_text_argument(fcinfo, 1));
		rg_given_key_store(name, rg_text_argument(fcinfo, 1), PG_GETARG_DATUM(2));
	}
	else
		shown = rg_webhook_secret_store(name, rg_text_argument(fcinfo, 1), PG_GETARG_DATUM(2));
	if (shown == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(shown);
}

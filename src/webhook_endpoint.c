/*
 * webhook_endpoint.c
 *		webhook_endpoint_secret_set(): what messages to an endpoint are signed
 *		with.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"

#include "identity.h"
#include "log_guard.h"
#include "varlena_slice.h"
#include "webhook_secret.h"

/* It is there until the secret is: no secret is left to the next one of that name. */
static void
require_endpoint(RgSlice name)
{
	Oid			types[] = {TEXTOID};
	Datum		values[] = {rg_slice_datum(name)};

	SPI_connect();
	(void) SPI_execute_with_args("SELECT FROM relay_guard.webhook_endpoint WHERE name = $1 FOR KEY SHARE",
								 1, types, values, NULL, false, 1);
	if (SPI_processed == 0)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("webhook endpoint \"%.*s\" does not exist", (int) name.len, name.data),
				errhint("Insert it into relay_guard.webhook_endpoint first."));
	SPI_finish();
}

static void
require_arguments(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the name of a webhook endpoint and keep_old must not be null"),
				errhint("Pass '0' to end the former secret at once."));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_endpoint_secret_set);

/* webhook_endpoint_secret_set(name, secret, keep_old): SECURITY DEFINER, for admins */
Datum
relay_guard_webhook_endpoint_secret_set(PG_FUNCTION_ARGS)
{
	RgSlice		name;
	text	   *shown;

	rg_log_guard_secret_used();
	require_arguments(fcinfo);
	name = rg_text_argument(fcinfo, 0);
	require_endpoint(name);
	shown = rg_webhook_secret_store(rg_endpoint_secret_name(name), rg_text_argument(fcinfo, 1),
									PG_GETARG_DATUM(2));
	if (shown == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(shown);
}

/*
 * webhook.c
 *		webhook_secret_set(), webhook_sign() and webhook_verify...().
 *
 * A secret is stored sealed and opened for every call: that takes half a
 * microsecond, and nothing has to be kept, noticed or wiped later.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/htup_details.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/fmgroids.h"
#include "utils/timestamp.h"

#include "config_cache.h"
#include "errcodes.h"
#include "identity.h"
#include "log_guard.h"
#include "secret.h"
#include "varlena_slice.h"
#include "webhook_signature.h"

#define UNIX_TO_POSTGRES ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

/* Columns of relay_guard.webhook_secret */
enum
{
	Anum_webhook_name, Anum_webhook_version, Anum_webhook_secret,
	Anum_webhook_created_at, Anum_webhook_expires_at,
	Natts_webhook
};

static RgConfigCache table = {.table = "webhook_secret",.natts = Natts_webhook};

/* The live secrets of a name, oldest first; the current one is the last. */
typedef struct Secrets
{
	text	   *name;
	int32		version;		/* of the row that was read last, or 0 */
	bool		at_end;			/* whether that was the current one */
	bool		any;			/* whether there was one */
	RgSlice		secret;			/* the caller's to wipe */
} Secrets;

static text *
name_argument(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the name of a webhook secret must not be null"));
	return PG_GETARG_TEXT_PP(0);
}

/*
 * Finding secrets
 */

static bool
next_row(Secrets *secrets, Datum values[Natts_webhook], bool nulls[Natts_webhook])
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

/*
 * The current secret has to open.  A former one that does not is passed over:
 * the rest of its grace is not worth the loss of every message.
 */
static bool
open_secret(Secrets *secrets, const Datum *values, const bool *nulls)
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

static bool
next_secret(Secrets *secrets)
{
	Datum		values[Natts_webhook];
	bool		nulls[Natts_webhook];

	while (next_row(secrets, values, nulls))
		if (!has_ended(values, nulls) && open_secret(secrets, values, nulls))
			return secrets->any = true;
	return false;
}

/* To be called after the last: no secret is no reason to call a message forged. */
static void
require_any(const Secrets *secrets)
{
	if (!secrets->any)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("there is no webhook secret \"%s\"", text_to_cstring(secrets->name)),
				errhint("Store it with relay_guard.webhook_secret_set(name, secret)."));
}

/*
 * Storing them
 */

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

/* Whether it is the one that is stored; one that does not open is another. */
static bool
is_stored(text * name, RgSlice secret)
{
	Secrets		secrets = {.name = name};
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

static text *
set_secret(FunctionCallInfo fcinfo)
{
	text	   *name = name_argument(fcinfo);
	RgSlice		secret = rg_text_argument(fcinfo, 1);

	if (PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("keep_old must not be null"),
				errhint("Pass '0' to end the former secret at once."));
	if (PG_ARGISNULL(1))
		return make_and_put(name, PG_GETARG_DATUM(2));
	refuse_secret(secret);
	put(name, secret, PG_GETARG_DATUM(2));
	return NULL;
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_secret_set);

/* webhook_secret_set(name, secret, keep_old): SECURITY DEFINER, for admins */
Datum
relay_guard_webhook_secret_set(PG_FUNCTION_ARGS)
{
	text	   *shown;

	rg_log_guard_secret_used();
	shown = set_secret(fcinfo);
	if (shown == NULL)
		PG_RETURN_NULL();
	PG_RETURN_TEXT_P(shown);
}

/*
 * Signing
 */

/* With one secret of the name; false when that is for another form. */
static bool
sign(RgWebhookForm form, const Secrets *secrets, const RgWebhook *webhook,
	 char signature[RG_WEBHOOK_TEXT_SIZE])
{
	if (!rg_webhook_secret_signs(form, secrets->secret))
		return false;
	if (!rg_webhook_sign(form, secrets->secret, webhook, signature))
	{
		rg_secret_wipe(secrets->secret);
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not compute the signature of a webhook"));
	}
	return true;
}

static RgSlice
now_or_argument(FunctionCallInfo fcinfo, int argno)
{
	TimestampTz at = PG_ARGISNULL(argno) ? GetCurrentTimestamp() : PG_GETARG_TIMESTAMPTZ(argno);
	int64		seconds = at / USECS_PER_SEC - (at % USECS_PER_SEC < 0) + UNIX_TO_POSTGRES;
	RgSlice		written = rg_slice_of(psprintf(INT64_FORMAT, seconds));

	if (TIMESTAMP_NOT_FINITE(at) || !rg_webhook_timestamp(written, &seconds))
		ereport(ERROR,
				errcode(ERRCODE_DATETIME_VALUE_OUT_OF_RANGE),
				errmsg("the timestamp of a webhook must lie between the years 1970 and 33658"));
	return written;
}

static void
read_message(FunctionCallInfo fcinfo, RgWebhook *webhook)
{
	webhook->id = rg_text_argument(fcinfo, 1);
	webhook->body = rg_text_argument(fcinfo, 2);
	webhook->timestamp = now_or_argument(fcinfo, 3);
	if (webhook->body.data == NULL)
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the body of a webhook must not be null"));
	if (!rg_webhook_id_fits(webhook->id))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the id of a webhook must be 1 to 255 visible ASCII characters without a full stop"),
				errhint("Give every attempt to send a message the same, for example 'msg_' || gen_random_uuid()."));
}

/*
 * Every live secret signs in the standard form, the current one alone in the form
 * that has no room for more.
 */
static void
sign_all(text * name, const RgWebhook *webhook, StringInfo standard,
		 char body[RG_WEBHOOK_TEXT_SIZE])
{
	Secrets		secrets = {.name = name};
	char		signature[RG_WEBHOOK_TEXT_SIZE];

	while (next_secret(&secrets))
	{
		if (sign(RG_WEBHOOK_STANDARD, &secrets, webhook, signature))
			appendStringInfo(standard, "%s%s", standard->len > 0 ? " " : "", signature);
		(void) sign(RG_WEBHOOK_BODY, &secrets, webhook, body);
		rg_secret_wipe(secrets.secret);
	}
	require_any(&secrets);
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_sign);

/* webhook_sign(name, id, body, timestamp) → the headers, as a row */
Datum
relay_guard_webhook_sign(PG_FUNCTION_ARGS)
{
	text	   *name = name_argument(fcinfo);
	RgWebhook	webhook;
	StringInfoData standard;
	char		body[RG_WEBHOOK_TEXT_SIZE];
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

	rg_log_guard_secret_used();
	if (get_call_result_type(fcinfo, NULL, &desc) != TYPEFUNC_COMPOSITE)
		elog(ERROR, "webhook_sign() does not return a row");
	initStringInfo(&standard);
	read_message(fcinfo, &webhook);
	sign_all(name, &webhook, &standard, body);
	values[0] = rg_slice_datum(webhook.id);
	values[1] = rg_slice_datum(webhook.timestamp);
	values[2] = rg_slice_datum(rg_slice(standard.data, standard.len));
	values[3] = CStringGetTextDatum(body);
	nulls[2] = standard.len == 0;
	PG_RETURN_DATUM(HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls)));
}

/*
 * Verifying
 */

static int64
tolerance_argument(FunctionCallInfo fcinfo, int argno)
{
	const Interval *tolerance = PG_ARGISNULL(argno) ? NULL : PG_GETARG_INTERVAL_P(argno);
	int64		seconds = tolerance == NULL ? -1 :
	tolerance->month * (int64) DAYS_PER_MONTH * SECS_PER_DAY +
	tolerance->day * (int64) SECS_PER_DAY + tolerance->time / USECS_PER_SEC;

	if (seconds < 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the tolerance must be an interval of zero or more"));
	return seconds;
}

/* Whether a timestamp that fits is neither older nor newer than that. */
static bool
is_timely(RgSlice timestamp, int64 tolerance)
{
	int64		now = GetCurrentTimestamp() / USECS_PER_SEC + UNIX_TO_POSTGRES;
	int64		seconds;

	return rg_webhook_timestamp(timestamp, &seconds) &&
		seconds - now <= tolerance && now - seconds <= tolerance;
}

/*
 * Whether the header holds the message's signature by any of the live secrets;
 * all of them are tried.
 */
static bool
verify(text * name, RgWebhookForm form, const RgWebhook *webhook, RgSlice header)
{
	Secrets		secrets = {.name = name};
	char		signature[RG_WEBHOOK_TEXT_SIZE];
	bool		fits = rg_webhook_fits(form, webhook);
	bool		signs = false;
	bool		authentic = false;

	rg_log_guard_secret_used();
	while (next_secret(&secrets))
	{
		signs |= rg_webhook_secret_signs(form, secrets.secret);
		if (fits && sign(form, &secrets, webhook, signature))
			authentic |= rg_webhook_listed(form, header, signature);
		rg_secret_wipe(secrets.secret);
	}
	require_any(&secrets);
	if (!signs)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("webhook secret \"%s\" is not of Standard Webhooks", text_to_cstring(name)),
				errhint("Those start with whsec_; other secrets are for webhook_verify_body() and webhook_verify_slack()."));
	return authentic;
}

/* The same, of a message that is as young as the argument of that number says. */
static bool
verify_timely(FunctionCallInfo fcinfo, int tolerance_argno, RgWebhookForm form,
			  const RgWebhook *webhook, RgSlice header)
{
	int64		tolerance = tolerance_argument(fcinfo, tolerance_argno);

	return verify(name_argument(fcinfo), form, webhook, header) &&
		is_timely(webhook->timestamp, tolerance);
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_verify);

/*
 * webhook_verify(name, id, timestamp, signature, body, tolerance).  What the
 * message lacks makes it false, never null: IF NOT NULL would let it pass.
 */
Datum
relay_guard_webhook_verify(PG_FUNCTION_ARGS)
{
	RgWebhook	webhook = {
		.id = rg_text_argument(fcinfo, 1),
		.timestamp = rg_text_argument(fcinfo, 2),
		.body = rg_text_argument(fcinfo, 4),
	};

	PG_RETURN_BOOL(verify_timely(fcinfo, 5, RG_WEBHOOK_STANDARD, &webhook,
								 rg_text_argument(fcinfo, 3)));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_verify_body);

/* webhook_verify_body(name, signature, body): false as above */
Datum
relay_guard_webhook_verify_body(PG_FUNCTION_ARGS)
{
	RgWebhook	webhook = {.body = rg_text_argument(fcinfo, 2)};

	PG_RETURN_BOOL(verify(name_argument(fcinfo), RG_WEBHOOK_BODY, &webhook,
						  rg_text_argument(fcinfo, 1)));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_verify_slack);

/* webhook_verify_slack(name, timestamp, signature, body, tolerance): false as above */
Datum
relay_guard_webhook_verify_slack(PG_FUNCTION_ARGS)
{
	RgWebhook	webhook = {
		.timestamp = rg_text_argument(fcinfo, 1),
		.body = rg_text_argument(fcinfo, 3),
	};

	PG_RETURN_BOOL(verify_timely(fcinfo, 4, RG_WEBHOOK_SLACK, &webhook,
								 rg_text_argument(fcinfo, 2)));
}

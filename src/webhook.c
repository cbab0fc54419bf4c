/*
 * webhook.c
 *		webhook_secret_set(), webhook_sign() and webhook_verify...().
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "fmgr.h"
#include "funcapi.h"
#include "lib/stringinfo.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "errcodes.h"
#include "failure_totals.h"
#include "identity.h"
#include "log_guard.h"
#include "secret.h"
#include "varlena_slice.h"
#include "webhook_secret.h"
#include "webhook_signature.h"

#define UNIX_TO_POSTGRES ((int64) (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY)

static bool
has_prefix(text * name, const char *prefix)
{
	const size_t len = strlen(prefix);

	return VARSIZE_ANY_EXHDR(name) >= len && memcmp(VARDATA_ANY(name), prefix, len) == 0;
}

/* Whoever may sign webhooks must not speak for serve(), nor for webhook_claim(). */
static void
refuse_reserved(text * name)
{
	if (has_prefix(name, RG_UPSTREAM_SECRETS))
		ereport(ERROR,
				errcode(ERRCODE_RESERVED_NAME),
				errmsg("names that start with \"%s\" are of upstreams' secrets", RG_UPSTREAM_SECRETS),
				errhint("Give the webhook another name, or call relay_guard.upstream_secret_set()."));
	if (has_prefix(name, RG_ENDPOINT_SECRETS))
		ereport(ERROR,
				errcode(ERRCODE_RESERVED_NAME),
				errmsg("names that start with \"%s\" are of endpoints' secrets", RG_ENDPOINT_SECRETS),
				errhint("Give the webhook another name, or call relay_guard.webhook_endpoint_secret_set()."));
}

static text *
name_argument(FunctionCallInfo fcinfo)
{
	text	   *name;

	if (PG_ARGISNULL(0))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("the name of a webhook secret must not be null"));
	name = PG_GETARG_TEXT_PP(0);
	refuse_reserved(name);
	return name;
}

/* To be called after the last: no secret is no reason to call a message forged. */
static void
require_any(const RgLiveSecrets *secrets)
{
	if (!secrets->any)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAVAILABLE),
				errmsg("there is no webhook secret \"%s\"", text_to_cstring(secrets->name)),
				errhint("Store it with relay_guard.webhook_secret_set(name, secret)."));
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
	return rg_webhook_secret_store(name, secret, PG_GETARG_DATUM(2));
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
sign(RgWebhookForm form, const RgLiveSecrets *secrets, const RgWebhook *webhook,
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
	RgLiveSecrets secrets = {.name = name};
	char		signature[RG_WEBHOOK_TEXT_SIZE];

	while (rg_live_secret_next(&secrets))
	{
		if (sign(RG_WEBHOOK_STANDARD, &secrets, webhook, signature))
			appendStringInfo(standard, "%s%s", standard->len > 0 ? " " : "", signature);
		(void) sign(RG_WEBHOOK_BODY, &secrets, webhook, body);
		rg_secret_wipe(secrets.secret);
	}
	require_any(&secrets);
}

/* The headers, as a row. */
static Datum
sign_message(FunctionCallInfo fcinfo, text * name)
{
	RgWebhook	webhook;
	StringInfoData standard;
	char		body[RG_WEBHOOK_TEXT_SIZE];
	TupleDesc	desc;
	Datum		values[4];
	bool		nulls[4] = {false};

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
	return HeapTupleGetDatum(heap_form_tuple(BlessTupleDesc(desc), values, nulls));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_sign);

/* webhook_sign(name, id, body, timestamp) */
Datum
relay_guard_webhook_sign(PG_FUNCTION_ARGS)
{
	rg_log_guard_secret_used();
	return sign_message(fcinfo, name_argument(fcinfo));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_endpoint_sign);

/* webhook_endpoint_sign(name, id, body, timestamp), for webhook_claim() */
Datum
relay_guard_webhook_endpoint_sign(PG_FUNCTION_ARGS)
{
	RgSlice		name = rg_text_argument(fcinfo, 0);

	rg_log_guard_secret_used();
	return sign_message(fcinfo, rg_endpoint_secret_name(name));
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
	RgLiveSecrets secrets = {.name = name};
	char		signature[RG_WEBHOOK_TEXT_SIZE];
	bool		fits = rg_webhook_fits(form, webhook);
	bool		signs = false;
	bool		authentic = false;

	rg_log_guard_secret_used();
	while (rg_live_secret_next(&secrets))
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

static Datum
verdict(bool authentic)
{
	if (!authentic)
		rg_failure_totals_add(RG_FAILURE_WEBHOOK);
	return BoolGetDatum(authentic);
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

	return verdict(verify_timely(fcinfo, 5, RG_WEBHOOK_STANDARD, &webhook,
								 rg_text_argument(fcinfo, 3)));
}

PG_FUNCTION_INFO_V1(relay_guard_webhook_verify_body);

/* webhook_verify_body(name, signature, body): false as above */
Datum
relay_guard_webhook_verify_body(PG_FUNCTION_ARGS)
{
	RgWebhook	webhook = {.body = rg_text_argument(fcinfo, 2)};

	return verdict(verify(name_argument(fcinfo), RG_WEBHOOK_BODY, &webhook,
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

	return verdict(verify_timely(fcinfo, 4, RG_WEBHOOK_SLACK, &webhook,
								 rg_text_argument(fcinfo, 2)));
}

/*
 * session_sql.c
 *		SQL functions that begin, change and end sessions.
 *
 * Whoever may call session_start() may act as anybody, so only trusted roles
 * can.  They all run as the extension's owner (SECURITY DEFINER), for nobody
 * else reaches the table.
 */
#include "postgres.h"

#include <sodium.h>

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "csrf.h"
#include "denial.h"
#include "errcodes.h"
#include "identity.h"
#include "session.h"
#include "varlena_slice.h"

#define MAX_LIFETIME (400 * USECS_PER_DAY)	/* browsers keep no cookie longer */

/* Also where no worker comes (expiry_worker.c), the table stays small. */
#define EXPIRED_AT_ONCE "20"

/* What a new secret's session has become. */
typedef struct Begun
{
	Datum		id;
	TimestampTz expires_at;
} Begun;

/*
 * Secrets
 */

static Datum
hash_datum(const uint8 *secret)
{
	uint8		hash[RG_SESSION_HASH_BYTES];

	rg_session_hash(secret, hash);
	return rg_slice_datum(rg_slice((char *) hash, sizeof hash));
}

/* The request's session is from now on that of a new secret. */
static void
adopt(RgServing *serving, const Begun *begun, const uint8 *secret)
{
	char		line[RG_SESSION_COOKIE_LINE_MAX];
	int64		seconds = (begun->expires_at - GetCurrentTimestamp()) / USECS_PER_SEC;

	memcpy(serving->session_id, DatumGetUUIDP(begun->id)->data, sizeof serving->session_id);
	memcpy(serving->session_secret, secret, sizeof serving->session_secret);
	serving->has_session = serving->cookie_set = true;
	rg_session_cookie_line(serving->request, secret, Max(seconds, 0), line);
	rg_answer_header(serving->answer, "%s", line);
	sodium_memzero(line, sizeof line);
}

/*
 * The request
 */

/* For what sets the cookie: once in an answer, and never for another site. */
static RgServing *
require_serving(const char *function)
{
	RgServing  *serving = rg_serving_writable(function);

	if (serving == NULL)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("%s is for routes", function),
				errdetail("It sets a cookie, and there is no answer to set it with."));
	if (serving->cookie_set)
		ereport(ERROR,
				errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
				errmsg("this request has set the session's cookie already"));
	rg_csrf_require_own_site(serving);
	return serving;
}

/* Whether the request has a good session; routes of auth none have not looked. */
static bool
look_for_session(RgServing *serving)
{
	RgIdentity	identity;
	RgSlice		subject;

	if (serving->has_session)
		return true;
	return rg_session_cookie_sent(serving->request) &&
		rg_session_identify(serving, &identity, &subject) == RG_SESSION_OK;
}

/*
 * Statements
 */

static void
run(const char *statement, int count, Oid *types, Datum *values, const char *nulls, int expected)
{
	int			code = SPI_execute_with_args(statement, count, types, values, nulls, false, 0);

	if (code != expected)
		elog(ERROR, "a statement on relay_guard.session has failed: %s", SPI_result_code_string(code));
}

/* The id and the end of the session that a statement has returned; false for none. */
static bool
take_begun(MemoryContext context, Begun *begun)
{
	MemoryContext old;
	bool		isnull;

	if (SPI_processed == 0)
		return false;
	old = MemoryContextSwitchTo(context);
	begun->id = datumCopy(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 1, &isnull),
						  false, UUID_LEN);
	begun->expires_at = DatumGetTimestampTz(SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, 2, &isnull));
	MemoryContextSwitchTo(old);
	return true;
}

static void
end_session(const RgServing *serving)
{
	Oid			types[] = {BYTEAOID, TIMESTAMPTZOID};
	Datum		values[] = {hash_datum(serving->session_secret), TimestampTzGetDatum(GetCurrentTimestamp())};

	run("UPDATE relay_guard.session SET ended_at = $2 WHERE hash = $1 AND ended_at IS NULL",
		lengthof(types), types, values, NULL, SPI_OK_UPDATE);
}

static void
expire_some(void)
{
	run("SELECT relay_guard.session_expire(" EXPIRED_AT_ONCE ")", 0, NULL, NULL, NULL, SPI_OK_SELECT);
}

/*
 * session_start()
 */

static void
require_interval(FunctionCallInfo fcinfo, int argno, const char *name)
{
	const Interval *interval;
	int64		length;

	if (PG_ARGISNULL(argno))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("%s must not be null", name));
	interval = PG_GETARG_INTERVAL_P(argno);
	length = interval->time / USECS_PER_SEC +
		((int64) interval->month * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY;
	if (length < 1 || length > MAX_LIFETIME / USECS_PER_SEC)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must be from one second to 400 days", name));
}

static void
check_start(FunctionCallInfo fcinfo)
{
	if (PG_ARGISNULL(0) || PG_ARGISNULL(2))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("user_id and role must not be null"));
	require_interval(fcinfo, 3, "lifetime");
	require_interval(fcinfo, 4, "idle");
}

static void
insert_session(FunctionCallInfo fcinfo, const uint8 *secret, MemoryContext context, Begun *begun)
{
	Oid			types[] = {BYTEAOID, TEXTOID, TEXTOID, TEXTOID, INTERVALOID, INTERVALOID, TIMESTAMPTZOID};
	Datum		values[] = {
		hash_datum(secret), PG_GETARG_DATUM(0), PG_GETARG_DATUM(1), PG_GETARG_DATUM(2),
		PG_GETARG_DATUM(3), PG_GETARG_DATUM(4), TimestampTzGetDatum(GetCurrentTimestamp())
	};
	char		nulls[] = "       ";

	if (PG_ARGISNULL(1))
		nulls[2] = 'n';
	run("INSERT INTO relay_guard.session (hash, user_id, workspace_id, role, expires_at, idle, created_at, seen_at)"
		" VALUES ($1, $2, $3, $4, $7 + $5, $6, $7, $7) RETURNING id, expires_at",
		lengthof(types), types, values, nulls, SPI_OK_INSERT_RETURNING);
	if (!take_begun(context, begun))
		elog(ERROR, "a new session has no row");
}

PG_FUNCTION_INFO_V1(relay_guard_session_start);

/*
 * session_start(user_id, workspace_id, role, lifetime, idle) → the session's id
 *
 * Always under a new secret: what a cookie said before is not adopted, and a
 * session that it named ends here.
 */
Datum
relay_guard_session_start(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	uint8		secret[RG_SESSION_SECRET_BYTES];
	RgServing  *serving = require_serving("session_start()");
	Begun		begun;

	check_start(fcinfo);
	randombytes_buf(secret, sizeof secret);
	SPI_connect();
	if (look_for_session(serving))
		end_session(serving);
	expire_some();
	insert_session(fcinfo, secret, context, &begun);
	SPI_finish();
	adopt(serving, &begun, secret);
	sodium_memzero(secret, sizeof secret);
	PG_RETURN_DATUM(begun.id);
}

/*
 * session_rotate()
 */

static void
refuse_missing(void)
{
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("the request has no session"),
			errdetail("session_unknown"),
			errhint("Sign in again."));
}

static bool
update_secret(FunctionCallInfo fcinfo, const RgServing *serving, const uint8 *secret,
			  MemoryContext context, Begun *begun)
{
	Oid			types[] = {BYTEAOID, BYTEAOID, TEXTOID, TEXTOID, TIMESTAMPTZOID};
	Datum		values[] = {
		hash_datum(serving->session_secret), hash_datum(secret), PG_GETARG_DATUM(0),
		PG_GETARG_DATUM(1), TimestampTzGetDatum(GetCurrentTimestamp())
	};
	char		nulls[] = "     ";

	if (PG_ARGISNULL(0))
		nulls[2] = 'n';
	if (PG_ARGISNULL(1))
		nulls[3] = 'n';
	run("UPDATE relay_guard.session SET hash = $2, role = coalesce($3, role),"
		" workspace_id = coalesce($4, workspace_id), seen_at = $5"
		" WHERE hash = $1 AND ended_at IS NULL RETURNING id, expires_at",
		lengthof(types), types, values, nulls, SPI_OK_UPDATE_RETURNING);
	return take_begun(context, begun);
}

PG_FUNCTION_INFO_V1(relay_guard_session_rotate);

/* session_rotate(role, workspace_id) → the session's id, which stays */
Datum
relay_guard_session_rotate(PG_FUNCTION_ARGS)
{
	MemoryContext context = CurrentMemoryContext;
	uint8		secret[RG_SESSION_SECRET_BYTES];
	RgServing  *serving = require_serving("session_rotate()");
	Begun		begun;

	if (!look_for_session(serving))
		refuse_missing();
	randombytes_buf(secret, sizeof secret);
	SPI_connect();
	if (!update_secret(fcinfo, serving, secret, context, &begun))
		refuse_missing();
	SPI_finish();
	adopt(serving, &begun, secret);
	sodium_memzero(secret, sizeof secret);
	PG_RETURN_DATUM(begun.id);
}

/*
 * session_end()
 */

/* A browser's form, rather than a script's request. */
static bool
is_form(const RgRequest *request)
{
	static const char form[] = "application/x-www-form-urlencoded";
	RgSlice		type = rg_request_header(request, "content-type");

	return type.len >= sizeof form - 1 && pg_strncasecmp(type.data, form, sizeof form - 1) == 0;
}

/* A path of this site: "//host" and "/\host" would be another's. */
static char *
path_argument(FunctionCallInfo fcinfo, int argno)
{
	RgSlice		path = rg_text_argument(fcinfo, argno);

	for (size_t i = 0; i < path.len; i++)
		if ((uint8) path.data[i] <= ' ' || (uint8) path.data[i] >= 0x7f || path.data[i] == '\\')
			path.len = 0;
	if (path.len == 0 || path.data[0] != '/' || (path.len > 1 && path.data[1] == '/'))
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("return_to must be a path of this site, such as /"));
	return pnstrdup(path.data, path.len);
}

static void
forget_cookie(RgServing *serving)
{
	char		line[RG_SESSION_COOKIE_LINE_MAX];

	rg_session_cookie_line(serving->request, NULL, 0, line);
	rg_answer_header(serving->answer, "%s", line);
	rg_answer_header(serving->answer, "Clear-Site-Data: \"cache\", \"cookies\", \"storage\"");
	serving->cookie_set = true;
	serving->has_session = false;
	sodium_memzero(serving->session_secret, sizeof serving->session_secret);
}

PG_FUNCTION_INFO_V1(relay_guard_session_end);

/*
 * session_end(return_to) → whether there was one
 *
 * Succeeds whatever cookie there is, so that nobody is stuck with one.
 */
Datum
relay_guard_session_end(PG_FUNCTION_ARGS)
{
	RgServing  *serving = require_serving("session_end()");
	bool		there;

	if (!PG_ARGISNULL(0) && is_form(serving->request))
	{
		rg_answer_header(serving->answer, "Location: %s", path_argument(fcinfo, 0));
		serving->answer->redirect = true;
	}
	there = look_for_session(serving);
	if (there)
	{
		SPI_connect();
		end_session(serving);
		SPI_finish();
	}
	forget_cookie(serving);
	PG_RETURN_BOOL(there);
}

/*
 * CSRF
 */

PG_FUNCTION_INFO_V1(relay_guard_csrf_token);

/*
 * csrf_token() → a token of the request's session.  Without one it is of a
 * session that nobody has: it is not asked for there, and proves nothing.
 */
Datum
relay_guard_csrf_token(PG_FUNCTION_ARGS)
{
	RgServing  *serving = rg_serving();
	uint8		nobody[16 + RG_SESSION_SECRET_BYTES];
	char		token[RG_CSRF_TOKEN_SIZE];

	if (serving == NULL)
		PG_RETURN_NULL();
	randombytes_buf(nobody, sizeof nobody);
	if (look_for_session(serving))
		rg_csrf_token_make(serving->session_id, serving->session_secret, token);
	else
		rg_csrf_token_make(nobody, nobody + 16, token);
	PG_RETURN_TEXT_P(cstring_to_text(token));
}

PG_FUNCTION_INFO_V1(relay_guard_require_own_site);

/* require_own_site(): for routes that nothing else protects, such as login */
Datum
relay_guard_require_own_site(PG_FUNCTION_ARGS)
{
	if (rg_serving() != NULL)
		rg_csrf_require_own_site(rg_serving());
	PG_RETURN_VOID();
}

PG_FUNCTION_INFO_V1(relay_guard_login_refused);

/*
 * login_refused(user_id): the same error for a wrong password and for nobody;
 * the audit log learns whose it would have been.
 */
Datum
relay_guard_login_refused(PG_FUNCTION_ARGS)
{
	RgDenied	denied = {
		.class = RG_DENIAL_CREDENTIALS,
		.code = RG_SLICE("invalid_credentials"),
		.http_status = 401,
		.subject = rg_text_argument(fcinfo, 0),
	};

	rg_denial_note(&denied);
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("no account has this e-mail address and password"),
			errdetail("invalid_credentials"),
			errhint("Check both, or register."));
	PG_RETURN_VOID();
}

/*
 * jwt.c
 *		authenticate() and issue_token().
 */
#include "postgres.h"

#include <time.h>

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "lib/stringinfo.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/inval.h"
#include "utils/timestamp.h"

#include "denial.h"
#include "errcodes.h"
#include "identity.h"
#include "issuer.h"
#include "jwt.h"
#include "log_guard.h"
#include "revocation.h"

#define MAX_TTL_SECONDS (INT64CONST(366) * 86400)
#define NEVER_ASKED PG_UINT64_MAX	/* a generation that no table reaches */

/* Everything but the times, which are checked at every use. */
static RgTokenError
verify_parsed(const RgToken *token, const RgIssuer *issuer)
{
	RgVerifier *key;
	RgTokenError error;

	if (issuer == NULL)
		return RG_TOKEN_UNKNOWN_ISSUER;
	key = rg_issuer_key(issuer, token->kid, token->alg);
	if (key == NULL)
		return RG_TOKEN_UNKNOWN_KEY;
	error = rg_token_verify(token, key);
	if (error != RG_TOKEN_OK)
		return error;
	return rg_token_check_audience(token, issuer->aud);
}

/* In the issuer's own name space; "" stays that. */
static const char *
prefixed(const RgIssuer *issuer, const char *id)
{
	return id[0] == '\0' ? "" : psprintf("%s%s", issuer->subject_prefix, id);
}

/* What a verified token says, as an entry for the cache. */
static RgVerified
describe(const RgToken *token, const RgIssuer *issuer, const char *user_id,
		 const char *workspace_id, uint64 generation)
{
	RgVerified	verified = {
		.generation = generation,
		.exp = token->exp,
		.nbf = token->nbf,
		.iat = token->iat,
		.leeway = issuer->leeway,
		.revocations = NEVER_ASKED,
		.jti = rg_slice_of(prefixed(issuer, token->jti)),
		.identity = {
			.user_id = rg_slice_of(user_id),
			.workspace_id = rg_slice_of(workspace_id),
			.role = rg_slice_of(rg_issuer_role(issuer, token->role)),
			.via = RG_SLICE("token"),
			.scopes = rg_slice_of(token->scope),
			.claims = {token->payload, token->payload_len},
			.session_id = rg_slice_of(prefixed(issuer, token->session)),
		},
	};

	return verified;
}

RgVerified *
rg_jwt_recall(RgSlice text)
{
	return rg_token_cache_get(text, rg_issuer_generation());
}

/*
 * The generation is read before anything of the tables: a change that comes in
 * while the token is verified leaves an entry that is worthless at once.
 */
RgTokenError
rg_jwt_verify(RgSlice text, RgVerified **verified)
{
	uint64		generation = rg_issuer_generation();
	RgToken    *token = palloc(sizeof *token);
	const RgIssuer *issuer;
	RgVerified	entry;
	const char *user_id,
			   *workspace_id;
	RgTokenError error = rg_token_parse(text, token);

	if (error != RG_TOKEN_OK)
		return error;
	issuer = rg_issuer_find(token->iss);
	error = verify_parsed(token, issuer);
	if (error != RG_TOKEN_OK)
		return error;
	user_id = prefixed(issuer, token->sub);
	workspace_id = prefixed(issuer, token->workspace_id);
	if (rg_issuer_reserved(issuer, user_id) || rg_issuer_reserved(issuer, workspace_id))
		return RG_TOKEN_RESERVED_SUBJECT;
	entry = describe(token, issuer, user_id, workspace_id, generation);
	*verified = rg_token_cache_put(text, &entry);
	pfree(token);
	return RG_TOKEN_OK;
}

RgTokenError
rg_jwt_identify(RgVerified *verified, RgIdentity *identity)
{
	struct timespec now;
	RgTokenError error;

	clock_gettime(CLOCK_REALTIME, &now);
	error = rg_token_check_times(verified->exp, verified->nbf, verified->iat,
								 now.tv_sec, verified->leeway);
	if (error == RG_TOKEN_OK && rg_revoked(verified))
		error = RG_TOKEN_REVOKED;
	if (error == RG_TOKEN_OK)
		*identity = verified->identity;
	return error;
}

_Noreturn static void
refuse(FunctionCallInfo fcinfo, RgTokenError error, RgSlice subject)
{
	rg_denial_note_credentials(fcinfo, rg_token_reason(error), subject);
	ereport(ERROR,
			errcode(ERRCODE_RG_UNAUTHENTICATED),
			errmsg("the token is not valid"),
			errdetail_internal("%s", rg_token_reason(error)),
			errhint("Sign in again for a new token."));
}

static void
authenticate(FunctionCallInfo fcinfo)
{
	RgIdentity	identity;
	RgSlice		token = rg_text_argument(fcinfo, 0);
	RgVerified *verified;
	RgTokenError error;

	AcceptInvalidationMessages();
	verified = rg_jwt_recall(token);
	error = verified != NULL ? RG_TOKEN_OK : rg_jwt_verify(token, &verified);
	if (error == RG_TOKEN_OK)
		error = rg_jwt_identify(verified, &identity);
	if (error != RG_TOKEN_OK)
		refuse(fcinfo, error, verified != NULL ? verified->identity.user_id : rg_slice(NULL, 0));
	identity.request_id = rg_text_argument(fcinfo, 1);
	identity.client_ip = rg_inet_argument(fcinfo, 2);
	rg_context_set(&identity);
}

PG_FUNCTION_INFO_V1(relay_guard_authenticate);

/* authenticate(token, request_id, client_ip) → the user id */
Datum
relay_guard_authenticate(PG_FUNCTION_ARGS)
{
	const RgIdentity *identity;

	rg_log_guard_secret_used();
	rg_identity_warn_if_lost("authenticate()");
	authenticate(fcinfo);
	identity = rg_context();
	PG_RETURN_TEXT_P(cstring_to_text_with_len(identity->user_id.data,
											  identity->user_id.len));
}

/* The whole interval in seconds; a month counts 30 days. */
static int64
interval_seconds(const Interval *interval)
{
	return interval->time / USECS_PER_SEC +
		((int64) interval->month * DAYS_PER_MONTH + interval->day) * SECS_PER_DAY;
}

static void
refuse_bad_scope(const char *scope)
{
	for (const unsigned char *at = (const unsigned char *) scope; *at != '\0'; at++)
		if (*at <= ' ' || *at == '"' || *at == '\\' || *at == 0x7f)
			ereport(ERROR,
					errcode(ERRCODE_INVALID_PARAMETER_VALUE),
					errmsg("scope \"%s\" is not valid", scope),
					errhint("A scope has no spaces, quotes, backslashes or control characters."));
}

/* The scopes in one string, separated by spaces. */
static RgSlice
join_scopes(ArrayType *array)
{
	Datum	   *elements;
	int			count;
	StringInfoData joined;

	deconstruct_array(array, TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	initStringInfo(&joined);
	for (int i = 0; i < count; i++)
	{
		char	   *scope = TextDatumGetCString(elements[i]);

		refuse_bad_scope(scope);
		appendStringInfo(&joined, "%s%s", i > 0 ? " " : "", scope);
	}
	return rg_slice(count > 0 ? joined.data : NULL, joined.len);
}

static void
set_times(RgTokenClaims *claims, const Interval *ttl)
{
	int64		seconds = interval_seconds(ttl);
	struct timespec now;

	if (seconds < 1 || seconds > MAX_TTL_SECONDS)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("ttl must be from one second to 366 days"));
	clock_gettime(CLOCK_REALTIME, &now);
	claims->iat = now.tv_sec;
	claims->exp = now.tv_sec + seconds;
}

static void
set_jti(RgTokenClaims *claims, char text[RG_UUID_TEXT_LEN])
{
	uint8		uuid[16];

	rg_uuid_random(uuid);
	rg_uuid_text(uuid, text);
	claims->jti = rg_slice(text, RG_UUID_TEXT_LEN);
}

/* Copies the token out of malloc's memory. */
static text *
issue(const RgTokenClaims *claims)
{
	char		kid[32];
	RgVerifier *signer = rg_issuer_signer(kid, sizeof kid);
	char	   *token = rg_token_issue(claims, kid, signer);
	text	   *result;

	if (token == NULL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("the token cannot be made"),
				errhint("Its subject, workspace, role and scopes must be UTF-8 and fit in %d bytes together.", RG_TOKEN_MAX / 2));
	result = cstring_to_text(token);
	free(token);
	return result;
}

PG_FUNCTION_INFO_V1(relay_guard_issue_token);

/* issue_token(subject, workspace, role, scopes, ttl) → a token of ours */
Datum
relay_guard_issue_token(PG_FUNCTION_ARGS)
{
	char		jti[RG_UUID_TEXT_LEN];
	RgTokenClaims claims = {
		.iss = RG_SLICE(RG_BUILTIN_ISSUER),
		.aud = rg_slice_of(rg_issuer_find(RG_BUILTIN_ISSUER)->aud),
		.sub = rg_text_argument(fcinfo, 0),
		.workspace_id = rg_text_argument(fcinfo, 1),
		.role = rg_text_argument(fcinfo, 2),
	};

	if (claims.sub.len == 0 || claims.sub.len > 255)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("subject must have from 1 to 255 bytes"));
	if (claims.workspace_id.len > 255 || claims.role.len > 63)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("workspace may have 255 bytes, role 63"));
	if (!PG_ARGISNULL(3))
		claims.scope = join_scopes(PG_GETARG_ARRAYTYPE_P(3));
	if (PG_ARGISNULL(4))
		ereport(ERROR,
				errcode(ERRCODE_NULL_VALUE_NOT_ALLOWED),
				errmsg("ttl must not be null"));
	set_times(&claims, PG_GETARG_INTERVAL_P(4));
	set_jti(&claims, jti);
	PG_RETURN_TEXT_P(issue(&claims));
}

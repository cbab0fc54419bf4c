/*
 * identity.c
 *		SQL functions that read the identity, and assume().
 *
 * Policies may call the readers for every row, so they touch nothing but the
 * chunk that context.c keeps: no lookup, no parsing.  They are STABLE and never
 * IMMUTABLE: folded into a cached plan, a reader would return the rows of
 * whoever was planned for.
 */
#include "postgres.h"

#include "access/xact.h"
#include "fmgr.h"
#include "utils/builtins.h"
#include "utils/guc.h"
#include "utils/inet.h"
#include "utils/jsonb.h"

#include "context.h"
#include "errcodes.h"
#include "identity.h"
#include "varlena_slice.h"

static int	missing_context = RG_MISSING_DENY;

static const struct config_enum_entry missing_context_options[] = {
	{"deny", RG_MISSING_DENY, false},
	{"error", RG_MISSING_ERROR, false},
	{NULL, 0, false}
};

/*
 * Anyone may set this: "error" only turns an empty result into an error, which
 * finds a forgotten authenticate() early.
 */
void
rg_identity_init(void)
{
	DefineCustomEnumVariable("relay_guard.missing_context",
							 "What a reader does in a transaction without an identity.",
							 "deny: NULL, so that policies match no row; error: an error.",
							 &missing_context, RG_MISSING_DENY,
							 missing_context_options, PGC_USERSET, 0,
							 NULL, NULL, NULL);
}

/* Whoever calls outside a transaction block loses the identity at once. */
void
rg_identity_warn_if_lost(const char *function)
{
	if (IsTransactionBlock() || IsSubTransaction() || error_context_stack != NULL)
		return;
	ereport(WARNING,
			errcode(ERRCODE_NO_ACTIVE_SQL_TRANSACTION),
			errhidestmt(true),
			errmsg("%s has no effect outside a transaction block", function),
			errhint("The identity ends with its transaction: call it after BEGIN."));
}

static const RgIdentity *
identity_or_missing(void)
{
	const RgIdentity *identity = rg_context();

	if (unlikely(identity == NULL && missing_context == RG_MISSING_ERROR))
		ereport(ERROR,
				errcode(ERRCODE_RG_UNAUTHENTICATED),
				errmsg("this transaction has no identity"),
				errhint("Call relay_guard.authenticate() at its start."));
	return identity;
}

#define FIELD_READER(function, field) \
PG_FUNCTION_INFO_V1(function); \
Datum \
function(PG_FUNCTION_ARGS) \
{ \
	const RgIdentity *identity = identity_or_missing(); \
\
	if (identity == NULL || identity->field.data == NULL) \
		PG_RETURN_NULL(); \
	PG_RETURN_POINTER(rg_context_datum(&identity->field)); \
}

FIELD_READER(relay_guard_user_id, user_id)
FIELD_READER(relay_guard_workspace_id, workspace_id)
FIELD_READER(relay_guard_role, role)
FIELD_READER(relay_guard_via, via)
FIELD_READER(relay_guard_request_id, request_id)
FIELD_READER(relay_guard_client_ip, client_ip)

PG_FUNCTION_INFO_V1(relay_guard_user_uuid);

Datum
relay_guard_user_uuid(PG_FUNCTION_ARGS)
{
	pg_uuid_t  *copy;

	if (identity_or_missing() == NULL)
		PG_RETURN_NULL();
	copy = palloc(sizeof *copy);
	*copy = *rg_context_user_uuid();
	PG_RETURN_UUID_P(copy);
}

static pg_uuid_t *
uuid_datum(RgSlice text)
{
	pg_uuid_t  *uuid = palloc(sizeof *uuid);

	if (!rg_uuid_of(text, uuid->data))
		ereport(ERROR,
				errcode(ERRCODE_OUT_OF_MEMORY),
				errmsg("could not compute a uuid"));
	return uuid;
}

PG_FUNCTION_INFO_V1(relay_guard_workspace_uuid);

Datum
relay_guard_workspace_uuid(PG_FUNCTION_ARGS)
{
	const RgIdentity *identity = identity_or_missing();

	if (identity == NULL || identity->workspace_id.data == NULL)
		PG_RETURN_NULL();
	PG_RETURN_UUID_P(uuid_datum(identity->workspace_id));
}

PG_FUNCTION_INFO_V1(relay_guard_user_bigint);

Datum
relay_guard_user_bigint(PG_FUNCTION_ARGS)
{
	int64		value;

	if (identity_or_missing() == NULL || !rg_context_user_bigint(&value))
		PG_RETURN_NULL();
	PG_RETURN_INT64(value);
}

PG_FUNCTION_INFO_V1(relay_guard_has_scope);

Datum
relay_guard_has_scope(PG_FUNCTION_ARGS)
{
	const RgIdentity *identity = identity_or_missing();
	RgSlice		wanted = rg_datum_slice(PG_GETARG_DATUM(0));

	PG_RETURN_BOOL(identity != NULL && rg_scope_listed(identity->scopes, wanted));
}

PG_FUNCTION_INFO_V1(relay_guard_claims);

Datum
relay_guard_claims(PG_FUNCTION_ARGS)
{
	const RgIdentity *identity = identity_or_missing();

	if (identity == NULL || identity->claims.data == NULL)
		PG_RETURN_NULL();
	return DirectFunctionCall1(jsonb_in,
							   CStringGetDatum(pnstrdup(identity->claims.data,
														identity->claims.len)));
}

bool
rg_scope_listed(RgSlice scopes, RgSlice wanted)
{
	const char *at = scopes.data;
	const char *end = at + scopes.len;

	while (at != NULL && at < end)
	{
		const char *space = memchr(at, ' ', end - at);
		size_t		len = (space != NULL ? space : end) - at;

		if (len > 0 && len == wanted.len && memcmp(at, wanted.data, len) == 0)
			return true;
		at += len + 1;
	}
	return false;
}

/* An optional text argument as a slice. */
RgSlice
rg_text_argument(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? rg_slice(NULL, 0) : rg_datum_slice(PG_GETARG_DATUM(argno));
}

/* An optional inet argument, without its header. */
RgSlice
rg_inet_argument(FunctionCallInfo fcinfo, int argno)
{
	return PG_ARGISNULL(argno) ? rg_slice(NULL, 0) : rg_datum_slice(PG_GETARG_DATUM(argno));
}

static void
require_argument(RgSlice value, const char *name)
{
	if (value.len == 0)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("%s must not be empty", name));
}

PG_FUNCTION_INFO_V1(relay_guard_assume);

/*
 * assume(user_id, workspace_id, role, request_id, client_ip)
 *
 * No token: trusted code says who it is.  Only roles that were given
 * grant_role('trusted') can execute it, and the identity says via "assume".
 */
Datum
relay_guard_assume(PG_FUNCTION_ARGS)
{
	RgIdentity	identity = {0};

	identity.user_id = rg_text_argument(fcinfo, 0);
	identity.workspace_id = rg_text_argument(fcinfo, 1);
	identity.role = rg_text_argument(fcinfo, 2);
	identity.via = RG_SLICE("assume");
	identity.request_id = rg_text_argument(fcinfo, 3);
	identity.client_ip = rg_inet_argument(fcinfo, 4);
	require_argument(identity.user_id, "user_id");
	require_argument(identity.role, "role");
	rg_identity_warn_if_lost("assume()");
	rg_context_set(&identity);
	PG_RETURN_VOID();
}

/*
 * audit_subject.c
 *		Who a row of the audit log is about, and what else its statement's rows
 *		share.
 */
#include "postgres.h"

#include "access/xact.h"
#include "mb/pg_wchar.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/fmgrprotos.h"
#include "utils/inet.h"
#include "utils/xid8.h"
#include "utils/timestamp.h"
#include "utils/uuid.h"

#include "api_key.h"
#include "audit_month.h"
#include "audit_subject.h"
#include "audit_write.h"
#include "keyring.h"
#include "varlena_slice.h"

typedef struct Columns
{
	Datum	   *values;
	bool	   *nulls;
} Columns;

/* What a database in SQL_ASCII holds is no text in any encoding. */
RgSlice
rg_audit_utf8(RgSlice text)
{
	char	   *converted;

	if (text.data == NULL || GetDatabaseEncoding() == PG_SQL_ASCII)
		return text;
	converted = pg_server_to_any(text.data, text.len, PG_UTF8);
	return converted == text.data ? text : rg_slice(converted, strlen(converted));
}

static void
set(Columns *columns, int column, Datum value)
{
	columns->values[column] = value;
	columns->nulls[column] = false;
}

/* A column of text; what of it the MAC takes in. */
static RgSlice
set_text(Columns *columns, int column, RgSlice text)
{
	columns->nulls[column] = text.data == NULL;
	if (text.data != NULL)
		columns->values[column] = rg_slice_datum(text);
	return rg_audit_utf8(text);
}

/* The address of a connection over TCP; NULL for a socket's or a worker's. */
static struct varlena *
connection_address(void)
{
	LOCAL_FCINFO(fcinfo, 0);
	Datum		address;

	if (MyProcPort == NULL)
		return NULL;
	InitFunctionCallInfoData(*fcinfo, NULL, 0, InvalidOid, NULL, NULL);
	address = inet_client_addr(fcinfo);
	return fcinfo->isnull ? NULL : (struct varlena *) DatumGetPointer(address);
}

static RgSlice
set_address(Columns *columns, const RgIdentity *identity)
{
	struct varlena *address = identity != NULL && identity->client_ip.data != NULL
	? (struct varlena *) DatumGetPointer(rg_slice_datum(identity->client_ip)) : connection_address();

	columns->nulls[Anum_audit_client_ip] = address == NULL;
	if (address == NULL)
		return rg_slice(NULL, 0);
	columns->values[Anum_audit_client_ip] = PointerGetDatum(address);
	return rg_slice_of(DatumGetCString(DirectFunctionCall1(inet_out, PointerGetDatum(address))));
}

/* The key's id stands in the user id of whoever used it. */
static RgSlice
set_api_key(Columns *columns, const RgIdentity *identity)
{
	const size_t prefix = strlen(RG_API_KEY_USER_PREFIX);
	char	   *text;

	columns->nulls[Anum_audit_api_key_id] = true;
	if (identity == NULL || !rg_slice_is(identity->via, "api_key"))
		return rg_slice(NULL, 0);
	text = pnstrdup(identity->user_id.data + prefix, identity->user_id.len - prefix);
	set(columns, Anum_audit_api_key_id,
		DirectFunctionCall1(uuid_in, CStringGetDatum(text)));
	return rg_slice_of(text);
}

static void
set_identity(Columns *columns, const RgIdentity *identity, RgAuditShared *shared)
{
	static const RgIdentity nobody;
	const RgIdentity *who = identity != NULL ? identity : &nobody;

	shared->actor = set_text(columns, Anum_audit_actor, who->user_id);
	shared->via = set_text(columns, Anum_audit_via, who->via);
	shared->workspace_id = set_text(columns, Anum_audit_workspace_id, who->workspace_id);
	shared->session_id = set_text(columns, Anum_audit_session_id, who->session_id);
	shared->request_id = set_text(columns, Anum_audit_request_id, who->request_id);
	shared->session_role = set_text(columns, Anum_audit_session_role,
									rg_slice_of(GetUserNameFromId(GetAuthenticatedUserId(), false)));
	shared->api_key_id = set_api_key(columns, identity);
	shared->client_ip = set_address(columns, identity);
}

static void
set_place(Columns *columns, RgAuditShared *shared)
{
	TimestampTz now = GetCurrentTimestamp();
	FullTransactionId xid = GetTopFullTransactionId();

	shared->xid = U64FromFullTransactionId(xid);
	shared->occurred_at = rg_audit_unix_time(now);
	shared->epoch = rg_audit_epoch();
	shared->key_id = (int32) rg_keyring_primary();
	set(columns, Anum_audit_xid, FullTransactionIdGetDatum(xid));
	set(columns, Anum_audit_occurred_at, TimestampTzGetDatum(now));
	set(columns, Anum_audit_epoch, Int32GetDatum(shared->epoch));
	set(columns, Anum_audit_key_id, Int32GetDatum(shared->key_id));
}

void
rg_audit_subject(const RgIdentity *identity, const char *action,
				 const char *resource_type, const char *source,
				 const char *status, RgAuditShared *shared,
				 Datum *values, bool *nulls)
{
	Columns		columns = {values, nulls};

	memset(nulls, true, Natts_audit * sizeof *nulls);
	set_place(&columns, shared);
	set_identity(&columns, identity, shared);
	shared->action = set_text(&columns, Anum_audit_action, rg_slice_of(action));
	shared->resource_type = set_text(&columns, Anum_audit_resource_type, rg_slice_of(resource_type));
	shared->source = set_text(&columns, Anum_audit_source, rg_slice_of(source));
	shared->status = set_text(&columns, Anum_audit_status, rg_slice_of(status));
}

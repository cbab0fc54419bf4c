/*
 * usage_row.c
 *		What rows of the ledger begin with.
 */
#include "postgres.h"

#include "utils/timestamp.h"

#include "audit_month.h"
#include "usage_row.h"
#include "uuid.h"

TimestampTz
rg_usage_now(void)
{
	TimestampTz now = GetCurrentTimestamp();

	return now - now % 1000;
}

RgLedgerRow
rg_usage_row(const RgIdentity *identity)
{
	RgLedgerRow row = {0};

	if (identity == NULL)
		return row;
	row.user_id = identity->user_id;
	row.workspace_id = identity->workspace_id;
	if (rg_slice_is(identity->via, "api_key"))
		row.api_key = identity->user_id;
	row.request_id = identity->request_id;
	return row;
}

void
rg_usage_row_reserve(RgLedgerRow *row)
{
	row->kind = RG_LEDGER_RESERVE;
	row->reserved_at = rg_usage_now();
	row->has_reservation = true;
	rg_uuid_v7(rg_audit_unix_time(row->reserved_at) / 1000, row->reservation.data);
}

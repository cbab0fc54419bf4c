/*
 * ledger_columns.h
 *		relay_guard.usage_ledger: its columns and partitions.  Private to the
 *		files of the ledger.
 */
#ifndef RG_LEDGER_COLUMNS_H
#define RG_LEDGER_COLUMNS_H

#include "month_partition.h"

enum
{
	Anum_ledger_id, Anum_ledger_xid, Anum_ledger_epoch, Anum_ledger_recorded_at,
	Anum_ledger_reserved_at, Anum_ledger_kind, Anum_ledger_reservation,
	Anum_ledger_policy, Anum_ledger_value, Anum_ledger_units, Anum_ledger_user_id,
	Anum_ledger_workspace_id, Anum_ledger_api_key, Anum_ledger_usage,
	Anum_ledger_model, Anum_ledger_model_version, Anum_ledger_input_price,
	Anum_ledger_output_price, Anum_ledger_input_tokens, Anum_ledger_output_tokens,
	Anum_ledger_reserved, Anum_ledger_spent, Anum_ledger_lease_until,
	Anum_ledger_request_id,
	Natts_ledger
};

extern RgMonths rg_ledger_months;

/* What the column kind says, in the order of RgLedgerKind. */
#define RG_LEDGER_KINDS 7
extern const char *const rg_ledger_kinds[RG_LEDGER_KINDS];

#endif

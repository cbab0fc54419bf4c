/*
 * ledger_columns.c
 *		relay_guard.usage_ledger: its columns and partitions.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "fmgr.h"
#include "nodes/pg_list.h"
#include "nodes/value.h"
#include "parser/parse_func.h"
#include "utils/timestamp.h"

#include "ledger.h"
#include "ledger_columns.h"

static const RgLogColumn columns[Natts_ledger] = {
	{"id", INT8OID}, {"xid", XID8OID}, {"epoch", INT4OID}, {"recorded_at", TIMESTAMPTZOID},
	{"reserved_at", TIMESTAMPTZOID}, {"kind", TEXTOID}, {"reservation", UUIDOID},
	{"policy", INT4OID}, {"value", TEXTOID}, {"units", INT8OID}, {"user_id", TEXTOID},
	{"workspace_id", TEXTOID}, {"api_key", TEXTOID}, {"usage", TEXTOID}, {"model", TEXTOID},
	{"model_version", INT4OID}, {"input_price", INT8OID}, {"output_price", INT8OID},
	{"input_tokens", INT8OID}, {"output_tokens", INT8OID}, {"reserved", INT8OID},
	{"spent", INT8OID}, {"lease_until", TIMESTAMPTZOID}, {"request_id", TEXTOID}
};

const char *const rg_ledger_kinds[RG_LEDGER_KINDS] = {
	[RG_LEDGER_TAKE] = "take",[RG_LEDGER_RESERVE] = "reserve",[RG_LEDGER_EXTEND] = "extend",
	[RG_LEDGER_SETTLE] = "settle",[RG_LEDGER_RELEASE] = "release",
	[RG_LEDGER_EXPIRE] = "expire",[RG_LEDGER_CHARGE] = "charge"
};

/*
 * The first are made so after CREATE EXTENSION, which must not make them: a dump
 * brings its own.  Other writers wait for the end of this transaction.
 */
static void
make_partitions(void)
{
	List	   *name = list_make2(makeString("relay_guard"), makeString("usage_maintain"));

	(void) OidFunctionCall0(LookupFuncName(name, 0, NULL, false));
}

RgMonths	rg_ledger_months = {
	.table = "usage_ledger",.sequence = "usage_ledger_id_seq",
	.columns = columns,.ncolumns = Natts_ledger,.what = "the ledger of usage",
	.hint = "Call relay_guard.usage_maintain(), which makes those of the months ahead.",
	.make = make_partitions
};

/*
 * account_store.c
 *		Storing accounts; account_store.h has the contract.
 */
#include "postgres.h"

#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/timestamp.h"

#include "account_store.h"
#include "column_arrays.h"
#include "counter_store.h"
#include "usage_policy.h"

/* Columns of both tables, and then those of budget_counter alone. */
enum
{
	COL_KEY,
	COL_POLICY,
	COL_VERSION,
	COL_VALUE,
	COL_CLASS,
	COL_WINDOW_START,
	COL_WINDOW_END,
	COL_USED,
	COL_LIMIT,
	NQUOTA_COLUMNS,
	COL_RESERVED = NQUOTA_COLUMNS,
	COL_WARN,
	NBUDGET_COLUMNS
};

static const Oid column_types[NBUDGET_COLUMNS] = {
	BYTEAOID, INT4OID, INT8OID, TEXTOID, TEXTOID,
	TIMESTAMPTZOID, TIMESTAMPTZOID, INT8OID, INT8OID, INT8OID, INT8OID
};

static void
set_limit(RgColumns *columns, int row, int column, int64 limit)
{
	if (limit == PG_INT64_MAX)
		rg_columns_set_null(columns, row, column);
	else
		rg_columns_set(columns, row, column, Int64GetDatum(limit));
}

static void
add_account(RgColumns *columns, const RgCounter *counter)
{
	const RgAccount *account = &counter->account;
	int			row = rg_columns_add(columns);

	rg_columns_set(columns, row, COL_KEY, rg_bytea_datum(&counter->key, sizeof counter->key));
	rg_columns_set(columns, row, COL_POLICY, Int32GetDatum(counter->policy));
	rg_columns_set(columns, row, COL_VERSION, Int64GetDatum(account->version));
	rg_columns_set(columns, row, COL_VALUE, rg_counter_value_datum(counter));
	rg_columns_set(columns, row, COL_CLASS,
				   CStringGetTextDatum(rg_counter_class_name(counter->class)));
	rg_columns_set(columns, row, COL_WINDOW_START, TimestampTzGetDatum(account->from));
	rg_columns_set(columns, row, COL_WINDOW_END, TimestampTzGetDatum(account->until));
	rg_columns_set(columns, row, COL_USED, Int64GetDatum(account->used));
	set_limit(columns, row, COL_LIMIT, account->limit);
	if (counter->kind != RG_KIND_BUDGET)
		return;
	rg_columns_set(columns, row, COL_RESERVED, Int64GetDatum(account->reserved));
	set_limit(columns, row, COL_WARN, account->warn);
}

static bool
is_to_be_stored(const RgCounter *counter, RgCounterKind kind)
{
	return counter->kind == kind && counter->account.seeded &&
		rg_usage_policy_of_version(counter->account.version) != NULL;
}

void
rg_account_store(RgCounterKind kind, const RgCounter *counters, int count)
{
	bool		budget = kind == RG_KIND_BUDGET;
	RgColumns	columns;

	rg_columns_init(&columns, column_types, budget ? NBUDGET_COLUMNS : NQUOTA_COLUMNS, count);
	for (int i = 0; i < count; i++)
		if (is_to_be_stored(&counters[i], kind))
			add_account(&columns, &counters[i]);
	rg_columns_insert(&columns, budget ?
					  "INSERT INTO relay_guard.budget_counter (key, policy, version, value, class,"
					  " window_start, window_end, used, \"limit\", reserved, warn)"
					  " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)"
					  " ON CONFLICT (key) DO UPDATE SET used = excluded.used,"
					  " reserved = excluded.reserved, stored_at = excluded.stored_at" :
					  "INSERT INTO relay_guard.quota_counter (key, policy, version, value, class,"
					  " window_start, window_end, used, \"limit\")"
					  " SELECT * FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)"
					  " ON CONFLICT (key) DO UPDATE SET used = excluded.used,"
					  " stored_at = excluded.stored_at");
}

void
rg_account_store_delete_past(void)
{
	rg_execute_plain("DELETE FROM relay_guard.quota_counter"
					 " WHERE window_end <= pg_catalog.now()"
					 " OR (policy, version) NOT IN (SELECT id, version FROM relay_guard.quota_policy)",
					 SPI_OK_DELETE);
	rg_execute_plain("DELETE FROM relay_guard.budget_counter"
					 " WHERE window_end <= pg_catalog.now()"
					 " OR (policy, version) NOT IN (SELECT id, version FROM relay_guard.budget_policy)",
					 SPI_OK_DELETE);
}

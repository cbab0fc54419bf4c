/*
 * ledger_reservation.c
 *		What the ledger says of a reservation.
 *
 * Its id is a uuid of version 7, which says when it was made: all its rows are in
 * the partition of that time.
 */
#include "postgres.h"

#include "access/stratnum.h"
#include "access/table.h"
#include "common/int.h"
#include "utils/fmgroids.h"
#include "utils/inval.h"
#include "utils/rel.h"
#include "utils/snapmgr.h"
#include "utils/timestamp.h"

#include "ledger.h"
#include "ledger_scan.h"
#include "uuid.h"
#include "varlena_slice.h"

#define UNIX_TO_POSTGRES ((POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY)

static bool
made_at(const pg_uuid_t *id, TimestampTz *at)
{
	int64		ms = rg_uuid_v7_time(id->data);

	if (ms < 0)
		return false;
	*at = ms * 1000 - UNIX_TO_POSTGRES;
	return IS_VALID_TIMESTAMP(*at);
}

/*
 * A row
 */

static RgLedgerKind
kind_of(const RgLedgerScan *row)
{
	RgSlice		name = rg_datum_slice(row->values[Anum_ledger_kind]);

	for (int kind = 0; kind < RG_LEDGER_KINDS; kind++)
		if (rg_slice_is(name, rg_ledger_kinds[kind]))
			return kind;
	elog(ERROR, "relay_guard.usage_ledger has a row of an unknown kind");
}

static RgSlice
text_of(const RgLedgerScan *row, int column)
{
	RgSlice		text;

	if (row->nulls[column])
		return rg_slice(NULL, 0);
	text = rg_datum_slice(row->values[column]);
	return rg_slice(pnstrdup(text.data, text.len), text.len);
}

static int64
number_of(const RgLedgerScan *row, int column)
{
	return row->nulls[column] ? 0 : DatumGetInt64(row->values[column]);
}

static void
copy_owner(const RgLedgerScan *row, RgLedgerRow *out)
{
	out->user_id = text_of(row, Anum_ledger_user_id);
	out->workspace_id = text_of(row, Anum_ledger_workspace_id);
	out->api_key = text_of(row, Anum_ledger_api_key);
	out->request_id = text_of(row, Anum_ledger_request_id);
}

static void
copy_model(const RgLedgerScan *row, RgLedgerRow *out)
{
	out->embedding = rg_slice_is(rg_datum_slice(row->values[Anum_ledger_usage]), "embedding");
	out->model = text_of(row, Anum_ledger_model);
	out->model_version = DatumGetInt32(row->values[Anum_ledger_model_version]);
	out->input_price = number_of(row, Anum_ledger_input_price);
	out->output_price = number_of(row, Anum_ledger_output_price);
	out->input_tokens = number_of(row, Anum_ledger_input_tokens);
	out->output_tokens = number_of(row, Anum_ledger_output_tokens);
}

static void
copy_row(const RgLedgerScan *row, RgLedgerRow *out)
{
	memset(out, 0, sizeof *out);
	out->kind = kind_of(row);
	out->reserved_at = DatumGetTimestampTz(row->values[Anum_ledger_reserved_at]);
	out->has_reservation = true;
	out->reservation = *DatumGetUUIDP(row->values[Anum_ledger_reservation]);
	out->reserved = number_of(row, Anum_ledger_reserved);
	out->spent = number_of(row, Anum_ledger_spent);
	out->lease_until = number_of(row, Anum_ledger_lease_until);
	copy_owner(row, out);
	copy_model(row, out);
}

/*
 * A reservation
 */

static void
take_final(RgReservation *reservation, const RgLedgerScan *row, RgLedgerKind kind)
{
	reservation->is_final = true;
	reservation->final = kind;
	reservation->charged = number_of(row, Anum_ledger_spent);
}

static void
take_hold(RgReservation *reservation, const RgLedgerScan *row)
{
	if (pg_add_s64_overflow(reservation->held, number_of(row, Anum_ledger_reserved), &reservation->held))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("sum of a reservation out of range"));
	reservation->lease_until = Max(reservation->lease_until, number_of(row, Anum_ledger_lease_until));
}

static bool
is_hold(RgLedgerKind kind)
{
	return kind == RG_LEDGER_RESERVE || kind == RG_LEDGER_EXTEND;
}

/* True when it is the row that made the reservation. */
static bool
take_row(RgReservation *reservation, const RgLedgerScan *row)
{
	RgLedgerKind kind = kind_of(row);

	if (is_hold(kind))
		take_hold(reservation, row);
	else
		take_final(reservation, row, kind);
	if (kind == RG_LEDGER_RESERVE)
		copy_row(row, &reservation->first);
	return kind == RG_LEDGER_RESERVE;
}

static bool
read_partition(Oid oid, const pg_uuid_t *id, Snapshot snapshot, RgReservation *reservation)
{
	Relation	partition = rg_ledger_open(oid);
	bool		found = false;
	ScanKeyData key;
	RgLedgerScan scan;

	ScanKeyInit(&key, Anum_ledger_reservation + 1, BTEqualStrategyNumber, F_UUID_EQ, UUIDPGetDatum(id));
	rg_ledger_scan(&scan, partition, rg_ledger_index(partition, RG_LEDGER_BY_RESERVATION),
				   snapshot, 1, &key);
	while (rg_ledger_next(&scan))
		found |= take_row(reservation, &scan);
	rg_ledger_scan_end(&scan);
	table_close(partition, NoLock);
	return found;
}

/* The snapshot comes first: the partition of a row that it shows is found. */
bool
rg_ledger_reservation(const pg_uuid_t *id, RgReservation *out)
{
	Snapshot	snapshot = RegisterSnapshot(GetLatestSnapshot());
	List	   *partitions = NIL;
	bool		found = false;
	TimestampTz at;

	memset(out, 0, sizeof *out);
	AcceptInvalidationMessages();
	if (made_at(id, &at))
		partitions = rg_month_partitions(&rg_ledger_months, at, at + 1);
	if (partitions != NIL)
		found = read_partition(linitial_oid(partitions), id, snapshot, out);
	UnregisterSnapshot(snapshot);
	return found;
}

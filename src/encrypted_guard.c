/*
 * encrypted_guard.c
 *		encrypted_guard(), the trigger of an encrypted column: what is stored
 *		opens in its row.
 *
 * It encrypts nothing and guesses nothing, so a restore, COPY and applied
 * changes pass with the values they bring.  What it refuses would be gone for
 * every reader: plaintext, another row's envelope, an envelope whose row was
 * given to somebody else.  With triggers off the column's CHECK still refuses
 * plaintext.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "commands/trigger.h"
#include "fmgr.h"
#include "utils/rel.h"

#include "crypt.h"
#include "denial.h"
#include "encrypted_column.h"
#include "envelope.h"
#include "log_guard.h"
#include "varlena_slice.h"

static void
require_row_trigger(FunctionCallInfo fcinfo)
{
	TriggerEvent event = CALLED_AS_TRIGGER(fcinfo)
	? ((TriggerData *) fcinfo->context)->tg_event : 0;

	if (!CALLED_AS_TRIGGER(fcinfo) || !TRIGGER_FIRED_BEFORE(event) ||
		!TRIGGER_FIRED_FOR_ROW(event) ||
		!(TRIGGER_FIRED_BY_INSERT(event) || TRIGGER_FIRED_BY_UPDATE(event)))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("encrypted_guard() is a BEFORE INSERT OR UPDATE trigger for each row"),
				errhint("relay_guard.encrypt_column() creates it."));
}

static RgEncryptedColumn
guarded(const Trigger *trigger, TupleDesc desc)
{
	RgEncryptedColumn column;

	if (!rg_encrypted_column_of(trigger, &column) || !rg_encrypted_column_fits(&column, desc))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("trigger \"%s\" does not say what it guards", trigger->tgname),
				errhint("relay_guard.encrypt_column() creates it, for a column of bytea, with a label and a kind of plaintext."));
	return column;
}

/* Only the columns of the AAD are read. */
static RgSlice
aad_of(const RgEncryptedColumn *column, HeapTuple row, TupleDesc desc)
{
	Datum	   *values = palloc0(desc->natts * sizeof *values);
	bool	   *nulls = palloc0(desc->natts * sizeof *nulls);

	for (int i = 0; i < column->naad; i++)
	{
		int			place = column->aad[i] - 1;

		values[place] = heap_getattr(row, column->aad[i], desc, &nulls[place]);
	}
	return rg_encrypted_aad(column, desc, values, nulls);
}

/*
 * What is no envelope is a plaintext that was meant for the view, and is not
 * logged; an envelope was sealed for another place.
 */
static bool
opens_in_row(const RgEncryptedColumn *column, HeapTuple row, TupleDesc desc)
{
	bool		isnull;
	Datum		value = heap_getattr(row, column->attnum, desc, &isnull);
	RgSlice		envelope;
	RgSlice		aad;

	if (isnull)
		return true;
	envelope = rg_datum_slice(value);
	if (rg_envelope_key_id(envelope) == 0)
		rg_log_guard_secret_used();
	aad = aad_of(column, row, desc);
	if (rg_crypt_opens(envelope, aad))
		return true;
	if (rg_envelope_key_id(envelope) != 0)
		rg_denial_note_value(aad);
	return false;
}

PG_FUNCTION_INFO_V1(relay_guard_encrypted_guard);

/* encrypted_guard(label, kind), for UPDATE OF the column and those of its AAD */
Datum
relay_guard_encrypted_guard(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	RgEncryptedColumn column;
	HeapTuple	row;
	Relation	table;

	require_row_trigger(fcinfo);
	table = data->tg_relation;
	column = guarded(data->tg_trigger, RelationGetDescr(table));
	row = TRIGGER_FIRED_BY_UPDATE(data->tg_event) ? data->tg_newtuple : data->tg_trigtuple;
	if (!opens_in_row(&column, row, RelationGetDescr(table)))
		ereport(ERROR,
				errcode(ERRCODE_CHECK_VIOLATION),
				errmsg("the value of encrypted column \"%s\" does not open in its row of \"%s\"",
					   NameStr(TupleDescAttr(RelationGetDescr(table), column.attnum - 1)->attname),
					   RelationGetRelationName(table)),
				errhint("Write through the view that decrypts the table: it encrypts the value for its row, also anew when a column of its AAD changes."),
				errtableconstraint(table, data->tg_trigger->tgname));
	return PointerGetDatum(row);
}

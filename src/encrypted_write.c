/*
 * encrypted_write.c
 *		encrypted_write(), the INSTEAD OF trigger of the views that decrypt.
 *
 * It runs as whoever writes the view and writes the table in that name, through
 * SPI, so that privileges, policies, constraints and triggers are the table's.
 * AFTER triggers and foreign keys wait for the end of the statement on the view.
 *
 * An UPDATE locks the row and compares it with what the statement has seen of
 * it: PostgreSQL would look again whether a row that another transaction has
 * changed meanwhile is still meant, and a trigger cannot.  So a changed row is a
 * serialization failure, never a lost update.  What is compared of encrypted
 * columns is the plaintext; that a key was rotated meanwhile is no change.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "access/xact.h"
#include "catalog/dependency.h"
#include "commands/sequence.h"
#include "commands/trigger.h"
#include "executor/spi.h"
#include "utils/builtins.h"
#include "utils/datum.h"
#include "utils/fmgrprotos.h"
#include "utils/lsyscache.h"
#include "utils/rel.h"

#include "crypt.h"
#include "encrypted_writer.h"
#include "log_guard.h"
#include "varlena_slice.h"

/* A row of the table by attribute number - 1, encrypted columns in clear. */
typedef struct RgRow
{
	Datum	   *values;
	bool	   *nulls;
	Datum	   *envelopes;		/* those that are known to hold the values */
} RgRow;

static RgRow
empty_row(RgWriter *writer)
{
	RgRow		row;

	row.values = palloc0(writer->desc->natts * sizeof *row.values);
	row.nulls = palloc(writer->desc->natts * sizeof *row.nulls);
	row.envelopes = palloc0(writer->desc->natts * sizeof *row.envelopes);

	memset(row.nulls, true, writer->desc->natts * sizeof *row.nulls);
	return row;
}

static Form_pg_attribute
attribute(RgWriter *writer, AttrNumber attnum)
{
	return TupleDescAttr(writer->desc, attnum - 1);
}

/*
 * Rows of the view
 */

static void
refuse_column(RgWriter *writer, int place)
{
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("column \"%s\" of the view cannot be written",
				   NameStr(TupleDescAttr(writer->view_desc, place)->attname)),
			errhint("It is no column of the table, or an encrypted one as it is stored or as another type."));
}

/*
 * Whether that is the plaintext or the value of a column: a plaintext of another
 * type than the guard's would be read as what it is not.
 */
static bool
is_written(RgWriter *writer, int place)
{
	AttrNumber	base = writer->shown.base[place];
	const RgEncryptedColumn *column = base != 0 ? writer->encrypted[base - 1] : NULL;

	if (column == NULL)
		return base != 0 && !writer->shown.decrypted[place];
	return writer->shown.decrypted[place] &&
		writer->shown.types[place] == rg_plaintext_type(column->kind);
}

/* Of a tuple of the view; what the view computes must be as in another tuple, or NULL. */
static RgRow
row_of_view(RgWriter *writer, HeapTuple tuple, HeapTuple other)
{
	int			natts = writer->view_desc->natts;
	RgRow		row = empty_row(writer);

	for (int i = 0; i < natts; i++)
	{
		Form_pg_attribute column = TupleDescAttr(writer->view_desc, i);
		bool		isnull;
		Datum		value = heap_getattr(tuple, i + 1, writer->view_desc, &isnull);
		bool		was_null = true;
		Datum		was = 0;

		if (is_written(writer, i))
		{
			row.values[writer->shown.base[i] - 1] = value;
			row.nulls[writer->shown.base[i] - 1] = isnull;
			continue;
		}
		if (other != NULL)
			was = heap_getattr(other, i + 1, writer->view_desc, &was_null);
		if (isnull != was_null ||
			(!isnull && !datum_image_eq(value, was, column->attbyval, column->attlen)))
			refuse_column(writer, i);
	}
	return row;
}

static HeapTuple
view_of_row(RgWriter *writer, const RgRow *row)
{
	int			natts = writer->view_desc->natts;
	Datum	   *values = palloc0(natts * sizeof *values);
	bool	   *nulls = palloc(natts * sizeof *nulls);

	for (int i = 0; i < natts; i++)
	{
		nulls[i] = !is_written(writer, i) || row->nulls[writer->shown.base[i] - 1];
		if (!nulls[i])
			values[i] = row->values[writer->shown.base[i] - 1];
	}
	return heap_form_tuple(writer->view_desc, values, nulls);
}

/*
 * Rows of the table
 */

static RgSlice
aad_of(RgWriter *writer, AttrNumber attnum, const RgRow *row)
{
	return rg_encrypted_aad(writer->encrypted[attnum - 1], writer->desc, row->values, row->nulls);
}

/* The row that a statement returned, as it is stored. */
static RgRow
stored_row(RgWriter *writer)
{
	RgRow		row = empty_row(writer);
	HeapTuple	tuple = SPI_tuptable->vals[0];
	TupleDesc	desc = SPI_tuptable->tupdesc;

	for (int i = 0; i < writer->nread; i++)
	{
		int			place = writer->read[i] - 1;

		row.values[place] = heap_getattr(tuple, i + 1, desc, &row.nulls[place]);
	}
	return row;
}

/* Whether this transaction made the row that RG_WRITE_LOCK has found. */
static bool
made_here(RgWriter *writer)
{
	bool		isnull;
	Datum		xmin = heap_getattr(SPI_tuptable->vals[0], writer->nread + 1,
									SPI_tuptable->tupdesc, &isnull);

	return TransactionIdIsCurrentTransactionId(DatumGetTransactionId(xmin));
}

static bool
same_value(RgWriter *writer, AttrNumber attnum, const RgRow *a, const RgRow *b)
{
	Form_pg_attribute column = attribute(writer, attnum);
	int			i = attnum - 1;

	if (a->nulls[i] || b->nulls[i])
		return a->nulls[i] == b->nulls[i];
	return datum_image_eq(a->values[i], b->values[i], column->attbyval, column->attlen);
}

/* The same envelope in the same place holds the same value. */
static bool
is_known(RgWriter *writer, AttrNumber attnum, const RgRow *row, const RgRow *known)
{
	const RgEncryptedColumn *column = writer->encrypted[attnum - 1];

	for (int i = 0; i < column->naad; i++)
		if (!same_value(writer, column->aad[i], row, known))
			return false;
	return DatumGetPointer(known->envelopes[attnum - 1]) != NULL &&
		datum_image_eq(row->values[attnum - 1], known->envelopes[attnum - 1], false, -1);
}

static bool
open_value(RgWriter *writer, AttrNumber attnum, RgRow *row)
{
	Datum	   *value = &row->values[attnum - 1];
	RgSlice		envelope = rg_datum_slice(*value);

	row->envelopes[attnum - 1] = *value;
	return rg_crypt_open(writer->encrypted[attnum - 1]->kind, envelope, aad_of(writer, attnum, row),
						 value);
}

/*
 * Replaces envelopes by what is in them; false when one does not open.  What is
 * in another row's place as well is not opened anew.
 */
static bool
open_row(RgWriter *writer, RgRow *row, const RgRow *known)
{
	for (int i = 0; i < writer->desc->natts; i++)
	{
		if (writer->encrypted[i] == NULL || row->nulls[i])
			continue;
		if (known != NULL && is_known(writer, i + 1, row, known))
			row->values[i] = known->values[i];
		else if (!open_value(writer, i + 1, row))
			return false;
	}
	return true;
}

/* In what the view shows; the columns that differ. */
static Bitmapset *
differing(RgWriter *writer, const RgRow *a, const RgRow *b)
{
	Bitmapset  *columns = NULL;

	for (int i = 0; i < writer->shown.natts; i++)
		if (is_written(writer, i) && !same_value(writer, writer->shown.base[i], a, b))
			columns = bms_add_member(columns, writer->shown.base[i]);
	return columns;
}

/*
 * Statements
 */

static Datum
stored_value(RgWriter *writer, AttrNumber attnum, RgRow *row)
{
	const RgEncryptedColumn *column = writer->encrypted[attnum - 1];
	Datum	   *envelope = &row->envelopes[attnum - 1];

	if (column == NULL || row->nulls[attnum - 1])
		return row->values[attnum - 1];
	*envelope = PointerGetDatum(rg_crypt_seal(column->kind, row->values[attnum - 1],
											  aad_of(writer, attnum, row)));
	return *envelope;
}

/* Whether it found its row, which SPI_tuptable then holds. */
static bool
execute(RgWriter *writer, RgStatement statement, Bitmapset *columns, RgRow *row,
		const RgRow *key)
{
	SPIPlanPtr	plan = rg_writer_plan(writer, statement, columns);
	int			room = writer->desc->natts + writer->nkey;
	Datum	   *values = palloc(room * sizeof *values);
	char	   *nulls = palloc(room * sizeof *nulls);
	int			count = 0;
	int			result;

	for (int attnum = -1; (attnum = bms_next_member(columns, attnum)) >= 0; count++)
	{
		values[count] = stored_value(writer, attnum, row);
		nulls[count] = row->nulls[attnum - 1] ? 'n' : ' ';
	}
	for (int i = 0; key != NULL && i < writer->nkey; i++, count++)
	{
		values[count] = key->values[writer->key[i] - 1];
		nulls[count] = ' ';
	}
	result = SPI_execute_snapshot(plan, values, nulls, InvalidSnapshot, InvalidSnapshot,
								  false, false, 0);
	if (result < 0)
		elog(ERROR, "SPI_execute_snapshot failed: %s", SPI_result_code_string(result));
	return SPI_processed > 0;
}

/* What was stored, as the view shows it; in the memory of the trigger's caller. */
static HeapTuple
returned(RgWriter *writer, const RgRow *written, MemoryContext caller)
{
	RgRow		row = stored_row(writer);

	if (!open_row(writer, &row, written))
		ereport(ERROR,
				errcode(ERRCODE_TRIGGERED_DATA_CHANGE_VIOLATION),
				errmsg("a trigger of table %s has changed the row so that it does not open", writer->name),
				errhint("Triggers must not change encrypted columns or those of their AAD."));
	MemoryContextSwitchTo(caller);
	return view_of_row(writer, &row);
}

/*
 * Generated columns
 */

static void
refuse_generated(Form_pg_attribute column, bool inserting)
{
	ereport(ERROR,
			errcode(ERRCODE_GENERATED_ALWAYS),
			inserting ? errmsg("cannot insert a non-DEFAULT value into column \"%s\"", NameStr(column->attname))
			: errmsg("column \"%s\" can only be updated to DEFAULT", NameStr(column->attname)),
			column->attgenerated != '\0' ? errdetail("Column \"%s\" is a generated column.", NameStr(column->attname))
			: errdetail("Column \"%s\" is an identity column defined as GENERATED ALWAYS.", NameStr(column->attname)));
}

static Datum
integer_of(Oid type, int64 number)
{
	Datum		value = Int64GetDatum(number);

	if (type == INT2OID)
		return DirectFunctionCall1(int82, value);
	return type == INT4OID ? DirectFunctionCall1(int84, value) : value;
}

/* Drawn here because the AAD may need it.  As with a table, it takes no privilege. */
static void
draw_identity(RgWriter *writer, AttrNumber attnum, RgRow *row)
{
#if PG_VERSION_NUM >= 170000
	Relation	table = RelationIdGetRelation(writer->shown.table);
	Oid			sequence = getIdentitySequence(table, attnum, false);

	RelationClose(table);
#else
	Oid			sequence = getIdentitySequence(writer->shown.table, attnum, false);
#endif

	row->values[attnum - 1] = integer_of(attribute(writer, attnum)->atttypid,
										 nextval_internal(sequence, false));
	row->nulls[attnum - 1] = false;
}

/*
 * Whether a statement says the value of a column.  A NULL says DEFAULT where
 * NULL cannot be meant: the view knows no other way.
 */
static bool
settle_generated(RgWriter *writer, AttrNumber attnum, RgRow *row, bool inserting)
{
	Form_pg_attribute column = attribute(writer, attnum);
	bool		given = !row->nulls[attnum - 1];

	if (given && (column->attgenerated != '\0' || column->attidentity == ATTRIBUTE_IDENTITY_ALWAYS))
		refuse_generated(column, inserting);
	if (!given && column->attidentity != '\0')
		draw_identity(writer, attnum, row);
	return column->attgenerated == '\0';
}

/*
 * INSERT
 */

/* What is not said is NULL, unless the table would take something else then. */
static bool
must_say(RgWriter *writer, AttrNumber attnum, const RgRow *row)
{
	Form_pg_attribute column = attribute(writer, attnum);

	return !row->nulls[attnum - 1] || column->atthasdef || column->attidentity != '\0' ||
		get_typdefault(column->atttypid) != NULL;
}

static HeapTuple
insert_row(RgWriter *writer, TriggerData *data, MemoryContext caller)
{
	RgRow		row = row_of_view(writer, data->tg_trigtuple, NULL);
	Bitmapset  *columns = NULL;

	for (int i = 0; i < writer->shown.natts; i++)
	{
		AttrNumber	attnum = writer->shown.base[i];

		if (is_written(writer, i) && settle_generated(writer, attnum, &row, true) &&
			must_say(writer, attnum, &row))
			columns = bms_add_member(columns, attnum);
	}
	if (!execute(writer, RG_WRITE_INSERT, columns, &row, NULL))
		return NULL;
	return returned(writer, &row, caller);
}

/*
 * UPDATE and DELETE
 */

static void
refuse_changed(RgWriter *writer)
{
	ereport(ERROR,
			errcode(ERRCODE_T_R_SERIALIZATION_FAILURE),
			errmsg("a row of %s was changed by another transaction meanwhile", writer->name),
			errhint("Run the transaction again."));
}

/* A key column that changes needs more than NO KEY UPDATE, which UPDATE then takes. */
static bool
lock_row(RgWriter *writer, const RgRow *old, RgRow *row)
{
	if (!execute(writer, RG_WRITE_LOCK, NULL, NULL, old))
		return false;
	*row = stored_row(writer);
	if (open_row(writer, row, NULL) && bms_is_empty(differing(writer, old, row)))
		return true;
	/* This statement has met it before: it counts once, as with a table. */
	if (made_here(writer))
		return false;
	refuse_changed(writer);
	return false;
}

/* What the view does not show cannot be bound to the new AAD: it would be lost. */
static void
require_shown(RgWriter *writer, AttrNumber attnum)
{
	for (int i = 0; i < writer->shown.natts; i++)
		if (writer->shown.base[i] == attnum && is_written(writer, i))
			return;
	ereport(ERROR,
			errcode(ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE),
			errmsg("a column of the AAD cannot be changed through a view that does not show encrypted column \"%s\"",
				   NameStr(attribute(writer, attnum)->attname)),
			errhint("Write through the view that shows all columns of the table: relay_guard.encrypted_column names it."));
}

/* Encrypted columns whose AAD changes, too. */
static Bitmapset *
with_rebound(RgWriter *writer, Bitmapset *changed)
{
	Bitmapset  *columns = bms_copy(changed);

	for (int i = 0; i < writer->desc->natts; i++)
		for (int j = 0; writer->encrypted[i] != NULL && j < writer->encrypted[i]->naad; j++)
			if (bms_is_member(writer->encrypted[i]->aad[j], changed))
			{
				require_shown(writer, i + 1);
				columns = bms_add_member(columns, i + 1);
			}
	return columns;
}

static Bitmapset *
written_columns(RgWriter *writer, const RgRow *old, RgRow *row)
{
	Bitmapset  *changed = differing(writer, old, row);
	Bitmapset  *columns = NULL;

	for (int attnum = -1; (attnum = bms_next_member(changed, attnum)) >= 0;)
		if (settle_generated(writer, attnum, row, false))
			columns = bms_add_member(columns, attnum);
	return with_rebound(writer, columns);
}

static HeapTuple
update_row(RgWriter *writer, TriggerData *data, MemoryContext caller)
{
	RgRow		old = row_of_view(writer, data->tg_trigtuple, data->tg_trigtuple);
	RgRow		row = row_of_view(writer, data->tg_newtuple, data->tg_trigtuple);
	Bitmapset  *columns = written_columns(writer, &old, &row);
	RgRow		stored;

	if (!lock_row(writer, &old, &stored))
		return NULL;
	row.envelopes = stored.envelopes;
	if (bms_is_empty(columns))
		return data->tg_newtuple;
	if (!execute(writer, RG_WRITE_UPDATE, columns, &row, &old))
		return NULL;
	return returned(writer, &row, caller);
}

/* Who may delete rows may not always lock them: it is looked at afterwards. */
static HeapTuple
delete_row(RgWriter *writer, TriggerData *data)
{
	RgRow		old = row_of_view(writer, data->tg_trigtuple, data->tg_trigtuple);
	RgRow		row;

	if (!execute(writer, RG_WRITE_DELETE, NULL, NULL, &old))
		return NULL;
	row = stored_row(writer);
	if (!open_row(writer, &row, NULL) || !bms_is_empty(differing(writer, &old, &row)))
		refuse_changed(writer);
	return data->tg_trigtuple;
}

/*
 * The trigger
 */

static void
require_instead_trigger(FunctionCallInfo fcinfo)
{
	if (!CALLED_AS_TRIGGER(fcinfo) ||
		!TRIGGER_FIRED_INSTEAD(((TriggerData *) fcinfo->context)->tg_event))
		ereport(ERROR,
				errcode(ERRCODE_E_R_I_E_TRIGGER_PROTOCOL_VIOLATED),
				errmsg("encrypted_write() is an INSTEAD OF trigger"),
				errhint("relay_guard.encrypt_column() creates it."));
}

PG_FUNCTION_INFO_V1(relay_guard_encrypted_write);

/* encrypted_write(): what is written to the view */
Datum
relay_guard_encrypted_write(PG_FUNCTION_ARGS)
{
	TriggerData *data = (TriggerData *) fcinfo->context;
	MemoryContext caller = CurrentMemoryContext;
	RgWriter   *writer;
	HeapTuple	result;

	require_instead_trigger(fcinfo);
	rg_log_guard_secret_used();
	if (SPI_connect() != SPI_OK_CONNECT)
		elog(ERROR, "SPI_connect failed");
	writer = rg_writer(data->tg_relation);
	if (TRIGGER_FIRED_BY_INSERT(data->tg_event))
		result = insert_row(writer, data, caller);
	else if (TRIGGER_FIRED_BY_UPDATE(data->tg_event))
		result = update_row(writer, data, caller);
	else
		result = delete_row(writer, data);
	SPI_finish();
	return PointerGetDatum(result);
}

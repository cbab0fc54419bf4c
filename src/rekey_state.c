/*
 * rekey_state.c
 *		How far a run of rekey() came, in relay_guard.rekey_state.
 *
 * Callers of rekey() have no rights on that table: what it says is what an
 * operator goes by before he retires a key.  It is read and written as the
 * extension's owner, in the transaction of the batch it tells of.
 */
#include "postgres.h"

#include "access/htup_details.h"
#include "catalog/namespace.h"
#include "catalog/pg_class.h"
#include "catalog/pg_type.h"
#include "executor/spi.h"
#include "utils/array.h"
#include "utils/builtins.h"
#include "utils/lsyscache.h"
#include "utils/memutils.h"
#include "utils/syscache.h"

#include "rekey_scope.h"
#include "rekey_state.h"

#define LOAD \
	"SELECT target_key, phase, started_at, rows_done, pass, settled, key_columns, place," \
	" pass_done, rows_seen, rows_failed, rows_locked, key_ids, key_rows, failures" \
	" FROM relay_guard.rekey_state WHERE relation = $1 AND attnum = $2"

#define STORE \
	"INSERT INTO relay_guard.rekey_state AS s (relation, attnum, target_key, phase, started_at, rows_done, pass," \
	" settled, key_columns, place, pass_done, rows_seen, rows_failed, rows_locked, key_ids, key_rows, failures)" \
	" VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)" \
	" ON CONFLICT (relation, attnum) DO UPDATE SET target_key = $3, phase = $4, started_at = $5, rows_done = $6," \
	" pass = $7, settled = $8, key_columns = $9, place = $10, pass_done = $11, rows_seen = $12, rows_failed = $13," \
	" rows_locked = $14, key_ids = $15, key_rows = $16, failures = $17, updated_at = clock_timestamp()"

#define PUBLISH \
	"UPDATE relay_guard.rekey_state SET seen_target = target_key, seen_ids = key_ids, seen_rows = key_rows" \
	" WHERE relation = $1 AND attnum = $2"

#define FORGET "DELETE FROM relay_guard.rekey_state WHERE relation = $1 AND attnum = $2"

/* Tables that are gone, whose oids may come again. */
#define FORGET_DROPPED \
	"DELETE FROM relay_guard.rekey_state s WHERE NOT EXISTS" \
	" (SELECT FROM pg_attribute a WHERE a.attrelid = s.relation AND a.attnum = s.attnum AND NOT a.attisdropped)"

#define NARGS 17

static Oid
owner_of_state(void)
{
	Oid			table = get_relname_relid("rekey_state", get_namespace_oid("relay_guard", false));
	HeapTuple	tuple = SearchSysCache1(RELOID, ObjectIdGetDatum(table));
	Oid			owner;

	if (!HeapTupleIsValid(tuple))
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_TABLE),
				errmsg("table relay_guard.rekey_state does not exist"),
				errhint("Update the extension: ALTER EXTENSION relay_guard UPDATE."));
	owner = ((Form_pg_class) GETSTRUCT(tuple))->relowner;
	ReleaseSysCache(tuple);
	return owner;
}

static void
execute(const char *query, int nargs, Oid *types, Datum *values, const char *nulls, int expected)
{
	if (SPI_execute_with_args(query, nargs, types, values, nulls, false, 0) != expected)
		elog(ERROR, "could not use relay_guard.rekey_state");
}

/* $1 is the relation, $2 the column. */
static void
execute_for(const RgRekey *run, const char *query, int expected)
{
	Oid			types[2] = {OIDOID, INT2OID};
	Datum		values[2] = {ObjectIdGetDatum(run->relation), Int16GetDatum(run->attnum)};

	execute(query, 2, types, values, NULL, expected);
}

static void
change(const RgRekey *run, const char *query, int expected)
{
	RgRekeyScope scope;

	SPI_connect();
	scope = rg_rekey_enter(owner_of_state(), "pg_catalog, pg_temp");
	execute_for(run, query, expected);
	rg_rekey_leave(scope);
	SPI_finish();
}

void
rg_rekey_read_as_owner(const char *query, int nargs, Oid *types, Datum *values)
{
	RgRekeyScope scope = rg_rekey_enter(owner_of_state(), "pg_catalog, pg_temp");

	execute(query, nargs, types, values, NULL, SPI_OK_SELECT);
	rg_rekey_leave(scope);
}

void
rg_rekey_publish(const RgRekey *run)
{
	change(run, PUBLISH, SPI_OK_UPDATE);
}

void
rg_rekey_forget(const RgRekey *run)
{
	change(run, FORGET, SPI_OK_DELETE);
}

static void
free_strings(char **strings, int count)
{
	for (int i = 0; i < count; i++)
		pfree(strings[i]);
}

void
rg_rekey_new_pass(RgRekey *run, bool settled)
{
	free_strings(run->place, run->nplace);
	free_strings(run->failures, run->nfailures);
	run->pass++;
	run->settled = settled;
	run->place = NULL;
	run->nplace = 0;
	run->pass_done = run->rows_seen = run->rows_failed = run->rows_locked = 0;
	run->nkeys = 0;
	run->nfailures = 0;
}

/*
 * Storing
 */

static Datum
text_array(char *const *strings, int count)
{
	Datum	   *elements = palloc(count * sizeof *elements);

	for (int i = 0; i < count; i++)
		elements[i] = CStringGetTextDatum(strings[i]);
	return PointerGetDatum(construct_array(elements, count, TEXTOID, -1, false, TYPALIGN_INT));
}

static Datum
id_array(const RgRekey *run)
{
	Datum	   *elements = palloc(run->nkeys * sizeof *elements);

	for (int i = 0; i < run->nkeys; i++)
		elements[i] = Int32GetDatum(run->key_ids[i]);
	return PointerGetDatum(construct_array(elements, run->nkeys, INT4OID, 4, true, TYPALIGN_INT));
}

static Datum
row_array(const RgRekey *run)
{
	Datum	   *elements = palloc(run->nkeys * sizeof *elements);

	for (int i = 0; i < run->nkeys; i++)
		elements[i] = Int64GetDatum(run->key_rows[i]);
	return PointerGetDatum(construct_array(elements, run->nkeys, INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE));
}

static void
store(const RgRekey *run)
{
	Oid			types[NARGS] = {
		OIDOID, INT2OID, INT4OID, TEXTOID, TIMESTAMPTZOID, INT8OID, INT4OID, BOOLOID, TEXTOID, TEXTARRAYOID,
		INT8OID, INT8OID, INT8OID, INT8OID, INT4ARRAYOID, INT8ARRAYOID, TEXTARRAYOID
	};
	Datum		values[NARGS] = {
		ObjectIdGetDatum(run->relation), Int16GetDatum(run->attnum), Int32GetDatum((int32) run->target),
		CStringGetTextDatum(run->phase), TimestampTzGetDatum(run->started_at), Int64GetDatum(run->rows_done),
		Int32GetDatum(run->pass), BoolGetDatum(run->settled),
		run->key_columns == NULL ? (Datum) 0 : CStringGetTextDatum(run->key_columns),
		text_array(run->place, run->nplace),
		Int64GetDatum(run->pass_done), Int64GetDatum(run->rows_seen), Int64GetDatum(run->rows_failed),
		Int64GetDatum(run->rows_locked), id_array(run), row_array(run),
		text_array(run->failures, run->nfailures)
	};
	char		nulls[NARGS + 1];

	memset(nulls, ' ', sizeof nulls);
	if (run->key_columns == NULL)
		nulls[8] = 'n';
	if (run->place == NULL)
		nulls[9] = 'n';
	execute(STORE, NARGS, types, values, nulls, SPI_OK_INSERT);
}

void
rg_rekey_store(const RgRekey *run)
{
	RgRekeyScope scope;

	SPI_connect();
	scope = rg_rekey_enter(owner_of_state(), "pg_catalog, pg_temp");
	store(run);
	rg_rekey_leave(scope);
	SPI_finish();
}

/*
 * Loading
 */

static Datum
field(int number, bool *isnull)
{
	return SPI_getbinval(SPI_tuptable->vals[0], SPI_tuptable->tupdesc, number, isnull);
}

static int64
load_number(int number)
{
	bool		isnull;

	return DatumGetInt64(field(number, &isnull));
}

static int
load_integer(int number)
{
	bool		isnull;

	return DatumGetInt32(field(number, &isnull));
}

/* In the run's memory; NULL for NULL. */
static char *
load_string(const RgRekey *run, int number)
{
	bool		isnull;
	Datum		value = field(number, &isnull);

	return isnull ? NULL : MemoryContextStrdup(run->context, TextDatumGetCString(value));
}

/* Returns how many, up to max; -1 for NULL. */
static int
load_strings(const RgRekey *run, int number, char **strings, int max)
{
	bool		isnull;
	Datum		value = field(number, &isnull);
	Datum	   *elements;
	int			count;

	if (isnull)
		return -1;
	deconstruct_array(DatumGetArrayTypeP(value), TEXTOID, -1, false, TYPALIGN_INT, &elements, NULL, &count);
	count = Min(count, max);
	for (int i = 0; i < count; i++)
		strings[i] = MemoryContextStrdup(run->context, TextDatumGetCString(elements[i]));
	return count;
}

static void
load_keys(RgRekey *run)
{
	bool		isnull;
	Datum	   *ids;
	Datum	   *rows;
	int			count;

	deconstruct_array(DatumGetArrayTypeP(field(13, &isnull)), INT4OID, 4, true, TYPALIGN_INT,
					  &ids, NULL, &run->nkeys);
	deconstruct_array(DatumGetArrayTypeP(field(14, &isnull)), INT8OID, 8, FLOAT8PASSBYVAL, TYPALIGN_DOUBLE,
					  &rows, NULL, &count);
	run->key_ids = repalloc(run->key_ids, (run->nkeys + 1) * sizeof *run->key_ids);
	run->key_rows = repalloc(run->key_rows, (run->nkeys + 1) * sizeof *run->key_rows);
	for (int i = 0; i < run->nkeys; i++)
	{
		run->key_ids[i] = DatumGetInt32(ids[i]);
		run->key_rows[i] = DatumGetInt64(rows[i]);
	}
}

static void
load_place(RgRekey *run)
{
	char	  **place = MemoryContextAllocZero(run->context, INDEX_MAX_KEYS * sizeof *place);

	run->nplace = load_strings(run, 8, place, INDEX_MAX_KEYS);
	if (run->nplace > 0)
		run->place = place;
	else
		run->nplace = 0;
}

static void
load_row(RgRekey *run)
{
	bool		isnull;

	run->target = (uint32) load_integer(1);
	run->phase = load_string(run, 2);
	run->started_at = DatumGetTimestampTz(field(3, &isnull));
	run->rows_done = load_number(4);
	run->pass = load_integer(5);
	run->settled = DatumGetBool(field(6, &isnull));
	run->key_columns = load_string(run, 7);
	load_place(run);
	run->pass_done = load_number(9);
	run->rows_seen = load_number(10);
	run->rows_failed = load_number(11);
	run->rows_locked = load_number(12);
	load_keys(run);
	run->nfailures = Max(load_strings(run, 15, run->failures, RG_REKEY_NAMED), 0);
}

static bool
has_ended(const RgRekey *run)
{
	return strcmp(run->phase, RG_REKEY_DONE) == 0 || strcmp(run->phase, RG_REKEY_INCOMPLETE) == 0;
}

static void
start_anew(RgRekey *run)
{
	run->started_at = GetCurrentTimestamp();
	run->rows_done = 0;
	run->pass = 0;
	rg_rekey_new_pass(run, false);
}

void
rg_rekey_load(RgRekey *run)
{
	RgRekeyScope scope;

	run->key_ids = MemoryContextAlloc(run->context, sizeof *run->key_ids);
	run->key_rows = MemoryContextAlloc(run->context, sizeof *run->key_rows);
	SPI_connect();
	scope = rg_rekey_enter(owner_of_state(), "pg_catalog, pg_temp");
	execute(FORGET_DROPPED, 0, NULL, NULL, NULL, SPI_OK_DELETE);
	execute_for(run, LOAD, SPI_OK_SELECT);
	if (SPI_processed > 0)
		load_row(run);
	rg_rekey_leave(scope);
	SPI_finish();
	if (run->phase == NULL || has_ended(run))
		start_anew(run);
	run->phase = RG_REKEY_WORKING;
}

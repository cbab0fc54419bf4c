/*
 * column_arrays.c
 *		Rows for one statement; column_arrays.h has the contract.
 */
#include "postgres.h"

#include "executor/spi.h"
#include "utils/array.h"
#include "utils/lsyscache.h"

#include "column_arrays.h"

void
rg_columns_init(RgColumns *columns, const Oid *types, int count, int room)
{
	Assert(count <= RG_MAX_COLUMNS);
	columns->count = count;
	columns->rows = 0;
	columns->room = room;
	columns->types = types;
	for (int i = 0; i < count; i++)
	{
		columns->values[i] = palloc0(room * sizeof(Datum));
		columns->nulls[i] = palloc0(room * sizeof(bool));
	}
}

static Datum
array_datum(const RgColumns *columns, int column)
{
	Oid			type = columns->types[column];
	int			rows = columns->rows;
	int			lower = 1;
	int16		len;
	bool		byval;
	char		align;

	get_typlenbyvalalign(type, &len, &byval, &align);
	return PointerGetDatum(construct_md_array(columns->values[column], columns->nulls[column],
											  1, &rows, &lower, type, len, byval, align));
}

static void
verify(int result, int expected, const char *statement)
{
	if (result != expected)
		elog(ERROR, "%s: %s", SPI_result_code_string(result), statement);
}

void
rg_columns_insert(const RgColumns *columns, const char *statement)
{
	Oid			types[RG_MAX_COLUMNS];
	Datum		arrays[RG_MAX_COLUMNS];

	if (columns->rows == 0)
		return;
	for (int i = 0; i < columns->count; i++)
	{
		types[i] = get_array_type(columns->types[i]);
		arrays[i] = array_datum(columns, i);
	}
	verify(SPI_execute_with_args(statement, columns->count, types, arrays, NULL, false, 0),
		   SPI_OK_INSERT, statement);
}

void
rg_execute_plain(const char *statement, int expected)
{
	verify(SPI_execute(statement, false, 0), expected, statement);
}

Datum
rg_bytea_datum(const void *data, Size len)
{
	bytea	   *value = palloc(VARHDRSZ + len);

	SET_VARSIZE(value, VARHDRSZ + len);
	memcpy(VARDATA(value), data, len);
	return PointerGetDatum(value);
}

/*
 * column_arrays.h
 *		Rows for one statement, as an array a column: INSERT ... SELECT * FROM
 *		unnest($1, $2, ...) writes thousands at the price of few.
 */
#ifndef RG_COLUMN_ARRAYS_H
#define RG_COLUMN_ARRAYS_H

#define RG_MAX_COLUMNS 16

typedef struct RgColumns
{
	int			count;			/* columns */
	int			rows;
	int			room;			/* for rows */
	const Oid  *types;			/* of the columns */
	Datum	   *values[RG_MAX_COLUMNS];
	bool	   *nulls[RG_MAX_COLUMNS];
} RgColumns;

/* Room for rows, in the current context; types stay the caller's. */
extern void rg_columns_init(RgColumns *columns, const Oid *types, int count, int room);

/* One row more: each of its columns is 0 and not null until it is set. */
static inline int
rg_columns_add(RgColumns *columns)
{
	return columns->rows++;
}

static inline void
rg_columns_set(RgColumns *columns, int row, int column, Datum value)
{
	columns->values[column][row] = value;
}

static inline void
rg_columns_set_null(RgColumns *columns, int row, int column)
{
	columns->nulls[column][row] = true;
}

/* Executes an INSERT by SPI, with the columns as its parameters, if there are rows. */
extern void rg_columns_insert(const RgColumns *columns, const char *statement);

/* Executes a statement by SPI that has no parameters; expected: its SPI_OK_... */
extern void rg_execute_plain(const char *statement, int expected);

extern Datum rg_bytea_datum(const void *data, Size len);

#endif

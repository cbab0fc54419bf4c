/*
 * vectors.h
 *		Published test vectors, in tables of which a row is a line and a column
 *		ends with a tab.
 *
 * Their folder is named by RELAY_VECTORS, else it is ../shared/vectors where
 * that is there.  Without it the rows are skipped, which under CI=true is a
 * failure.
 */
#ifndef VECTORS_H
#define VECTORS_H

#include <sodium.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "slice.h"
#include "tap.h"

#define MAX_COLUMNS 12
#define MAX_BYTES 4096

/* One row of a table of vectors; columns by number, NUL-terminated. */
typedef struct VectorRow
{
	int			ncolumns;
	char	   *columns[MAX_COLUMNS];
} VectorRow;

/* A table: its file, how many rows it has, and how one is checked. */
typedef struct VectorTable
{
	const char *file;
	int			rows;
	int			ncolumns;
	bool		(*agrees) (const VectorRow *row);
} VectorTable;

/* Column 0 is the row's name, column 1 what is to come of it. */
static inline bool
is_valid(const VectorRow *row)
{
	return strcmp(row->columns[1], "valid") == 0;
}

static inline RgSlice
unhex(const char *hex, uint8_t bytes[MAX_BYTES])
{
	RgSlice		slice = {(const char *) bytes, 0};

	if (sodium_hex2bin(bytes, MAX_BYTES, hex, strlen(hex), NULL, &slice.len, NULL) != 0)
		abort();
	return slice;
}

static inline void
split_row(char *line, VectorRow *row)
{
	line[strcspn(line, "\n")] = '\0';
	row->ncolumns = 0;
	for (char *column = line; column != NULL && row->ncolumns < MAX_COLUMNS;)
		row->columns[row->ncolumns++] = strsep(&column, "\t");
}

/* Checks every row behind the header; returns how many there were. */
static inline int
read_rows(FILE *file, const VectorTable *table, int *wrong)
{
	char	   *line = NULL;
	size_t		size = 0;
	VectorRow	row;
	int			rows = -1;

	while (getline(&line, &size, file) > 0)
	{
		split_row(line, &row);
		if (++rows == 0 || (row.ncolumns == table->ncolumns && table->agrees(&row)))
			continue;
		printf("# %s, tcId %s: should be %s\n", table->file, row.columns[0], row.columns[1]);
		++*wrong;
	}
	free(line);
	return rows;
}

static inline void
skip_vectors(const VectorTable *table)
{
	const char *ci = getenv("CI");
	bool		must_run = ci != NULL && strcmp(ci, "true") == 0;

	ok(!must_run, "vectors %s%s %d rows: RELAY_VECTORS is not set", table->file,
	   must_run ? ": not run," : " # skip", table->rows);
}

/* One test: every row of the table agrees, and none is missing. */
static inline void
check_vectors(const VectorTable *table)
{
	const char *folder = getenv("RELAY_VECTORS");
	char		path[4096];
	FILE	   *file;
	int			rows;
	int			wrong = 0;

	snprintf(path, sizeof path, "%s/%s",
			 folder != NULL && *folder != '\0' ? folder : "../shared/vectors", table->file);
	file = fopen(path, "r");
	if (file == NULL)
	{
		skip_vectors(table);
		return;
	}
	rows = read_rows(file, table, &wrong);
	fclose(file);
	ok(rows == table->rows && wrong == 0, "vectors %s: %d rows, %d not as published",
	   table->file, rows, wrong);
}

#endif

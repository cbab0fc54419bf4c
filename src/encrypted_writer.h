/*
 * encrypted_writer.h
 *		What encrypted_write() keeps of a decrypting view: its columns, the table's,
 *		and the plans of the statements that write the table.
 */
#ifndef RG_ENCRYPTED_WRITER_H
#define RG_ENCRYPTED_WRITER_H

#include "access/tupdesc.h"
#include "executor/spi.h"
#include "nodes/bitmapset.h"
#include "utils/relcache.h"

#include "encrypted_column.h"
#include "encrypted_view.h"

typedef enum RgStatement
{
	RG_WRITE_INSERT,			/* the columns of a set; $1... are theirs */
	RG_WRITE_LOCK,				/* the row with a key; $1... are the key's */
	RG_WRITE_UPDATE,			/* the columns of a set, of the row with a
								 * key; $1... are those, then the key's */
	RG_WRITE_DELETE				/* the row with a key */
} RgStatement;

typedef struct RgWriter
{
	Oid			view;			/* hash key */
	bool		valid;			/* neither view nor table has changed since */
	int			users;			/* calls under way */
	MemoryContext context;		/* of all that stands here */
	TupleDesc	view_desc;
	TupleDesc	desc;			/* of the table */
	RgEncryptedView shown;
	const RgEncryptedColumn **encrypted;	/* by the table's attribute number
											 * - 1; NULL for plain columns */
	const char *name;			/* of the table, quoted */
	int			nkey;
	AttrNumber *key;			/* the primary key's columns */
	Oid		   *key_equals;		/* and their operators for = */
	int			nread;
	AttrNumber *read;			/* the table's columns that every statement
								 * returns; RG_WRITE_LOCK also xmin */
	List	   *plans;
} RgWriter;

/*
 * The writer of a view, whose table is locked from here on.  To be called
 * within SPI_connect(); good until SPI_finish() or the end of the
 * (sub)transaction.
 */
extern RgWriter *rg_writer(Relation view);

/* The kept plan of a statement; columns are the table's attribute numbers. */
extern SPIPlanPtr rg_writer_plan(RgWriter *writer, RgStatement statement, Bitmapset *columns);

#endif

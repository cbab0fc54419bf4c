/*
 * decrypted_row.h
 *		The columns of a decrypting view as expressions over its table.
 */
#ifndef RG_DECRYPTED_ROW_H
#define RG_DECRYPTED_ROW_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

#include "encrypted_view.h"

typedef struct RgRowColumn
{
	AttrNumber	number;			/* in the view */
	AttrNumber	stored;			/* in the table */
	Expr	   *aad;			/* aad(...); NULL: not encrypted */
} RgRowColumn;

typedef struct RgDecryptedRow
{
	List	   *columns;		/* of RgRowColumn, in the order of the view */
	List	   *entries;		/* the value of each: TargetEntry,
								 * decrypt_...() where it is encrypted */
	Bitmapset  *aad;			/* the table's columns in any AAD, as
								 * pull_varattnos() numbers them */
} RgDecryptedRow;

/*
 * Makes them over the table as entry varno of the range table, palloc'd.  False
 * when the view shows a column that could not be written, or one twice, or lacks
 * one of an AAD.  A value that does not open is an error: it must not become
 * NULL in what is written.
 */
extern bool rg_decrypted_row(const RgEncryptedView *view, Relation table, Index varno,
							 RgDecryptedRow *row) __attribute__((warn_unused_result));

/* encrypt(value, aad), which are over the same range table */
extern Expr *rg_encrypt_call(Expr *value, Expr *aad);

#endif

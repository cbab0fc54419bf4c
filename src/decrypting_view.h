/*
 * decrypting_view.h
 *		What the view of a table with encrypted columns is made of.
 */
#ifndef RG_DECRYPTING_VIEW_H
#define RG_DECRYPTING_VIEW_H

#include "nodes/parsenodes.h"
#include "utils/relcache.h"

typedef struct RgViewColumn
{
	AttrNumber	number;			/* in the view */
	AttrNumber	stored;			/* in the table */
	TargetEntry *entry;			/* its value, an expression over the table:
								 * decrypt_...() where it is encrypted */
	Expr	   *aad;			/* its AAD, a part of that; NULL: not
								 * encrypted */
} RgViewColumn;

typedef struct RgDecryptingView
{
	Oid			table;
	Index		varno;			/* of the table in those expressions */
	List	   *columns;		/* of RgViewColumn, in the order of the view */
	List	   *entries;		/* theirs */
	Bitmapset  *aad;			/* the table's columns in any AAD, as
								 * pull_varattnos() numbers them */
} RgDecryptingView;

/*
 * Reads a view into palloc'd copies.  False when it is not of the form that
 * encrypt_column() makes, or writing it does more than encrypt.
 */
extern bool rg_decrypting_view_read(Relation view, RgDecryptingView *out);

/* relay_guard.NAME(first, bytea) */
extern Oid	rg_crypt_function(const char *name, Oid first);

#endif

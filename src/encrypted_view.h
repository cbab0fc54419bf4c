/*
 * encrypted_view.h
 *		Views that decrypt, and the table behind each of them.
 */
#ifndef RG_ENCRYPTED_VIEW_H
#define RG_ENCRYPTED_VIEW_H

#include "utils/relcache.h"

typedef struct RgEncryptedView
{
	Oid			table;
	int			natts;			/* of the view, dropped ones included */
	AttrNumber *base;			/* the table's column of each of them; 0: none
								 * that could be written */
	bool	   *decrypted;		/* whether it is the plaintext of that column */
	Oid		   *types;			/* that the view has it as, which whoever
								 * replaced the view has chosen */
} RgEncryptedView;

/*
 * Reads what columns of its table a view shows (palloc'd), whatever their names
 * are by now.  False when it is no view with the trigger encrypted_write(), or
 * not over one table alone.
 */
extern bool rg_encrypted_view(Relation view, RgEncryptedView *mapping);

#endif

/*
 * encrypted_column.h
 *		Which columns of a table are encrypted, as what, and bound to what.
 *
 * All of it is in the catalog, in the table's guard triggers: the columns that a
 * guard watches are the encrypted one and then those of its AAD, in their order;
 * its arguments are the label and the kind of plaintext.  Renames, dumps and
 * partitions need nothing more.
 */
#ifndef RG_ENCRYPTED_COLUMN_H
#define RG_ENCRYPTED_COLUMN_H

#include "access/tupdesc.h"
#include "utils/reltrigger.h"
#include "utils/relcache.h"

#include "plaintext.h"

typedef struct RgEncryptedColumn
{
	AttrNumber	attnum;
	RgPlaintext kind;
	const char *label;			/* the first part of the AAD */
	int			naad;
	AttrNumber *aad;			/* columns whose text forms are the other
								 * parts */
} RgEncryptedColumn;

/* The encrypted columns of a table or partition, by number, palloc'd. */
extern int	rg_encrypted_columns(Relation table, RgEncryptedColumn **columns);

/* The one of them that has that number, or NULL. */
extern RgEncryptedColumn *rg_encrypted_column_at(Relation table, AttrNumber attnum);

/*
 * The column that a trigger guards; false when the trigger is no guard.  label
 * and aad point into the trigger.
 */
extern bool rg_encrypted_column_of(const Trigger *trigger, RgEncryptedColumn *column);

/* Whether the column can hold envelopes, as it must before it is read as one. */
extern bool rg_encrypted_column_fits(const RgEncryptedColumn *column, TupleDesc desc);

/*
 * The AAD of the column in a row of its table, palloc'd: the same as
 * relay_guard.aad(label, column::text, ...).  values and nulls are the row's by
 * attribute number - 1; only those of the AAD are looked at.
 */
extern RgSlice rg_encrypted_aad(const RgEncryptedColumn *column, TupleDesc desc,
								const Datum *values, const bool *nulls);

/* The function of that name in schema relay_guard; InvalidOid without it. */
extern Oid	rg_encrypted_function(const char *name);

#endif

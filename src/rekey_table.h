/*
 * rekey_table.h
 *		What rekey() has to know of a table: names, primary key, encryption.
 */
#ifndef RG_REKEY_TABLE_H
#define RG_REKEY_TABLE_H

#include "utils/relcache.h"

#include "encrypted_column.h"

/* The table as this transaction has it locked. */
typedef struct RgRekeyTable
{
	Relation	rel;
	char	   *name;			/* for FROM: qualified, with ONLY where it has
								 * no partitions */
	const char *column;			/* quoted */
	RgEncryptedColumn *encrypted;
	char	   *aad_list;		/* , t.c, t.d: the columns of the AAD */

	/* The primary key */
	int			nkeys;
	const char *key_names[INDEX_MAX_KEYS];	/* quoted */
	Oid			key_types[INDEX_MAX_KEYS];	/* below domains */
	char	   *key_casts[INDEX_MAX_KEYS];	/* to what its operators take */
	char	   *key_list;		/* t.a, t.b */
	char	   *key_columns;	/* names and types: what a stored place is a
								 * place in */
	char	   *search_path;	/* where its operators are */
} RgRekeyTable;

/*
 * Describes a column of a table, palloc'd; false when it is not encrypted.  A
 * table without primary key, or with children by inheritance, is an error.
 */
extern bool rg_rekey_table(Relation rel, AttrNumber attnum, RgRekeyTable *table)
			__attribute__((warn_unused_result));

#endif

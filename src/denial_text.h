/*
 * denial_text.h
 *		What clients and SQL choose, made fit for an audit row.
 *
 * A path, a label or a word of application SQL may hold anything.  What comes out
 * is printable ASCII of bounded length: no line ends, no escape sequences, no
 * letters that look like others.  Pure C.
 */
#ifndef RG_DENIAL_TEXT_H
#define RG_DENIAL_TEXT_H

#include "slice.h"

/*
 * Copies the text with a NUL behind it; every other byte becomes '?', and what
 * has no room in size bytes (8 or more) ends with "...".
 */
extern void rg_denial_clean(RgSlice text, char *out, size_t size);

/* The same for "METHOD path"; the path ends before a query or fragment. */
extern void rg_denial_clean_request(RgSlice method, RgSlice path, char *out, size_t size);

/* Is it a word such as "token_expired", that fits in size bytes with its NUL? */
extern bool rg_denial_is_word(RgSlice text, size_t size);

/* The label in an encrypted value's AAD, its first part; data NULL when there is none. */
extern RgSlice rg_denial_label(RgSlice aad);

/* The table of a label "schema.table.column"; data NULL for any other. */
extern RgSlice rg_denial_label_table(RgSlice label);

#endif

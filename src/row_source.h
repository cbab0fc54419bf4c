/*
 * row_source.h
 *		What an analyzed INSERT reads its rows from: VALUES of several rows, a
 *		SELECT, or nothing, when its one row stands in the target list.
 */
#ifndef RG_ROW_SOURCE_H
#define RG_ROW_SOURCE_H

#include "nodes/parsenodes.h"

typedef struct RgRowSource
{
	Query	   *query;
	RangeTblEntry *entry;		/* NULL: nothing */
	Index		index;
	bool		wrapped;		/* a SELECT of ours stands around it */
} RgRowSource;

extern RgRowSource rg_row_source(Query *query);

/*
 * Moves an expression over the source into it, where it is evaluated once a
 * row however often it is used; what is returned stands for it.
 */
extern Expr *rg_row_source_add(RgRowSource *source, Expr *value);

/* Whether the value of the target list is DEFAULT, in every row. */
extern bool rg_row_source_is_default(RgRowSource *source, Expr *value);

/* Puts a value where the rows of VALUES have DEFAULT for that one. */
extern void rg_row_source_fill(RgRowSource *source, Expr *value, Node *filling);

#endif

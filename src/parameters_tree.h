/*
 * parameters_tree.h
 *		Compiled parameters from the inside: for parameters.c, which builds
 *		them, and parameters_check.c, which reads requests by them.
 */
#ifndef RG_PARAMETERS_TREE_H
#define RG_PARAMETERS_TREE_H

#include "parameters.h"
#include "schema_tree.h"

typedef struct RgNamed
{
	RgParameter seen;			/* what the caller sees of it */
	char	   *name;
	size_t		name_len;
	int			path_index;		/* among the path's variables */
	RgSchema   *schema;			/* a body property's belongs to the body's */
} RgNamed;

struct RgParameters
{
	int			count;
	int			path_count;
	int			body_index;		/* of "body"; -1 without */
	RgSchema   *body;
	RgNamed		named[RG_PARAMETERS_MAX];
};

#endif

/*
 * route_match.h
 *		Comparing the path of a request with a route's template.
 *
 * Pure C.
 */
#ifndef RG_ROUTE_MATCH_H
#define RG_ROUTE_MATCH_H

#include "slice.h"

#define RG_TEMPLATE_REST "..."	/* ends the name of a variable that takes all */

/* Whether a template has variables. */
extern bool rg_template_is_pattern(const char *path);

/* Whether its last variable takes all the segments that are left. */
extern bool rg_template_has_rest(const char *path);

/*
 * The order in which templates are tried, less than 0 for a before b: those
 * without variables, those with, those that take the rest; among them a literal
 * before a variable.
 */
extern int	rg_template_compare(const char *a, const char *b);

/*
 * Whether a raw path (percent escapes and all) is one of the template, segment
 * by segment.  A variable takes one segment that is not empty; one whose name ends
 * in "..." stands last and takes what is left, slashes and all, at least the slash
 * before it.  values gets them, still escaped, in order, at most max.  A literal is
 * compared with the segment's decoding.
 */
extern bool rg_template_match(const char *path, RgSlice raw, RgSlice *values, int max);

#endif

/*
 * cursor.h
 *		Cursors of lists: where the next page starts.
 *
 * A cursor is the base64url of the last row's keyset values, sealed under the
 * key ring and bound to the route and the user: nobody reads, makes or borrows
 * one.
 */
#ifndef RG_CURSOR_H
#define RG_CURSOR_H

#include "lib/stringinfo.h"

#include "route_plan.h"

/* Appends the cursor after the row that out has captured. */
extern void rg_cursor_append(StringInfo buf, RgRoutePlan *plan, const RgRoute *route,
							 const RgJsonOut *out);

/*
 * Opens a cursor into values and nulls, one each a keyset column.  False when
 * it is none of this route and user.
 */
extern bool rg_cursor_open(RgRoutePlan *plan, const RgRoute *route, RgSlice cursor,
						   Datum *values, bool *nulls);

#endif

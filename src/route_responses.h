/*
 * route_responses.h
 *		The column responses of route, which nothing but /openapi.json reads.
 */
#ifndef RG_ROUTE_RESPONSES_H
#define RG_ROUTE_RESPONSES_H

#include "access/htup.h"
#include "access/tupdesc.h"

#include "route.h"

/* Error 22023 when a row of route says of its answers what cannot be; see responses.h. */
extern void rg_route_responses_check(const RgRoute *route, HeapTuple tuple, TupleDesc desc);

#endif

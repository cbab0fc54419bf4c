/*
 * route_plan.h
 *		What a backend prepares to run a route: its parameters compiled, its
 *		statement planned, its cursor's columns.
 */
#ifndef RG_ROUTE_PLAN_H
#define RG_ROUTE_PLAN_H

#include "executor/spi.h"

#include "parameters.h"
#include "route.h"

#define RG_PLAN_MAX_VALUES (RG_PARAMETERS_MAX + 8)	/* parameters and keyset */

/* A keyset column: where the first page starts, and how a cursor carries it. */
typedef struct RgKeyColumn
{
	Oid			column_type;
	Oid			type;			/* what it is compared as: text for a varchar */
	Datum		start;
	bool		start_null;
	Oid			send;
	Oid			receive;
	Oid			ioparam;
} RgKeyColumn;

typedef struct RgRoutePlan
{
	int			refs;			/* copies of the table that use it */
	MemoryContext context;
	const char *where;			/* "GET /path", for messages */
	char	   *query;

	RgParameters *parameters;
	int			limit_index;	/* of the parameter "limit", -1 without */
	int			after_index;	/* of the parameter "after", -1 without */

	/* What request.<name> stands for: parameters first, then the keyset */
	int			nvalues;
	char	   *names[RG_PLAN_MAX_VALUES];
	Oid			types[RG_PLAN_MAX_VALUES];	/* a keyset's until known:
											 * UNKNOWNOID */
	bool		used[RG_PLAN_MAX_VALUES];	/* by the statement */

	SPIPlanPtr	spi;
	bool		read_only;		/* a SELECT that locks and changes nothing */
	RgJsonShape *shape;

	int			nkeys;
	RgKeyColumn keys[INDEX_MAX_KEYS];
} RgRoutePlan;

/*
 * The route's plan, made on the first call.  Runs with the rights of whoever is
 * current: the caller has switched to run_as and the route's search_path.
 */
extern RgRoutePlan *rg_route_plan(RgRoute *route);

/*
 * Makes the next rg_route_plan() of that route a new one: what it returns is
 * not what the plan was made for.
 */
extern void rg_route_plan_forget(RgRoute *route);

/* Prepares a plan that belongs to nobody, to see whether it can be. */
extern void rg_route_plan_try(const RgRoute *route);

/*
 * Lets a new copy of a route use the plan of the old one if what it was made
 * of is the same; the plan goes when the last context that uses it goes.
 */
extern void rg_route_plan_inherit(RgRoute *route, const RgRoute *previous,
								  MemoryContext context);

#endif

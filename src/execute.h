/*
 * execute.h
 *		Running a route's statement into the body of an answer.
 */
#ifndef RG_EXECUTE_H
#define RG_EXECUTE_H

#include "answer.h"
#include "route_plan.h"

/*
 * Runs the statement with those parameters and writes the body.  limit: the
 * rows of a full page, 0 when there are no pages.  The caller has switched to
 * the route's role.  Deferred triggers that the statement left have run, and
 * failed, before this returns.
 */
extern void rg_execute(RgRoutePlan *plan, const RgRequest *request, ParamListInfo params,
					   uint64 limit, RgAnswer *answer);

#endif

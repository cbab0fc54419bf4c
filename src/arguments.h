/*
 * arguments.h
 *		From the values of a request to the parameters of a statement.
 */
#ifndef RG_ARGUMENTS_H
#define RG_ARGUMENTS_H

#include "frame.h"
#include "route_plan.h"

/*
 * Reads a request's values into the statement's parameters, in the current
 * memory context.  NULL when something is wrong, which violation then says.
 * limit becomes the value of "limit", 0 without.
 */
extern ParamListInfo rg_arguments(RgRoutePlan *plan, const RgRoute *route,
								  const RgRequest *request, const RgSlice *path_values,
								  uint64 *limit, RgViolation *violation);

#endif

/*
 * responses.h
 *		What a route says of its answers, for /openapi.json.
 *
 * A JSON object with a member for a status:
 *
 *	2xx			the JSON Schema (schema.h) of a row or of the value; it must be the
 *				status of the route's success
 *	3xx			a text: when the client is sent elsewhere
 *	4xx, 5xx	{code: {"detail": …, "suggestion": …}}: problems that the statement
 *				raises beside those that can happen to any such route; both texts
 *				may be left out where problem_catalog.h has the code.  null in the
 *				place of the two, or of all codes: it cannot happen here
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_RESPONSES_H
#define RG_RESPONSES_H

#include "slice.h"

/*
 * Checks it for a route that succeeds with that status, with a body or without.
 * False when something is wrong, with the reason in error, for an errdetail.
 */
extern bool rg_responses_check(RgSlice json, int status, bool has_body,
							   char *error, size_t error_size)
			__attribute__((warn_unused_result));

#endif

/*
 * problem.h
 *		The body of every refusal: application/problem+json (RFC 9457), or where
 *		clients of OpenAI's ask, what those read (openai_error.h).
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_PROBLEM_H
#define RG_PROBLEM_H

#include "slice.h"


/*
 * What goes into a problem.  A slice whose data is NULL is left out, but for
 * code and suggestion: every problem has both, if need be those that
 * problem_catalog.h has for the status and the code.  Strings are escaped here; extra is taken as it stands: further members, such as
 * "\"violated-policies\":[\"user\"]", without a comma at either end.
 */
typedef struct RgProblem
{
	int			status;			/* HTTP; the title follows from it */
	RgSlice		code;			/* for programs: "rate_limited" */
	RgSlice		detail;			/* for people: what is wrong here */
	RgSlice		suggestion;		/* what to do about it */
	RgSlice		instance;		/* the path of the request, without query */
	RgSlice		request_id;
	RgSlice		pointer;		/* RFC 6901, into path, query or body */
	RgSlice		extra;
	bool		openai;			/* in OpenAI's form (openai_path.h), which has
								 * no room for the last four */
} RgProblem;

/* The Content-Type that goes with it. */
static inline const char *
rg_problem_type(const RgProblem *problem)
{
	return problem->openai ? "application/json" : "application/problem+json";
}

/*
 * Writes the problem as one JSON object, without NUL, and returns its length.
 * When that is more than cap, buf holds nothing that is to be used: try again
 * with more room.
 */
extern size_t rg_problem_json(char *buf, size_t cap, const RgProblem *problem);

/* The reason phrase of RFC 9110 and its like; never NULL. */
extern const char *rg_status_title(int status);

#endif

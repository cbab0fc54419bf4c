/*
 * problem_catalog.h
 *		Every problem that the gateway or the extension answers with by itself.
 *
 * Clients decide by the code, so codes are part of the API; docs/problems.md
 * and /openapi.json are made of this list.  Problems that a route's statement
 * raises, with relay_guard.fail(), are the application's and not in here: the
 * route's column responses names them.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_PROBLEM_CATALOG_H
#define RG_PROBLEM_CATALOG_H

#include "slice.h"

typedef struct RgProblemKind
{
	int			status;
	const char *code;
	const char *meaning;		/* when it is answered; no full stop */
	const char *suggestion;		/* a sentence, for answers without their own */
} RgProblemKind;

/* In the order of status, then as a request meets them. */
extern const RgProblemKind *rg_problem_kinds(size_t *count);

/* The one of that status and code; NULL: an application's. */
extern const RgProblemKind *rg_problem_kind(int status, RgSlice code);

/* What to call a problem that came without a code; never absent. */
extern RgSlice rg_problem_code(int status);

/* What to do about a problem that came without a suggestion; never absent. */
extern RgSlice rg_problem_suggestion(int status, RgSlice code);

#endif

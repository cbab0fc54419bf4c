/*
 * violation.h
 *		Why a request was refused, in words that its sender can act on.
 *
 * All strings are NUL-terminated valid UTF-8 of bounded size.  They are made
 * of what the route declares, never of what the client sent, so they may be
 * logged and echoed; they are not escaped for JSON.
 *
 * Pure C: shared by the extension, the gateway, unit tests and fuzzers.
 */
#ifndef RG_VIOLATION_H
#define RG_VIOLATION_H

#include "slice.h"

#define RG_VIOLATION_TEXT 256

typedef struct RgViolation
{
	int			status;			/* HTTP: 400, 413, 415 or 422 */
	const char *code;			/* a constant such as "invalid_parameter" */
	char		pointer[RG_VIOLATION_TEXT]; /* RFC 6901, "/query/limit" */
	char		detail[RG_VIOLATION_TEXT];	/* "must be at most 100" */
	char		suggestion[RG_VIOLATION_TEXT];	/* a whole sentence; empty:
												 * that of problem_catalog.h */
} RgViolation;

/*
 * Fills in the violation, with an empty pointer and suggestion, the detail
 * from a printf format.  Always false, for "return rg_violate(...)".
 */
extern bool rg_violate(RgViolation *violation, int status, const char *code,
					   const char *detail,...)
			__attribute__((format(printf, 4, 5)));

/* Sets the suggestion, from a printf format. */
extern void rg_violation_suggest(RgViolation *violation, const char *format,...)
			__attribute__((format(printf, 2, 3)));

/*
 * Puts "/<name>" or "/<index>" before the pointer, with ~ and / escaped.
 * When it would not fit, trailing segments are left out.
 */
extern void rg_violation_prepend(RgViolation *violation, const char *name);
extern void rg_violation_prepend_index(RgViolation *violation, size_t index);

#endif

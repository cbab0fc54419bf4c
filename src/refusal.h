/*
 * refusal.h
 *		What an error says when it leaves serve().
 */
#ifndef RG_REFUSAL_H
#define RG_REFUSAL_H

#include "answer.h"

/* The problem of a row that is not there. */
#define RG_MISSING_CODE "not_found"
#define RG_MISSING_DETAIL "there is no such thing here"

/*
 * To be called where an error was caught: throws it again.  answer is the one
 * that was being made; context is one to work in.
 *
 * A value that does not open becomes a row that is not there, and an error of
 * class RG carries the header lines about limits that the answer would have
 * had, in the field for a constraint's name, so that a refusal by application
 * SQL has the headers of any other answer; RG429 says there whether and when to
 * try again, too (retry.h).
 *
 * When a lock was not free in time for a request that comes again, what it took
 * of limits is given back.
 *
 * Every error but that of used up memory carries the route's template in the field
 * for a data type's name: whoever counts requests by route has no other way to
 * know it.
 */
extern _Noreturn void rg_refusal_rethrow(RgAnswer *answer, MemoryContext context);

#endif

/*
 * cors.h
 *		Which pages of other origins may read answers: CORS, as the Fetch
 *		standard has it.
 *
 * An origin is compared byte by byte, as it was sent, with those that are
 * allowed: browsers serialize it in one way only (lower case, without path or
 * default port), so whatever needs normalizing to match comes from no browser.
 * "null", which every sandboxed page sends, is never allowed.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_CORS_H
#define RG_CORS_H

#include "json_text.h"

#define RG_CORS_MAX_ORIGINS 32
#define RG_CORS_MAX_AGE 7200	/* seconds that a preflight's answer is kept */

typedef struct RgCors
{
	int			count;
	int			wildcard;		/* number of "*" among them, from 1; 0: none */
	RgSlice		origins[RG_CORS_MAX_ORIGINS];	/* in the text that was read */
} RgCors;

/*
 * Reads a list separated by commas and blanks, in which * may stand for
 * every origin but "null".  False, with the entry and the reason, when one is
 * nothing that a browser sends.  The list has to outlive cors.
 */
extern bool rg_cors_parse(RgSlice list, RgCors *cors, RgSlice *bad, const char **why)
			__attribute__((warn_unused_result));

/* The number of the entry that allows the origin, from 1; 0 when none does. */
extern int	rg_cors_find(const RgCors *cors, RgSlice origin);

/* Is it allowed by name?  Only then may it send cookies. */
static inline bool
rg_cors_named(const RgCors *cors, int number)
{
	return number > 0 && number != cors->wildcard;
}

/* Puts the header lines by which pages of that entry may read an answer. */
extern void rg_cors_put(RgText *text, const RgCors *cors, int number);

/*
 * Puts those by which a preflight learns what may be asked.  names: further
 * request headers that pages may send, separated by commas.
 */
extern void rg_cors_put_preflight(RgText *text, RgSlice names);

#endif

/*
 * cookie.h
 *		Cookies of a request (RFC 6265, 4.2) and of an answer.
 *
 * Pure C: shared by the extension, unit tests and fuzzers.
 */
#ifndef RG_COOKIE_H
#define RG_COOKIE_H

#include "slice.h"

typedef enum RgCookieFound
{
	RG_COOKIE_ABSENT,
	RG_COOKIE_ONCE,
	RG_COOKIE_TWICE				/* which of them counts, nobody can know */
} RgCookieFound;

/*
 * Looks for the cookie of that name in the value of a header Cookie.  Names
 * are compared byte by byte; what is no pair of name and value is passed over.
 * *value points into the header; it is the first one's when there are two.
 */
extern RgCookieFound rg_cookie_find(RgSlice header, const char *name, RgSlice *value);

#endif

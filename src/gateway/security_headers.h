/*
 * security_headers.h
 *		The headers by which browsers are told what pages may do.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_SECURITY_HEADERS_H
#define RG_SECURITY_HEADERS_H

#include "json_text.h"

#define RG_SECURITY_HEADERS_MAX 8192	/* bytes of all of them */

/* Values as they are sent; "off" leaves the header out. */
typedef struct RgSecurityHeaders
{
	const char *content_security_policy;	/* "" makes the usual one */
	const char *connect_sources;	/* of the usual one, beside 'self' */
	const char *frame_options;
	const char *referrer_policy;
	const char *opener_policy;
	const char *resource_policy;
	const char *permissions_policy;
	const char *transport_security;
} RgSecurityHeaders;

/* May that be the value of a header: printable ASCII, at most 2 kB? */
extern bool rg_security_value_valid(const char *value);

/*
 * May those be sources of a Content-Security-Policy: no semicolon or comma,
 * which would end the directive or the policy?
 */
extern bool rg_security_sources_valid(const char *sources);

/* Puts the lines; secure: with Strict-Transport-Security. */
extern void rg_security_headers_put(RgText *text, const RgSecurityHeaders *headers,
									bool secure);

#endif

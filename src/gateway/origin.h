/*
 * origin.h
 *		The gateway's own origin, as the client sees it: https or http, and the
 *		host that the request names.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_ORIGIN_H
#define RG_ORIGIN_H

#include "json_text.h"

#define RG_ORIGIN_MAX 300		/* bytes: scheme, host and port */

/*
 * Does an X-Forwarded-Proto say https, and nothing else?  Proxies that append
 * make a list, of which every entry must.
 */
extern bool rg_proto_is_https(RgSlice value);

/*
 * Puts the origin as browsers serialize it: in lower case, without the port
 * that the scheme has anyway.  host is a Host header that http1.c has accepted.
 */
extern void rg_origin_put(RgText *text, bool secure, RgSlice host);

/* Puts https://host, with that port unless it is 443, whatever port host has. */
extern void rg_origin_put_https(RgText *text, RgSlice host, int port);

/*
 * Reads a list of host names separated by commas and blanks, each one a name
 * or a bracketed IPv6 address without port.  False, with the entry that is none,
 * else.
 */
extern bool rg_hosts_check(RgSlice list, RgSlice *bad)
			__attribute__((warn_unused_result));

#endif

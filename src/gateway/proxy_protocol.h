/*
 * proxy_protocol.h
 *		The PROXY protocol, version 2: whom a proxy that passes bytes on has
 *		before it.
 *
 * Version 1, a line of text, is not spoken: it could be begun by an HTTP
 * client.  Every length in a header has to fit into the one that holds it.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_PROXY_PROTOCOL_H
#define RG_PROXY_PROTOCOL_H

#include "forwarded.h"

#define RG_PROXY_FIXED 16		/* bytes before addresses and TLVs */
#define RG_PROXY_MAX 4096		/* bytes of a whole header */

typedef struct RgProxyHeader
{
	bool		has_client;		/* else the connection is the proxy's own */
	bool		secure;			/* the client came by TLS */
	RgAddress	client;
	const char *error;			/* when refused: why, for people */
} RgProxyHeader;

/*
 * The length of the whole header of which data holds the first len bytes:
 * RG_PROXY_FIXED as long as fewer than that have come, and -1 as soon as they are
 * the beginning of none.
 */
extern int	rg_proxy_length(const char *data, size_t len, RgProxyHeader *header)
			__attribute__((warn_unused_result));

/* Reads a header of exactly that length; false, with the reason, else. */
extern bool rg_proxy_parse(const char *data, size_t len, RgProxyHeader *header)
			__attribute__((warn_unused_result));

#endif

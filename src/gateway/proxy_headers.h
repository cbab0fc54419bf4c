/*
 * proxy_headers.h
 *		Which headers pass between a client and an upstream.
 *
 * To the upstream go those of the client that are about what it asks for.  What
 * says who it is, what belongs to a connection, what the gateway sets anew and
 * every name that is more than letters, digits and hyphens stays here: behind
 * CGI, "X_Relay_User" and "X-Relay-User" are one.
 *
 * To the client go those of the upstream that are about its answer.  The security
 * headers, those of CORS, request ids and limits are the gateway's on every
 * answer, so they stay.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_PROXY_HEADERS_H
#define RG_PROXY_HEADERS_H

#include "http1.h"
#include "json_text.h"

#define RG_PROXY_MAX_HEAD 12288 /* bytes of an upstream's header lines */

/*
 * Puts "Name: value" for every header that goes to the upstream, a NUL behind
 * each; of a header without value "Name;", as libcurl takes it.  cookies: these
 * as well, but for those of the gateway's sessions.
 */
extern void rg_proxy_request_lines(const RgHttpHead *head, bool cookies, RgText *out);

/* What an upstream's head says of its body, and of itself. */
typedef struct RgProxyHead
{
	int64_t		content_length; /* -1: not known */
	bool		cache_control;	/* among the lines that were put */
	bool		event_stream;	/* of server-sent events: its end may be long
								 * off */
	const char *error;			/* when refused: why, for the log */
} RgProxyHead;

/*
 * Reads an upstream's header lines, each ended by CRLF or LF, and puts those that
 * go to the client, each ended by CRLF.  public: its Cache-Control as well.
 * False when they are no headers, or frame the body in a way that two could read
 * differently.
 */
extern bool rg_proxy_response_lines(RgSlice lines, bool cookies, bool public,
									RgText *out, RgProxyHead *head)
			__attribute__((warn_unused_result));

#endif

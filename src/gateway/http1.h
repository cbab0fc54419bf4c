/*
 * http1.h
 *		The head of an HTTP/1.1 request (RFC 9112), read strictly.
 *
 * Whatever two parsers could read in two ways is refused, because a proxy in
 * front of us may have read it the other way: lines end in CRLF, nothing is
 * folded, nothing comes before the request line, a colon follows its name at
 * once, and the body's length is said once and in one way.
 *
 * Pure C: needs no server, no event loop.
 */
#ifndef RG_HTTP1_H
#define RG_HTTP1_H

#include <stdint.h>

#include "frame.h"

#define RG_HTTP_MAX_HEAD	16384	/* bytes: request line and headers */
#define RG_HTTP_MAX_HEADERS 64
#define RG_HTTP_MAX_TARGET	8192
#define RG_HTTP_MAX_METHOD	16

typedef struct RgHttpHead
{
	RgSlice		text;			/* all of it; only of one that is complete */
	RgSlice		method;			/* a token: "GET" */
	RgSlice		target;			/* as it was sent; target.h checks it */
	RgSlice		host;			/* data NULL in HTTP/1.0 without one */
	int			minor;			/* HTTP/1.minor: 0 or 1 */
	bool		keep_alive;
	bool		chunked;
	bool		expects_continue;
	int64_t		content_length; /* -1 when not given */
	int			nheaders;
	RgHeader	headers[RG_HTTP_MAX_HEADERS];	/* names as they were sent */
	const char *error;			/* when refused: why, for people */
} RgHttpHead;

/*
 * Reads the head at the start of data, which holds what has come so far.
 * *scanned is 0 at a head's first call and then the caller's to keep: bytes
 * that need not be looked at again.  Returns the length of the head, 0 when
 * more must come, or a negative HTTP status, after which the connection
 * cannot be used: nobody knows where the next request would start.  However
 * the bytes are cut into calls, the result is the same.  The head's slices
 * point into data.
 */
extern int	rg_http_head(const char *data, size_t len, size_t *scanned,
						 RgHttpHead *head)
			__attribute__((warn_unused_result));

/*
 * After a refusal head still has the target, unless that is what was wrong, and
 * the headers that came whole, so that the answer can be made for whom it is
 * for; nothing else of it counts.  This does the same for a head whose end will
 * not be waited for.
 */
extern void rg_http_give_up(const char *data, size_t scanned, RgHttpHead *head);

/* Are the two equal but for the case of ASCII letters?  lower is lower case. */
extern bool rg_http_name_is(RgSlice name, const char *lower);

/* Is that the empty line behind a head, as libcurl hands lines over? */
extern bool rg_http_line_blank(RgSlice line);

/* Is c a character of a token (RFC 9110, 5.6.2)? */
extern bool rg_http_token_char(char c);

/* The host of a Host header, without port; brackets of IPv6 stay. */
extern RgSlice rg_http_host_name(RgSlice host);

#endif

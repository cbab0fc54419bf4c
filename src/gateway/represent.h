/*
 * represent.h
 *		How an answer is sent: from memory, as 304, in part, compressed.
 *
 * What is compressed: answers 200 to GET and HEAD of text or JSON from
 * RG_GZIP_MIN bytes on, where the client takes gzip.  The length of a compressed
 * answer tells what stands in it to whoever can put guesses beside it and see
 * the length (BREACH).  A page of somebody else's can do that with the cookies
 * of its reader, so an answer with Set-Cookie is never compressed, and one to a
 * request with Cookie only if the browser says that it comes from the site
 * itself (Sec-Fetch-Site).  Headers such as Authorization nobody else can send.
 */
#ifndef RG_REPRESENT_H
#define RG_REPRESENT_H

#include "config.h"
#include "http1.h"
#include "job.h"
#include "reply_traits.h"
#include "response.h"
#include "response_cache.h"
#include "static_files.h"

/* Makes the worker's cache, unless RESPONSE_CACHE=0. */
extern void rg_represent_init(const RgConfig *config);

/*
 * Shows serve() what there is of a GET, by one more header of the request.  The
 * body, pinned, goes with the job; NULL when there is none.
 */
extern RgHeldBody *rg_represent_offer(RgRequest *request)
			__attribute__((warn_unused_result));

/* May answers to the request be compressed?  May those that are no secret? */
extern void rg_represent_accepts(RgExchange *exchange, const RgRequest *request,
								 const RgHttpHead *head);

/*
 * Completes the response to a GET or HEAD of status 200, whose headers and, unless
 * it is the body that was offered, body are those of the reply.  False when there
 * is no such body.  Of a file the response may be the part that Range asks for, 206, or
 * 416, with all of the body, for the caller to make a problem of.  It is good until the
 * next call, and until the job is freed.
 */
extern bool rg_represent_reply(RgJob *job, const RgReply *reply, const RgReplyTraits *traits,
							   RgResponse *response)
			__attribute__((warn_unused_result));

/* The same of a static page. */
extern void rg_represent_file(const RgExchange *exchange, RgStaticFile *file,
							  RgSlice if_none_match, RgResponse *response);

#endif

/*
 * answer.h
 *		The answer to a request while it is being made: one buffer that ends as
 *		a reply frame (frame.h).
 */
#ifndef RG_ANSWER_H
#define RG_ANSWER_H

#include "lib/stringinfo.h"

#include "frame.h"
#include "held.h"
#include "problem.h"
#include "quota.h"
#include "rate.h"
#include "route.h"

typedef struct RgAnswer
{
	int			status;
	StringInfoData out;			/* the frame, as a bytea */
	StringInfoData headers;		/* lines that this answer adds */
	StringInfo	body_lines;		/* lines that belong to the body, which the
								 * gateway keeps with it; NULL: none */
	StringInfoData order;		/* what the gateway is to do, JSON; empty:
								 * send the answer */
	bool		order_secret;	/* its first header's value is for the gateway
								 * alone */
	const char *content_type;	/* NULL: no body */
	RgRoute    *route;			/* NULL until one was found */
	uint32		signals;		/* RG_SIGNAL_…, for the gateway */
	bool		redirect;		/* in place of success, 303: there is a header
								 * Location */
	bool		limited;		/* a refusal that the gateway may repeat */
	RgHeld		held;			/* the body that the gateway has */
	bool		cacheable;		/* the body depends on nothing else than its
								 * validator says */
	bool		admitted;		/* past all limits and checks of identity */
	bool		comes_again;	/* the gateway makes the request once more,
								 * should a lock not be free in time */
	int			nhits;			/* limits that were asked, for the headers */
	RgRateHit	hits[RG_RATE_MAX_HITS];
	bool		quotas_held;	/* 1 of each is held, and may be given back */
	int			nquotas;		/* quotas that were asked, for the headers */
	RgQuotaTake quotas[RG_ROUTE_MAX_QUOTAS];
} RgAnswer;

/* Starts an answer of status 200 without body, in the current context. */
extern void rg_answer_begin(RgAnswer *answer);

/* Adds a header line, from a printf format without the CRLF. */
extern void rg_answer_header(RgAnswer *answer, const char *format,...)
			pg_attribute_printf(2, 3);

/* Drops what the body holds so far. */
extern void rg_answer_clear(RgAnswer *answer);

/*
 * Makes the answer a problem document.  instance and request id come from the
 * request.  Always false, so that a check can end with it.
 */
extern bool rg_answer_problem(RgAnswer *answer, const RgRequest *request,
							  const RgProblem *problem);

/* Makes the answer the 404 of what is not there, or not for this client. */
extern void rg_answer_missing(RgAnswer *answer, const RgRequest *request);

/*
 * Makes the answer the 429 of its hits, one of which denied.  The gateway
 * repeats it to the same client for a few seconds.  Always false.
 */
extern bool rg_answer_limited(RgAnswer *answer, const RgRequest *request);

/* Makes the answer the body that the gateway has shown. */
extern void rg_answer_held(RgAnswer *answer);

/* Appends the header lines about the limits and quotas that were asked. */
extern void rg_answer_limit_lines(const RgAnswer *answer, StringInfo buf);

/* The body, as far as it is written. */
extern RgSlice rg_answer_body(const RgAnswer *answer);

/* Ends the answer; no more may be added.  Returns its header lines. */
extern RgSlice rg_answer_finish(RgAnswer *answer);

/* The finished answer as a reply frame. */
extern bytea *rg_answer_frame(RgAnswer *answer);

#endif

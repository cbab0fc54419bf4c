/*
 * idempotency.h
 *		Requests that name themselves, by the header Idempotency-Key, are carried
 *		out once: whoever sends one again gets the first one's answer.
 *
 * The answer is written by the transaction that did what it tells of, so there is
 * either both or neither.  While a request is under way its scope is locked, by
 * that transaction as well: nothing is left behind that would have to run out.
 */
#ifndef RG_IDEMPOTENCY_H
#define RG_IDEMPOTENCY_H

#include "answer.h"
#include "context.h"
#include "idempotency_store.h"

/* A request under way; principal.data NULL when it has no key. */
typedef struct RgKeyedRequest
{
	RgKept		kept;
	int			headers_at;		/* from here on header lines are its own */
} RgKeyedRequest;

/*
 * After all checks, before anything is taken or done.  False when that is all:
 * the answer is the first one's, or a problem.
 */
extern bool rg_idempotency_begin(RgKeyedRequest *keyed, const RgRequest *request,
								 const RgIdentity *identity, RgAnswer *answer)
			__attribute__((warn_unused_result));

/*
 * After the statement: keeps the answer, unless it is a refusal that has changed
 * nothing, or sets a cookie.
 */
extern void rg_idempotency_keep(const RgKeyedRequest *keyed, const RgAnswer *answer);

#endif

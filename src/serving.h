/*
 * serving.h
 *		The request that this backend is serving, for SQL functions that a route
 *		calls.
 */
#ifndef RG_SERVING_H
#define RG_SERVING_H

#include "answer.h"
#include "session_cookie.h"

typedef struct RgServing
{
	const RgRequest *request;
	RgAnswer   *answer;
	int			nest_level;		/* of transactions, when it began */
	bool		cookie_set;		/* the answer has a session's cookie */
	bool		has_session;	/* there is one, of this id and secret: */
	uint8		session_id[16];
	uint8		session_secret[RG_SESSION_SECRET_BYTES];
} RgServing;

/* From now on a request is being served; what is given stays until the end. */
extern void rg_serving_begin(const RgRequest *request, RgAnswer *answer);

/* Wipes what is secret; to be called on every way out. */
extern void rg_serving_end(void);

/* The one that is being served, or NULL. */
extern RgServing *rg_serving(void);

/*
 * The same for a function that writes to the answer's head; NULL outside of a
 * route.  Raises an error in a subtransaction, whose rollback would not take
 * the answer's head back.
 */
extern RgServing *rg_serving_writable(const char *function);

#endif

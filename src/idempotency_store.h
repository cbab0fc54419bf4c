/*
 * idempotency_store.h
 *		The table idempotency_key: answers that are given again.
 */
#ifndef RG_IDEMPOTENCY_STORE_H
#define RG_IDEMPOTENCY_STORE_H

#include "idempotency_key.h"

#define RG_IDEMPOTENCY_MAX_ANSWER (256 * 1024)	/* bytes; larger ones are not
												 * kept */

/* The answer to a request; it is the client's, and sealed where there is a key ring. */
typedef struct RgKeptAnswer
{
	int			status;
	RgSlice		content_type;	/* absent: no body */
	RgSlice		headers;		/* complete lines, each ended by CRLF */
	RgSlice		body;
} RgKeptAnswer;

/* A row, without its answer. */
typedef struct RgKept
{
	uint8_t		scope[RG_IDEMPOTENCY_HASH];
	uint8_t		fingerprint[RG_IDEMPOTENCY_HASH];
	RgSlice		principal;
	RgSlice		method;
	RgSlice		route;
	bool		outlived;		/* rg_kept_find() saw a row that is too old */
} RgKept;

typedef enum RgKeptFound
{
	RG_KEPT_NONE,				/* or it is older than a day */
	RG_KEPT_OTHER,				/* of a request with another fingerprint */
	RG_KEPT_WITHOUT_ANSWER,		/* that was too large */
	RG_KEPT_ANSWER
} RgKeptFound;

/*
 * Looks for the row of that scope as it is committed now, whatever the
 * transaction's snapshot.  Whoever calls this holds the scope's lock, so that
 * nobody is about to write it.  answer is palloc'd.
 */
extern RgKeptFound rg_kept_find(RgKept *kept, RgKeptAnswer *answer);

/* Then writes the row with this transaction, in the place of one that is too old. */
extern void rg_kept_write(const RgKept *kept, const RgKeptAnswer *answer);

#endif

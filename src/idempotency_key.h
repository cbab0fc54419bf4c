/*
 * idempotency_key.h
 *		The header Idempotency-Key: which ones are taken, and what makes two
 *		requests the same.
 *
 * Pure C.
 */
#ifndef RG_IDEMPOTENCY_KEY_H
#define RG_IDEMPOTENCY_KEY_H

#include <stdint.h>

#include "slice.h"

#define RG_IDEMPOTENCY_KEY_MAX 255
#define RG_IDEMPOTENCY_KEY_LONG 16	/* what nobody guesses or chooses by
									 * chance */
#define RG_IDEMPOTENCY_HASH 32

/* Within what a key means one request; user_id is absent for an address. */
typedef struct RgIdempotencyScope
{
	RgSlice		user_id;
	RgSlice		workspace_id;
	RgSlice		address;		/* counts where there is no user id */
	RgSlice		method;
	RgSlice		route;			/* the template */
	RgSlice		key;
} RgIdempotencyScope;

/* What the request is, apart from its key. */
typedef struct RgIdempotencyPayload
{
	RgSlice		path;			/* as it was sent, percent escapes included */
	RgSlice		query;
	RgSlice		role;			/* what it may do and see */
	RgSlice		body;
} RgIdempotencyPayload;

/* 1 to 255 visible ASCII characters. */
extern bool rg_idempotency_key_valid(RgSlice key);

/* SHA-256 of all fields, each with its length: none runs over into the next. */
extern void rg_idempotency_scope(const RgIdempotencyScope *scope, uint8_t hash[RG_IDEMPOTENCY_HASH]);
extern void rg_idempotency_fingerprint(const RgIdempotencyPayload *payload,
									   uint8_t hash[RG_IDEMPOTENCY_HASH]);

#endif

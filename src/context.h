/*
 * context.h
 *		The identity of the current transaction.
 *
 * It lives in the GUC relay_guard.context, which only rg_context_set() and
 * rg_context_save() can change; context.c says why it is built that way.
 */
#ifndef RG_CONTEXT_H
#define RG_CONTEXT_H

#include "utils/uuid.h"

#include "slice.h"

/* What an identity is made of; data NULL where there is none. */
typedef struct RgIdentity
{
	RgSlice		user_id;
	RgSlice		workspace_id;
	RgSlice		role;
	RgSlice		via;			/* "token", "api_key", "session" or "assume" */
	RgSlice		scopes;			/* separated by single spaces */
	RgSlice		claims;			/* the token's payload, JSON */
	RgSlice		session_id;		/* the session that the token belongs to */
	RgSlice		request_id;
	RgSlice		client_ip;		/* an inet without its varlena header */
} RgIdentity;

/* Defines the GUC; called from _PG_init. */
extern void rg_context_init(void);

/* The current identity, or NULL; stays until the identity changes. */
extern const RgIdentity *rg_context(void);

/* Whether this transaction has an identity, or had one that was rolled back. */
extern bool rg_context_established(void);

/*
 * A field of the current identity as a text (or inet) datum, palloc'd; field
 * is a member of what rg_context() returned.
 */
extern struct varlena *rg_context_datum(const RgSlice *field);

/* The user id as a uuid; uuid.h says which. */
extern const pg_uuid_t *rg_context_user_uuid(void);

/* The user id as a number, where it is one in canonical form. */
extern bool rg_context_user_bigint(int64 *value);

/*
 * Makes identity (copied) that of the transaction.  The same one again is
 * nothing; a second, different one in a transaction is an error, unless the
 * first was rolled back with its savepoint and no cursor is open.
 */
extern void rg_context_set(const RgIdentity *identity);

/*
 * Makes identity (copied), or none when NULL, that of the current GUC nesting
 * level; AtEOXact_GUC(false, level) brings back what was before.
 */
extern void rg_context_save(const RgIdentity *identity);

#endif

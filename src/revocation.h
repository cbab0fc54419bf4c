/*
 * revocation.h
 *		Tokens that are refused although they are genuine: relay_guard.revoke().
 */
#ifndef RG_REVOCATION_H
#define RG_REVOCATION_H

#include "datatype/timestamp.h"

#include "token_cache.h"

/* Registers the table; called from _PG_init. */
extern void rg_revocation_init(void);

/*
 * Whether the token is revoked by its jti, its session, or its user's tokens of
 * before some time; one without iat is as old as can be.  Probes the table
 * only when it has changed since it was asked for this entry, which notes that.
 */
extern bool rg_revoked(RgVerified *verified);

/*
 * Whether a session of ours is revoked, by its id or as one of its user's of
 * before some time.  identity is the session's, whose id that is.  Probes the
 * table as rg_revoked() does.
 */
extern bool rg_revoked_session(const pg_uuid_t *id, const RgIdentity *identity,
							   TimestampTz created_at);

#endif

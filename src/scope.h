/*
 * scope.h
 *		Whom a limit counts apart: the keys that rate limits, quotas and budgets
 *		have in common.
 */
#ifndef RG_SCOPE_H
#define RG_SCOPE_H

#include "slice.h"

typedef enum RgIdentifyBy
{
	RG_BY_IP,
	RG_BY_USER,
	RG_BY_WORKSPACE,
	RG_BY_API_KEY,
	RG_BY_ANONYMOUS,
	RG_BY_GLOBAL
} RgIdentifyBy;

#define RG_SCOPE_SCRATCH 64		/* bytes, for a key or a readable address */

/* As the tables spell it. */
extern const char *rg_scope_name(RgIdentifyBy by);

/* False when no scope has that name. */
extern bool rg_scope_named(const char *name, RgIdentifyBy *by);

/* What it needs of a transaction, for messages: "a user". */
extern const char *rg_scope_needs(RgIdentifyBy by);

/*
 * The key of a scope for an address (16 bytes, IPv4 mapped; IPv6 is cut to its
 * /64) or an identity; either may be NULL, and the identity's address counts
 * where there is no other.  False when the scope does not bind: there is no
 * address, no identity, no workspace, or it is of API keys or anonymous users
 * and this is none.  The key points into scratch (RG_SCOPE_SCRATCH bytes),
 * client_ip or the identity.
 */
struct RgIdentity;
extern bool rg_scope_key(RgIdentifyBy by, const unsigned char *client_ip,
						 const struct RgIdentity *identity, char *scratch, RgSlice *key);

/*
 * The key of scope ip for an inet without its varlena header; points into
 * scratch.
 */
extern RgSlice rg_scope_address_key(RgSlice inet, char *scratch);

/*
 * A key as people read it: addresses are spelled, in name (RG_SCOPE_SCRATCH
 * bytes), all others are what they are.
 */
extern RgSlice rg_scope_readable(RgIdentifyBy by, RgSlice key, char *name);

/* Anonymous user ids are made by the built-in issuer. */
extern bool rg_scope_is_anonymous(RgSlice user_id);

#endif

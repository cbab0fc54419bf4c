/*
 * issuer.h
 *		Who may issue tokens: the tables issuer and jwt_key, and the built-in
 *		issuer, whose keys come from the key ring.
 */
#ifndef RG_ISSUER_H
#define RG_ISSUER_H

#include "token.h"

#define RG_BUILTIN_ISSUER "relay_guard"

typedef struct RgIssuer
{
	const char *iss;
	const char *aud;
	const char *subject_prefix;
	int			nroles;
	char	  **roles;			/* what its role claim may say */
	int64		leeway;			/* seconds */
	bool		builtin;
} RgIssuer;

/* Registers the caches; called from _PG_init. */
extern void rg_issuer_init(void);

/*
 * The issuer of that name, or NULL; good until the end of the transaction.  The
 * built-in one's audience is this database alone.
 */
extern const RgIssuer *rg_issuer_find(const char *iss);

/*
 * The live key that a token's header names, or where it names none, the
 * issuer's only one of that algorithm; NULL when there is none.  An issuer
 * without a key of that algorithm gives one of another: the caller, who
 * compares algorithms, refuses the token by it.  Good until the end of the
 * transaction.
 *
 * Keys that cannot be used, because they were sealed under another key ring or
 * changed by hand, stand in nobody's way; asked for by name they raise an
 * error, for the fault is the server's and not the token's.
 */
extern RgVerifier *rg_issuer_key(const RgIssuer *issuer, const char *kid, const char *alg);

/* The key that signs tokens of the built-in issuer; kid gets its name. */
extern RgVerifier *rg_issuer_signer(char *kid, size_t size);

/*
 * Whether a user id or workspace made by this issuer falls into the name space
 * of another: its subject prefix, "anon:" of the built-in one, or "key:" of API
 * keys.
 */
extern bool rg_issuer_reserved(const RgIssuer *issuer, const char *id);

/*
 * The role of a token: what it claims if the issuer may say so, else "user".
 * anonymous, which may do less, every issuer may say.
 */
extern const char *rg_issuer_role(const RgIssuer *issuer, const char *claimed);

/* Changes whenever a verdict of before may be wrong. */
extern uint64 rg_issuer_generation(void);

#endif

/*
 * commands.h
 *		What relay_gateway does besides serving.  Each returns the exit status.
 */
#ifndef RG_COMMANDS_H
#define RG_COMMANDS_H

/*
 * Writes what the environment sets for all gateways (issuer and key of tokens,
 * limits) to the tables, as DATABASE_PUBLIC_URL connects, or libpq's
 * environment.  May be run again at any time; prints what it changed.
 */
extern int	rg_configure(void);

/* Fetches the keys of SUPABASE_JWKS_URL and imports them, once. */
extern int	rg_keys_once(void);

/*
 * Makes a key ring with one random key.  A file must not be there yet, since
 * overwriting a ring loses all that was encrypted under it; NULL is stdout.
 */
extern int	rg_keyring_new(const char *file);

#endif

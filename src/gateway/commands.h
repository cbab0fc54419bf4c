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
 * Makes, shows and changes key rings: argv starts with new, add, promote,
 * retire, list or fetch.  2 when the arguments are not understood.
 */
extern int	rg_keyring_command(int argc, char **argv);

#endif

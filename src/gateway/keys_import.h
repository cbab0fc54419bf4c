/*
 * keys_import.h
 *		Hands a key set to the database.
 */
#ifndef RG_KEYS_IMPORT_H
#define RG_KEYS_IMPORT_H

#include <stddef.h>

/*
 * Imports the set, a JSON text, as the issuer's, over a connection of its own;
 * returns how many live keys the issuer has then.  -1, with the reason, when
 * the database cannot be reached or refuses the set: then nothing has changed.
 * Blocks, though not for ever.
 */
extern int	rg_keys_import(const char *conninfo, const char *iss, const char *jwks,
						   char *reason, size_t size);

#endif

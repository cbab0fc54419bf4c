/*
 * secret.h
 *		Secrets in tables: sealed under the key ring, bound to their row.
 */
#ifndef RG_SECRET_H
#define RG_SECRET_H

#include "slice.h"

/*
 * Seals a secret for the row of that table and key columns (palloc'd).  What
 * one row holds does not open in another.
 */
extern RgSlice rg_secret_seal(const char *table, const char *key1, const char *key2,
							  RgSlice secret);

/*
 * Opens it as rg_secret_open() does; false, and no error, when that cannot be
 * done with the key ring there is.
 */
extern bool rg_secret_try_open(const char *table, const char *key1, const char *key2,
							   RgSlice sealed, RgSlice *secret);

/*
 * Opens it (palloc'd; the caller wipes it), or raises an error that names the
 * row.
 */
extern RgSlice rg_secret_open(const char *table, const char *key1, const char *key2,
							  RgSlice sealed);

/* Wipes a secret that was opened; its memory stays. */
extern void rg_secret_wipe(RgSlice secret);

#endif

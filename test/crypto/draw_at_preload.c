/*
 * draw_at_preload.c
 *		A module for tests only: when it is preloaded after relay_guard, the
 *		postmaster seals a value and leaves to all its children a buffer of
 *		random bytes that is not empty.
 */
#include "postgres.h"

#include <dlfcn.h>

#include "fmgr.h"

PG_MODULE_MAGIC;

extern PGDLLEXPORT void _PG_init(void);

void
_PG_init(void)
{
	void		(*draw) (void *out, size_t len) = dlsym(RTLD_DEFAULT, "rg_random");
	char		nonce[24];

	if (draw == NULL)
		ereport(ERROR, errmsg("relay_guard does not export rg_random"));
	draw(nonce, sizeof nonce);
}

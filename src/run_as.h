/*
 * run_as.h
 *		Whose rights a route's statement runs with.
 */
#ifndef RG_RUN_AS_H
#define RG_RUN_AS_H

/*
 * Raises an error when routes may not run as that role: a superuser, a role
 * that bypasses row-level security, makes roles, reads or writes the server's
 * files or runs programs, or that owns a protected table.
 */
extern void rg_run_as_check(Oid role);

/* Registers what notices changes of roles; called from _PG_init. */
extern void rg_run_as_init(void);

typedef struct RgRunAs
{
	Oid			user;			/* whose rights come back */
	int			context;
} RgRunAs;

/*
 * Goes on as that role, with that search_path.  The caller has made a GUC nest
 * level, which takes the search_path back; an error takes back both.
 */
extern RgRunAs rg_run_as_enter(Oid role, const char *search_path);
extern void rg_run_as_leave(RgRunAs before);

#endif

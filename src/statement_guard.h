/*
 * statement_guard.h
 *		Statements that a route must not run, because what they do outlives the
 *		request.
 */
#ifndef RG_STATEMENT_GUARD_H
#define RG_STATEMENT_GUARD_H

/* Installs the hook; called from _PG_init. */
extern void rg_statement_guard_init(void);

#endif

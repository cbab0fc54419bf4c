/*
 * budget_scope.h
 *		The budgets that bind somebody.
 */
#ifndef RG_BUDGET_SCOPE_H
#define RG_BUDGET_SCOPE_H

#include "account.h"
#include "ledger.h"

/* Accounts of all budgets in scope, in order of the policies' ids; palloc'd. */
typedef struct RgBudgets
{
	int			count;
	RgAccountUse *uses;
} RgBudgets;

/*
 * Those that bind whom a row of the ledger names, in the windows of its time, opened.
 * Strings of the row stay as long as this.
 */
extern RgBudgets rg_budgets_open(const RgLedgerRow *row);

/* The same for an identity (NULL: nobody), now; name is one budget's, or NULL. */
struct RgIdentity;
extern RgBudgets rg_budgets_of(const char *name, const struct RgIdentity *identity);

/*
 * Whether there is room in the budget of that name, or in all where it is NULL, for
 * an identity (NULL: nobody).  If not, *blocking is a copy of the one without.  Error
 * 42704 where there is no such budget.
 */
extern bool rg_budget_has_room(const char *name, const struct RgIdentity *identity,
							   RgAccountUse *blocking);

#endif

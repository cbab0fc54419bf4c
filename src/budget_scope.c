/*
 * budget_scope.c
 *		The budgets that bind somebody; budget_scope.h has the contract.
 */
#include "postgres.h"

#include "budget_scope.h"
#include "usage_row.h"

/* Data NULL where the scope does not bind. */
static RgSlice
value_of(RgIdentifyBy scope, const RgLedgerRow *row)
{
	switch (scope)
	{
		case RG_BY_GLOBAL:
			return RG_SLICE("*");
		case RG_BY_WORKSPACE:
			return row->workspace_id;
		case RG_BY_API_KEY:
			return row->api_key;
		default:
			return row->user_id;
	}
}

/* Budgets, all of them or the one of a name, that bind a row. */
static RgBudgets
find_budgets(const char *name, const RgLedgerRow *row)
{
	const RgUsagePolicy *policies;
	int			npolicies = rg_budget_policies(&policies);
	RgBudgets	budgets = {0, palloc(Max(npolicies, 1) * sizeof(RgAccountUse))};

	for (int i = 0; i < npolicies; i++)
	{
		RgSlice		value = value_of(policies[i].scope, row);

		if (value.len > 0 && (name == NULL || strcmp(name, policies[i].name) == 0))
			rg_account_aim(&budgets.uses[budgets.count++], &policies[i], value, row->reserved_at);
	}
	return budgets;
}

RgBudgets
rg_budgets_open(const RgLedgerRow *row)
{
	RgBudgets	budgets = find_budgets(NULL, row);

	rg_account_open(budgets.uses, budgets.count);
	return budgets;
}

static void
require_budget(const char *name)
{
	if (rg_budget_policy(name) == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("budget policy \"%s\" does not exist", name),
				errhint("Policies are the rows of relay_guard.budget_policy."));
}

RgBudgets
rg_budgets_of(const char *name, const RgIdentity *identity)
{
	RgLedgerRow row = rg_usage_row(identity);
	RgBudgets	budgets;

	rg_ledger_lock();
	if (name != NULL)
		require_budget(name);
	row.reserved_at = rg_usage_now();
	budgets = find_budgets(name, &row);
	rg_account_open(budgets.uses, budgets.count);
	return budgets;
}

bool
rg_budget_has_room(const char *name, const RgIdentity *identity, RgAccountUse *blocking)
{
	RgBudgets	budgets = rg_budgets_of(name, identity);

	for (int i = 0; i < budgets.count; i++)
		if (rg_account_room(&budgets.uses[i]) == 0)
		{
			*blocking = budgets.uses[i];
			return false;
		}
	return true;
}

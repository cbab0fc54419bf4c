/*
 * quota.c
 *		Taking of quotas; quota.h has the contract.
 */
#include "postgres.h"

#include "access/xact.h"
#include "miscadmin.h"
#include "utils/timestamp.h"

#include "context.h"
#include "ledger.h"
#include "quota.h"
#include "usage_row.h"

/*
 * Aiming
 */

static const RgUsagePolicy *
policy_named(const char *name)
{
	const RgUsagePolicy *policy = rg_quota_policy(name);

	if (policy == NULL)
		ereport(ERROR,
				errcode(ERRCODE_UNDEFINED_OBJECT),
				errmsg("quota policy \"%s\" does not exist", name),
				errhint("Policies are the rows of relay_guard.quota_policy."));
	return policy;
}

bool
rg_quota_aim(RgQuotaTake *take, const char *name, int64 units,
			 const unsigned char *client_ip, const RgIdentity *identity)
{
	char		key[RG_SCOPE_SCRATCH];
	char		name_space[RG_SCOPE_SCRATCH];
	RgSlice		value;

	rg_ledger_lock();
	take->policy = policy_named(name);
	take->units = units;
	if (!take->policy->enabled ||
		!rg_scope_key(take->policy->scope, client_ip, identity, key, &value))
		return false;
	value = rg_scope_readable(take->policy->scope, value, name_space);
	value = rg_slice(pnstrdup(value.data, value.len), value.len);	/* the identity may go */
	take->taken_at = rg_usage_now();
	rg_account_aim(&take->use, take->policy, value, take->taken_at);
	return true;
}

/*
 * Taking
 */

static void
collect(const RgQuotaTake *takes, int count, RgAccountUse uses[RG_QUOTA_MAX_TAKES])
{
	if (count > RG_QUOTA_MAX_TAKES)
		ereport(ERROR,
				errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
				errmsg("more than %d quotas cannot be taken together", RG_QUOTA_MAX_TAKES));
	for (int i = 0; i < count; i++)
		uses[i] = takes[i].use;
}

static void
answer(RgQuotaTake *takes, int count, const RgAccountUse *uses)
{
	for (int i = 0; i < count; i++)
	{
		takes[i].use = uses[i];
		takes[i].allowed = uses[i].allowed;
		takes[i].used = uses[i].used;
		takes[i].remaining = rg_account_room(&uses[i]);
		takes[i].resets_at = uses[i].window.until;
	}
}

bool
rg_quota_hold(RgQuotaTake *takes, int count)
{
	RgAccountUse uses[RG_QUOTA_MAX_TAKES];
	bool		allowed;

	if (count == 0)
		return true;
	collect(takes, count, uses);
	rg_account_open(uses, count);
	allowed = rg_account_take(uses, count, takes[0].units, 0);
	answer(takes, count, uses);
	return allowed;
}

void
rg_quota_look(RgQuotaTake *takes, int count)
{
	RgAccountUse uses[RG_QUOTA_MAX_TAKES];

	collect(takes, count, uses);
	rg_account_open(uses, count);
	for (int i = 0; i < count; i++)
		uses[i].allowed = takes[i].units <= rg_account_room(&uses[i]);
	answer(takes, count, uses);
}

void
rg_quota_drop(RgQuotaTake *takes, int count)
{
	RgAccountUse uses[RG_QUOTA_MAX_TAKES];

	if (count == 0)
		return;
	collect(takes, count, uses);
	rg_account_give_back(uses, count, takes[0].units);
}

/*
 * Recording
 */

static RgLedgerRow
row_of(const RgQuotaTake *take)
{
	RgLedgerRow row = rg_usage_row(rg_context());

	row.kind = RG_LEDGER_TAKE;
	row.reserved_at = take->taken_at;
	row.policy = take->policy->id;
	row.value = take->use.value;
	row.units = take->units;
	return row;
}

void
rg_quota_record(const RgQuotaTake *takes, int count)
{
	RgLedgerRow rows[RG_QUOTA_MAX_TAKES];

	if (count == 0)
		return;
	for (int i = 0; i < count; i++)
		rows[i] = row_of(&takes[i]);
	rg_ledger_write(rows, count);
}

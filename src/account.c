/*
 * account.c
 *		Accounts of quotas and budgets; account.h has the contract.
 *
 * An account that is not seeded is one that nobody has changed since it entered the
 * table: whoever changes one pins it, and seeds it first.  So its sum, from any
 * snapshot that is taken while it is pinned, lacks nobody and counts nobody twice.
 */
#include "postgres.h"

#include "access/xact.h"
#include "access/xlog.h"
#include "common/int.h"
#include "miscadmin.h"
#include "storage/lmgr.h"
#include "storage/lock.h"

#include "account.h"
#include "counter_key.h"
#include "ledger.h"
#include "lock_class.h"
#include "promotion.h"
#include "scope.h"
#include "usage_totals.h"
#include "usage_worker.h"

/*
 * Aiming
 */

void
rg_account_aim(RgAccountUse *use, const RgUsagePolicy *policy, RgSlice value, TimestampTz at)
{
	memset(use, 0, sizeof *use);
	use->policy = policy;
	use->value = value;
	use->window = rg_calendar_window(policy->calendar, at);
	use->key = rg_counter_account_key(policy->version, use->window.from, value);
	use->allowed = true;
}

static RgPartitions
partitions_of(const RgAccountUse *uses, int count)
{
	RgPartitions partitions = {0};

	for (int i = 0; i < count; i++)
		rg_partitions_add(&partitions, &uses[i].key);
	return partitions;
}

/*
 * Pinning
 */

static RgCounterClass
class_of(const RgAccountUse *use)
{
	if (use->policy->scope == RG_BY_IP || rg_scope_is_anonymous(use->value))
		return RG_COUNTER_ADDRESS;
	return RG_COUNTER_IDENTITY;
}

/* When the window is over, by CLOCK_REALTIME. */
static int64
expiry_of(RgWindow window)
{
	int64		time;

	if (TIMESTAMP_IS_NOEND(window.until) ||
		pg_mul_s64_overflow(window.until + (POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * USECS_PER_DAY,
							1000, &time))
		return PG_INT64_MAX;
	return time;
}

static void
fill_in(RgCounter *counter, const RgAccountUse *use, uint64 owner)
{
	counter->owner = owner;
	counter->database = MyDatabaseId;
	counter->policy = use->policy->id;
	counter->kind = use->policy->kind == RG_QUOTA ? RG_KIND_QUOTA : RG_KIND_BUDGET;
	counter->expires = expiry_of(use->window);
	counter->account.version = use->policy->version;
	counter->account.from = use->window.from;
	counter->account.until = use->window.until;
	counter->account.limit = use->policy->limit;
	counter->account.warn = use->policy->warn;
	rg_counter_set_value(counter, use->value);
}

static bool
pin(RgAccountUse *use, uint64 owner, int64 boot_now)
{
	use->counter = rg_counter_find(&use->key);
	if (use->counter == NULL)
	{
		use->counter = rg_counter_enter(&use->key, class_of(use));
		if (use->counter == NULL)
			return false;
		fill_in(use->counter, use, owner);
	}
	use->counter->last_used = boot_now;
	use->change = rg_account_change(use->counter);
	use->seeded = use->counter->account.seeded;
	return true;
}

/* What was pinned before one found no place stays so until the transaction ends. */
static bool
pin_all(RgAccountUse *uses, int count)
{
	RgPartitions partitions = partitions_of(uses, count);
	uint64		owner = rg_counter_owner();
	int64		boot_now = rg_boot_now();
	bool		pinned = true;

	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	for (int i = 0; i < count && pinned; i++)
		pinned = pin(&uses[i], owner, boot_now);
	rg_counter_unlock(&partitions);
	return pinned;
}

/*
 * Seeding
 */

static void
read_account(RgAccountUse *use)
{
	use->used = use->counter->account.used;
	use->reserved = use->counter->account.reserved;
	use->seeded = use->counter->account.seeded;
}

void
rg_account_read(RgAccountUse *uses, int count)
{
	RgPartitions partitions = partitions_of(uses, count);

	rg_counter_lock(&partitions, LW_SHARED);
	for (int i = 0; i < count; i++)
		read_account(&uses[i]);
	rg_counter_unlock(&partitions);
}

static void
publish(RgAccountUse *use, int64 used, int64 reserved)
{
	RgPartitions partitions = partitions_of(use, 1);
	RgAccount  *account = &use->counter->account;

	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	Assert(account->pending_used == 0 && account->pending_reserved == 0);
	account->used = used;
	account->reserved = reserved;
	account->seeded = true;
	account->changes++;
	rg_counter_changed(use->counter, use->counter->expires);
	rg_counter_unlock(&partitions);
}

static void
sum_and_publish(RgAccountUse *use)
{
	int64		used,
				reserved;

	rg_account_read(use, 1);
	if (use->seeded)
		return;
	rg_promotion_require_confirmed();
	rg_ledger_sum(use->policy, use->value, use->window, &used, &reserved);
	publish(use, used, reserved);
}

/*
 * One sums, the others wait: by a lock that the deadlock detector knows and a
 * cancel ends.  An error leaves the account as it was, closed.
 */
static void
seed(RgAccountUse *use)
{
	LOCKTAG		tag;
	uint32		hash[2];

	memcpy(hash, use->key.bytes, sizeof hash);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, hash[0], hash[1], RG_LOCK_ACCOUNT);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
	sum_and_publish(use);
	LockRelease(&tag, ExclusiveLock, false);
}

static void
require_primary(void)
{
	if (RecoveryInProgress())
		ereport(ERROR,
				errcode(ERRCODE_READ_ONLY_SQL_TRANSACTION),
				errmsg("quotas and budgets need the primary"),
				errdetail("This server is a standby, and cannot write the ledger."),
				errhint("Connect to the primary."));
}

static void
refuse_full_table(void)
{
	ereport(ERROR,
			errcode(ERRCODE_CONFIGURATION_LIMIT_EXCEEDED),
			errmsg("the table of counters has no place for another quota or budget"),
			errhint("Try again later, or raise relay_guard.max_counters."));
}

void
rg_account_open(RgAccountUse *uses, int count)
{
	rg_counter_require();
	require_primary();
	rg_account_change_reserve(count);
	if (!pin_all(uses, count))
		refuse_full_table();
	for (int i = 0; i < count; i++)
		if (!uses[i].seeded)
			seed(&uses[i]);
	rg_account_read(uses, count);
}

/*
 * Taking
 */

static bool
has_room(const RgAccount *account, int64 amount)
{
	int64		total;

	return !pg_add_s64_overflow(account->used, account->reserved, &total) &&
		!pg_add_s64_overflow(total, amount, &total) && total <= account->limit;
}

/* What the worker tells of, once for each window. */
static void
note_limits(RgCounter *counter, bool refused)
{
	RgAccount  *account = &counter->account;
	int64		total = account->used + account->reserved;
	uint8		flags = account->flags;

	if (total >= account->warn)
		flags |= RG_ACCOUNT_WARNED;
	if (refused || total >= account->limit)
		flags |= RG_ACCOUNT_STOPPED;
	if (flags == account->flags)
		return;
	account->flags = flags;
	if (counter->kind == RG_KIND_BUDGET)
		rg_usage_worker_notify(RG_USAGE_ALERT);
}

static bool
try(RgAccountUse *use, int64 used, int64 reserved)
{
	use->allowed = has_room(&use->counter->account, used + reserved);
	if (use->allowed)
		rg_account_change_now(use->change, used, reserved);
	else
		use->counter->denied++;
	note_limits(use->counter, !use->allowed);
	return use->allowed;
}

static void
put_back(RgAccountUse *uses, int count, int64 used, int64 reserved)
{
	for (int i = 0; i < count; i++)
		if (uses[i].allowed)
			rg_account_change_now(uses[i].change, -used, -reserved);
}

static void
count_refusals(const RgAccountUse *uses, int count)
{
	for (int i = 0; i < count; i++)
		if (!uses[i].allowed)
			rg_usage_count_denied(uses[i].policy);
}

bool
rg_account_take(RgAccountUse *uses, int count, int64 used, int64 reserved)
{
	RgPartitions partitions = partitions_of(uses, count);
	bool		allowed = true;

	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
		allowed &= try(&uses[i], used, reserved);
	if (!allowed)
		put_back(uses, count, used, reserved);
	for (int i = 0; i < count; i++)
		read_account(&uses[i]);
	rg_counter_unlock(&partitions);
	if (!allowed)
		count_refusals(uses, count);
	return allowed;
}

void
rg_account_settle(RgAccountUse *uses, int count, int64 held, int64 spent)
{
	RgPartitions partitions = partitions_of(uses, count);
	int64		beyond = Max(spent - held, 0);

	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	for (int i = 0; i < count; i++)
	{
		RgAccountUse *use = &uses[i];

		rg_account_change_now(use->change, beyond, 0);
		use->change->used_then += spent - beyond;
		use->change->reserved_then -= held;
		note_limits(use->counter, false);
		read_account(use);
	}
	rg_counter_unlock(&partitions);
}

void
rg_account_give_back(RgAccountUse *uses, int count, int64 used)
{
	RgPartitions partitions = partitions_of(uses, count);

	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	put_back(uses, count, used, 0);
	rg_counter_unlock(&partitions);
}

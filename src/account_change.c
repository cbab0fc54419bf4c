/*
 * account_change.c
 *		What the current transaction has done to accounts; account_change.h has the
 *		contract.
 *
 * Increments count at the call and are undone by an abort; decrements count at the
 * commit, since what another client has taken meanwhile could not be taken back.
 * The callbacks run when the transaction is visible as committed or gone, read no
 * catalog and raise nothing: what they need was allocated before.
 */
#include "postgres.h"

#include "access/xact.h"
#include "utils/memutils.h"

#include "account_change.h"

/* Of the transaction, the latest first, and those not yet in use. */
static RgAccountChange *changes = NULL;
static RgAccountChange *spare = NULL;
static int	nchanges = 0;
static int	nspare = 0;

static void
refuse_too_many(void)
{
	ereport(ERROR,
			errcode(ERRCODE_PROGRAM_LIMIT_EXCEEDED),
			errmsg("a transaction cannot change more than %d quotas and budgets",
				   RG_ACCOUNT_CHANGES_MAX),
			errhint("Split the work into several transactions."));
}

void
rg_account_change_reserve(int count)
{
	if (nchanges + count > RG_ACCOUNT_CHANGES_MAX)
		refuse_too_many();
	for (; nspare < count; nspare++)
	{
		RgAccountChange *change = MemoryContextAllocZero(TopTransactionContext, sizeof *change);

		change->next = spare;
		spare = change;
	}
}

static RgAccountChange *
take_spare(void)
{
	RgAccountChange *change = spare;

	Assert(change != NULL);
	spare = change->next;
	nspare--;
	change->next = changes;
	changes = change;
	nchanges++;
	return change;
}

static void
put_spare(RgAccountChange *change)
{
	memset(change, 0, sizeof *change);
	change->next = spare;
	spare = change;
	nspare++;
}

static RgAccountChange *
find_change(const RgCounter *counter, SubTransactionId subid)
{
	RgAccountChange *change;

	for (change = changes; change != NULL; change = change->next)
		if (change->counter == counter && change->subid == subid)
			break;
	return change;
}

RgAccountChange *
rg_account_change(RgCounter *counter)
{
	SubTransactionId subid = GetCurrentSubTransactionId();
	RgAccountChange *change = find_change(counter, subid);

	if (change != NULL)
		return change;
	change = take_spare();
	change->counter = counter;
	change->subid = subid;
	counter->pins++;
	return change;
}

/* Raises nothing: the partition is locked. */
static void
add(RgAccount *account, int64 used, int64 reserved)
{
	account->used += used;
	account->reserved += reserved;
	account->changes++;
}

static void
add_pending(RgAccount *account, int64 used, int64 reserved)
{
	account->pending_used += used;
	account->pending_reserved += reserved;
}

void
rg_account_change_now(RgAccountChange *change, int64 used, int64 reserved)
{
	RgCounter  *counter = change->counter;

	change->used += used;
	change->reserved += reserved;
	add(&counter->account, used, reserved);
	add_pending(&counter->account, used, reserved);
	rg_counter_changed(counter, counter->expires);
}

/*
 * Ends
 */

static bool
is_change(const RgAccountChange *change)
{
	return change->used != 0 || change->reserved != 0 ||
		change->used_then != 0 || change->reserved_then != 0;
}

static void
end_change(RgAccountChange *change, bool committed)
{
	RgCounter  *counter = change->counter;
	RgPartitions partitions = {0};

	rg_partitions_add(&partitions, &counter->key);
	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	if (is_change(change))
	{
		add_pending(&counter->account, -change->used, -change->reserved);
		if (committed)
			add(&counter->account, change->used_then, change->reserved_then);
		else
			add(&counter->account, -change->used, -change->reserved);
		rg_counter_changed(counter, counter->expires);
	}
	counter->pins--;
	rg_counter_unlock(&partitions);
}

static void
end_all(bool committed)
{
	while (changes != NULL)
	{
		RgAccountChange *change = changes;

		changes = change->next;
		end_change(change, committed);
	}
	nchanges = 0;
	spare = NULL;
	nspare = 0;
}

/* Nobody else could end what a prepared transaction holds, least of all after a crash. */
static void
refuse_prepare(void)
{
	ereport(ERROR,
			errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
			errmsg("cannot PREPARE a transaction that has used quotas or budgets"));
}

static void
on_transaction(XactEvent event, void *arg)
{
	if (changes == NULL && spare == NULL)
		return;
	if (event == XACT_EVENT_PRE_PREPARE)
		refuse_prepare();
	else if (event == XACT_EVENT_COMMIT || event == XACT_EVENT_ABORT)
		end_all(event == XACT_EVENT_COMMIT);
}

static void
unpin(RgCounter *counter)
{
	RgPartitions partitions = {0};

	rg_partitions_add(&partitions, &counter->key);
	rg_counter_lock(&partitions, LW_EXCLUSIVE);
	counter->pins--;
	rg_counter_unlock(&partitions);
}

/* Adds what a subtransaction has done to what the one around it had. */
static void
merge(RgAccountChange *into, RgAccountChange *change)
{
	into->used += change->used;
	into->reserved += change->reserved;
	into->used_then += change->used_then;
	into->reserved_then += change->reserved_then;
	unpin(change->counter);
}

static void
abort_change(RgAccountChange *change, SubTransactionId parent)
{
	end_change(change, false);
	put_spare(change);
}

/* One change of an account is left, however many subtransactions there were. */
static void
pass_on_change(RgAccountChange *change, SubTransactionId parent)
{
	RgAccountChange *into = find_change(change->counter, parent);

	if (into != NULL)
	{
		merge(into, change);
		put_spare(change);
		return;
	}
	change->subid = parent;
	change->next = changes;
	changes = change;
	nchanges++;
}

/* Takes each change of a subtransaction out of the list. */
static void
end_changes_of(SubTransactionId subid, SubTransactionId parent,
			   void (*end) (RgAccountChange *, SubTransactionId))
{
	RgAccountChange **link = &changes;
	RgAccountChange *ended = NULL;
	RgAccountChange *change;

	while ((change = *link) != NULL)
	{
		if (change->subid != subid)
		{
			link = &change->next;
			continue;
		}
		*link = change->next;
		nchanges--;
		change->next = ended;
		ended = change;
	}
	while ((change = ended) != NULL)
	{
		ended = change->next;
		end(change, parent);
	}
}

static void
on_subtransaction(SubXactEvent event, SubTransactionId subid, SubTransactionId parent, void *arg)
{
	if (event == SUBXACT_EVENT_ABORT_SUB)
		end_changes_of(subid, parent, abort_change);
	else if (event == SUBXACT_EVENT_COMMIT_SUB)
		end_changes_of(subid, parent, pass_on_change);
}

void
rg_account_change_init(void)
{
	RegisterXactCallback(on_transaction, NULL);
	RegisterSubXactCallback(on_subtransaction, NULL);
}

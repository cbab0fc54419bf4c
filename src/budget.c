/*
 * budget.c
 *		Budgets for language models; budget.h has the contract.
 *
 * A reservation is locked, as long as the transaction lasts, before its rows are
 * read: what the former holder of the lock did has committed or is gone, so that one
 * final row is written, and only one.
 */
#include "postgres.h"

#include "common/int.h"
#include "storage/lmgr.h"
#include "storage/lock.h"
#include "utils/builtins.h"
#include "miscadmin.h"

#include "budget.h"
#include "budget_scope.h"
#include "errcodes.h"
#include "lock_class.h"
#include "model.h"
#include "money.h"
#include "usage_row.h"

#define MAX_TTL (7 * USECS_PER_DAY)

/*
 * Amounts
 */

static int64
cost_of(int64 input_tokens, int64 input_price, int64 output_tokens, int64 output_price)
{
	int64		cost;

	if (!rg_money_cost(input_tokens, input_price, output_tokens, output_price, &cost))
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("so many tokens cost more than can be counted"));
	return cost;
}

/* A budget's numbers are sums of such amounts: they are to fit, too. */
static int64
bounded(int64 amount)
{
	if (amount > RG_MONEY_MAX)
		ereport(ERROR,
				errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
				errmsg("%lld micro-USD is more than can be counted at once", (long long) amount));
	return amount;
}

static void
check_tokens(const RgModel *model, const char *kind, int64 tokens, int64 most)
{
	if (tokens > most)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNPROCESSABLE),
				errmsg("model \"%s\" does not take so many %s tokens", model->name, kind),
				errdetail("too_many_tokens"),
				errhint("Send at most %lld.", (long long) most));
}

static TimestampTz
lease_end(const Interval *ttl)
{
	TimestampTz now = GetCurrentTimestamp();
	TimestampTz end = DatumGetTimestampTz(DirectFunctionCall2(timestamptz_pl_interval,
															  TimestampTzGetDatum(now),
															  IntervalPGetDatum(ttl)));

	if (end <= now || end - now > MAX_TTL)
		ereport(ERROR,
				errcode(ERRCODE_INVALID_PARAMETER_VALUE),
				errmsg("ttl must be more than nothing, and at most seven days"));
	return end;
}

/*
 * Answers
 */

static const char *
first_warning(const RgBudgets *budgets)
{
	for (int i = 0; i < budgets->count; i++)
		if (rg_account_is_warned(&budgets->uses[i]))
			return budgets->uses[i].policy->name;
	return NULL;
}

static const RgAccountUse *
first_refusal(const RgBudgets *budgets)
{
	for (int i = 0; i < budgets->count; i++)
		if (!budgets->uses[i].allowed)
			return &budgets->uses[i];
	return NULL;
}

static const char *
first_beyond(const RgBudgets *budgets)
{
	for (int i = 0; i < budgets->count; i++)
		if (budgets->uses[i].used + budgets->uses[i].reserved > budgets->uses[i].policy->limit)
			return budgets->uses[i].policy->name;
	return NULL;
}

static int64
least_room(const RgBudgets *budgets)
{
	int64		room = PG_INT64_MAX;

	for (int i = 0; i < budgets->count; i++)
		room = Min(room, rg_account_room(&budgets->uses[i]));
	return room;
}

static void
answer_take(RgBudgetAnswer *answer, const RgBudgets *budgets)
{
	const RgAccountUse *refusal = first_refusal(budgets);

	answer->allowed = refusal == NULL;
	answer->blocked_by = refusal != NULL ? refusal->policy->name : NULL;
	answer->resets_at = refusal != NULL ? refusal->window.until : 0;
	answer->warning = first_warning(budgets);
	answer->remaining = least_room(budgets);
}

/* Holds an amount in all budgets that bind the row, and writes it. */
static void
hold(RgLedgerRow *row, RgBudgetAnswer *answer)
{
	RgBudgets	budgets = rg_budgets_open(row);
	bool		held = rg_account_take(budgets.uses, budgets.count, 0, row->reserved);

	answer_take(answer, &budgets);
	if (held)
		rg_ledger_write(row, 1);
}

/*
 * Reserving
 */

static void
set_model(RgLedgerRow *row, const RgModel *model)
{
	row->model = rg_slice(model->name, strlen(model->name));
	row->model_version = model->version;
	row->input_price = model->input_price;
	row->output_price = model->output_price;
}

/* Who says that he will use nothing gets nothing of a budget that has no room. */
static int64
least_hold(const RgLedgerRow *row, int64 cost)
{
	bool		has_price = row->input_price > 0 || row->output_price > 0;

	return has_price ? Max(bounded(cost), 1) : bounded(cost);
}

void
rg_budget_reserve(const RgBudgetCall *call, pg_uuid_t *reservation, RgBudgetAnswer *answer)
{
	RgLedgerRow row = rg_usage_row(call->who);
	const RgModel *model;

	rg_ledger_lock();
	model = rg_model_require(call->model);
	check_tokens(model, "input", call->input_tokens, model->max_input_tokens);
	check_tokens(model, "output", call->output_tokens, model->max_output_tokens);
	set_model(&row, model);
	row.input_tokens = call->input_tokens;
	row.output_tokens = call->output_tokens * call->answers;
	row.reserved = least_hold(&row, cost_of(row.input_tokens, row.input_price,
											row.output_tokens, row.output_price));
	row.lease_until = lease_end(call->ttl);
	rg_usage_row_reserve(&row);
	memset(answer, 0, sizeof *answer);
	answer->amount = row.reserved;
	answer->expires_at = row.lease_until;
	hold(&row, answer);
	*reservation = row.reservation;
}

/*
 * Reservations
 */

static void
lock_reservation(const pg_uuid_t *reservation)
{
	LOCKTAG		tag;
	uint32		random[2];

	memcpy(random, reservation->data + UUID_LEN - sizeof random, sizeof random);
	SET_LOCKTAG_ADVISORY(tag, MyDatabaseId, random[0], random[1], RG_LOCK_RESERVATION);
	(void) LockAcquire(&tag, ExclusiveLock, false, false);
}

static bool
is_mine(const RgReservation *found)
{
	RgLedgerRow me = rg_usage_row(rg_context());
	RgSlice		owner = found->first.user_id;

	if (owner.data == NULL || me.user_id.data == NULL)
		return owner.data == NULL && me.user_id.data == NULL;
	return owner.len == me.user_id.len && memcmp(owner.data, me.user_id.data, owner.len) == 0;
}

static void
find_reservation(const pg_uuid_t *reservation, RgBudgetReach reach, RgReservation *found)
{
	rg_ledger_lock();
	lock_reservation(reservation);
	if (rg_ledger_reservation(reservation, found) &&
		(reach == RG_BUDGET_ANYBODYS || is_mine(found)))
		return;
	ereport(ERROR,
			errcode(ERRCODE_RG_NOT_FOUND),
			errmsg("there is no such reservation"),
			errdetail("reservation_not_found"),
			errhint("Reservations belong to the user who made them."));
}

bool
rg_budget_is_mine(const pg_uuid_t *reservation)
{
	RgReservation found;

	return rg_ledger_reservation(reservation, &found) && is_mine(&found);
}

/*
 * A further row of it: of the same owner, model, prices and windows; without a
 * request of its own, of the same request too.
 */
static RgLedgerRow
next_row(const RgReservation *found, RgLedgerKind kind)
{
	const RgIdentity *me = rg_context();
	RgLedgerRow row = found->first;

	row.kind = kind;
	if (me != NULL)
		row.request_id = me->request_id;
	row.input_tokens = 0;
	row.output_tokens = 0;
	row.reserved = 0;
	row.spent = 0;
	row.lease_until = 0;
	return row;
}

static const char *
past_outcome(const RgReservation *found)
{
	switch (found->final)
	{
		case RG_LEDGER_SETTLE:
			return "already_settled";
		case RG_LEDGER_RELEASE:
			return "already_released";
		default:
			return "expired";
	}
}

/* What holds nothing more needs no room: a lease alone is made longer. */
static void
hold_longer(RgLedgerRow *row, RgBudgetAnswer *answer)
{
	RgBudgets	budgets = rg_budgets_open(row);

	answer->allowed = true;
	answer->warning = first_warning(&budgets);
	answer->remaining = least_room(&budgets);
	rg_ledger_write(row, 1);
}

static void
extend(const RgReservation *found, int64 tokens, const Interval *ttl, RgBudgetAnswer *answer)
{
	RgLedgerRow row = next_row(found, RG_LEDGER_EXTEND);

	row.output_tokens = tokens;
	row.reserved = bounded(cost_of(0, 0, tokens, row.output_price));
	row.lease_until = ttl == NULL ? found->lease_until : Max(found->lease_until, lease_end(ttl));
	if (tokens > 0)
		hold(&row, answer);
	else
		hold_longer(&row, answer);
	answer->outcome = answer->allowed ? "extended" : "blocked";
	answer->amount = found->held + (answer->allowed ? row.reserved : 0);
	answer->expires_at = answer->allowed ? row.lease_until : found->lease_until;
}

void
rg_budget_extend(const pg_uuid_t *reservation, RgBudgetReach reach, int64 tokens,
				 const Interval *ttl, RgBudgetAnswer *answer)
{
	RgReservation found;

	find_reservation(reservation, reach, &found);
	memset(answer, 0, sizeof *answer);
	if (!found.is_final)
	{
		extend(&found, tokens, ttl, answer);
		return;
	}
	answer->outcome = past_outcome(&found);
	answer->amount = found.charged;
	answer->remaining = PG_INT64_MAX;
}

/*
 * Ends
 */

/* What is spent is never refused for want of room, but it is to be countable. */
static void
check_countable(const RgBudgets *budgets)
{
	for (int i = 0; i < budgets->count; i++)
		if (budgets->uses[i].used + budgets->uses[i].reserved > PG_INT64_MAX / 2)
			ereport(ERROR,
					errcode(ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE),
					errmsg("budget \"%s\" has spent more than can be counted",
						   budgets->uses[i].policy->name));
}

/* Writes the final row first: what counts is what stands in the ledger. */
static void
end_as(const RgReservation *found, RgLedgerRow *row, const char *outcome, RgBudgetEnd *end)
{
	RgBudgets	budgets = rg_budgets_open(row);

	check_countable(&budgets);
	row->reserved = -found->held;
	rg_ledger_write(row, 1);
	rg_account_settle(budgets.uses, budgets.count, found->held, row->spent);
	end->outcome = outcome;
	end->amount = row->spent;
}

/* True when it has ended before; how is the answer. */
static bool
has_ended(const RgReservation *found, RgBudgetEnd *end)
{
	end->held = found->held;
	end->amount = found->charged;
	if (found->is_final)
		end->outcome = past_outcome(found);
	return found->is_final;
}

void
rg_budget_settle(const pg_uuid_t *reservation, RgBudgetReach reach, int64 input_tokens,
				 int64 output_tokens, RgBudgetEnd *end)
{
	RgReservation found;
	RgLedgerRow row;

	find_reservation(reservation, reach, &found);
	if (has_ended(&found, end))
		return;
	row = next_row(&found, RG_LEDGER_SETTLE);
	row.input_tokens = input_tokens;
	row.output_tokens = output_tokens;
	row.spent = bounded(cost_of(input_tokens, row.input_price, output_tokens, row.output_price));
	end_as(&found, &row, "settled", end);
}

void
rg_budget_release(const pg_uuid_t *reservation, RgBudgetReach reach, RgBudgetEnd *end)
{
	RgReservation found;
	RgLedgerRow row;

	find_reservation(reservation, reach, &found);
	if (has_ended(&found, end))
		return;
	row = next_row(&found, RG_LEDGER_RELEASE);
	end_as(&found, &row, "released", end);
}

void
rg_budget_expire(const pg_uuid_t *reservation, RgBudgetEnd *end)
{
	RgReservation found;
	RgLedgerRow row;

	find_reservation(reservation, RG_BUDGET_ANYBODYS, &found);
	if (has_ended(&found, end))
		return;
	end->outcome = "open";
	if (found.lease_until > GetCurrentTimestamp())
		return;
	row = next_row(&found, RG_LEDGER_EXPIRE);
	row.spent = found.held;
	end_as(&found, &row, "expired", end);
}

/*
 * Charges
 */

static RgLedgerRow
charge_row(const RgModel *model, TimestampTz at)
{
	RgLedgerRow row = rg_usage_row(rg_context());

	row.kind = RG_LEDGER_CHARGE;
	row.reserved_at = at;
	set_model(&row, model);
	return row;
}

static RgLedgerRow
chat_row(const RgModel *model, TimestampTz at, int64 input_tokens, int64 output_tokens)
{
	RgLedgerRow row = charge_row(model, at);

	row.input_tokens = input_tokens;
	row.output_tokens = output_tokens;
	row.spent = bounded(cost_of(input_tokens, row.input_price, output_tokens, row.output_price));
	return row;
}

static RgLedgerRow
embedding_row(const RgModel *model, TimestampTz at, int64 tokens)
{
	RgLedgerRow row = charge_row(model, at);

	if (model->embedding_price < 0)
		ereport(ERROR,
				errcode(ERRCODE_RG_UNPROCESSABLE),
				errmsg("model \"%s\" makes no embeddings", model->name),
				errdetail("no_embeddings"),
				errhint("Name a model that has an embedding_price in relay_guard.model."));
	row.embedding = true;
	row.input_tokens = tokens;
	row.input_price = model->embedding_price;
	row.output_price = 0;
	row.spent = bounded(cost_of(tokens, row.input_price, 0, 0));
	return row;
}

/* One row for chat, one for embeddings; at least one. */
void
rg_budget_charge(const char *name, int64 input_tokens, int64 output_tokens,
				 int64 embedding_tokens, RgBudgetCharge *charge)
{
	TimestampTz at = rg_usage_now();
	RgLedgerRow rows[2];
	int			nrows = 0;
	const RgModel *model;
	RgBudgets	budgets;

	rg_ledger_lock();
	model = rg_model_require(name);
	if (embedding_tokens > 0)
		rows[nrows++] = embedding_row(model, at, embedding_tokens);
	if (input_tokens > 0 || output_tokens > 0 || nrows == 0)
		rows[nrows++] = chat_row(model, at, input_tokens, output_tokens);
	charge->amount = rows[0].spent + (nrows > 1 ? rows[1].spent : 0);
	budgets = rg_budgets_open(&rows[0]);
	check_countable(&budgets);
	rg_ledger_write(rows, nrows);
	rg_account_settle(budgets.uses, budgets.count, 0, charge->amount);
	charge->over = first_beyond(&budgets);
	charge->warning = first_warning(&budgets);
}

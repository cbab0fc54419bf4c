/*
 * configure_budget.c
 *		The budget of the environment, into the tables.
 *
 * LLM_BUDGET_DAILY_USD is where the day's budget warns; it denies at 2.5 times
 * that, unless LLM_BUDGET_HARD_USD says otherwise: raising the first lifts a
 * block.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "configure.h"
#include "money.h"

#define DAILY "LLM_BUDGET_DAILY_USD"
#define HARD "LLM_BUDGET_HARD_USD"

/* Beyond this, 2.5 times as much would be more than a policy can say. */
#define MAX_DAILY (RG_MONEY_MAX / 5 * 2)

/* Micro-USD, -1 for none: warn follows hard where only that is set. */
typedef struct Budget
{
	int64_t		warn;
	int64_t		hard;
} Budget;

static bool
check_amount(const char *name, int64_t max, int64_t *micro)
{
	const char *value = rg_setting(name, NULL);

	*micro = -1;
	if (value == NULL || (rg_money_parse(value, micro) && *micro <= max))
		return true;
	fprintf(stderr, "%s must be US dollars as in 20 or 12.50, up to %" PRId64 "\n", name, max / 1000000);
	return false;
}

static bool
read_budget(Budget *budget)
{
	bool		valid = check_amount(DAILY, MAX_DAILY, &budget->warn);

	valid &= check_amount(HARD, RG_MONEY_MAX, &budget->hard);
	if (valid && budget->hard >= 0 && budget->hard < budget->warn)
	{
		fprintf(stderr, HARD " must not be below " DAILY ", where it warns\n");
		return false;
	}
	if (budget->hard < 0 && budget->warn >= 0)
		budget->hard = budget->warn * 5 / 2;
	return valid;
}

bool
rg_check_budget_settings(void)
{
	Budget		budget;

	return read_budget(&budget);
}

#define WANTED_WARN "coalesce($1::bigint, CASE WHEN warn > $2::bigint THEN $2::bigint ELSE warn END)"
#define DIFFERS "(warn, hard) IS DISTINCT FROM (" WANTED_WARN ", $2::bigint)"
#define OF_POLICY "name = 'global_daily'"

/* "t" or "f"; NULL, told, on error. */
static char *
differs(PGconn *conn, const char *const *values)
{
	static const char look[] =
	"SELECT " DIFFERS " FROM relay_guard.budget_policy WHERE " OF_POLICY;
	char	   *answer;

	if (!rg_sql_look_up(conn, look, 2, values, &answer))
		return NULL;
	if (answer == NULL)
		fprintf(stderr, DAILY " and " HARD " limit nothing: there is no budget policy global_daily\n");
	return answer;
}

/*
 * Looked at before it is written: an UPDATE, even of nothing, waits for whoever
 * spends at that moment, and they for it.
 */
static bool
write_budget(PGconn *conn, const char *const *values)
{
	static const char update[] =
	"UPDATE relay_guard.budget_policy SET warn = " WANTED_WARN ", hard = $2::bigint WHERE " OF_POLICY
	" RETURNING 'warns at ' || coalesce(trim_scale(warn / 1000000.0)::text, 'no') || ' USD, denies at ' || "
	"trim_scale(hard / 1000000.0) || ' USD a day'";
	char	   *answer = differs(conn, values);
	bool		done = answer != NULL;

	if (done && *answer == 't')
		done = rg_sql_change(conn, update, 2, values, "budget policy global_daily");
	free(answer);
	return done;
}

bool
rg_configure_budget(PGconn *conn)
{
	Budget		budget;
	char		warn[24];
	char		hard[24];
	const char *values[] = {warn, hard};

	if (!read_budget(&budget))
		return false;
	if (budget.hard < 0)
		return true;
	if (budget.warn < 0)
		values[0] = NULL;
	snprintf(warn, sizeof warn, "%" PRId64, budget.warn);
	snprintf(hard, sizeof hard, "%" PRId64, budget.hard);
	return write_budget(conn, values);
}

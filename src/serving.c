/*
 * serving.c
 *		The request that this backend is serving; serving.h has the contract.
 */
#include "postgres.h"

#include <sodium.h>

#include "access/xact.h"

#include "serving.h"

static RgServing now;
static bool serving = false;

void
rg_serving_begin(const RgRequest *request, RgAnswer *answer)
{
	now.request = request;
	now.answer = answer;
	now.nest_level = GetCurrentTransactionNestLevel();
	now.cookie_set = now.has_session = false;
	serving = true;
}

void
rg_serving_end(void)
{
	serving = false;
	if (now.has_session)
		sodium_memzero(now.session_secret, sizeof now.session_secret);
	now.has_session = false;
}

RgServing *
rg_serving(void)
{
	return serving ? &now : NULL;
}

RgServing *
rg_serving_writable(const char *function)
{
	if (serving && GetCurrentTransactionNestLevel() > now.nest_level)
		ereport(ERROR,
				errcode(ERRCODE_ACTIVE_SQL_TRANSACTION),
				errmsg("%s cannot be called in a subtransaction", function),
				errdetail("A rollback to its start would not take back what the answer says."),
				errhint("Call it outside of the block that has an EXCEPTION clause."));
	return rg_serving();
}
